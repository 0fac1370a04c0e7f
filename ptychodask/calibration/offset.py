"""Where two scans of one specimen lie to each other: maps of the weak phase, correlated.

Each scan has its own map by the transfer of its own optics (see ``weak_phase``), so that two defoci show the same
sign and place of everything that both transfer; a frequency weighs as it stands out of the noise. They are laid on
rasters along the axes of the positions, and

    C(t) = sum_r m_1(r) m_2(r - t)

is largest where ``t`` is the place of the second frame in the first. Its peak is found on the raster, then by Newton
steps between the pixels; how parts of the frequencies scatter about it gives the error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.fft
from scipy import ndimage

from .._errors import InputError
from ..io.dataset import DatasetInfo
from ..io.selected import off_centre, positions_of
from ..model.geometry import geometry_of
from ..model.optics import Microscope
from .bright_field import make_bins, make_spectrum, misfires, taper_of
from .centring import used_of
from .phase_map import VISIBLE, image_of
from .read import read_bright_field
from .run import EDGE, SMALLEST_SCAN, phase_of, recorded_raster
from .weak_phase import Optics, statistic

ACROSS = 24
"""Bins across the disk."""
FINER = 3
"""Pixels of a map along a scan step."""
MOST_PIXELS = 2048
"""Side of a raster; of larger scans it is coarser."""
CELL = 4
"""Frequencies along the side of a cell, which go together when parts of them are left out."""
PARTS, STEPS = 8, 12
"""Into which frequencies are dealt, and Newton steps at most."""
SOUND = 15.0
"""Standard deviations of the noise beyond which a frequency weighs no more: what is wrong there is the model."""
AGREE, CERTAIN = 0.65, 4.5
"""Share of the common contrast that must agree; or standard deviations by which chance must be excluded."""
LEAST = 0.15
"""Of the smaller scan, what the larger one has in common with it at any place that is looked at."""
CLEAR, SURE = 6.0, 12.0
"""Nats by which the highest peak must lead another place, and those below which that is worth a warning."""


@dataclass(frozen=True)
class PhaseMap:
    """The weak phase of a scan.

    Parameters
    ----------
    image : float array [Y, X]
        Along the axes of the scan, up to a factor.
    matrix : float64 array [2, 2]
        Angstrom (y, x) in the frame of the positions per pixel along both axes: its columns are the steps.
    origin : float64 array [2]
        Where pixel (0, 0) is, angstrom.
    """

    image: np.ndarray
    matrix: np.ndarray
    origin: np.ndarray

    @property
    def corners(self) -> np.ndarray:
        """Of the map [4, 2], angstrom."""
        height, width = self.image.shape
        ends = np.array([[0, 0], [0, width - 1], [height - 1, 0], [height - 1, width - 1]])
        return np.asarray(self.origin + ends @ self.matrix.T)

    def _at(self, low: np.ndarray, shape: tuple[int, int], pixel: float) -> list[np.ndarray]:
        """Pixels (y, x) of the map, for those of a raster along the axes of the positions that begins at ``low``."""
        y, x = (low[a] + pixel * np.arange(n) - self.origin[a] for a, n in enumerate(shape))
        inverse = np.linalg.inv(self.matrix)
        return [inverse[a, 0] * y[:, None] + inverse[a, 1] * x[None, :] for a in (0, 1)]

    def on(self, low: np.ndarray, shape: tuple[int, int], pixel: float) -> np.ndarray:
        """The map on a raster; 0 outside of the scan."""
        return np.asarray(ndimage.map_coordinates(self.image, self._at(low, shape, pixel), order=3, cval=0.0))

    def weight_on(self, low: np.ndarray, shape: tuple[int, int], pixel: float) -> np.ndarray:
        """1 inside of the scan, falling to 0 where its map was tapered."""
        weight = np.ones(shape)
        for at, side in zip(self._at(low, shape, pixel), self.image.shape, strict=True):
            rim = FINER * taper_of(side // FINER)
            inside = np.minimum(at, side - 1 - at) - rim
            weight *= np.clip(inside / (2 * rim), 0, 1)
        return weight


@dataclass(frozen=True)
class Offset:
    """Where the frame of a scan begins in that of another one.

    Parameters
    ----------
    angstrom, error : (float, float)
        (y, x), and standard errors.
    agreement : float
        Share of the contrast that both maps have whose phases agree, at most 1.
    certainty : float
        The same in standard deviations of what chance gives.
    rival : (float, float) or None
        Another place that fits nearly as well, such as a lattice vector away.
    lead : float
        Nats by which it fits less.
    """

    angstrom: tuple[float, float]
    error: tuple[float, float]
    agreement: float
    certainty: float
    rival: tuple[float, float] | None = None
    lead: float = math.inf


def map_of(info: DatasetInfo, microscope: Microscope, thickness: float, client: Any = None) -> PhaseMap:
    """Read a scan once, and make its map.

    Parameters
    ----------
    info : DatasetInfo
    microscope : Microscope
    thickness : float
        Of the specimen in angstrom, 0 where it is not known.
    client : optional
        Where to read; threads of this process by default.

    Raises
    ------
    InputError
        For positions that are no raster, or too few of them.
    """
    if min(info.scan_shape) < SMALLEST_SCAN:
        raise InputError(
            f"{info.path}: a scan of {info.scan_shape[0]} x {info.scan_shape[1]} positions, at least {SMALLEST_SCAN} x"
            f" {SMALLEST_SCAN} tell where it lies"
        )
    geometry = replace(geometry_of(recorded_raster(info)), thickness=thickness)
    n, radius = info.detector.pixels, microscope.semi_angle_mrad / info.detector.angular_step_mrad
    off_y, off_x = off_centre(info)
    centre, used = (n // 2 + off_y, n // 2 + off_x), used_of(info)
    bins = make_bins(used, centre, radius, ACROSS)
    field = read_bright_field(info, bins, client)
    odd, dk = misfires(field.totals), info.detector.angular_step_mrad * 1e-3 / microscope.wavelength
    y, x = np.indices(used.shape)
    inside = used & (np.hypot(y - centre[0], x - centre[1]) < radius - 1)
    level = float(field.pattern[inside].mean()) / field.patterns
    depth = {**microscope.aberrations, "C10": float(microscope.aberrations.get("C10", 0.0)) + thickness / 2}
    optics = Optics(microscope.wavelength, radius * dk, EDGE * bins.side * dk, phase_of(microscope.wavelength, depth))
    spectrum = make_spectrum(
        field.electrons, field.scan_shape, info.scan_step, bins, centre, level, dk, optics.cutoff, odd
    )
    s, phi, power = statistic(spectrum, geometry, optics)
    weight = np.where(s > VISIBLE, np.minimum(np.sqrt(power), SOUND / np.maximum(np.abs(phi), 1e-300)), 0.0)
    image = _finer(image_of(spectrum, phi * weight, field.scan_shape, info.scan_step))
    y0, _, x0, _ = field.box
    steps = geometry.stored_matrix * np.array(info.scan_step)
    positions, middle = positions_of(info), (np.array(info.scan_shape) - 1) / 2
    origin = positions.mean(axis=0) + steps @ (np.array([y0, x0]) - middle)
    return PhaseMap(image, steps / FINER, origin)


def _finer(image: np.ndarray) -> np.ndarray:
    """The same with :data:`FINER` pixels for each: its spectrum ends before that of its pixels does."""
    height, width = image.shape
    spectrum = np.zeros((FINER * height, FINER * width), complex)
    y, x = (np.fft.fftfreq(n, 1 / n).astype(int) for n in image.shape)
    spectrum[y[:, None], x[None, :]] = scipy.fft.fft2(image)
    return np.asarray(scipy.fft.ifft2(spectrum).real * FINER**2)


def offset_of(first: PhaseMap, second: PhaseMap) -> Offset:
    """Where the frame of the second scan begins in that of the first.

    Raises
    ------
    InputError
        If the maps have nothing in common.
    """
    pixel = min(float(np.hypot(*its.matrix).min()) for its in (first, second))
    extent = max(float(np.ptp(its.corners, axis=0).max()) for its in (first, second))
    pixel = max(pixel, extent / MOST_PIXELS)
    lows, images = [], []
    for its in (first, second):
        low = its.corners.min(axis=0)
        rows, columns = (math.ceil(side / pixel) + 1 for side in np.ptp(its.corners, axis=0))
        lows.append(low)
        images.append(its.on(low, (rows, columns), pixel))
    shape = tuple(scipy.fft.next_fast_len(a + b) for a, b in zip(images[0].shape, images[1].shape, strict=True))
    values = scipy.fft.irfft2(scipy.fft.rfft2(images[0], shape) * scipy.fft.rfft2(images[1], shape).conj(), shape)
    if not np.ptp(values) > 0:
        raise InputError("no frequency stands out of the noise in both")
    values[_common(first, second, lows, shape, pixel, images) < LEAST] = -np.inf
    frame, limits = lows[0] - lows[1], np.array(images[0].shape)
    place = np.array(np.unravel_index(int(np.argmax(values)), values.shape))
    # coefficients have noise of variance 1, those at q and -q are the same: so much is a nat
    area = math.sqrt(abs(np.linalg.det(first.matrix) * np.linalg.det(second.matrix))) * FINER**2
    nat = 2 * area / pixel**2
    rival = _rival(values, place, 1.5 * FINER, SURE * nat)
    made = _refined(
        first, second, lows[0], images[0], pixel, frame + pixel * _signed(place, limits, values.shape),
    )  # fmt: skip
    if rival is None:
        return made
    lead = float(values[tuple(place)] - values[tuple(rival)]) / nat
    return replace(made, rival=_pair(frame + pixel * _signed(rival, limits, values.shape)), lead=lead)


def _common(
    first: PhaseMap, second: PhaseMap, lows: list[np.ndarray], shape: tuple[int, ...], pixel: float, images: list[Any]
) -> np.ndarray:
    """Of every shift, the share of the smaller scan that both have."""
    weights = [its.weight_on(low, i.shape, pixel) for its, low, i in zip((first, second), lows, images, strict=True)]
    both = scipy.fft.rfft2(weights[0], shape) * scipy.fft.rfft2(weights[1], shape).conj()
    return np.asarray(scipy.fft.irfft2(both, shape) / min(w.sum() for w in weights))


def _signed(place: np.ndarray, limits: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A shift from its place in a correlation that goes round."""
    return np.asarray(np.where(place > limits, place - np.array(shape), place), float)


def is_certain(its: Offset) -> bool:
    """Do the maps show the same?"""
    return its.agreement >= AGREE or its.certainty >= CERTAIN


def _pair(values: np.ndarray) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _refined(
    first: PhaseMap,
    second: PhaseMap,
    low: np.ndarray,
    image: np.ndarray,
    pixel: float,
    at: np.ndarray,
) -> Offset:
    """The peak between the pixels, from what both scans show, under one window; errors by leaving out frequencies.

    The second map is laid back before every step, lest a window that does not move along pull the peak towards it.
    """
    shape, own = (image.shape[0], image.shape[1]), first.weight_on(low, image.shape, pixel)
    q = [2 * math.pi * np.fft.fftfreq(n) for n in shape]
    for _ in range(STEPS):
        window = own * second.weight_on(low - at, shape, pixel)
        if window.sum() < SMALLEST_SCAN:
            raise InputError("what they have in common is too small")
        one, two = (_under(window, its) for its in (image, second.on(low - at, shape, pixel)))
        cross = scipy.fft.fft2(one) * scipy.fft.fft2(two).conj()
        steps = _steps(cross, q)
        step = np.clip(steps.of_all(), -0.7, 0.7)
        at = at + pixel * step
        if np.abs(step).max() < 1e-3:
            break
    without = np.array([steps.without(part) for part in range(PARTS)])
    errors = np.sqrt(((without - without.mean(axis=0)) ** 2).sum(axis=0) * (PARTS - 1) / PARTS)
    whole = max(float(np.abs(cross).sum()), 1e-300)
    agreement = float(cross.real.sum()) / whole
    # frequencies of a window are not independent
    independent = whole**2 / float((np.abs(cross) ** 2).sum()) * float((window**2).sum()) / window.size
    return Offset(_pair(at), _pair(pixel * errors), agreement, agreement * math.sqrt(independent))


def _under(window: np.ndarray, image: np.ndarray) -> np.ndarray:
    return window * (image - (window * image).sum() / window.sum())


@dataclass(frozen=True)
class _Steps:
    """Slopes [P, 2] and curvatures [P, 2, 2] of the correlation, by parts of the frequencies."""

    slopes: np.ndarray
    curvatures: np.ndarray

    def of_all(self) -> np.ndarray:
        """Newton step of all."""
        return _newton(self.slopes.sum(axis=0), self.curvatures.sum(axis=0))

    def without(self, part: int) -> np.ndarray:
        """That without one part."""
        return _newton(np.delete(self.slopes, part, 0).sum(axis=0), np.delete(self.curvatures, part, 0).sum(axis=0))


def _newton(slope: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    curvature = curvature + 1e-9 * np.trace(curvature) * np.eye(2)
    return np.asarray(np.linalg.solve(curvature, slope)) if np.linalg.det(curvature) > 0 else np.zeros(2)


def _steps(cross: np.ndarray, q: list[np.ndarray]) -> _Steps:
    shape = cross.shape
    y, x = (np.rint(np.fft.fftfreq(n, 1 / n)).astype(int) for n in shape)
    # q and -q together: a cell and its mirror image have one number
    cells = (np.abs(y // CELL)[:, None] * 7 + (np.sign(y)[:, None] * x[None, :] // CELL) * 3) % PARTS
    along = [np.broadcast_to(q[0][:, None], shape), np.broadcast_to(q[1][None, :], shape)]

    def by_part(values: np.ndarray) -> np.ndarray:
        return np.bincount(cells.ravel(), values.ravel(), PARTS)

    slopes = np.stack([by_part(-cross.imag * its) for its in along], axis=1)
    curvatures = np.stack([[by_part(cross.real * a * b) for b in along] for a in along]).transpose(2, 0, 1)
    return _Steps(slopes, curvatures)


def _rival(values: np.ndarray, place: np.ndarray, apart: float, below: float) -> np.ndarray | None:
    """Place of another high peak in a correlation; None where there is none."""
    top = float(values[tuple(place)])
    highest = (ndimage.maximum_filter(values, 3, mode="wrap") == values) & (values > top - below)
    shape = np.array(values.shape)
    found = np.argwhere(highest)
    away = (found - place + shape // 2) % shape - shape // 2
    far = found[np.hypot(*away.T) > apart]
    if not len(far):
        return None
    return np.asarray(far[int(np.argmax(values[tuple(far.T)]))])
