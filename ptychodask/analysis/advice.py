"""Which optics carry most of a specimen: candidates ranked by what their electrons say of its own spectrum.

A window of area W on the specimen's phase has the spectrum |Phi(q)|^2. With D electrons per square angstrom and the
information t(q) of an optics (:mod:`ptychodask.physics.information`), the signal to noise of a frequency is

    snr(q) = 4 D t(q) |Phi(q)|^2 / W,

the best linear estimate keeps w = snr / (1 + snr) of its power, and its correlation with the truth up to a frequency is
sqrt(sum |Phi|^2 w / sum |Phi|^2). That is an upper bound of what a reconstruction with a measured spectrum reaches when
the geometry is known; the order of optics is what it is for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .._errors import InputError
from ..model.optics import Microscope
from ..physics.information import weak_phase_information
from ..physics.probe import probe_diameter, probe_window
from .sampling import FRAME_WARN, MIN_OVERLAP

WINDOW_ANGSTROM = 64.0
"""Side of the windows on the specimen: about what the spectral prior averages over."""
SEEN = 0.5
"""Correlation of a ring of frequencies with the truth that is called resolved."""
RING = 0.06
"""Width of a ring in 1/angstrom: it holds reflections of any cell above 17 angstrom."""
LEAST = 1e-3
"""Part of the specimen's power below which a ring holds nothing that could be seen."""
SAMPLES = 64
"""Of the information, up to twice the wanted resolution."""
INNER = 0.8
"""Of the box by side, which has to hold the probe, as in :func:`ptychodask.physics.probe.frame_power`."""
ELECTRON = 1.602176634e-19
AS_GOOD = 0.005
"""Difference of two correlations that is not worth a larger probe."""


@dataclass(frozen=True)
class Spectrum:
    """Mean power of a specimen's phase in windows: ``power`` [n] in rad^2 angstrom^4 at ``frequency`` [n], 1/angstrom.

    ``area`` is that of a window with its taper, angstrom^2. The frequency 0 is left out.
    """

    frequency: NDArray[np.float64]
    power: NDArray[np.float64]
    area: float


@dataclass(frozen=True)
class Optics:
    """A candidate and what is expected of it; lengths in angstrom, angles in mrad."""

    semi_angle_mrad: float
    defocus_angstrom: float
    probe_diameter_angstrom: float
    scan_step_angstrom: float
    angular_step_mrad: float
    electrons_per_pattern: float
    current_pa: float
    correlation: float
    resolution_angstrom: float | None
    lost: float
    """Part of the specimen's signal up to the wanted resolution whose frequencies carry less than half a bit."""


@dataclass(frozen=True)
class Pair:
    """Two scans of one area, with half of the dose each, that differ in defocus (angstrom), and what is expected."""

    semi_angle_mrad: float
    defoci_angstrom: tuple[float, float]
    angular_step_mrad: float
    correlation: float
    resolution_angstrom: float | None
    lost: float


@dataclass(frozen=True)
class Task:
    """What is wanted: dose in electrons per square angstrom, resolution in angstrom, detector, frames per second."""

    dose: float
    resolution_angstrom: float
    detector_pixels: int
    thickness_angstrom: float
    frames_per_second: float
    scan_step_angstrom: float | None = None


def spectrum(phase: NDArray[np.floating], pixel_angstrom: float) -> Spectrum:
    """Mean power of windows of 64 angstrom that overlap by half.

    Parameters
    ----------
    phase : array [Y, X]
        Projected phase in rad, of at least one window.
    pixel_angstrom : float

    Raises
    ------
    InputError
        If the phase is smaller than a window, or nothing but a constant.
    """
    side = round(WINDOW_ANGSTROM / pixel_angstrom)
    if min(phase.shape) < side:
        raise InputError(f"a phase of {phase.shape} pixels is smaller than a window of {side}: give a larger piece")
    edge = np.hanning(side + 1)[:-1]
    taper = edge[:, None] * edge[None, :]
    starts = [range(0, length - side + 1, side // 2) for length in phase.shape]
    power = np.zeros((side, side))
    for y in starts[0]:
        for x in starts[1]:
            piece = phase[y : y + side, x : x + side]
            piece = (piece - np.sum(piece * taper) / taper.sum()) * taper
            power += np.abs(np.fft.fft2(piece)) ** 2 * pixel_angstrom**4
    power /= len(starts[0]) * len(starts[1])
    k = np.fft.fftfreq(side, pixel_angstrom)
    q = np.hypot(k[:, None], k[None, :])
    # the taper mixes the mean into its neighbours, which are no structure
    used = q > 1.5 / WINDOW_ANGSTROM
    if not float(power[used].sum()) > 0:
        raise InputError("the specimen's phase is constant: nothing of it can be seen")
    return Spectrum(q[used], power[used], float(np.sum(taper**2)) * pixel_angstrom**2)


def information(microscope: Microscope, task: Task) -> NDArray[np.float64]:
    """t at :data:`SAMPLES` frequencies up to twice the wanted resolution."""
    return weak_phase_information(
        microscope, np.linspace(0, 2 / task.resolution_angstrom, SAMPLES), task.thickness_angstrom
    )


def expected(told: NDArray[np.float64], specimen: Spectrum, task: Task) -> tuple[float, float | None, float]:
    """Correlation up to the wanted resolution, resolution in angstrom or None, and the part of signal that is lost.

    ``told`` is the information; that of several scans is its mean over their electrons.
    """
    limit, q = 1 / task.resolution_angstrom, specimen.frequency
    t = np.interp(q, np.linspace(0, 2 * limit, SAMPLES), told)
    snr = 4 * task.dose * t * specimen.power / specimen.area
    kept = specimen.power * snr / (1 + snr)
    inside = q <= limit
    signal = float(specimen.power[inside].sum())
    correlation = math.sqrt(float(kept[inside].sum()) / signal)
    rings = int(2 * limit / RING)
    ring = np.minimum((q / RING).astype(int), rings)
    total, held = (np.bincount(ring, values, rings + 1)[:rings] for values in (specimen.power, kept))
    unseen = np.flatnonzero((total > LEAST * total.sum()) & (held < SEEN**2 * total))
    end = float(unseen[0] if len(unseen) else rings) * RING
    lost = float(specimen.power[inside & (snr < 1)].sum()) / signal
    return correlation, (1 / end if end > 0 else None), lost


@dataclass(frozen=True)
class Candidate:
    """Optics whose probe a detector holds: the smallest such box in angstrom, and the information (see
    :func:`information`)."""

    microscope: Microscope
    box: float
    told: NDArray[np.float64]


def recordable(candidates: Sequence[Microscope], task: Task) -> tuple[list[Candidate], list[str]]:
    """Those whose probe a detector's box holds, and a line for each that is left out."""
    held, refused = [], []
    for microscope in candidates:
        name = f"{microscope.semi_angle_mrad:g} mrad at {microscope.defocus_angstrom:g} angstrom"
        box = _box(microscope, task)
        if box is None:
            refused.append(
                f"{name}: the probe does not fit {task.detector_pixels} pixels that resolve"
                f" {task.resolution_angstrom:g} angstrom"
            )
        else:
            held.append(Candidate(microscope, box, information(microscope, task)))
    return held, refused


def rank(candidates: Sequence[Candidate], specimen: Spectrum, task: Task) -> list[Optics]:
    """Best first."""
    found = []
    for its in candidates:
        microscope, box = its.microscope, its.box
        correlation, resolution, lost = expected(its.told, specimen, task)
        intensity, pixel = probe_window(microscope, 2 * box)
        diameter = probe_diameter(intensity, pixel, 0.9, whole=1.0)
        # half the resolution: then even the image of a single detector pixel is sampled without aliasing
        step = task.scan_step_angstrom or min(task.resolution_angstrom / 2, (1 - MIN_OVERLAP) * diameter)
        electrons = task.dose * step**2
        current = electrons * task.frames_per_second * ELECTRON * 1e12
        dtheta = 1e3 * microscope.wavelength / box
        found.append(
            Optics(
                semi_angle_mrad=microscope.semi_angle_mrad,
                defocus_angstrom=microscope.defocus_angstrom,
                probe_diameter_angstrom=diameter,
                scan_step_angstrom=step,
                angular_step_mrad=dtheta,
                electrons_per_pattern=electrons,
                current_pa=current,
                correlation=correlation,
                resolution_angstrom=resolution,
                lost=lost,
            )
        )
    return sorted(found, key=lambda o: -o.correlation)


def best_pair(candidates: Sequence[Candidate], specimen: Spectrum, task: Task) -> Pair | None:
    """The two defoci at one semi-angle that together carry most; None where there are no two.

    The zeros of the one are where the other carries, and the electrons are shared out: the information of the pair is
    the mean of both.
    """
    found = []
    for a, b in combinations(candidates, 2):
        one, other = a.microscope, b.microscope
        if one.semi_angle == other.semi_angle:
            figures = expected((a.told + b.told) / 2, specimen, task)
            defoci = (one.defocus_angstrom, other.defocus_angstrom)
            found.append(Pair(one.semi_angle_mrad, defoci, 1e3 * one.wavelength / max(a.box, b.box), *figures))
    return max(found, key=lambda pair: pair.correlation, default=None)


def recommended(ranked: Sequence[Optics]) -> Optics:
    """The smallest probe among those that are as good as the best: it forgives most and needs the smallest box."""
    best = ranked[0].correlation
    return min((o for o in ranked if o.correlation > best - AS_GOOD), key=lambda o: o.probe_diameter_angstrom)


def _box(microscope: Microscope, task: Task) -> float | None:
    """Smallest box that holds the probe at both surfaces, angstrom; None where its pixels would be too coarse."""
    # pixels of half the resolution, and a detector that holds the disk with a fifth to spare: N dtheta / 2 >= 1.2 alpha
    largest = task.detector_pixels * min(
        task.resolution_angstrom / 2, microscope.wavelength / (2.4 * microscope.semi_angle)
    )
    sides = []
    for depth in (0.0, task.thickness_angstrom):
        intensity, pixel = probe_window(microscope, INNER * largest, depth)
        off = np.abs(np.arange(len(intensity)) - len(intensity) // 2)
        square = np.maximum(off[:, None], off[None, :])
        inside = np.cumsum(np.bincount(square.ravel(), intensity.ravel()))
        if inside[-1] < 1 - FRAME_WARN:
            return None
        sides.append((2 * int(np.argmax(inside >= 1 - FRAME_WARN)) + 1) * pixel)
    return max(sides) / INNER
