"""The line search of the tangent step on a CUDA device: three forward models of every mini-batch."""

from __future__ import annotations

import numpy as np

from ...counts.patterns import Patterns
from ...model.blocks import Block
from ...model.state import Model
from ...solver.problem import Problem
from ...solver.update import Sums, Update
from ..along import STEP, line_of, three
from ..plain import batches
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
    n, size, background = problem.pixels, len(line.chosen), float(model.background)
    with space.device as device:
        models = three(problem, block, model, object_direction, probe_direction)
        runs = [begin(problem, block, its, space, True, line.chosen) for its in models]
        source = detector.sent(line.counts, device)
        maps = [device.empty((min(size, space.room), n, n), np.float32) for _ in runs]
        sums = device.empty((size, cuda.CHUNKS, len(LINE)), np.float64)
        for part in batches(size, space.room):
            patterns_now = part.stop - part.start
            for run, intensity in zip(runs, maps, strict=True):
                forward(run, part, True)
                space.per_pixel("predict", patterns_now, space.psi, len(model.probe), background, intensity)
            device.launch(
                "line", (cuda.CHUNKS, patterns_now), (cuda.DETECTOR_THREADS,), cuda.sums_bytes(len(LINE)),
                detector.dense(source, part, space, space.counts), *maps, space.weights, line.epsilon, 0.5 / STEP,
                sums[part],
            )  # fmt: skip
        (found,) = device.download(sums)
    return Update(Sums(**dict(zip(LINE, found.reshape(-1, len(LINE)).sum(axis=0).tolist(), strict=True))))
