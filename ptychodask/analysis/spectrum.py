"""Radial power spectrum of a phase image and the information limit read from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage, optimize

from .._errors import InputError
from .frc import remove_plane, ring_index, tukey_window
from .lattice import on_lattice

Floats = NDArray[np.floating]

# A ring's noise is read from this low quantile of its pixels: Bragg peaks fill the upper ones. |FFT|^2 of
# noise is exponential: mean = quantile / -ln(1 - p), and ln of the estimate scatters by _SCATTER / sqrt(n).
_QUANTILE = 0.3
_TO_MEAN = -1.0 / np.log(1.0 - _QUANTILE)
_SCATTER = np.sqrt(_QUANTILE * (1.0 - _QUANTILE)) * _TO_MEAN / (1.0 - _QUANTILE)
_ANNULUS = 0.7  # the outer annulus begins here, in units of the highest frequency
_FALSE_PEAKS = 0.01  # accepted number of noise peaks per image
_MIN_PIXELS = 16
_LEAK = 1.3  # a ring that a wider taper lowers by more holds leakage of the window
_TINY = 1e-300


@dataclass(frozen=True)
class Spectrum:
    """Power spectrum of a phase image, and how far information reaches in it.

    Parameters
    ----------
    image : array (ny, nx)
        rad^2, ``|FFT|^2 / n`` with zero frequency in the centre.
    qy, qx : array (ny,) and (nx,)
        1/angstrom, increasing.
    q : array (rings,)
        1/angstrom, centres of the rings.
    radial : array (rings,)
        rad^2, mean power in each ring.
    floor : array (rings,)
        rad^2, smooth noise floor.
    pixels : int array (rings,)
        In each ring.
    limit_angstrom : float
        1/q of the last ring of three above the floor; NaN if there is none.
    peak_limit_angstrom : float
        ``1/|g|`` of the outermost peak of a lattice; NaN if there is no lattice.
    lattice_peaks : int
        Friedel pairs of peaks on that lattice, up to there.
    """

    image: Floats
    qy: Floats
    qx: Floats
    q: Floats
    radial: Floats
    floor: Floats
    pixels: NDArray[np.integer]
    limit_angstrom: float
    peak_limit_angstrom: float
    lattice_peaks: int


def power_spectrum(
    phase: xr.DataArray, *, amorphous: bool = False, tukey_alpha: float = 0.2, peak_ratio: float = 5.0
) -> Spectrum:
    """Power spectrum and information limit of a phase image.

    Plane removed, Tukey window, ``|FFT|^2``. ``limit_angstrom``: the largest q at which the ring mean lies
    above ``floor + 3 sqrt(sd^2 / n + misfit^2)`` in three consecutive rings, where sd = floor (speckle) and n
    counts independent pixels. ``peak_limit_angstrom``: the largest ``|g|`` of the peaks that lie on one 2D lattice
    (:func:`~ptychodask.analysis.lattice.on_lattice`); a peak is ``peak_ratio`` times its background, or more where
    noise alone would reach that ratio once in a hundred images. What is not periodic has no such limit.

    The floor is ``A q^b exp(-c q^2)``, fitted to low quantiles of the rings in the outer annulus and then to
    every ring that agrees, so that a Gaussian blur bends it and does not pass for signal. Positivity bends it
    otherwise, and no single image tells shaped noise from an amorphous specimen: the floor is therefore
    raised to a smooth curve through the low quantiles of all rings, and only Bragg peaks count. With
    ``amorphous`` it is not; then confirm the limit by a ring correlation. Rings where the window's leakage
    covers the noise (a blurred image far out) are not judged.

    Parameters
    ----------
    phase : DataArray (y, x)
        rad, coordinates in angstrom, already cropped to the region of interest.
    amorphous : bool
        Is there signal that is not periodic?
    tukey_alpha : float
        Tapered fraction of each axis.
    peak_ratio : float
        Least height of a peak over its background.

    Raises
    ------
    InputError
        Fewer than 16 pixels along an axis, uneven coordinates or values that are not finite.
    """
    values = np.asarray(phase.values, dtype=float)
    if values.ndim == 2 and min(values.shape) < _MIN_PIXELS:
        raise InputError(
            f"the image has {values.shape[0]} x {values.shape[1]} pixels: a power spectrum needs {_MIN_PIXELS} or more"
            " along each axis; take a larger region"
        )
    spacing = pixel_size(phase)
    if not np.isfinite(values).all():
        raise InputError(f"{np.sum(~np.isfinite(values))} pixels are not finite: crop to the scanned area")
    window = tukey_window(values.shape, tukey_alpha)
    image = _windowed_power(values, window)
    index, q = ring_index(values.shape, spacing)
    index = np.fft.fftshift(index)
    inside = index < q.size
    pixels = np.bincount(index[inside], minlength=q.size)
    radial = np.bincount(index[inside], weights=image[inside], minlength=q.size) / np.maximum(pixels, 1)
    # Friedel pairs repeat each other and the window correlates neighbours
    independent = pixels / 2 * np.mean(window**2) ** 2 / np.mean(window**4)
    low = _low_mean(image, index, q.size)
    hann = _windowed_power(values, tukey_window(values.shape, 1))
    last = _last_clean_ring(hann, radial, low, index, q.size)
    floor, misfit = _noise_floor(low, q, independent, last)
    if not amorphous:
        floor = np.maximum(floor, _smooth(low, independent))
    above = radial > floor * (1 + 3 * np.sqrt(1 / np.maximum(independent, 1) + misfit**2))
    above[0] = False
    above[last + 1 :] = False
    runs = np.flatnonzero(above[2:] & above[1:-1] & above[:-2]) + 2
    qy, qx = (np.fft.fftshift(np.fft.fftfreq(n, d)) for n, d in zip(values.shape, spacing, strict=True))
    radius = np.hypot(qy[:, None], qx[None, :])
    level = np.full(q.size + 1, np.inf)
    level[: last + 1] = np.maximum(low, np.where(np.isfinite(floor), floor, 0))[: last + 1]
    peak, count = _lattice_limit(
        *_peaks(image, hann, radius, level[np.minimum(index, q.size)], peak_ratio), image, radius
    )
    return Spectrum(
        image=image,
        qy=qy,
        qx=qx,
        q=q,
        radial=radial,
        floor=floor,
        pixels=pixels,
        limit_angstrom=float(1 / q[runs[-1]]) if runs.size else float("nan"),
        peak_limit_angstrom=1 / peak if peak > 0 else float("nan"),
        lattice_peaks=count,
    )


def pixel_size(image: xr.DataArray) -> tuple[float, float]:
    """Spacing (y, x) in angstrom of an evenly sampled image; :class:`InputError` where it is none."""
    if image.dims != ("y", "x"):
        raise InputError(f"the image has dimensions {image.dims}: it needs ('y', 'x'); transpose or sum it")
    steps = []
    for axis in ("y", "x"):
        values = np.asarray(image[axis].values, dtype=float)
        step = np.diff(values)
        if step.size == 0 or not np.allclose(step, step.mean(), rtol=1e-3) or step.mean() <= 0:
            raise InputError(f"coordinate {axis} is not an even, increasing grid in angstrom: resample the image")
        steps.append(float((values[-1] - values[0]) / (values.size - 1)))
    return steps[0], steps[1]


def crop_to_scan(image: xr.DataArray, positions: Floats, margin: float = 0.0) -> xr.DataArray:
    """The part of ``image`` inside the rectangle of the scan, less ``margin`` angstrom (negative: and more).

    Parameters
    ----------
    image : DataArray (y, x)
    positions : array (..., 2)
        Angstrom, (y, x) in the frame of the image's coordinates.
    margin : float
        Angstrom.
    """
    flat = np.asarray(positions, dtype=float).reshape(-1, 2)
    low, high = flat.min(axis=0) + margin, flat.max(axis=0) - margin
    dy, dx = pixel_size(image)
    # a thousandth of a pixel: coordinates computed in two ways may differ in the last digit
    part = image.sel(y=slice(low[0] - 1e-3 * dy, high[0] + 1e-3 * dy), x=slice(low[1] - 1e-3 * dx, high[1] + 1e-3 * dx))
    if part.size == 0:
        size = np.ptp(flat, axis=0)
        raise InputError(
            f"the scan of {size[0]:.1f} x {size[1]:.1f} A less a margin of {margin:g} A holds no pixel of "
            "the image: use a smaller margin or check that positions and image share one frame"
        )
    return part


def _windowed_power(values: Floats, window: Floats) -> Floats:
    field = np.fft.fftshift(np.fft.fft2(remove_plane(values) * window))
    return np.abs(field) ** 2 / np.sum(window**2)


def _last_clean_ring(hann: Floats, radial: Floats, low: Floats, index: NDArray[np.integer], rings: int) -> int:
    """Last ring that a wider taper does not lower: beyond it the window's leakage covers the noise."""
    inside = index < rings
    total = np.bincount(index[inside], weights=hann[inside], minlength=rings)
    mean = total / np.maximum(np.bincount(index[inside], minlength=rings), 1)
    ratio = np.maximum(radial / np.maximum(mean, _TINY), low / np.maximum(_low_mean(hann, index, rings), _TINY))
    clean = np.flatnonzero(ndimage.median_filter(ratio, 7, mode="nearest") < _LEAK)
    return int(clean[-1]) if clean.size else rings - 1


def _smooth(low: Floats, n: Floats) -> Floats:
    """Smooth curve through the low quantiles of the rings (rings,), in the logarithm."""
    known = np.flatnonzero((n >= 4) & (low > 0))
    if known.size < 4:
        return np.full(low.size, np.inf)
    level = np.interp(np.arange(low.size), known, np.log(low[known]))
    return np.exp(ndimage.gaussian_filter1d(ndimage.median_filter(level, 7, mode="nearest"), 2, mode="nearest"))


def _low_mean(power: Floats, index: NDArray[np.integer], rings: int) -> Floats:
    """Mean noise power of each ring (rings,), from its low quantile."""
    order = np.argsort(index, axis=None, kind="stable")
    groups = np.split(power.ravel()[order], np.cumsum(np.bincount(index.ravel(), minlength=rings)))[:rings]
    return np.array([np.quantile(g, _QUANTILE) if g.size else 0.0 for g in groups]) * _TO_MEAN


def _noise_floor(low: Floats, q: Floats, n: Floats, last: int) -> tuple[Floats, float]:
    """Smooth floor of the rings (rings,) and its relative misfit beyond speckle."""
    usable = (q > 0) & (n >= 2) & (low > 0) & (np.arange(q.size) <= last)
    if np.sum(usable) < 4:
        return np.full(q.size, np.inf), 0.0
    scaled = np.where(q > 0, q, q[1]) / q[last]
    terms = np.stack([np.ones_like(q), np.log(scaled), scaled**2], axis=1)
    target = np.log(np.where(usable, low, 1.0))
    sigma = _SCATTER / np.sqrt(np.maximum(n, 1))
    used = usable & (scaled >= min(_ANNULUS, scaled[usable][-4]))
    fit = np.zeros(3)
    for _ in range(30):
        # a floor never rises faster than q, nor does a blur raise it: c <= 0
        fit = optimize.lsq_linear(
            terms[used] / sigma[used, None],
            target[used] / sigma[used],
            bounds=([-np.inf, -6, -np.inf], [np.inf, 1, 0]),
        ).x
        agree = usable & (target - terms @ fit < 2.5 * sigma)
        agree |= usable & (scaled >= _ANNULUS) & (target - terms @ fit < 4 * sigma)
        if np.array_equal(agree, used) or np.sum(agree) < 4:
            break
        used = agree
    excess = np.mean((target - terms @ fit)[used] ** 2) - np.mean(sigma[used] ** 2)
    return np.exp(terms @ fit), float(np.sqrt(max(excess, 0.0)))


def _peaks(
    image: Floats, hann: Floats, radius: Floats, level: Floats, ratio: float
) -> tuple[Floats, NDArray[np.integer]]:
    """Peaks above their ring and their neighbourhood: frequencies (n, 2) in Fourier pixels, and indices (n, 2).

    One of each Friedel pair, the outermost first.
    """
    inside = np.isfinite(level)
    # noise alone exceeds t times its mean in exp(-t) of the pixels
    needed = max(ratio, float(np.log(max(np.sum(inside) / 2, 1) / _FALSE_PEAKS)))
    # a peak keeps half its height under a Hann window, a side lobe of a stronger one does not
    real = ndimage.maximum_filter(hann, size=3) > 0.25 * image
    summit = real & (image == ndimage.maximum_filter(image, size=3)) & (image > needed * level) & inside
    centre = np.array([n // 2 for n in image.shape])
    found = []
    candidates = np.argwhere(summit & (radius > 0))
    for y, x in candidates[np.argsort(-radius[candidates[:, 0], candidates[:, 1]], kind="stable")]:
        if (y, x) < tuple(centre):  # its Friedel mate is looked at
            continue
        y0, x0 = max(y - 7, 0), max(x - 7, 0)
        patch = image[y0 : y + 8, x0 : x + 8].copy()
        patch[max(y - 2, 0) - y0 : y + 3 - y0, max(x - 2, 0) - x0 : x + 3 - x0] = np.nan
        background = np.nanquantile(patch, _QUANTILE) * _TO_MEAN
        if image[y, x] > needed * background:
            found.append((y, x))
    index = np.array(found, dtype=int).reshape(-1, 2)
    return index - centre + _offsets(hann, index), index


def _offsets(power: Floats, index: NDArray[np.integer]) -> Floats:
    """Where in its pixel each peak lies (n, 2): centroid of the amplitude over the neighbours along each axis."""
    padded = np.sqrt(np.pad(power, 1, mode="wrap"))
    y, x = (index + 1).T
    middle = padded[y, x]
    sides = [(padded[y - 1, x], padded[y + 1, x]), (padded[y, x - 1], padded[y, x + 1])]
    return np.stack([(high - low) / np.maximum(low + middle + high, _TINY) for low, high in sides], axis=-1)


def _lattice_limit(found: Floats, index: NDArray[np.integer], image: Floats, radius: Floats) -> tuple[float, int]:
    """Frequency of the outermost peak on the lattice of the peaks, 0 if there is none, and how many lie on it.

    Looked for from the inside: a gap wider than two reciprocal lattice vectors, in which no node of many is seen, ends
    the crystal's own peaks. Beyond it lie harmonics of what clips the image.
    """
    powers = image[index[:, 0], index[:, 1]]
    near, longest = on_lattice(found, powers)
    if not near.any():
        return 0.0, 0
    order = np.argsort(np.linalg.norm(found[near], axis=1), kind="stable")
    far = np.linalg.norm(found[near], axis=1)[order]
    gaps = np.flatnonzero(np.diff(far) > 2 * longest)
    count = int(gaps[0]) + 1 if gaps.size else far.size
    y, x = index[near][order[:count]].T
    return float(radius[y, x].max()), count
