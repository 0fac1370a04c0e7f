"""Line searches on a CUDA device, three forward models of every mini-batch: that of the tangent step, and those of
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
from . import cuda, detector
from .block import begin, forward
from .workspace import GpuWorkspace


def line_search(
    problem: Problem,
    space: GpuWorkspace,
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
    sums = _along(problem, space, block, line, tuple(models), STEP).sum(axis=0)
    return Update(Sums(**dict(zip(LINE, sums.tolist(), strict=True))))


def nudge(
    problem: Problem, space: GpuWorkspace, block: Block, counts: Counts, model: Model, chosen: np.ndarray
) -> np.ndarray:
    """See :func:`ptychodask.kernels.plain.nudge`; dI is a central difference, see ``along``."""
    line = Line(chosen, counts, epsilon_of(problem))
    along = [_along(problem, space, block, line, tuple(nudged(model, axis)), NUDGE) for axis in (0, 1)]
    return np.stack(along, axis=1)


def _along(
    problem: Problem, space: GpuWorkspace, block: Block, line: Line, models: tuple[Model, ...], step: float
) -> np.ndarray:
    """Sums of every pattern of a line by ``terms.LINE``, float64 [B, 2]; ``models`` are one and those a step ahead and
    behind."""
    n, size, background = problem.pixels, len(line.chosen), float(models[0].background)
    modes = len(models[0].probe)
    with space.device as device:
        runs = [begin(problem, block, its, space, True, line.chosen) for its in models]
        source = detector.sent(line.counts, device)
        maps = [device.empty((min(size, space.room), n, n), np.float32) for _ in runs]
        sums = device.empty((size, cuda.CHUNKS, len(LINE)), np.float64)
        for part in batches(size, space.room):
            patterns_now = part.stop - part.start
            for run, intensity in zip(runs, maps, strict=True):
                forward(run, part, True)
                space.per_pixel("predict", patterns_now, space.psi, modes, background, intensity)
            device.launch(
                "line", (cuda.CHUNKS, patterns_now), (cuda.DETECTOR_THREADS,), cuda.sums_bytes(len(LINE)),
                detector.dense(source, part, space, space.counts), *maps, space.weights, line.epsilon, 0.5 / step,
                sums[part],
            )  # fmt: skip
        (found,) = device.download(sums)
    its: np.ndarray = found.sum(axis=1)
    return its
