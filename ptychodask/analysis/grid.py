"""On which pixels the images of a scan are: those of its raster, or of a raster that is laid over free positions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .._errors import InputError

Floats = NDArray[np.floating]

_OFF = 0.5
"""In scan steps: patterns that are all nearer than this to the nodes of one raster are on it."""
_DIGITS = 9
"""Behind the point, of angstrom."""
_MOST = 16_384
"""Pixels along a side of an image."""


@dataclass(frozen=True)
class Grid:
    """Pixels of images of a scan.

    Parameters
    ----------
    shape : (int, int)
    matrix : float64 array [2, 2]
        Angstrom (y, x) in the frame of the positions, per pixel along both axes: its columns are the steps.
    origin : (float, float)
        Where pixel (0, 0) is, angstrom.
    places : float64 array [J, 2]
        Pixel (y, x) of every pattern; whole numbers on a raster.
    raster : bool
        Has every pattern a pixel of its own?
    off : float
        RMS distance of the recorded positions from ``places``, angstrom.
    """

    shape: tuple[int, int]
    matrix: Floats
    origin: tuple[float, float]
    places: Floats
    raster: bool
    off: float = 0.0

    @property
    def steps(self) -> tuple[float, float]:
        """Pixel (y, x) in angstrom."""
        y, x = np.hypot(*self.matrix)
        return float(y), float(x)

    @cached_property
    def upright(self) -> bool:
        """Are its axes those of the detector?"""
        return bool(abs(self.matrix - np.diag(np.diag(self.matrix))).max() < 1e-3 * min(self.steps))

    def axis(self, axis: int, finer: int = 1) -> Floats:
        """Coordinates of pixels along an axis, of ``finer`` ones: in the frame of the positions where it is upright,
        else along the scan from its first pattern."""
        n = (self.shape[axis] - 1) * finer + 1
        first = self.origin[axis] if self.upright else 0.0
        step = float(self.matrix[axis, axis]) if self.upright else self.steps[axis]
        return first + step / finer * np.arange(n)

    def frequencies(self, shape: tuple[int, int], finer: int = 1) -> tuple[Floats, Floats]:
        """Frequencies (y, x) in 1/angstrom, in the frame of the detector, of an array of finer pixels [Oy, Ox // 2 + 1]
        that was transformed as a real one."""
        q = np.stack(np.meshgrid(np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1]), indexing="ij"))
        y, x = np.einsum("ab,b...->a...", np.linalg.inv(self.matrix / finer).T, q)
        return y, x


def grid_of(positions: Floats, step: tuple[float, float]) -> Grid:
    """The grid of a scan.

    Parameters
    ----------
    positions : array (scan_y, scan_x, 2)
        Probe centres (y, x) in angstrom.
    step : (float, float)
        Scan step (y, x) in angstrom: the pixel where positions are free.

    Raises
    ------
    InputError
        If the positions are on a line, or so far apart that there is no image of them.
    """
    height, width = positions.shape[:2]
    flat = np.asarray(positions, dtype=float).reshape(-1, 2)
    if min(height, width) > 1:
        y, x = np.divmod(np.arange(height * width), width)
        nodes = np.stack([y, x], axis=1).astype(float)
        known = np.column_stack([nodes, np.ones(len(nodes))])
        fit = np.linalg.lstsq(known, flat, rcond=None)[0]
        rest = np.hypot(*(flat - known @ fit).T)
        matrix = fit[:2].T
        area = abs(np.linalg.det(matrix))
        if rest.max() < _OFF * min(np.hypot(*matrix)) and area > 0.1 * math.prod(np.hypot(*matrix)):
            off = float(np.sqrt((rest**2).mean()))
            matrix, first = np.round(matrix, _DIGITS), np.round(fit[2], _DIGITS) + 0.0
            return Grid((height, width), matrix, (float(first[0]), float(first[1])), nodes, True, off)
    return _laid_over(flat, step)


def _laid_over(flat: Floats, step: tuple[float, float]) -> Grid:
    low, extent = flat.min(axis=0), np.ptp(flat, axis=0)
    shape = tuple(math.ceil(e / s) + 1 for e, s in zip(extent, step, strict=True))
    narrow = np.linalg.svd(flat - flat.mean(axis=0), compute_uv=False)[-1] / math.sqrt(len(flat))
    if min(shape) < 3 or narrow < 0.5 * min(step):
        raise InputError(
            f"the {len(flat)} scan positions extend over {extent[0]:.4g} x {extent[1]:.4g} A, which is a line and no"
            f" image at a step of {step[0]:.4g} x {step[1]:.4g} A: view a scan of at least 2 x 2 positions"
        )
    if max(shape) > _MOST:
        raise InputError(
            f"the scan positions extend over {extent[0]:.4g} x {extent[1]:.4g} A, {shape[0]} x {shape[1]} steps"
            f" (at most {_MOST}): check that positions and step are in angstrom, or view a part of the scan"
        )
    places = (flat - low) / np.array(step)
    return Grid((shape[0], shape[1]), np.diag(step).astype(float), (float(low[0]), float(low[1])), places, False)


def on_grid(grid: Grid, values: Floats) -> Floats:
    """Images [M, Oy, Ox] of values [J, M], one for every pattern.

    Of a raster they are the values. Between free positions values are interpolated linearly, and pixels outside of
    their hull are NaN.
    """
    if grid.raster:
        return np.moveaxis(values.reshape(*grid.shape, -1), -1, 0)
    from scipy.interpolate import LinearNDInterpolator

    nodes = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    known = np.isfinite(values).all(axis=1)
    return np.moveaxis(LinearNDInterpolator(grid.places[known], values[known])(nodes), -1, 0)
