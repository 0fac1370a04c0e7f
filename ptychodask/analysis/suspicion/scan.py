"""Do scan and detector fit each other? Transposed or mirrored patterns, and a defocus of the wrong sign or size.

Weak-phase likelihood: with Fourier coefficients G(q, k) of the counts of pixel k over the scan, less their mean, and
Psi = A(k) exp(-i chi(k)), a weak phase phi gives ``E G = J I_0(k) phi(q) T(q, k)``,

    T(q, k) = i [Psi*(k) Psi(k - q) - Psi(k) Psi*(k + q)] / |Psi|^2,

(Rodenburg & Bates, Phil. Trans. R. Soc. A 339, 521, 1992). With phi(q) profiled out, the log-likelihood of a geometry
is ``sum_q |sum_k T* G|^2 / (J sum_k I_0 |T|^2)``, in which noise alone gives 1 per q. Compared are the eight ways to
lay patterns on the scan, and other defoci, each over a range of defocus. Where defocus is the only aberration, it is
blind to patterns turned by 180 degrees if the defocus changes its sign as well, so these two mistakes are named
together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...physics.probe import aberration_phase, aperture
from .survey import Survey, bins_of

STRONGEST = 48
"""Frequencies of the scan that are compared."""
NATS = 40.0
"""By which another geometry must win: noise alone, and what the weak phase leaves out, stay below."""
SHARE = 0.6
"""Part of the winner's likelihood below which the recorded geometry must lie; in focus, sound data reach 0.73."""
APART, APART_SHARE = 15.0, 0.1
"""Nats, and part of the winner's, by which two geometries must differ to be told from each other."""
SMALLEST_SCAN = 8
DEFOCUS_STEPS = 9
OTHER_DEFOCI = (0.3, 0.45, 1.8, 2.5, 3.5)
"""Times the recorded one."""
RECORDED, SIGN, SIZE = "as recorded", "the other sign of defocus", "another defocus"
TURNED = "rotated by 180 degrees"

LAYOUTS = {
    RECORDED: ((1, 0), (0, 1)),
    "transposed": ((0, 1), (1, 0)),
    "with ky reversed": ((-1, 0), (0, 1)),
    "with kx reversed": ((1, 0), (0, -1)),
    TURNED: ((-1, 0), (0, -1)),
    "rotated by 90 degrees": ((0, 1), (-1, 0)),
    "rotated by -90 degrees": ((0, -1), (1, 0)),
    "transposed and rotated by 180 degrees": ((0, -1), (-1, 0)),
}
REMEDIES = {
    "transposed": "swap ky and kx of the counts, or scan_y and scan_x where the scan's axes are the ones swapped",
    "with ky reversed": "reverse ky of the counts, or scan_y",
    "with kx reversed": "reverse kx of the counts, or scan_x",
    TURNED: "reverse ky and kx of the counts",
    "rotated by 90 degrees": "rotate the patterns, or the positions",
    "rotated by -90 degrees": "rotate the patterns, or the positions",
    "transposed and rotated by 180 degrees": "swap and reverse ky and kx of the counts, or the scan's axes",
}


Matrix = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Fit:
    """How well a geometry explains the scan: nats above noise, at the best of its defoci (angstrom)."""

    layout: str
    nats: float
    defocus: float


def scan_warnings(survey: Survey) -> list[str]:
    """A geometry that fits the scan far better than the recorded one."""
    fits = {f.layout: f for f in compare_geometries(survey)}
    if not fits:
        return []
    recorded, best = fits[RECORDED], max(fits.values(), key=lambda f: f.nats)
    if best.nats - recorded.nats < NATS or recorded.nats > SHARE * best.nats:
        return []
    likely = [f.layout for f in fits.values() if f.nats > best.nats - max(APART, APART_SHARE * best.nats)]
    against = f"far better than as recorded ({best.nats:.0f} nats above noise against {max(recorded.nats, 0):.0f})"
    defocus = survey.microscope.defocus_angstrom
    if SIGN in likely:
        other = f", or rotate the patterns by 180 degrees if {defocus:g} A is certain" if TURNED in likely else ""
        return [f"the scan fits a defocus of {-defocus:g} A {against}: change its sign (positive is underfocus){other}"]
    if SIZE in likely:
        found = float(f"{fits[SIZE].defocus + survey.thickness_angstrom / 2:.2g}")
        return [
            f"the scan fits a defocus of about {found:g} A {against}, which says {defocus:g} A: check the defocus"
            " and scan_step_angstrom, whose ratio is what is seen"
        ]
    names = [name for name in likely if name in REMEDIES]
    remedies = "; or ".join(dict.fromkeys(REMEDIES[name] for name in names))
    return [f"the scan fits patterns {' or '.join(names)} {against}: {remedies}"]


def compare_geometries(survey: Survey) -> list[Fit]:
    """The fits of all layouts; none where there is nothing to tell from: no specimen, a scan too small or irregular."""
    raster = _raster(survey)
    disks = survey.disks.astype(np.float64)
    if raster is None or min(disks.shape[:2]) < SMALLEST_SCAN or survey.radius < 2:
        return []
    missing = ~np.isfinite(disks[..., 0])
    if missing.mean() > 0.2:
        return []
    disks = _without_misfires(disks, missing)
    k, mean = _bins(survey), disks.mean(axis=(0, 1))
    lit = mean > 0.2 * np.median(mean)
    mean, k = mean[lit], k[lit]
    window = _hann(disks.shape[0])[:, None] * _hann(disks.shape[1])[None, :]
    coefficients = np.fft.fft2((disks[..., lit] - mean) * window[..., None], axes=(0, 1))
    power = float((window**2).sum())
    q_scan = np.stack(np.meshgrid(*(np.fft.fftfreq(n) for n in disks.shape[:2]), indexing="ij"), axis=-1)
    half = (q_scan[..., 0] > 0) | ((q_scan[..., 0] == 0) & (q_scan[..., 1] > 0))
    half &= (np.abs(q_scan) < 0.5).all(axis=-1)
    q, found = q_scan[half] @ np.linalg.inv(raster), coefficients[half]
    signal = (np.abs(found) ** 2 / mean).mean(axis=1) / power
    strong = np.argsort(-signal)[:STRONGEST]
    q, found = q[strong], found[strong]
    fits = []
    for name, matrix, tried in _candidates(survey):
        likelihoods = [
            (float((np.abs((t.conj() * found).sum(axis=1)) ** 2 / (power * ((np.abs(t) ** 2) @ mean) + 1e-9)).sum()), d)
            for t, d in _transfers(survey, k @ np.array(matrix).T, q, tried)
        ]
        most, best = max(likelihoods)
        fits.append(Fit(name, most - len(q), best))
    return fits


def _candidates(survey: Survey) -> Iterator[tuple[str, Matrix, np.ndarray]]:
    """Name, matrix of the detector and defoci in angstrom of what is compared.

    Defoci are those at the middle of the specimen; about the recorded one, as far as is easily wrong.
    """
    defocus, depth = survey.microscope.defocus_angstrom, survey.microscope.depth_of_field
    middle = survey.thickness_angstrom / 2
    reach = max(0.3 * abs(defocus - middle), 0.25 * depth) * np.linspace(-1, 1, DEFOCUS_STEPS)
    for name, matrix in LAYOUTS.items():
        yield name, matrix, defocus - middle + reach
    if abs(defocus) > depth:  # else all of them are in focus
        yield SIGN, LAYOUTS[RECORDED], -defocus - middle + reach
        yield SIZE, LAYOUTS[RECORDED], defocus * np.array(OTHER_DEFOCI) - middle


def _transfers(survey: Survey, k: np.ndarray, q: np.ndarray, defoci: np.ndarray) -> Iterator[tuple[np.ndarray, float]]:
    """T(q, k) for every defocus, and that."""
    microscope = survey.microscope
    wavelength, cutoff = microscope.wavelength, microscope.semi_angle / microscope.wavelength
    dk = survey.angular_step_mrad * 1e-3 / wavelength
    others = {name: value for name, value in microscope.aberrations.items() if name != "C10"}
    here, before, after = k[None], k[None] - q[:, None], k[None] + q[:, None]

    def chi(at: np.ndarray) -> np.ndarray:
        return aberration_phase(at[..., 0], at[..., 1], wavelength, others)

    def squared(at: np.ndarray) -> np.ndarray:
        return -math.pi * wavelength * (at**2).sum(axis=-1)

    open_before, open_after = (aperture(at[..., 0], at[..., 1], cutoff, dk) for at in (before, after))
    minus, plus = chi(here) - chi(before), chi(here) - chi(after)
    minus_slope, plus_slope = squared(here) - squared(before), squared(here) - squared(after)
    for defocus in defoci:
        forth = open_before * np.exp(1j * (minus + defocus * minus_slope))
        back = open_after * np.exp(-1j * (plus + defocus * plus_slope))
        yield 1j * (forth - back), defocus


def _bins(survey: Survey) -> np.ndarray:
    """Mean frequency (y, x) in 1/angstrom of the pixels in use of every bin of the disk [K, 2]."""
    return bins_of(survey)[0] * survey.angular_step_mrad * 1e-3 / survey.microscope.wavelength


def _raster(survey: Survey) -> np.ndarray | None:
    """Matrix from scan index (y, x) to position in angstrom in the region; None where positions are no raster."""
    y0, y1, x0, x1 = survey.lens.region
    positions = survey.positions.reshape(*survey.scan_shape, 2)[y0:y1, x0:x1].reshape(-1, 2)
    index = np.stack(np.meshgrid(np.arange(y1 - y0), np.arange(x1 - x0), indexing="ij"), -1).reshape(-1, 2)
    index = index - index.mean(axis=0)
    if min(y1 - y0, x1 - x0) < SMALLEST_SCAN:
        return None
    away = positions - positions.mean(axis=0)
    matrix = np.linalg.lstsq(index, away, rcond=None)[0].T
    spread = float(np.sqrt(((away - index @ matrix.T) ** 2).sum(axis=1).mean()))
    area = abs(float(np.linalg.det(matrix)))
    return matrix if area > 0 and spread < 0.5 * math.sqrt(area) else None


def _without_misfires(disks: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Patterns of the region with the mean in place of those that are missing or far off in their sum."""
    totals = np.where(missing, np.nan, disks.sum(axis=-1))
    middle = np.nanmedian(totals)
    odd = missing | (totals > 3 * middle + 20) | (totals < 0.1 * middle - 2)
    return np.where(odd[..., None], disks[~odd].mean(axis=0), disks)


def _hann(n: int) -> np.ndarray:
    """Window with edges of a tenth, against leakage of strong frequencies."""
    edge = max(2, n // 10)
    window = np.ones(n)
    window[:edge] = 0.5 - 0.5 * np.cos(math.pi * (np.arange(edge) + 0.5) / edge)
    window[-edge:] = window[:edge][::-1]
    return window
