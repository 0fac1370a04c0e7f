"""Phase ramps of patterns whose disk is off zero angle by a fraction of a pixel that changes over the scan (descan).

A shift of a pattern by f pixels is a factor ``exp(2 pi i f.r / N)`` of the wave behind the specimen, and that of the
wave before it, as far as the beam is not tilted by so little: 0.2 mrad over 50 angstrom are 0.01 angstrom. So each
pattern has the probe times its own ramp, the nearest of some that are made once for a block.
"""

from __future__ import annotations

import math

import numpy as np

from ..model.blocks import Block
from ..solver.problem import Problem

LEVELS = 6
"""Ramps per pixel and axis: 0.05 pixels (RMS) are left."""


def levels_of(problem: Problem, block: Block) -> np.ndarray:
    """Nearest ramp int [B, 2] of every pattern of a block."""
    if problem.off is None:
        return np.zeros((block.size, 2), np.int64)
    off = np.asarray(problem.off)[block.flat(problem.scan_shape)]
    return np.rint(off * LEVELS).astype(np.int64)


def ramps_in(problem: Problem, block: Block) -> tuple[np.ndarray, np.ndarray | None]:
    """Number [B] of the ramp of every pattern, and all ramps complex [F, N, N]; None where there is one, which is 1."""
    if problem.off is None:
        return np.zeros(block.size, np.int64), None
    each, which = np.unique(levels_of(problem, block), axis=0, return_inverse=True)
    y, x = (_along(each[:, axis] / LEVELS, problem.pixels) for axis in (0, 1))
    return which.ravel().astype(np.int64), (y[:, :, None] * x[:, None, :]).astype(np.complex64)


def upright(problem: Problem, block: Block, gradients: np.ndarray) -> np.ndarray:
    """Gradients [..., N, N] of the probe from those of the probe with every ramp of a block [F, ..., N, N]."""
    _, ramps = ramps_in(problem, block)
    if ramps is None:
        return np.asarray(gradients[0])
    return np.einsum("f...yx,fyx->...yx", gradients, ramps.conj())


def ramp_of(off: tuple[float, float], n: int) -> np.ndarray:
    """Factor complex [n, n] of a wave that moves its pattern by ``off`` (y, x) pixels."""
    y, x = _along(np.array(off), n)
    return np.asarray(y[:, None] * x[None, :])


def _along(off: np.ndarray, n: int) -> np.ndarray:
    """Along one axis [F, n]."""
    return np.exp(2j * math.pi * off[:, None] * (np.arange(n) - n // 2) / n)
