"""Line searches with compiled kernels, three forward models of every pattern: that of the tangent step, and those of
patterns along their own places."""

from __future__ import annotations

import numpy as np

from ...counts.patterns import Counts, Patterns
from ...model.blocks import Block
from ...model.state import Model
from ...solver.problem import Problem
from ...solver.update import Sums, Update
from ..along import NUDGE, STEP, Line, epsilon_of, line_of, nudged, three
from ..plain.local import batches
from ..terms import LINE
from . import chain, fused
from .block import Window, see
from .detector import counted, parts_of
from .vectors import compiled
from .workspace import RUN, ProblemPanels, Workspace, aligned, workspace


def line_search(
    problem: Problem,
    tables: ProblemPanels,
    block: Block,
    patterns: Patterns,
    model: Model,
    object_direction: np.ndarray,
    probe_direction: np.ndarray | None,
) -> Update:
    """See :func:`ptychodask.kernels.plain.line_search`; dI is a central difference, see ``along``."""
    line = line_of(problem, block, patterns, model)
    if line is None:
        return Update(Sums())
    models = three(problem, block, model, object_direction, probe_direction)
    sums = _along(problem, tables, block, line, tuple(models), STEP).sum(axis=0)
    return Update(Sums(**dict(zip(LINE, sums.tolist(), strict=True))))


def nudge(
    problem: Problem, tables: ProblemPanels, block: Block, counts: Counts, model: Model, chosen: np.ndarray
) -> np.ndarray:
    """See :func:`ptychodask.kernels.plain.nudge`; dI is a central difference, see ``along``."""
    line = Line(chosen, counts, epsilon_of(problem))
    along = [_along(problem, tables, block, line, tuple(nudged(model, axis)), NUDGE) for axis in (0, 1)]
    return np.stack(along, axis=1)


def _along(
    problem: Problem, tables: ProblemPanels, block: Block, line: Line, models: tuple[Model, ...], step: float
) -> np.ndarray:
    """Sums of every pattern of a line by ``terms.LINE``, float64 [B, 2]; ``models`` are one and those a step
    ahead and behind."""
    looks = [see(problem, block, its, line.chosen) for its in models]
    seen, n = tuple(window for window, _, _ in looks), problem.pixels
    space = workspace(problem.slices, len(models[0].probe), n, looks[0][2] is None)
    maps = tuple(aligned(space.intensity.shape) for _ in seen)
    sums, used = np.zeros((len(line.chosen), len(LINE))), Patterns(line.counts, None, None, n)
    for part in batches(len(line.chosen), RUN):
        with counted(parts_of(used, part.start, part.stop), part.stop - part.start, n, space) as laid:
            _line(
                space, tables, seen, part.start, part.stop, laid.fitted, np.float32(1 / n**2),
                np.float32(models[0].background), np.float32(line.epsilon), np.float32(0.5 / step), maps, sums,
            )  # fmt: skip
    return sums


@compiled
def _line(
    space: Workspace,
    tables: ProblemPanels,
    seen: tuple[Window, Window, Window],
    low: int,
    high: int,
    counts: np.ndarray,
    scale: float,
    background: float,
    epsilon: float,
    slope: float,
    maps: np.ndarray,
    sums: np.ndarray,
) -> None:
    for b in range(low, high):
        for its in range(3):
            window = seen[its]
            ramp, spectra = window.ramps[b], window.spectra[window.which[b]]
            chain.forward(
                space.transforms, spectra, ramp[0], ramp[1], window.objects, window.rows[b], window.columns[b],
                tables.propagators, tables.following, space.panels, space.waves, space.chi, space.psi, space.ahead,
            )  # fmt: skip
            fused.predict(space.psi, scale, background, maps[its])
        fused.line(counts[b - low], maps[0], maps[1], maps[2], tables.weights, epsilon, slope, sums[b])
