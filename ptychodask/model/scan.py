"""The scan, the detector and the canvas: where patterns were taken and on which pixels the object lives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arguments import is_number, number, pair, shown, whole
from .._errors import InputError
from .optics import Microscope
from .row_drift import RowDrift

CANVAS_LIMIT = 65_536
"""Side of the largest sensible canvas in pixels; beyond it the positions are in the wrong unit."""
MOST_SCANS = 16
"""Of one area, in one reconstruction."""
SMALLEST_STEP = 1e-3
"""angstrom; below it the scan step is in another unit."""
SMALLEST_ANGULAR_STEP = 1e-3
"""mrad; below it the angle is in rad."""


@dataclass(frozen=True)
class Detector:
    """A square detector, its axes those of the scan; corner-centred in memory, zero angle in the centre (N/2) on disk.

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
        pixels = whole(self.pixels, "detector_pixels", "the side of the patterns")
        if pixels < 8 or pixels % 2:
            raise InputError(
                f"patterns of {pixels} pixels: the side must be even and at least 8 (pad or crop the counts)"
            )
        wanted = "the angle per detector pixel in mrad, not in rad"
        step = number(self.angular_step_mrad, "angular_step_mrad", wanted, SMALLEST_ANGULAR_STEP, 200)
        object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "angular_step_mrad", step)

    @property
    def max_angle_mrad(self) -> float:
        """Largest angle on the axes, mrad."""
        return self.pixels / 2 * self.angular_step_mrad

    def pixel_angstrom(self, wavelength: float) -> float:
        """Real-space pixel lambda / (N dtheta) in angstrom (Nyquist of the detector's edge)."""
        return wavelength / (self.pixels * self.angular_step_mrad * 1e-3)


@dataclass(frozen=True)
class Affine:
    """A map of the plane about a point that stays, ``x -> c + A (x - c)``, and a drift of the rows on it.

    Parameters
    ----------
    matrix : float64 array [2, 2]
    centre : float64 array [2]
    drift : RowDrift, optional
        Added: ``+ d(x - c)``.
    """

    matrix: np.ndarray
    centre: np.ndarray
    drift: RowDrift | None = None

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 2] where they come to lie."""
        away = points - self.centre
        moved: np.ndarray = self.centre + away @ self.matrix.T
        return moved if self.drift is None else moved + self.drift.at(away)

    def back(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 2] where they came from; with a drift by iteration, each time nearer by its strain."""
        inverse, moved = np.linalg.inv(self.matrix).T, points - self.centre
        away: np.ndarray = moved @ inverse
        if self.drift is not None:
            for _ in range(4):
                away = (moved - self.drift.at(away)) @ inverse
        return self.centre + away


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


def scan_step(value: Any, detector: Detector, microscope: Microscope) -> tuple[float, float]:
    """Scan step (y, x) in angstrom from one number for both axes or from two.

    Raises
    ------
    InputError
        For a step larger than the box of the probe: no two neighbours would share a pixel of the object.
    """
    name, wanted = "scan_step_angstrom", "the scan step in angstrom, for both axes or as (y, x)"
    both = (value, value) if is_number(value) else value
    step = pair(both, name, wanted, SMALLEST_STEP)
    box = detector.pixels * detector.pixel_angstrom(microscope.wavelength)
    if max(step) > box:
        raise InputError(
            f"scan_step_angstrom = {shown(value)}: neighbours share nothing beyond the {box:.4g} A box of the probe,"
            f" give {wanted} (100 pm is 1)"
        )
    return step


def check_disk(detector: Detector, microscope: Microscope) -> None:
    """Refuse a bright-field disk that the detector cannot show."""
    angle, step = microscope.semi_angle_mrad, detector.angular_step_mrad
    if angle > detector.max_angle_mrad:
        raise InputError(
            f"semi_angle_mrad = {angle:g} exceeds the detector's {detector.max_angle_mrad:.4g} mrad"
            f" ({detector.pixels} x {step:g} mrad / 2): check angular_step_mrad, or use more pixels"
        )
    if angle < step:
        raise InputError(
            f"semi_angle_mrad = {angle:g} is less than one pixel of angular_step_mrad = {step:g}: give both in mrad"
        )
