"""How well a model fits, on a CUDA device."""

from __future__ import annotations

import numpy as np

from ..._array import Array
from ...counts.patterns import Counts
from ...model.blocks import Block
from ...model.state import Model
from ...physics.expected_loss import table
from ...solver.problem import Problem
from ..plain.local import batches
from ..terms import FIT
from . import cuda, detector
from .block import begin, forward
from .workspace import GpuWorkspace


def compare(
    problem: Problem, space: GpuWorkspace, block: Block, counts: Counts, model: Model, chosen: np.ndarray
) -> tuple[float, float, float]:
    """See :func:`ptychodask.kernels.plain.compare`."""
    with space.device as device:
        run = begin(problem, block, model, space, True, chosen)
        sums: Array = device.empty((len(chosen), cuda.CHUNKS, len(FIT)), np.float64)
        expected = device.upload(table(problem.likelihood).view(np.complex64)[:, 0])
        source = detector.sent(counts, device)
        for part in batches(len(chosen), space.room):
            forward(run, part, True)
            detector.compare(problem, source, part, space, model, expected, sums[part])
        (found,) = device.download(sums)
    loss, mean, variance = found.reshape(-1, len(FIT)).sum(axis=0).tolist()
    return loss, mean, variance
