"""Probe positions that a file lists frame by frame: the raster in them, or the positions as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .._tables import counted
from .hdf5_files import stacked
from .reader import About, Asked, Reader

EXACT, NEAR = 0.01, 0.3
"""Parts of a step: positions so near to a raster are one; positions so far from it have its rows and columns."""


def with_positions(path: Path, data: Any, positions: np.ndarray, asked: Asked, about: About) -> Reader:
    """Frames with their positions.

    Parameters
    ----------
    path : Path
    data : HDF5 dataset (frames, ky, kx)
    positions : float array (frames, 2)
        Probe centres (y, x) in angstrom.
    asked : Asked
    about : About
        What else the file says.
    """
    if len(positions) != len(data) or not np.isfinite(positions).all():
        note = f"not used: {counted(len(positions), 'position')} of {counted(len(data), 'frame')}"
        return stacked(path, [data], asked, replace(about, notes=(*about.notes, note)))
    reader = stacked(path, [data], asked, about, raster_of(positions))
    (height, width), about = reader.shape[:2], reader.about
    if about.missing or height * width != len(positions):
        return reader
    placed = (positions - positions.min(axis=0)).reshape(height, width, 2)
    slow, fast, off = _vectors(placed)
    lengths = [float(np.hypot(*vector)) for vector in (slow, fast)]
    if off > 2 * NEAR * min(lengths):  # no rows: a step that gives every position its share of the area
        lengths = [float(np.sqrt(np.ptp(placed.reshape(-1, 2), axis=0).prod() / len(positions)))] * 2
    if min(lengths) > 0:
        about = replace(about, metadata={**about.metadata, "scan_step_angstrom": lengths})
    ideal = max(abs(slow[1]), abs(fast[0]), off) <= EXACT * min(lengths) and slow[0] >= 0 and fast[1] >= 0
    return replace(reader, about=about if ideal else replace(about, positions=placed))


def raster_of(positions: np.ndarray) -> tuple[int, int] | None:
    """Rows and columns of positions (frames, 2) that were visited row by row, all in the same direction, or None."""
    if len(positions) < 2:
        return None
    first = positions[1] - positions[0]
    step = float(np.hypot(*first))
    turned = np.hypot(*(np.diff(positions, axis=0) - first).T) > 2 * NEAR * step
    width = int(np.argmax(turned)) + 1 if turned.any() else len(positions)
    if step == 0 or len(positions) % width or width < 2:
        return None
    placed = positions.reshape(-1, width, 2)
    slow, fast, off = _vectors(placed)
    smallest = min(float(np.hypot(*vector)) for vector in ((slow, fast) if len(placed) > 1 else (fast,)))
    return (len(placed), width) if smallest > 0 and off <= 2 * NEAR * smallest else None


def _vectors(placed: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Steps (y, x) from row to row and from column to column of (scan_y, scan_x, 2), and the farthest from them."""
    height, width = placed.shape[:2]
    slow = (placed[-1] - placed[0]).mean(axis=0) / max(1, height - 1)
    fast = (placed[:, -1] - placed[:, 0]).mean(axis=0) / max(1, width - 1)
    if height == 1:
        slow = np.array([abs(fast[1]), 0.0])
    if width == 1:
        fast = np.array([0.0, abs(slow[0])])
    y, x = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    off = placed - y * slow - x * fast
    return slow, fast, float(np.hypot(*np.moveaxis(off - off.mean(axis=(0, 1)), -1, 0)).max())
