r"""What two halves of the electrons, each reconstructed on its own, agree on: by frequency, and in single Bragg peaks.

Noise of one half knows nothing of the other's, so what both images have is the specimen, or what was put into both
alike. Nothing here uses a truth, and no figure is read from one image's own spectrum.

The ring correlation of the halves, ``FRC``, is that of images of half the dose. Where noise is independent of the
signal and of equal power in both, and nothing of it is common, the image of all electrons would agree with another one
of as many to ``2 FRC / (1 + FRC)``, and with the truth to the root of that (Rosenthal & Henderson, J. Mol. Biol. 333,
721 (2003)): FRC = 1/7 is a correlation with the truth of 0.5. A linear filter that is the same in both halves cancels
in a ring; a prior that is measured from each half, or positivity, are only nearly so.

A filter that lets only the peaks of a crystal through leaves few pixels of noise in a ring: the correlation of noise
alone scatters by one over the root of the pixels *that noise is in*, as the difference of the halves shows it, and not
of all in the ring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import t as student

from .._errors import InputError
from .bragg import Peaks, common_peaks
from .compare import RING_WIDTH
from .frc import remove_plane, ring_index, threshold_curve, tukey_window
from .spectrum import pixel_size

Floats = NDArray[np.floating]
Area = TypeVar("Area", xr.DataArray, xr.Dataset)

SEVENTH = 1 / 7
CHANCE = 0.05
"""Probability with which noise alone exceeds the level that counts as chance, in a ring: two rings in a row do in one
image of 400, and the end of a curve that has begun is a ring too far out in one of 20."""
_BEGINS = 4  # rings within which a curve has to begin, two of them in a row
LEAST_PIXELS = 16
_DIP = 0.5  # of the median signal of the rings around: a ring with less may lie between reflections
_GAP = 2  # rings without signal in a row that lie between reflections at most
_TINY = 1e-300


@dataclass(frozen=True)
class Spectra:
    """Fourier transforms of two images under one Hann window, and their rings.

    Parameters
    ----------
    first, second : complex array (ny, nx)
        Corner-centred.
    index : int array (ny, nx)
        Ring of every pixel.
    q : array (rings,)
        1/angstrom.
    spacing : (float, float)
        Angstrom, (y, x).
    independent : float
        Share of independent pixels: a window correlates neighbours.
    """

    first: NDArray[np.complexfloating]
    second: NDArray[np.complexfloating]
    index: NDArray[np.integer]
    q: Floats
    spacing: tuple[float, float]
    independent: float

    def ring_sum(self, values: Floats) -> Floats:
        """Sum in every ring (rings,)."""
        inside = self.index < self.q.size
        return np.bincount(self.index[inside], weights=values[inside], minlength=self.q.size).astype(float)


def spectra_of(first: xr.DataArray, second: xr.DataArray, ring_width: float = RING_WIDTH) -> Spectra:
    """Both images less their planes, under a Hann window.

    Raises
    ------
    InputError
        Images of unlike pixels, too small ones, or values that are not finite.
    """
    spacing = pixel_size(first)
    pixel_size(second)
    if first.shape != second.shape or any(
        not np.allclose(first[a], second[a], atol=1e-3 * d) for a, d in zip(("y", "x"), spacing, strict=True)
    ):
        raise InputError(
            f"the halves are {first.shape} and {second.shape} pixels, or at other places: give two images (y, x) on the"
            " same coordinates"
        )
    if min(first.shape) < LEAST_PIXELS:
        raise InputError(f"the halves have {first.shape} pixels: at least {LEAST_PIXELS} along each axis tell anything")
    for name, image in (("first", first), ("second", second)):
        if wrong := int((~np.isfinite(image.values)).sum()):
            raise InputError(f"{wrong} pixels of the {name} half are not finite: crop both to the scanned area")
    window = tukey_window(first.shape, 1.0)
    one, two = (np.fft.fft2(remove_plane(np.asarray(i.values, float)) * window) for i in (first, second))
    index, q = ring_index(first.shape, spacing, ring_width)
    share = float(np.mean(window**2) ** 2 / np.mean(window**4))
    return Spectra(one, two, index, q, spacing, share)


def agreement(
    first: xr.DataArray,
    second: xr.DataArray,
    vacuum: tuple[xr.DataArray, xr.DataArray] | None = None,
    ring_width: float = RING_WIDTH,
) -> xr.Dataset:
    """What two halves agree on.

    Parameters
    ----------
    first, second : DataArray (y, x)
        Phases in rad on the same coordinates in angstrom, of independent halves of the electrons.
    vacuum : pair of DataArray, optional
        The same of a scan of vacuum with the same settings: what its halves share is no specimen.
    ring_width : float
        1/angstrom.

    Returns
    -------
    xarray.Dataset
        By ``frequency`` in 1/angstrom: ``frc`` of the halves; ``threshold``, above which it says something: 1/7, what
        noise alone exceeds in one ring of 20, or what vacuum has and chance has not, whatever is most; ``half_bit``;
        ``frc_full``, of all electrons, and ``truth``, the correlation with the truth that follows, both nan below the
        threshold; ``vacuum``, its FRC; ``pixels``, how many independent ones noise is in; ``judged``, whether the ring
        is. By ``peak``: ``peak_y``, ``peak_x`` in 1/angstrom, ``peak_false``, the expected number of false peaks as
        strong in the whole image, ``peak_on_lattice`` (of a lattice, if the field is large enough to tell).
        ``resolution_angstrom`` and ``peak_angstrom`` are nan where nothing can be said.

    Raises
    ------
    InputError
        Images that do not fit together.

    Notes
    -----
    The radial limit is the first fall of the judged rings below the threshold, linear between rings. A ring between the
    reflections of a crystal holds no signal to judge: it is left out where what both halves have of it is less than
    half of that of the rings around, and the next ring is above its threshold.
    """
    seen = spectra_of(first, second, ring_width)
    frc, pixels = _correlation(seen)
    chance = chance_level(pixels)
    threshold, floor = np.maximum(chance, SEVENTH), np.full(frc.shape, np.nan)
    if vacuum is not None:
        floor, its = _correlation(spectra_of(*vacuum, ring_width))
        if floor.shape != frc.shape:
            raise InputError("the vacuum's halves have other pixels or another size than those of the specimen")
        # what is less may be chance, and says nothing of what both halves share
        threshold = np.fmax(threshold, np.where(floor > chance_level(its), floor, 0.0))
    above = frc > threshold
    judged = _judged(seen, above)
    full = np.where(above, 2 * frc / (1 + frc), np.nan)
    peaks = common_peaks(seen.first, seen.second, seen.index, seen.q.size, seen.independent, seen.spacing)
    return _dataset(seen, frc, threshold, floor, pixels, judged, full, peaks)


def chance_level(pixels: Floats) -> Floats:
    """The correlation that independent noise exceeds with probability :data:`CHANCE`, by Student's distribution."""
    degrees = np.maximum(pixels - 1, 1.0)
    t = student.isf(CHANCE, degrees)
    return np.asarray(t / np.sqrt(degrees + t * t))


def _correlation(seen: Spectra) -> tuple[Floats, Floats]:
    """FRC (rings,), and how many independent pixels the noise is in: the variance of the correlation of noise alone is
    one over their number."""
    first, second = (seen.ring_sum(np.abs(f) ** 2) for f in (seen.first, seen.second))
    noise = np.abs(seen.first - seen.second) ** 2
    total, squares = seen.ring_sum(noise), seen.ring_sum(noise**2)
    cross = seen.ring_sum((seen.first * seen.second.conj()).real)
    known = (first > 0) & (second > 0)
    frc = np.divide(cross, np.sqrt(first * second), out=np.full(cross.shape, np.nan), where=known)
    # the power of a pixel of noise is exponential: the mean of its square is twice that of its mean
    pixels = np.divide(2 * total**2, squares, out=np.zeros(cross.shape), where=squares > 0)
    return frc, seen.independent * np.minimum(pixels, seen.ring_sum(np.ones(seen.index.shape)))


def _judged(seen: Spectra, above: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rings that are judged: all but ring 0, and those between reflections."""
    pixels = np.maximum(seen.ring_sum(np.ones(seen.index.shape)), 1)
    signal = seen.ring_sum((seen.first * seen.second.conj()).real) / pixels
    judged = np.ones(above.shape, dtype=bool)
    judged[0] = False
    for ring in range(1, len(above) - 1):
        if above[ring] or not above[ring + 1 : ring + 1 + _GAP].any():
            continue
        around = np.r_[signal[max(ring - 3, 1) : ring], signal[ring + 1 : ring + 4]]
        judged[ring] = not signal[ring] < _DIP * np.median(around)
    return judged


def _limit(q: Floats, gap: Floats) -> float:
    """1/q of the first fall of ``gap`` below 0, linear between rings; nan where no two of the first rings in a row are
    above 0."""
    above = np.nan_to_num(gap, nan=-1.0) > 0
    risen = np.flatnonzero(above[:-1] & above[1:])
    if risen.size == 0 or risen[0] >= _BEGINS - 1:
        return float("nan")
    fallen = np.flatnonzero(~above[risen[0] :])
    if fallen.size == 0:
        return float(1 / q[-1])
    k = int(risen[0] + fallen[0])
    if not np.isfinite(gap[k]):
        return float(1 / q[k - 1])
    part = gap[k - 1] / (gap[k - 1] - gap[k])
    return float(1 / (q[k - 1] + part * (q[k] - q[k - 1])))


def _dataset(
    seen: Spectra, frc: Floats, threshold: Floats, floor: Floats, pixels: Floats, judged: NDArray[np.bool_],
    full: Floats, peaks: Peaks,
) -> xr.Dataset:  # fmt: skip
    one: dict[str, str] = {"units": "1"}
    inverse = {"units": "1/angstrom"}
    limit = _limit(seen.q[judged], (frc - threshold)[judged])
    return xr.Dataset(
        {
            "frc": ("frequency", frc, {**one, "long_name": "ring correlation of the halves"}),
            "threshold": ("frequency", threshold, one),
            "half_bit": ("frequency", threshold_curve(np.rint(pixels).astype(int), "half-bit"), one),
            "frc_full": ("frequency", full, {**one, "long_name": "of two images of all electrons"}),
            "truth": ("frequency", np.sqrt(full), {**one, "long_name": "correlation with the truth that follows"}),
            "vacuum": ("frequency", floor, {**one, "long_name": "ring correlation of halves of vacuum"}),
            "pixels": ("frequency", pixels, {**one, "long_name": "independent pixels of noise"}),
            "judged": ("frequency", judged),
            "peak_y": ("peak", peaks.y, inverse),
            "peak_x": ("peak", peaks.x, inverse),
            "peak_false": ("peak", peaks.false, {**one, "long_name": "expected false peaks as strong, whole image"}),
            "peak_on_lattice": ("peak", peaks.on_lattice),
            "resolution_angstrom": ((), limit, {"units": "angstrom"}),
            "peak_angstrom": ((), peaks.limit, {"units": "angstrom"}),
        },
        {"frequency": ("frequency", seen.q, inverse)},
        {
            "false_peaks": peaks.accepted,
            "mirrored_peaks": peaks.mirrored,
            "vacuum_known": int(np.isfinite(floor).any()),
        },
    )


def compared(area: Area, margin: float = 3.3) -> Area:
    """What halves are compared on: the scanned area less a margin in angstrom at every edge, which few patterns saw.

    Raises
    ------
    InputError
        If that is too small to tell anything.
    """
    inside = {a: slice(float(area[a][0]) + margin, float(area[a][-1]) - margin) for a in ("y", "x")}
    inner = area.sel(inside)
    if min(inner.sizes["y"], inner.sizes["x"]) < LEAST_PIXELS:
        raise InputError(
            f"the scan less a margin of {margin:g} A has {inner.sizes['y']} x {inner.sizes['x']} pixels: halves can be"
            f" compared from {LEAST_PIXELS} along each axis on; scan a larger area"
        )
    return inner


def agreement_of(stored: xr.Dataset) -> xr.Dataset:
    """:func:`agreement` of the images that a result holds, less a margin."""
    inner = compared(stored)
    vacuum = (inner["vacuum_first"], inner["vacuum_second"]) if "vacuum_first" in inner else None
    return agreement(inner["first"], inner["second"], vacuum)


def told(found: xr.Dataset) -> list[str]:
    """What an :func:`agreement` says, in lines; nothing is claimed where nothing can be."""
    limit, peak = float(found.resolution_angstrom), float(found.peak_angstrom)
    lines = ["the halves agree on nothing: no resolution can be claimed"]
    if np.isfinite(limit):
        between = int((~found.judged.values[1:] & (found.frequency.values[1:] < 1 / limit)).sum())
        rings = "" if not between else f"; {between} ring{'s'[: between > 1]} between reflections left out"
        lines = [
            f"the halves agree to {limit:.2f} Å (ring correlation above 1/7 and above chance{rings}), each with half of"
            " the electrons; by the usual formula all of them have 0.5 with the truth there"
        ]
    if np.isfinite(peak):
        count, on = found.sizes["peak"], bool(found.peak_on_lattice.any())
        where = "outermost of a lattice" if on else "no lattice could be told"
        many = "1 peak is in both, at" if count == 1 else f"{count} peaks are in both, the last at"
        lines.append(f"{many} {peak:.2f} Å ({where}; by noise alone 0.01 in an image)")
    if found.attrs["vacuum_known"]:
        lines.append("below what halves of vacuum share, where that is more than chance, nothing is claimed")
    return lines
