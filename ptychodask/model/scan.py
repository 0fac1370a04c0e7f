"""The scan, the detector and the canvas: where patterns were taken and on which pixels the object lives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._errors import InputError

CANVAS_LIMIT = 65_536
"""Side of the largest sensible canvas in pixels; beyond it the positions are in the wrong unit."""


@dataclass(frozen=True)
class Detector:
    """A square detector, corner-centred in memory.

    Parameters
    ----------
    pixels : int
        Side N of the pattern.
    angular_step_mrad : float
        Angle that one detector pixel spans, mrad.
    """

    pixels: int
    angular_step_mrad: float

    def __post_init__(self) -> None:
        if self.pixels < 8 or self.pixels % 2:
            raise InputError(
                f"patterns of {self.pixels} pixels: the side must be even and at least 8 (pad or crop the counts)"
            )
        if not (math.isfinite(self.angular_step_mrad) and self.angular_step_mrad > 0):
            raise InputError(
                f"angular_step_mrad = {self.angular_step_mrad}: give the angle per detector pixel in mrad, above 0"
            )

    @property
    def max_angle_mrad(self) -> float:
        """Largest angle on the axes, mrad."""
        return self.pixels / 2 * self.angular_step_mrad

    def pixel_angstrom(self, wavelength: float) -> float:
        """Real-space pixel lambda / (N dtheta) in angstrom (Nyquist of the detector's edge)."""
        return wavelength / (self.pixels * self.angular_step_mrad * 1e-3)


@dataclass(frozen=True)
class Canvas:
    """The pixels of the object.

    Parameters
    ----------
    shape : (int, int)
        Oy, Ox in pixels.
    pixel : float
        Pixel in angstrom.
    origin : (float, float)
        Coordinate (y, x) of pixel (0, 0) in angstrom, in the frame of the dataset's positions.
    """

    shape: tuple[int, int]
    pixel: float
    origin: tuple[float, float]

    def coordinates(self, axis: int) -> np.ndarray:
        """Coordinates of the pixels along ``axis`` in angstrom."""
        return self.origin[axis] + self.pixel * np.arange(self.shape[axis])


def make_canvas(positions: np.ndarray, pixels: int, pixel: float, pad: int = 4) -> tuple[Canvas, np.ndarray]:
    """Canvas that holds every view, and the positions in its pixels.

    Parameters
    ----------
    positions : array [J, 2]
        Probe centres (y, x) in angstrom.
    pixels : int
        Side N of the views.
    pixel : float
        Object pixel in angstrom.
    pad : int
        Rim in pixels, room for positions that move.

    Returns
    -------
    canvas : Canvas
    centres : float64 array [J, 2]
        Centre of each probe box in canvas pixels; index N/2 of the box lies there.
    """
    if not np.isfinite(positions).all():
        raise InputError(f"{int((~np.isfinite(positions)).sum())} scan positions are not finite: repair or drop them")
    low, high = positions.min(axis=0), positions.max(axis=0)
    shape = tuple(math.ceil(extent / pixel) + pixels + 2 * pad for extent in high - low)
    if max(shape) > CANVAS_LIMIT:
        raise InputError(
            f"the positions span {high[0] - low[0]:.4g} x {high[1] - low[1]:.4g} A, a canvas of {shape[0]}"
            f" x {shape[1]} pixels"
            f" (at most {CANVAS_LIMIT}): check that positions are in angstrom"
        )
    start = pad + pixels // 2
    origin = (float(low[0] - start * pixel), float(low[1] - start * pixel))
    centres = (positions - low) / pixel + start
    return Canvas((shape[0], shape[1]), float(pixel), origin), centres.astype(np.float64)


def raster(scan_shape: tuple[int, int], step: tuple[float, float]) -> np.ndarray:
    """Positions (scan_y, scan_x, 2) in angstrom of an ideal raster that starts at (0, 0)."""
    y, x = np.meshgrid(np.arange(scan_shape[0]) * step[0], np.arange(scan_shape[1]) * step[1], indexing="ij")
    return np.stack([y, x], axis=-1)


def step_pair(step: float | Sequence[float]) -> tuple[float, float]:
    """Scan step (y, x) from one number for both axes or from two."""
    both = step if isinstance(step, tuple | list) else (step, step)
    return float(both[0]), float(both[1])
