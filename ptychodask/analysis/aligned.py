"""Parallax images: bright-field electrons laid back to where they passed, and their contrast turned the right way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .._errors import InputError
from ..counts.sums import Rays
from ..model.optics import Microscope
from ..model.scan import Detector
from ..physics.parallax import aligned_transfer, ray_shifts
from .grid import Grid

Floats = NDArray[np.floating]

LEAST = 0.5
"""Scan steps that the outermost ray has to be shifted: with less the bright-field image is as good."""
FINER = 8
"""Pixels along a scan step at most."""
_SAMPLES = 200
"""Pixels of the disk, about, over which its transfer is summed."""
_DARK = 0.02
"""Part of the strongest transfer below which a frequency is left out."""


@dataclass(frozen=True)
class Parallax:
    """How electrons are laid back.

    Parameters
    ----------
    grid : Grid
    microscope : Microscope
        With the aberrations as they are at the middle of the specimen.
    finer : int
        Pixels along a scan step.
    rays : Rays
        Of the pixels of the disk, in those pixels.
    """

    grid: Grid
    microscope: Microscope
    finer: int
    rays: Rays

    @property
    def corner(self) -> tuple[int, int]:
        """Pixel (y, x) of the canvas on which place (0, 0) of the grid is."""
        up, _, left, _ = self.rays.reach
        return up, left

    @property
    def canvas(self) -> tuple[int, int]:
        """Sides of the canvas: the grid and what the rays reach beyond."""
        (up, down, left, right), (height, width) = self.rays.reach, self.grid.shape
        return (height - 1) * self.finer + 1 + up + down, (width - 1) * self.finer + 1 + left + right

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Canvas pixel (y, x) of every pattern [J, 2], the nearest one."""
        return np.rint(self.grid.places * self.finer).astype(np.int64) + np.array(self.corner)


def parallax_of(grid: Grid, microscope: Microscope, detector: Detector, finer: int | None) -> Parallax | str:
    """How to lay back the electrons of a scan, or why there is nothing to lay back.

    Parameters
    ----------
    finer : int, optional
        Pixels along a scan step; by default 2 where rays of a pattern are spread over several steps, else 1.

    Raises
    ------
    InputError
        If ``finer`` pixels would have no electrons in them.
    """
    k = np.fft.fftfreq(detector.pixels) * detector.pixels * detector.angular_step_mrad * 1e-3 / microscope.wavelength
    ky, kx = np.meshgrid(k, k, indexing="ij")
    pixel = np.flatnonzero(np.hypot(ky, kx) < microscope.semi_angle / microscope.wavelength)
    shift = ray_shifts(ky.ravel()[pixel], kx.ravel()[pixel], microscope.wavelength, microscope.aberrations)
    steps = shift @ np.linalg.inv(grid.matrix).T
    most = float(np.hypot(*steps.T).max(initial=0.0))
    if most < LEAST:
        return (
            f"no parallax: a defocus of {0.0 - microscope.aberrations.get('C10', 0.0):.4g} A shifts the outermost ray"
            f" by {most:.2g} scan steps (at least {LEAST:g})"
        )
    if max(2 * most + n for n in grid.shape) > 8 * max(grid.shape) + 1024:
        raise InputError(
            f"the known aberrations shift rays by {most:.4g} scan steps, of a scan of {grid.shape[0]} x"
            f" {grid.shape[1]}: is the defocus in angstrom?"
        )
    best = 2 if most >= 2 else 1
    if finer is None:
        finer = best
    elif finer > 1 and 2 * most < finer:
        raise InputError(
            f"upsample = {finer}: rays of this defocus reach {most:.2g} scan steps, which leaves pixels without"
            f" electrons; use at most {max(1, math.floor(2 * most))}"
        )
    return Parallax(grid, microscope, finer, Rays.towards(pixel, steps * finer))


def finished(
    parallax: Parallax,
    laid: Floats,
    pattern: Floats,
    used: NDArray[np.bool_],
    detector: Detector,
    seen: NDArray[np.bool_],
) -> tuple[Floats, Floats]:
    """The aligned sum over what it would be without a specimen, and with its contrast turned the right way.

    Parameters
    ----------
    laid : float64 array
        Electrons on the canvas.
    pattern : float64 array [N, N]
        Sum over the patterns, corner-centred.
    used : bool array [N, N]
        Pixels that count.
    seen : bool array [J]
        Patterns that were read.

    Returns
    -------
    image : array [Oy, Ox]
        1 in the mean, on the grid's rectangle in finer pixels; NaN where hardly an electron passed.
    phase : array [Oy, Ox]
        Its difference from 1 with the phase of the transfer of every frequency undone (for a defocus its sign), so
        that a positive phase is bright; frequencies without transfer are 0. No amplitude is changed.
    """
    from scipy.signal import fftconvolve

    grid, rays = parallax.grid, parallax.rays
    even = _without_specimen(parallax, pattern, used, seen, fftconvolve)
    top, left = parallax.corner
    height, width = ((n - 1) * parallax.finer + 1 for n in grid.shape)
    inner = slice(top, top + height), slice(left, left + width)
    usual = float(np.median(even[inner])) or 1.0
    enough = even > 0.05 * usual
    ratio = np.where(enough, laid / np.where(enough, even, 1.0), np.nan)
    # contrast that fades out where fewer electrons passed: no step at the edge
    contrast = np.where(enough, (ratio - 1) * np.clip(even / usual, 0, 1), 0.0)
    shape = tuple(n + max(8, n // 8) for n in contrast.shape)
    qy, qx = grid.frequencies((shape[0], shape[1]), parallax.finer)
    scope = parallax.microscope
    cutoff, dk = scope.semi_angle / scope.wavelength, detector.angular_step_mrad * 1e-3 / scope.wavelength
    n = detector.pixels
    y, x = (np.where(i < n // 2, i, i - n) for i in np.divmod(rays.pixel[used.ravel()[rays.pixel]], n))
    stride = max(1, round(math.sqrt(len(y) / _SAMPLES)))
    few = (y % stride == 0) & (x % stride == 0)
    inside = np.hypot(qy, qx) < 2 * cutoff
    transfer = np.zeros(qy.shape, complex)
    transfer[inside] = aligned_transfer(
        qy[inside], qx[inside], y[few] * dk, x[few] * dk, cutoff, dk, scope.wavelength, scope.aberrations
    )
    strength = abs(transfer)
    turned = np.where(strength > _DARK * strength.max(), transfer.conj() / np.maximum(strength, 1e-300), 0.0)
    phase = np.fft.irfft2(np.fft.rfft2(contrast, shape) * turned, shape)[: laid.shape[0], : laid.shape[1]]
    return ratio[inner], np.where(np.isfinite(ratio), phase, np.nan)[inner]


def _without_specimen(
    parallax: Parallax, pattern: Floats, used: NDArray[np.bool_], seen: NDArray[np.bool_], convolve: object
) -> Floats:
    """Electrons on the canvas where every pattern is the mean one: places of the patterns, folded with the rays."""
    rays, (up, down, left, right) = parallax.rays, parallax.rays.reach
    spread = np.zeros((up + down + 1, left + right + 1))
    mean = np.where(used, pattern, 0.0).ravel()[rays.pixel] / max(int(seen.sum()), 1)
    for i, (dy, dx) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        np.add.at(spread, (rays.first[:, 0] + dy + up, rays.first[:, 1] + dx + left), mean * rays.share[:, i])
    places = np.zeros(parallax.canvas)
    np.add.at(places, tuple(parallax.places[seen].T), 1.0)
    # rays.reach is what pads the canvas, so the fold stays inside
    whole = convolve(places, spread)  # type: ignore[operator]
    return np.maximum(whole[up : up + places.shape[0], left : left + places.shape[1]], 0.0)
