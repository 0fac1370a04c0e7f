"""How well a model fits, with compiled kernels."""

from __future__ import annotations

import numpy as np

from ...counts.patterns import Counts, Patterns
from ...model.blocks import Block
from ...model.state import Model
from ...physics.expected_loss import table
from ...solver.problem import Problem
from ..plain.local import batches
from ..terms import FIT
from . import chain, fused
from .block import Window, see
from .detector import counted, parts_of
from .vectors import compiled
from .workspace import RUN, ProblemPanels, Workspace, workspace


def compare(
    problem: Problem, tables: ProblemPanels, block: Block, counts: Counts, model: Model, chosen: np.ndarray
) -> tuple[float, float, float]:
    """See :func:`ptychodask.kernels.plain.compare`."""
    seen, _, views = see(problem, block, model, chosen)
    n, likelihood = problem.pixels, problem.likelihood
    poisson, epsilon = likelihood.residual == "poisson", np.float32(likelihood.epsilon)
    space, patterns = workspace(problem.slices, len(model.probe), n, views is None), Patterns(counts, None, None, n)
    found = np.zeros(len(FIT))
    for part in batches(len(chosen), RUN):
        with counted(parts_of(patterns, part.start, part.stop), part.stop - part.start, n, space) as laid:
            _compare(
                space, tables, seen, part.start, part.stop, laid.fitted, np.float32(1 / n**2),
                np.float32(model.background), table(likelihood), poisson, epsilon, found,
            )  # fmt: skip
    loss, expected, variance = found.tolist()
    return loss, expected, variance


@compiled
def _compare(
    space: Workspace,
    tables: ProblemPanels,
    seen: Window,
    low: int,
    high: int,
    counts: np.ndarray,
    scale: float,
    background: float,
    expected: np.ndarray,
    poisson: bool,
    epsilon: float,
    sums: np.ndarray,
) -> None:
    for b in range(low, high):
        row, column, ramp, spectra = seen.rows[b], seen.columns[b], seen.ramps[b], seen.spectra[seen.which[b]]
        chain.forward(
            space.transforms, spectra, ramp[0], ramp[1], seen.objects, row, column, tables.propagators,
            tables.following, space.panels, space.waves, space.chi, space.psi, space.ahead,
        )  # fmt: skip
        fused.predict(space.psi, scale, background, space.intensity)
        fused.compare(counts[b - low], space.intensity, tables.weights, expected, poisson, epsilon, sums)
