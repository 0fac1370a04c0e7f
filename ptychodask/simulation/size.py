"""What a simulation needs, from its numbers alone: a slip of the keyboard is one line, and allocates nothing."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from .._errors import InputError
from ..distributed.site import available_bytes

POSITION = 100
"""Bytes of a scan position: the recorded and the true one, and both in pixels, with what it takes to make them."""
PROBE = 64
"""Bytes of a pixel of the box, twice as wide as the patterns, in which the probe is looked at."""
CANVAS = 80
"""Bytes of a pixel of the canvas while a slice is made."""
STORED = 8
"""Bytes of a stored pixel of a slice; it is held twice."""


def check_size(
    scan_shape: tuple[int, int], canvas: tuple[float, float], pixels: int, slices: float, stored: int, folder: Path
) -> None:
    """Refuse a simulation that cannot fit the memory or the disk of this machine.

    Parameters
    ----------
    scan_shape : (int, int)
        Positions (y, x).
    canvas : (float, float)
        Sides (y, x) in pixels of the simulation.
    pixels : int
        Side of the patterns.
    slices : float
        Of the specimen.
    stored : int
        Configurations of its atoms that are kept on the disk.
    folder : Path
        Where the dataset is written.

    Raises
    ------
    InputError
        Naming what it needs, and what is free.
    """
    area = canvas[0] * canvas[1]
    held = POSITION * math.prod(scan_shape) + PROBE * (2 * pixels) ** 2 + (CANVAS + 2 * STORED * slices) * area
    what = (
        f"{scan_shape[0]} x {scan_shape[1]} positions of {pixels} x {pixels} pixels, a canvas of {canvas[0]:.4g} x"
        f" {canvas[1]:.4g} pixels in {slices:.4g} slices,"
    )
    rooms = ((held, available_bytes(), "memory"), (STORED * slices * area * stored, _free(folder), "disk space"))
    for needed, free, room in rooms:
        if needed > free:
            raise InputError(
                f"{what} need about {needed / 2**30:.3g} GiB of {room}, and {free / 2**30:.3g} GiB are free: simulate"
                " fewer positions, pixels or slices, or a smaller step"
            )


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free
