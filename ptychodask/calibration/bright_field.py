"""The bright field as the likelihood wants it: electrons of a scan in bins of the disk, and their Fourier coefficients.

Bins are squares of whole pixels, up to 48 across the disk. Blocks of the scan are binned where they are read, so what
is kept is some hundred small numbers per position.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.fft

from ..counts.events import Events
from .weak_phase import Spectrum

ACROSS = 48
"""Bins across the disk, at most: with pixels of 1/42 of the disk rotation and scale are a third better than with
1/21."""
FEW = 600
"""Bins that need not be coarser for a search."""
RIM = 1.5
"""Pixels beyond the radius that are kept, for the edge."""
DIMMEST = 0.15
"""Part of the electrons of a bin inside the disk below which a bin is left out."""
MOST = 4096
"""Frequencies of the scan that are kept, the strongest."""
CONTRAST_LIMIT = 2.2
"""Frequencies beyond so many times the cutoff carry nothing."""


@dataclass(frozen=True)
class Bins:
    """Squares of pixels on a disk.

    Parameters
    ----------
    label : int array [N, N]
        Bin of every pixel, corner-centred as patterns are read; the number of bins for all that is outside.
    side : int
        Of a bin, pixels.
    pixels : int array [K]
        In a bin that are used.
    place : float array [K, 2]
        Mean (y, x) of these, pixels of the stored pattern.
    """

    label: np.ndarray
    side: int
    pixels: np.ndarray
    place: np.ndarray

    @property
    def number(self) -> int:
        """K."""
        return len(self.pixels)


def make_bins(used: np.ndarray, centre: tuple[float, float], radius: float, across: int = ACROSS) -> Bins:
    """Bins on the disk of ``radius`` pixels about ``centre`` (stored pattern), from the pixels [N, N] that are used."""
    n = len(used)
    side = max(1, math.ceil(2 * (radius + RIM) / across))
    y, x = np.indices((n, n))
    inside = used & (np.hypot(y - centre[0], x - centre[1]) < radius + RIM)
    name = (y // side) * n + x // side
    names, which = np.unique(name[inside], return_inverse=True)
    label = np.full((n, n), len(names), np.int32)
    label[inside] = which
    pixels = np.bincount(which, minlength=len(names))
    place = np.stack([np.bincount(which, axis[inside], len(names)) / pixels for axis in (y, x)], axis=1)
    return Bins(np.fft.ifftshift(label), side, pixels, place)


def binned(counts: Events | np.ndarray, bins: Bins) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Electrons of patterns in bins [B, K] float32, sum of the patterns [N, N] (corner-centred), and totals [B]."""
    n, number = len(bins.label), bins.number
    if isinstance(counts, Events):
        patterns = len(counts.start) - 1
        row, pixel, count = counts.rows(0, patterns)
        found = np.bincount(row * (number + 1) + bins.label.ravel()[pixel], count, patterns * (number + 1))
        total = np.bincount(pixel, count, n * n).reshape(n, n)
        return found.reshape(patterns, -1)[:, :number].astype(np.float32), total, np.bincount(row, count, patterns)
    flat = counts.reshape(len(counts), -1)
    order = np.argsort(bins.label.ravel(), kind="stable")
    inside = order[: int(bins.pixels.sum())]
    starts = np.concatenate([[0], np.cumsum(bins.pixels)[:-1]])
    found = np.add.reduceat(flat[:, inside].astype(np.float32), starts, axis=1)
    return found, counts.sum(axis=0, dtype=np.float64), flat.sum(axis=1, dtype=np.float64)


def misfires(totals: np.ndarray) -> np.ndarray:
    """Patterns [J] bool that are far off in their ``totals`` [J]; those that are not finite were not read."""
    middle = float(np.nanmedian(totals))
    return ~np.isfinite(totals) | (totals > 3 * middle + 20) | (totals < 0.1 * middle - 2)


def make_spectrum(
    electrons: np.ndarray,
    scan_shape: tuple[int, int],
    step: tuple[float, float],
    bins: Bins,
    centre: tuple[float, float],
    level: float,
    dk: float,
    cutoff: float,
    odd: np.ndarray | None = None,
) -> Spectrum:
    """Fourier coefficients of the bright field over the scan, scaled to noise of variance 1.

    A window with edges of a tenth stops leakage of strong frequencies. Transformed is bin by bin, twice: first for the
    power of every frequency, then for the strongest of them.

    Parameters
    ----------
    electrons : array [J, K]
        Electrons of every position in every bin, in the order of the scan.
    scan_shape, step
        Of the scan, and its nominal step in angstrom.
    bins : Bins
    centre : (float, float)
        Of the disk, pixels of the stored pattern.
    level : float
        Electrons per pixel and pattern inside the disk.
    dk : float
        Detector pixel, 1/angstrom.
    cutoff : float
        Radius of the disk, 1/angstrom.
    odd : bool array [J], optional
        Patterns that count as the mean one.
    """
    odd = np.zeros(len(electrons), bool) if odd is None else odd
    weight = 1.0 / max(int((~odd).sum()), 1)
    mean = np.array([float(electrons[~odd, k].sum(dtype=np.float64)) * weight for k in range(bins.number)])
    lit = np.flatnonzero(mean > DIMMEST * level * bins.pixels)
    window = hann(scan_shape[0])[:, None] * hann(scan_shape[1])[None, :]
    norm = float((window**2).sum())
    q = np.stack(np.meshgrid(*(np.fft.fftfreq(n, s) for n, s in zip(scan_shape, step, strict=True)), indexing="ij"), -1)
    half = (q[..., 0] > 0) | ((q[..., 0] == 0) & (q[..., 1] > 0))
    half &= (np.abs(q) < 0.5 / np.array(step) * (1 - 1e-9)).all(axis=-1)
    half &= np.hypot(q[..., 0], q[..., 1]) < CONTRAST_LIMIT * cutoff

    def coefficients(bin_: int) -> np.ndarray:
        image = electrons[:, bin_].astype(np.float32) - np.float32(mean[bin_])
        image[odd] = 0
        return scipy.fft.fft2(image.reshape(scan_shape) * window.astype(np.float32))[half] / math.sqrt(
            norm * mean[bin_]
        )

    power = np.zeros(int(half.sum()))
    if len(power) > MOST:
        for bin_ in lit.tolist():
            power += np.abs(coefficients(bin_)) ** 2
    kept = np.sort(np.argsort(-power, kind="stable")[:MOST])
    values = np.empty((len(kept), len(lit)), np.complex64)
    for place, bin_ in enumerate(lit.tolist()):
        values[:, place] = coefficients(bin_)[kept]
    gain = math.sqrt(norm) * level * bins.pixels[lit] / np.sqrt(mean[lit])
    k = (bins.place[lit] - np.array(centre)) * dk
    return Spectrum(q[half][kept], k, values, gain.astype(np.float32), mean[lit])


def rows_of(
    electrons: np.ndarray, scan_shape: tuple[int, int], bins: Bins, level: float, odd: np.ndarray
) -> Callable[[int], np.ndarray]:
    """From the number of a row of the scan to what :func:`make_spectrum` transforms of it, in bins of the spectrum
    [X, K]: electrons less their mean, over the root of that."""
    mean = electrons[~odd].mean(axis=0, dtype=np.float64)
    lit = np.flatnonzero(mean > DIMMEST * level * bins.pixels)
    width = scan_shape[1]

    def row(y: int) -> np.ndarray:
        its = slice(y * width, (y + 1) * width)
        found = (electrons[its][:, lit] - mean[lit]) / np.sqrt(mean[lit])
        found[odd[its]] = 0
        return np.asarray(found)

    return row


def coarser(spectrum: Spectrum, side: float) -> Spectrum:
    """The same with bins joined to squares of ``side`` in 1/angstrom: coefficients add like electrons."""
    cell = np.floor(spectrum.k / side + 0.5).astype(int)
    _, which = np.unique(cell, axis=0, return_inverse=True)
    which = which.ravel()
    number, root = int(which.max()) + 1, np.sqrt(spectrum.mean)
    join = np.zeros((len(which), number))
    join[np.arange(len(which)), which] = 1
    mean = spectrum.mean @ join
    to = join * root[:, None] / np.sqrt(mean)
    share = spectrum.gain * root  # goes with the pixels of a bin
    k = (join.T @ (spectrum.k * share[:, None])) / (share @ join)[:, None]
    values = (spectrum.values @ to.astype(np.float32)).astype(spectrum.values.dtype)
    return Spectrum(spectrum.q, k, values, (spectrum.gain @ to).astype(spectrum.gain.dtype), mean)


def hann(n: int) -> np.ndarray:
    """Window whose edges fall over a tenth of its length."""
    edge = taper_of(n)
    window = np.ones(n)
    window[:edge] = 0.5 - 0.5 * np.cos(math.pi * (np.arange(edge) + 0.5) / edge)
    window[-edge:] = window[:edge][::-1]
    return window


def taper_of(n: int) -> int:
    """Length of each edge of :func:`hann`."""
    return max(2, n // 10)
