"""Views of the canvas: cut them, add them back, and shift probes by a fraction of a pixel.

``V_j`` cuts the N x N window whose centre (index N/2) is nearest to the position; the rest of the position,
at most half a pixel, shifts the probe: ``T_f = F^-1 exp(-2 pi i f.q) F`` moves its content by +f pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .._array import Array, namespace
from ..model.blocks import Block
from ..model.tiles import Rect


def split_positions(positions: np.ndarray, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Integer corner [B, 2] of each view and the fraction [B, 2] in [-1/2, 1/2] left to the probe."""
    corner = np.rint(positions - pixels // 2)
    return corner.astype(np.int64), positions - pixels // 2 - corner


def window(corners: np.ndarray, pixels: int) -> tuple[slice, slice]:
    """The smallest part of the canvas that holds all views."""
    low, high = corners.min(axis=0), corners.max(axis=0) + pixels
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


def windows_of(blocks: Iterable[Block], positions: np.ndarray, scan_shape: tuple[int, int], pixels: int) -> list[Rect]:
    """Part of the canvas that every block touches; ``positions`` [J, 2] in canvas pixels."""
    found = []
    for block in blocks:
        y, x = window(split_positions(positions[block.flat(scan_shape)], pixels)[0], pixels)
        found.append(Rect(y.start, y.stop, x.start, x.stop))
    return found


def gather(canvas: Array, corners: np.ndarray, pixels: int) -> Array:
    """Views [S, B, N, N] of a canvas [S, Oy, Ox]."""
    xp = namespace(canvas)
    views = xp.empty((canvas.shape[0], len(corners), pixels, pixels), dtype=canvas.dtype)
    for b, (y, x) in enumerate(corners.tolist()):
        views[:, b] = canvas[:, y : y + pixels, x : x + pixels]
    return views


def scatter_add(canvas: Array, corners: np.ndarray, values: Array) -> None:
    """Add views [B, N, N] onto a canvas [Oy, Ox] in place, one after the other: the order fixes the bits."""
    pixels = values.shape[-1]
    for b, (y, x) in enumerate(corners.tolist()):
        canvas[y : y + pixels, x : x + pixels] += values[b]


def shift_ramps(fractions: np.ndarray, pixels: int, xp: Any = np, dtype: Any = np.complex64) -> Array:
    """Fourier ramps [B, N, N] of the sub-pixel shifts ``T_f``."""
    q = np.fft.fftfreq(pixels)
    along = np.exp(-2j * np.pi * fractions[:, :, None] * q)
    along = xp.asarray(along.astype(dtype))
    return along[:, 0, :, None] * along[:, 1, None, :]
