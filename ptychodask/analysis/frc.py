"""Fourier ring correlation of two images, and the sub-pixel alignment that it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.signal.windows import tukey

from .._errors import InputError

Floats = NDArray[np.floating]
Criterion = Literal["half-bit", "1/7", "truth"]

_FINE = 20  # upsampling of the correlation around its peak, before the parabola
_SHARE = 0.005  # of the truth's power: a ring with less holds no signal
_DIP = 0.5  # of the median share of the rings around: nor does one with less, between the reflections of a crystal
_AROUND = 7  # rings
_TINY = 1e-300


@dataclass(frozen=True)
class FRC:
    """Ring correlation of two images and the resolution at which it falls below a threshold.

    Against a truth, only rings with signal are judged: what a ring holds between the reflections of a crystal, or
    beyond all of them, is noise, and its correlation says nothing.

    Parameters
    ----------
    q : array (rings,)
        1/angstrom.
    frc : array (rings,)
        -1 to 1; NaN where a ring is empty.
    threshold : array (rings,)
    pixels : int array (rings,)
        In each ring.
    criterion : str
    resolution_angstrom : float
        1/q of the first fall of the judged rings below the threshold; NaN if never above it.
    shift_pixels : (float, float)
        By which the second image was moved, (y, x).
    share : array (rings,)
        Of the second image's power, ring 0 left out; sums to 1.
    judged : bool array (rings,)
        Rings with signal; all of them where the second image is no truth.
    """

    q: Floats
    frc: Floats
    threshold: Floats
    pixels: NDArray[np.integer]
    criterion: str
    resolution_angstrom: float
    shift_pixels: tuple[float, float]
    share: Floats
    judged: NDArray[np.bool_]

    @property
    def signal_beyond(self) -> float:
        """Share of the second image's power beyond the resolution; nan without one."""
        if not np.isfinite(self.resolution_angstrom):
            return float("nan")
        return float(self.share[self.q > 1 / self.resolution_angstrom].sum())


def ring_correlation(
    first: Floats,
    second: Floats,
    spacing: tuple[float, float] | float,
    *,
    criterion: Criterion = "half-bit",
    ring_width: float | None = None,
    align: bool = False,
    max_shift_pixels: float = 8.0,
    tukey_alpha: float = 0.2,
) -> FRC:
    r"""Fourier ring correlation, ``Re sum F1 conj(F2) / sqrt(sum |F1|^2 sum |F2|^2)`` in each ring.

    Both images lose their plane and are tapered by a Tukey window. Thresholds, n pixels in the ring:
    half-bit ``(0.2071 + 1.9102/sqrt n) / (1.2071 + 0.9102/sqrt n)`` (van Heel & Schatz 2005) and 1/7 for two
    halves of one data set; 0.5 against a noise-free truth.

    Parameters
    ----------
    first, second : array (ny, nx)
        Of equal shape and sampling.
    spacing : float or (float, float)
        Pixel size in angstrom, one or (y, x).
    criterion : str
        ``half-bit``, ``1/7`` or ``truth``.
    ring_width : float, optional
        1/angstrom, by default one Fourier pixel. For a crystal take about one reciprocal lattice vector: the rings
        between its reflections hold noise only and would end the curve early.
    align : bool
        Move ``second`` onto ``first`` first, by at most ``max_shift_pixels``.
    tukey_alpha : float
        Tapered fraction of each axis.

    Raises
    ------
    InputError
        Shapes that differ, a pixel that is not above 0, or an unknown criterion.

    Notes
    -----
    Where the curve stays above the threshold, the resolution is that of the last ring (Nyquist). With the criterion
    ``truth`` that is the last ring with signal: half a percent of the truth's power, and half of what the rings around
    hold.
    """
    if first.ndim != 2 or first.shape != second.shape:
        raise InputError(
            f"images of shapes {first.shape} and {second.shape}: ring correlation needs two of one (ny, nx); "
            "crop both to the same region"
        )
    dy, dx = spacing if isinstance(spacing, tuple) else (float(spacing), float(spacing))
    if min(dy, dx) <= 0:
        raise InputError(f"spacing = {dy, dx} A: pixel sizes must be above 0")
    shift = (0.0, 0.0)
    if align:
        shift = find_shift(first, second, (max_shift_pixels, max_shift_pixels))
        second = shift_image(second, shift)
    window = tukey_window(first.shape, tukey_alpha)
    f1, f2 = (np.fft.fft2(remove_plane(np.asarray(a, dtype=float)) * window) for a in (first, second))
    index, q = ring_index(first.shape, (dy, dx), ring_width)
    inside = index < q.size

    def ring_sum(values: Floats) -> Floats:
        return np.bincount(index[inside], weights=values[inside], minlength=q.size).astype(float)

    known = ring_sum(np.abs(f2) ** 2)
    power = np.sqrt(ring_sum(np.abs(f1) ** 2) * known)
    cross = ring_sum((f1 * f2.conj()).real)
    frc = np.divide(cross, power, out=np.full(q.size, np.nan), where=power > 0)
    pixels = np.bincount(index[inside], minlength=q.size)
    threshold = threshold_curve(pixels, criterion)
    known[0] = 0.0
    share = known / max(float(known.sum()), _TINY)
    judged = with_signal(share) if criterion == "truth" else np.ones(q.size, dtype=bool)
    resolution = _crossing(q[judged], frc[judged], threshold[judged])
    return FRC(q, frc, threshold, pixels, criterion, resolution, shift, share, judged)


def with_signal(share: Floats) -> NDArray[np.bool_]:
    """Rings (rings,) whose share of the power is worth a judgement, see :class:`FRC`."""
    around = ndimage.median_filter(share, _AROUND, mode="nearest")
    return (share >= _SHARE) & (share >= _DIP * around)


def threshold_curve(pixels: NDArray[np.integer], criterion: Criterion) -> Floats:
    """Threshold (rings,) of the criterion for rings of ``pixels`` pixels."""
    if criterion == "half-bit":
        root = np.sqrt(np.maximum(pixels, 1))
        return (0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root)
    constant = {"1/7": 1 / 7, "truth": 0.5}
    if criterion not in constant:
        raise InputError(f"criterion = {criterion!r}: use 'half-bit', '1/7' or 'truth'")
    return np.full(len(pixels), constant[criterion])


def remove_plane(image: Floats) -> Floats:
    """``image`` (ny, nx) less its least-squares plane: global phase and ramp are ambiguities, not specimen."""
    y, x = (np.arange(n) - (n - 1) / 2 for n in image.shape)
    # on a full grid the three columns of the fit are orthogonal
    slope_y = (y @ image).sum() / (image.shape[1] * (y @ y))
    slope_x = (image @ x).sum() / (image.shape[0] * (x @ x))
    return image - image.mean() - slope_y * y[:, None] - slope_x * x[None, :]


def tukey_window(shape: tuple[int, ...], alpha: float = 0.2) -> Floats:
    """Separable Tukey window (ny, nx); ``alpha`` is the tapered fraction of each axis."""
    return np.outer(tukey(shape[0], alpha), tukey(shape[1], alpha))


def ring_index(
    shape: tuple[int, ...], spacing: tuple[float, float], width: float | None = None
) -> tuple[NDArray[np.integer], Floats]:
    """Ring of every pixel of an unshifted FFT, and the ring centres in 1/angstrom up to Nyquist.

    ``width`` is the ring width in 1/angstrom, by default one pixel of the coarser axis. Pixels beyond the last
    ring carry an index >= the number of rings.
    """
    qy, qx = (np.fft.fftfreq(n, d) for n, d in zip(shape, spacing, strict=True))
    pixel = max(1 / (n * d) for n, d in zip(shape, spacing, strict=True))
    step = max(width or pixel, pixel)
    index = np.rint(np.hypot(qy[:, None], qx[None, :]) / step).astype(int)
    return index, np.arange(int(0.5 / max(spacing) / step) + 1) * step


def shift_image(image: Floats, shift: tuple[float, float]) -> Floats:
    """``image`` (ny, nx) with its content moved by ``shift`` (y, x) pixels, by a Fourier phase ramp.

    Edges continue by reflection, so nothing wraps in from the far side.
    """
    if shift[0] == 0 and shift[1] == 0:
        return image
    pad = 16 + int(np.ceil(max(abs(s) for s in shift)))
    padded = np.pad(image, pad, mode="symmetric")
    ky, kx = (np.fft.fftfreq(n) for n in padded.shape)
    ramp = np.exp(-2j * np.pi * (ky[:, None] * shift[0] + kx[None, :] * shift[1]))
    return np.fft.ifft2(np.fft.fft2(padded) * ramp).real[pad:-pad, pad:-pad]


def find_shift(reference: Floats, moving: Floats, limit: tuple[float, float]) -> tuple[float, float]:
    """Shift (y, x) in pixels that moves ``moving`` onto ``reference``, inside the ellipse of half axes ``limit``.

    Peak of the cross-correlation by an upsampled DFT (Guizar-Sicairos et al. 2008), repeated on the moved
    image because the fixed window pulls the first estimate towards zero.
    """
    window = tukey_window(reference.shape)
    target = np.fft.fft2(remove_plane(reference) * window)
    total = np.zeros(2)
    for _ in range(6):
        moved = shift_image(moving, (total[0], total[1]))
        cross = target * np.fft.fft2(remove_plane(moved) * window).conj()
        change = _peak(cross, total, limit)
        total += change
        if np.abs(change).max() < 1e-3:
            break
    return float(total[0]), float(total[1])


def _peak(cross: NDArray[np.complexfloating], start: Floats, limit: tuple[float, float]) -> Floats:
    """Shift (2,) of the highest correlation with ``start`` + shift inside the limit, to about 1e-3 pixels."""
    ky, kx = (np.fft.fftfreq(n) for n in cross.shape)
    coarse = np.fft.ifft2(cross).real
    sy, sx = (k * n for k, n in zip((ky, kx), cross.shape, strict=True))
    here = _highest(coarse, sy, sx, start, limit)
    fine = np.arange(-_FINE, _FINE + 1) / _FINE
    ys, xs = here[0] + fine, here[1] + fine
    ey, ex = np.exp(2j * np.pi * np.outer(ys, ky)), np.exp(2j * np.pi * np.outer(kx, xs))
    dense = (ey @ cross @ ex).real
    best = _highest(dense, ys, xs, start, limit)
    i, j = int(np.argmin(np.abs(ys - best[0]))), int(np.argmin(np.abs(xs - best[1])))
    if 0 < i < ys.size - 1 and 0 < j < xs.size - 1:
        best = best + np.array([_vertex(dense[i - 1 : i + 2, j]), _vertex(dense[i, j - 1 : j + 2])]) / _FINE
    return best


def _highest(values: Floats, sy: Floats, sx: Floats, start: Floats, limit: tuple[float, float]) -> Floats:
    radius = ((sy[:, None] + start[0]) / limit[0]) ** 2 + ((sx[None, :] + start[1]) / limit[1]) ** 2
    i, j = np.unravel_index(np.argmax(np.where(radius <= 1, values, -np.inf)), values.shape)
    return np.array([sy[i], sx[j]])


def _vertex(three: Floats) -> float:
    curvature = three[0] - 2 * three[1] + three[2]
    return float(np.clip(0.5 * (three[0] - three[2]) / curvature, -0.5, 0.5)) if curvature < 0 else 0.0


def _crossing(q: Floats, frc: Floats, threshold: Floats) -> float:
    """1/q of the first fall below the threshold, linear between rings; nan if never above it.

    Ring 0 holds what the plane removal left, and the low rings few pixels: the curve counts as risen with the
    first ring above the threshold whose next ring is above it too.
    """
    ring = np.flatnonzero(np.isfinite(frc) & (q > 0))
    gap = (frc - threshold)[ring]
    risen = np.flatnonzero((gap[:-1] > 0) & (gap[1:] > 0))
    if risen.size == 0:
        return float("nan")
    fallen = np.flatnonzero(gap[risen[0] :] <= 0)
    if fallen.size == 0:
        return float(1 / q[ring[-1]])
    k = risen[0] + fallen[0]
    part = gap[k - 1] / (gap[k - 1] - gap[k])
    return float(1 / (q[ring[k - 1]] + part * (q[ring[k]] - q[ring[k - 1]])))
