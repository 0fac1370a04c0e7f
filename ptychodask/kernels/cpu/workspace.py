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
"""Numbers between panels: at a multiple of 4096 bytes, reads would wait for writes to the panel before."""

_local = threading.local()


class Workspace(NamedTuple):
    """Waves in front of every slice [S, M, ..], on their way back [M, ..] and on the detector, panels for transforms,
    counts of a run of patterns [R, ..] in two roles, and a pattern's maps; all float32 in the layouts of
    ``chain``."""

    transforms: Transforms
    ahead: bool
    """Does a pattern's data, object included, take so much that views are worth asking for ahead?"""
    panels: np.ndarray
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
        panels = (groups, LANES**2 * groups)
        _local.space = Workspace(
            transforms(pixels, pure_phase),
            4 * slices * (int(np.prod(wave)) + 4 * pixels**2) > FAR,
            aligned((4, LANES**2 * groups + APART)),
            aligned((slices, *wave)),
            aligned(wave),
            aligned((modes, groups, 2, LANES**2 * groups)),
            aligned((RUN, *panels)),
            aligned((RUN, *panels)),
            aligned(panels),
            aligned(panels),
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


def map_to_panels(values: np.ndarray) -> np.ndarray:
    """Real maps [.., N, N] as panels [.., L, 64 L]."""
    n, groups = values.shape[-1], groups_of(values.shape[-1])
    padded = np.zeros((*values.shape[:-2], groups * LANES, groups * LANES), np.float32)
    padded[..., :n, :n] = values
    grouped = padded.reshape(*values.shape[:-2], groups, LANES, groups * LANES)
    return np.ascontiguousarray(np.swapaxes(grouped, -1, -2)).reshape(*values.shape[:-2], groups, LANES**2 * groups)


def maps_from_panels(panels: np.ndarray, n: int) -> np.ndarray:
    """Inverse of :func:`map_to_panels`: [.., N, N]."""
    groups = panels.shape[-2]
    values = panels.reshape(*panels.shape[:-2], groups, groups * LANES, LANES)
    rows = np.swapaxes(values, -1, -2).reshape(*panels.shape[:-2], groups * LANES, groups * LANES)
    return np.ascontiguousarray(rows[..., :n, :n])


def to_panels(values: np.ndarray) -> np.ndarray:
    """Complex maps [.., N, N] as panels [.., L, 2, 64 L]."""
    return np.stack([map_to_panels(values.real), map_to_panels(values.imag)], axis=-2)


def from_panels(panels: np.ndarray, n: int) -> np.ndarray:
    """Inverse of :func:`to_panels`: complex64 [.., N, N]."""
    groups = panels.shape[-3]
    values = (panels[..., 0, :] + 1j * panels[..., 1, :]).reshape(*panels.shape[:-3], groups, groups * LANES, LANES)
    rows = np.swapaxes(values, -1, -2).reshape(*panels.shape[:-3], groups * LANES, groups * LANES)
    return np.ascontiguousarray(rows[..., :n, :n]).astype(np.complex64, copy=False)


def planes(values: Any, columns: int) -> np.ndarray:
    """Complex maps [S, H, W] as real and imaginary planes [S, 2, H, columns], columns >= W, 0 where there are more."""
    out = np.zeros((values.shape[0], 2, values.shape[1], columns), np.float32)
    out[:, 0, :, : values.shape[2]] = values.real
    out[:, 1, :, : values.shape[2]] = values.imag
    return out


class ProblemPanels(NamedTuple):
    """Detector mask [L, 64 L], and propagators with their conjugates [P, L, 2, 64 L] and which of them follows every
    slice but the last: P = 1 where all are the same. Their scale is that of ``chain``."""

    weights: np.ndarray
    propagators: np.ndarray
    conjugates: np.ndarray
    following: np.ndarray


def problem_panels(propagators: np.ndarray, weights: np.ndarray) -> ProblemPanels:
    """From propagators [S - 1, N, N] and mask [N, N]."""
    following = np.arange(len(propagators))
    if len(propagators) > 1 and (propagators == propagators[0]).all():
        propagators, following = propagators[:1], np.zeros(len(propagators), np.intp)
    scaled = propagators / np.float32(weights.size)
    return ProblemPanels(map_to_panels(weights), to_panels(scaled), to_panels(scaled.conj()), following)
