"""Comparison of a reconstructed phase with the known one of a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

from .._errors import InputError
from .frc import FRC, find_shift, remove_plane, ring_correlation, shift_image
from .spectrum import crop_to_scan, pixel_size

Floats = NDArray[np.floating]

_MAX_SHIFT = 2.0  # angstrom: less than a lattice vector, so that a crystal does not jump by one
RING_WIDTH = 0.06  # 1/angstrom: rings that hold reflections of any cell above 17 A
_PICTURE = 2.0  # angstrom: resolution of SSIM, NRMSE and the images, where it was asked for


@dataclass(frozen=True)
class Comparison:
    """How near a reconstruction is to the truth, after all that it cannot know is fitted.

    Parameters
    ----------
    correlation : dict of float to float
        Pearson correlation by the resolution in angstrom.
    nrmse : float
        rms(a x + b - y) / std(y) at ``resolution``.
    ssim : float
        Structural similarity at ``resolution``.
    resolution : float
        Angstrom, of ``nrmse``, ``ssim``, ``scale``, ``slope`` and the two images.
    scale : float
        Factor on the reconstruction that fits it to the truth, by which the images are drawn.
    slope : float
        Of the reconstruction against the truth, both at ``resolution``; its noise does not bias it. Where it is less
        than 1, the image was smoothed: without a blur and without noise it is 1. A blur in every iteration keeps
        ``a B / (1 - B + a B)`` of a frequency of which a single blur keeps B, where a is the part of what is missing
        that a step adds, below 1/2 as what electrons carry. That is much less than B, so a truth that is blurred once
        has a steeper phase too. The filter of the spectral prior takes what electrons do not carry.
    shift_angstrom : (float, float)
        By which the truth was moved onto the reconstruction, (y, x).
    frc : FRC
        Ring correlation with the truth, threshold 0.5.
    image : DataArray (y, x)
        Low-passed reconstruction in rad, fitted to the truth.
    truth : DataArray (y, x)
        Low-passed truth in rad on the same pixels.
    """

    correlation: dict[float, float]
    nrmse: float
    ssim: float
    resolution: float
    scale: float
    slope: float
    shift_angstrom: tuple[float, float]
    frc: FRC
    image: xr.DataArray
    truth: xr.DataArray

    def as_dict(self) -> dict[str, Any]:
        """The figures without the arrays, ready for JSON (nan becomes None)."""
        figures = {
            **{f"correlation_{d:.1f}A": value for d, value in self.correlation.items()},
            "nrmse": self.nrmse,
            "ssim": self.ssim,
            "comparison_resolution_angstrom": self.resolution,
            "frc_resolution_angstrom": self.frc.resolution_angstrom,
            "frc_signal_beyond": self.frc.signal_beyond,
            "scale": self.scale,
            "slope": self.slope,
        }
        plain: dict[str, Any] = {k: float(v) if np.isfinite(v) else None for k, v in figures.items()}
        return {**plain, "shift_angstrom": [float(s) for s in self.shift_angstrom]}


def compare_with_truth(
    phase: xr.DataArray,
    truth: xr.DataArray,
    positions: Floats,
    resolution: Sequence[float] = (2.5, 2.0),
    margin: float = 3.3,
) -> Comparison:
    """Compare a reconstructed phase with the true one inside the scan.

    The truth goes onto the pixels of the phase (:func:`on_grid`) and is moved by at most 2 angstrom to the highest
    cross-correlation; both lose their plane (global phase and ramp are ambiguities) and pass the same filter
    (:func:`low_pass`) in a frame that is wider than the compared region, so that no filter edge is compared.

    Parameters
    ----------
    phase, truth : DataArray (y, x)
        Rad, coordinates in angstrom in one frame.
    positions : array (..., 2)
        Angstrom, (y, x); the compared region is their rectangle less ``margin``.
    resolution : sequence of float
        Cut-offs at which the correlation is given, angstrom.
    margin : float
        Angstrom.

    Raises
    ------
    InputError
        The region is smaller than three times the coarsest resolution, or the truth does not cover it.
    """
    for name, image in (("phase", phase), ("truth", truth)):
        if bad := int(np.sum(~np.isfinite(image.values))):
            raise InputError(f"{bad} pixels of the {name} are not finite: leave them out before it is compared")
    cuts = [float(d) for d in resolution]
    if not cuts or min(cuts) <= 0:
        raise InputError(f"resolution = {tuple(resolution)}: give at least one, all above 0 A")
    step = pixel_size(phase)
    region = crop_to_scan(phase, positions, margin)
    extent = [n * d for n, d in zip(region.shape, step, strict=True)]
    if min(extent) < 3 * max(cuts) or min(region.shape) < 8:
        raise InputError(
            f"the scan less a margin of {margin:g} A leaves {extent[0]:.1f} x {extent[1]:.1f} A: a "
            f"comparison at {max(cuts):g} A needs {3 * max(cuts):.1f} A and 8 pixels along each axis; use a "
            "smaller margin or scan a larger area"
        )
    frame, known, core = _frames(phase, truth, positions, region, margin)

    coarse = max(cuts)
    limit = (_MAX_SHIFT / step[0], _MAX_SHIFT / step[1])
    smooth = [low_pass(remove_plane(a), step, coarse)[core] for a in (frame, known)]
    pixels = find_shift(smooth[0], smooth[1], limit)
    moved = shift_image(known, pixels)

    chosen = min(cuts, key=lambda d: abs(d - _PICTURE)) if _PICTURE in cuts else cuts[0]
    correlation: dict[float, float] = {}
    for d in cuts:
        x, y = (remove_plane(low_pass(remove_plane(a), step, d)[core]) for a in (frame, moved))
        correlation[d] = _pearson(x, y)
        if d == chosen:
            # planes are gone from both, so this is the least-squares fit of scale, offset and ramp
            scale = float(np.sum(x * y) / np.sum(x * x)) if np.any(x) else 0.0
            slope = float(np.sum(x * y) / np.sum(y * y)) if np.any(y) else float("nan")
            mean = float(moved[core].mean())
            fitted, target = scale * x + mean, y + mean
    return Comparison(
        correlation=correlation,
        nrmse=_ratio(np.sqrt(np.mean((fitted - target) ** 2)), np.std(target)),
        ssim=structural_similarity(fitted, target),
        resolution=chosen,
        scale=scale,
        slope=slope,
        shift_angstrom=(pixels[0] * step[0], pixels[1] * step[1]),
        # Hann: both spectra fall far enough for the leakage of a Tukey window to correlate far out
        frc=ring_correlation(frame[core], moved[core], step, criterion="truth", ring_width=RING_WIDTH, tukey_alpha=1.0),
        image=region.copy(data=fitted),
        truth=region.copy(data=target),
    )


def low_pass(image: Floats, spacing: tuple[float, float], resolution: float) -> Floats:
    """``image`` (ny, nx) without detail finer than ``resolution`` angstrom.

    A disk in Fourier space: 1 up to 0.95/d, 0 from 1.05/d, a half cosine between (half height at 1/d). Edges
    continue by reflection over four resolutions.
    """
    pad = [int(np.ceil(4 * resolution / d)) for d in spacing]
    padded = np.pad(image, [(p, p) for p in pad], mode="symmetric")
    qy, qx = (np.fft.fftfreq(n, d) for n, d in zip(padded.shape, spacing, strict=True))
    across = (np.hypot(qy[:, None], qx[None, :]) * resolution - 0.95) / 0.1
    disk = 0.5 * (1 + np.cos(np.pi * np.clip(across, 0, 1)))
    return np.fft.ifft2(np.fft.fft2(padded) * disk).real[pad[0] : -pad[0], pad[1] : -pad[1]]


def on_grid(truth: xr.DataArray, frame: xr.DataArray) -> Floats:
    """``truth`` at the pixels of ``frame`` (ny, nx), with nothing above the Nyquist frequency of ``frame``.

    A Fourier shift where both have one pixel size, else low-pass and cubic spline. ``truth`` must cover ``frame``
    to within a pixel.
    """
    fine, step = pixel_size(truth), pixel_size(frame)
    values = np.asarray(truth.values, dtype=float)
    start = [float(frame[a][0] - truth[a][0]) / d for a, d in zip(("y", "x"), fine, strict=True)]
    whole = [round(s) for s in start]
    inside = all(w >= 0 and w + n <= m for w, n, m in zip(whole, frame.shape, values.shape, strict=True))
    if inside and np.allclose(fine, step, rtol=1e-6):
        moved = shift_image(values, (whole[0] - start[0], whole[1] - start[1]))
        return moved[whole[0] : whole[0] + frame.shape[0], whole[1] : whole[1] + frame.shape[1]]
    if min(fine) < (1 - 1e-6) * max(step):
        values = low_pass(values, fine, 2 * max(step))
    y, x = (s + np.arange(n) * d / f for s, n, d, f in zip(start, frame.shape, step, fine, strict=True))
    return ndimage.map_coordinates(values, np.meshgrid(y, x, indexing="ij"), order=3, mode="nearest")


def structural_similarity(image: Floats, reference: Floats, sigma: float = 1.5) -> float:
    """Mean structural similarity (Wang et al. 2004), Gaussian window of ``sigma`` pixels cut at 3.5 sigma.

    The data range is the 1 to 99 percentile of ``reference``; K1 = 0.01, K2 = 0.03.
    """
    low, high = np.percentile(reference, [1, 99])
    c1, c2 = (0.01 * (high - low)) ** 2, (0.03 * (high - low)) ** 2

    def local(values: Floats) -> Floats:
        return ndimage.gaussian_filter(values, sigma, mode="reflect", truncate=3.5)

    mx, my = local(image), local(reference)
    vx, vy = local(image * image) - mx * mx, local(reference * reference) - my * my
    cov = local(image * reference) - mx * my
    return float(np.mean((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))))


def _frames(
    phase: xr.DataArray, truth: xr.DataArray, positions: Floats, region: xr.DataArray, margin: float
) -> tuple[Floats, Floats, tuple[slice, slice]]:
    """Phase and truth on one wider frame, and where ``region`` lies in it."""
    pixel_size(truth)
    edges = {a: (float(truth[a][0]), float(truth[a][-1])) for a in ("y", "x")}
    for a, (low, high) in edges.items():
        slack = float(region[a][1] - region[a][0])
        if float(region[a][0]) < low - slack or float(region[a][-1]) > high + slack:
            raise InputError(
                f"the truth covers {a} = {low:.1f} to {high:.1f} A, the compared region "
                f"{float(region[a][0]):.1f} to {float(region[a][-1]):.1f} A: use a larger margin or truth"
            )
    wide = crop_to_scan(phase, positions, -abs(margin))
    wide = wide.sel(
        {a: slice(min(edges[a][0], float(region[a][0])), max(edges[a][1], float(region[a][-1]))) for a in ("y", "x")}
    )
    first = [int(np.searchsorted(wide[a].values, float(region[a][0]) - 1e-6)) for a in ("y", "x")]
    core = tuple(slice(f, f + n) for f, n in zip(first, region.shape, strict=True))
    return np.asarray(wide.values, dtype=float), on_grid(truth, wide), (core[0], core[1])


def _pearson(x: Floats, y: Floats) -> float:
    return _ratio(np.sum(x * y), np.sqrt(np.sum(x * x) * np.sum(y * y)))


def _ratio(value: Any, norm: Any) -> float:
    """Their quotient, nan where nothing can be compared with."""
    return float(value / norm) if norm > 0 else float("nan")
