"""Buffers of one thread, kept between blocks so that nothing is allocated in the loop; layouts of ``chain``."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np

from .chain import Transforms, transforms
from .vectors import LANES

RUN = 8
"""Patterns R that compiled code takes at once, so that calls cost nothing, while their counts stay in the cache."""
FAR = 4 * 2**20
"""Bytes; measured with 1 MiB of second-level cache."""
APART = 80
"""Numbers between tiles: at a multiple of 4096 bytes, reads would wait for writes to the tile before."""

_local = threading.local()


class Workspace(NamedTuple):
    """Waves in front of every slice [S, M, ..], on their way back [M, ..] and on the detector, tiles for transforms,
    counts of a run of patterns [R, ..] in two roles, and a pattern's maps; all float32 in the layouts of
    ``chain``."""

    transforms: Transforms
    ahead: bool
    """Does a pattern's data, object included, take so much that views are worth asking for ahead?"""
    tiles: np.ndarray
    waves: np.ndarray
    chi: np.ndarray
    psi: np.ndarray
    counts: np.ndarray
    measured: np.ndarray
    intensity: np.ndarray
    rho: np.ndarray


def workspace(slices: int, modes: int, pixels: int, pure_phase: bool = True) -> Workspace:
    """This thread's workspace for a shape and a kind of object; only the last is kept."""
    key = (slices, modes, pixels, pure_phase)
    if getattr(_local, "key", None) != key:
        groups = groups_of(pixels)
        wave = (modes, groups, LANES * groups + LANES, 2, LANES)
        tiles = (groups, LANES**2 * groups)
        _local.space = Workspace(
            transforms(pixels, pure_phase),
            4 * slices * (int(np.prod(wave)) + 4 * pixels**2) > FAR,
            aligned((4, LANES**2 * groups + APART)),
            aligned((slices, *wave)),
            aligned(wave),
            aligned((modes, groups, 2, LANES**2 * groups)),
            aligned((RUN, *tiles)),
            aligned((RUN, *tiles)),
            aligned(tiles),
            aligned(tiles),
        )
        _local.key = key
    return _local.space


def groups_of(pixels: int) -> int:
    """Groups L of eight rows or columns that hold a pattern."""
    return -(-pixels // LANES)


def aligned(shape: tuple[int, ...]) -> np.ndarray:
    """float32 zeros that start on a cache line."""
    size = 4 * int(np.prod(shape))
    raw = np.zeros(size + 64, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(np.float32).reshape(shape)


def map_to_tiles(values: np.ndarray) -> np.ndarray:
    """Real maps [.., N, N] as tiles [.., L, 64 L]."""
    n, groups = values.shape[-1], groups_of(values.shape[-1])
    padded = np.zeros((*values.shape[:-2], groups * LANES, groups * LANES), np.float32)
    padded[..., :n, :n] = values
    grouped = padded.reshape(*values.shape[:-2], groups, LANES, groups * LANES)
    return np.ascontiguousarray(np.swapaxes(grouped, -1, -2)).reshape(*values.shape[:-2], groups, LANES**2 * groups)


def maps_from_tiles(tiles: np.ndarray, n: int) -> np.ndarray:
    """Inverse of :func:`map_to_tiles`: [.., N, N]."""
    groups = tiles.shape[-2]
    values = tiles.reshape(*tiles.shape[:-2], groups, groups * LANES, LANES)
    rows = np.swapaxes(values, -1, -2).reshape(*tiles.shape[:-2], groups * LANES, groups * LANES)
    return np.ascontiguousarray(rows[..., :n, :n])


def to_tiles(values: np.ndarray) -> np.ndarray:
    """Complex maps [.., N, N] as tiles [.., L, 2, 64 L]."""
    return np.stack([map_to_tiles(values.real), map_to_tiles(values.imag)], axis=-2)


def from_tiles(tiles: np.ndarray, n: int) -> np.ndarray:
    """Inverse of :func:`to_tiles`: complex64 [.., N, N]."""
    groups = tiles.shape[-3]
    values = (tiles[..., 0, :] + 1j * tiles[..., 1, :]).reshape(*tiles.shape[:-3], groups, groups * LANES, LANES)
    rows = np.swapaxes(values, -1, -2).reshape(*tiles.shape[:-3], groups * LANES, groups * LANES)
    return np.ascontiguousarray(rows[..., :n, :n]).astype(np.complex64, copy=False)


def planes(values: Any, columns: int) -> np.ndarray:
    """Complex maps [S, H, W] as real and imaginary planes [S, 2, H, columns], columns >= W, 0 where there are more."""
    out = np.zeros((values.shape[0], 2, values.shape[1], columns), np.float32)
    out[:, 0, :, : values.shape[2]] = values.real
    out[:, 1, :, : values.shape[2]] = values.imag
    return out


class ProblemTiles(NamedTuple):
    """Detector mask [L, 64 L], and propagators with their conjugates [P, L, 2, 64 L] and which of them follows every
    slice but the last: P = 1 where all are the same. Their scale is that of ``chain``."""

    weights: np.ndarray
    propagators: np.ndarray
    conjugates: np.ndarray
    following: np.ndarray


def problem_tiles(propagators: np.ndarray, weights: np.ndarray) -> ProblemTiles:
    """From propagators [S - 1, N, N] and mask [N, N]."""
    following = np.arange(len(propagators))
    if len(propagators) > 1 and (propagators == propagators[0]).all():
        propagators, following = propagators[:1], np.zeros(len(propagators), np.intp)
    scaled = propagators / np.float32(weights.size)
    return ProblemTiles(map_to_tiles(weights), to_tiles(scaled), to_tiles(scaled.conj()), following)
