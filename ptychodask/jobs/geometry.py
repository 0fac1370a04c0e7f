"""What of the geometry may move in a job, and how far. Loads no solver."""

from __future__ import annotations

import math

import numpy as np

from .._errors import InputError
from ..io.dataset import DatasetInfo
from ..model.config import AUTO, JobConfig
from ..model.geometry import Geometry, geometry_of
from ..model.optics import Microscope
from ..model.places import PlaceRules
from ..model.refining import ABERRATIONS, KNOWN, Refine
from ..model.row_drift import NAMES as ROWS
from ..model.row_drift import across_of
from ..model.scan import Canvas
from ..model.selection import Selection
from ..physics.probe import aberration_phase

PARTS = {"c12": ("c12a", "c12b"), "c21": ("c21a", "c21b"), "drift": ROWS, "positions": ()}
"""Numbers of what has several; patterns that move each on its own do so while the image is made."""
CHI: dict[str, dict[str, float]] = {
    "defocus": {"C10": -1.0},
    "c12a": {"C12": 1.0},
    "c12b": {"C12": 1.0, "phi12": math.pi / 4},
    "c21a": {"C21": 1.0},
    "c21b": {"C21": 1.0, "phi21": math.pi / 2},
    "c30": {"C30": 1.0},
}
UNIT, PRIOR, LIMIT = 0.3, 1.6, 5.0
"""Of aberrations, in rad at the edge of the aperture: for the defocus 20, 100 and 310 angstrom at 10 mrad."""
SCAN = {"rotation": (0.01, 0.04, 0.08), "scale": (0.01, 0.01, 0.03), "asymmetry": (0.01, 0.03, 0.08),
        "shear": (0.01, 0.03, 0.08)}  # fmt: skip
"""Unit, prior and limit of numbers of the scan."""
KNOWN_WIDE, WIDE = 0.25, 15.0
"""What ``KNOWN`` is of asymmetry and shear above so many mrad.

Positions and focus that are stretched alike give the same parallax: the scale goes with the defocus, asymmetry and
shear go with C12. Along that the object follows, and its noise pulls: at 21 mrad, 64 x 64 positions of 100 e/A^2, they
end 4 % and more from what is right, and 1.2 % is stated. With nine times the electrons they end within 1.5 %.
"""
DRIFT, FEWEST_ROWS = (0.1, 0.5, 1.5), 16
"""The same of amplitudes of the drift, angstrom; and rows from which it is looked for."""
PLACE, FURTHEST_PLACE = 0.25, 1.5
"""Prior and limit of the place of a pattern by itself along an axis, angstrom."""
MOST_BLUR = 0.2
"""Angstrom; patterns that are predicted through more of it find places that are worse than those at the start."""
ENOUGH_FOR_PLACES = 40
"""Iterations in which what neighbouring patterns share is found for the most part; it creeps."""
BEGINS, MOVES, SETTLED = 4, 8, 3
"""Iterations before the geometry moves and in which it does, and the last ones of those, whose mean is kept."""
INFORM = 128
"""Patterns of a pass that measure the information, which is averaged over passes: others in every pass."""
SCORED = 4
"""Where the geometry is cross-fitted, one pattern of so many scores it in a pass, and measures the information."""
HALF, CROSSED_BELOW = 0.5, 1000.0
"""Share of the electrons that score the geometry where it is cross-fitted; and the dose in electrons per square
angstrom below which it is: from there on an object hardly takes up noise, and the second pass is for nothing."""
PART = 128
"""Largest side of the part of a scan by which the geometry of an object in tiles is found."""
FINE, MOST_PADDED = 0.44, 2.0
"""Largest pixel of the object while the geometry moves, angstrom; and how many times larger patterns are at most."""


def _words(job: JobConfig) -> tuple[str, ...]:
    asked = job.geometry.refine
    return (asked,) if isinstance(asked, str) else asked


def wanted(job: JobConfig) -> tuple[str, ...]:
    """Numbers that may move, aberrations first."""
    asked = job.geometry.refine
    if asked in ("none", "calibrated"):  # the latter is settled where a run begins
        return ()
    names = dict.fromkeys(name for word in _words(job) for name in (AUTO if word == "auto" else (word,)))
    parts = [part for name in names for part in PARTS.get(name, (name,))]
    order = (*ABERRATIONS, *SCAN, *ROWS)
    return tuple(sorted(parts, key=order.index))


def _decided(job: JobConfig) -> frozenset[str]:
    """Numbers that move only where the electrons know them: those of ``auto`` that are not named themselves."""
    words = _words(job)
    names = [name for name in AUTO if "auto" in words and name not in words]
    return frozenset(part for name in names for part in PARTS.get(name, (name,)))


def moves_places(job: JobConfig) -> bool:
    """Does every pattern move on its own?"""
    return "positions" in _words(job)


def place_rules(job: JobConfig, pixel: float) -> PlaceRules | None:
    """As the solver wants it, for a canvas pixel in angstrom."""
    return PlaceRules(BEGINS, PLACE / pixel, FURTHEST_PLACE / pixel) if moves_places(job) else None


def check_refinement(job: JobConfig, microscope: Microscope, scan_shape: tuple[int, int], tiles: bool) -> None:
    """Refuse what cannot be refined, of a scan whose object is in ``tiles`` or whole.

    Raises
    ------
    InputError
        Naming the option and the remedy.
    """
    if {"scale", "defocus"} <= set(wanted(job)) and microscope.semi_angle_mrad > WIDE:
        raise InputError(
            f"geometry.refine with scale and defocus at {microscope.semi_angle_mrad:g} mrad: the one makes up for the"
            " other, and both run away: leave scale out, which the step gives"
        )
    if moves_places(job) and job.object.regularisation == "blur" and job.object.blur_angstrom > MOST_BLUR:
        raise InputError(
            f"geometry.refine = positions with object.blur_angstrom = {job.object.blur_angstrom:g}: what is blurred"
            f" does not say where a pattern is: use at most {MOST_BLUR:g}, or object.regularisation = spectral"
        )
    if moves_places(job) and job.solver.residual == "amplitude":
        raise InputError(
            "geometry.refine = positions with solver.residual = amplitude: right scans are stretched by 3 % (the"
            " Poisson residual does not): set solver.residual = poisson"
        )
    if moves_places(job) and job.solver.iterations <= BEGINS:
        raise InputError(
            f"geometry.refine = positions with solver.iterations = {job.solver.iterations}: patterns move from"
            f" iteration {BEGINS} on: use more, such as {ENOUGH_FOR_PLACES}"
        )
    if ROWS[0] not in wanted(job):
        return
    if scan_shape[0] < FEWEST_ROWS or scan_shape[1] < 2:
        raise InputError(
            f"geometry.refine = drift of a scan of {scan_shape[0]} x {scan_shape[1]} positions: {FEWEST_ROWS} rows of 2"
            " are needed, leave drift out"
        )
    if tiles and max(scan_shape) > PART:
        raise InputError(
            f"geometry.refine = drift of an object in tiles: the geometry is found by {PART} rows of the"
            f" {scan_shape[0]}, whose drift is not that of the others: use 'ptychodask calibrate --write', or"
            " engine.object_gib = none where the object fits into memory"
        )


def crosses(job: JobConfig, info: DatasetInfo) -> bool:
    """Is the geometry scored by electrons that the object does not learn from?

    Only whole ones can be dealt out, and the spectral prior, without which such a score is biased, is for phases.
    """
    few = float(info.attributes["dose_per_square_angstrom"]) < CROSSED_BELOW
    rules = job.object
    whole = np.dtype(info.dtype).kind == "u"
    return few and whole and rules.kind == "phase" and bool(rules.residual or rules.aperiodic_floor)


def calibrated(info: DatasetInfo) -> bool:
    """Does the dataset's geometry come from its counts, by ``calibrate --write``: neither from a refinement yet, nor
    from positions of a selection?"""
    said = info.attributes.get("calibration")
    if info.selection is not None and info.selection.positions:
        return False
    return isinstance(said, dict) and isinstance(said.get("values"), dict) and "from" not in said


def pixels_of_stage(pixels: int, pixel: float) -> int:
    """Side to which patterns are padded, a multiple of 8, or 0 where the object's pixel is small enough.

    What scatters beyond the detector would be folded back into it, which biases all numbers by 1 to 2 %.
    """
    wide = 8 * math.ceil(pixels * min(pixel / FINE, MOST_PADDED) / 8)
    return wide if wide > pixels else 0


def part_of(info: DatasetInfo) -> Selection | None:
    """The middle of a scan whose object is in tiles, by which its geometry is found with the object whole; None for all
    of the scan, where that is no larger."""
    (rows, columns), its = info.scan_shape, info.selection
    if max(rows, columns) <= PART:
        return its
    y, x = (slice(max(0, (n - PART) // 2), max(0, (n - PART) // 2) + PART) for n in (rows, columns))
    if its is not None and its.positions:
        raise InputError(
            f"geometry.refine of an object in tiles takes {PART} x {PART} positions of the scan, which has positions of"
            " its own: set geometry.refine = none, or write them into a dataset"
        )
    of_rows, of_columns = (range(rows), range(columns)) if its is None else (its.rows, its.columns)
    return Selection(tuple(of_rows[y]), tuple(of_columns[x]), "" if its is None else its.mask)


def start_of(info: DatasetInfo) -> Geometry:
    """Numbers of the scan that the dataset's positions mean; where these are no raster, those of no change."""
    from ..calibration.run import recorded_raster  # loads compiled code, which jobs that refine nothing do without

    try:
        return geometry_of(recorded_raster(info))
    except InputError:
        return Geometry()


def room_to_move(job: JobConfig, positions: np.ndarray, pixel: float) -> int:
    """Pixels around the canvas that positions may need while they move."""
    limits = sum(SCAN[name][2] for name in wanted(job) if name in SCAN)
    drift = 2 * DRIFT[2] if ROWS[0] in wanted(job) else 0.0  # one cosine at its limit and others with it
    return math.ceil((limits * math.hypot(*np.ptp(positions, axis=0)) / 2 + drift) / pixel)


def _across(info: DatasetInfo, centres: np.ndarray) -> tuple[float, float]:
    y, x = across_of(centres, info.scan_shape)
    return float(y), float(x)


def refine_rules(
    job: JobConfig, info: DatasetInfo, microscope: Microscope, canvas: Canvas, centres: np.ndarray, pixels: int
) -> Refine:
    """As the solver wants it."""
    names = wanted(job)
    k, length = np.fft.fftfreq(pixels, canvas.pixel), microscope.wavelength
    chis = [name for name in names if name in CHI]
    phases = [aberration_phase(k[:, None], k[None, :], length, CHI[name]) for name in chis]
    edge = np.array([microscope.semi_angle / length])
    at_edge = [
        float(abs(aberration_phase(edge * 0, edge, length, {**CHI[name], "phi12": 0, "phi21": 0})[0])) for name in chis
    ]
    units, prior, limits = (
        np.array(
            [share / rad for rad in at_edge]
            + [SCAN[name][i] for name in names if name in SCAN]
            + [DRIFT[i]] * len([name for name in names if name in ROWS])
        )
        for i, share in enumerate((UNIT, PRIOR, LIMIT))
    )
    wide = microscope.semi_angle_mrad > WIDE
    narrow, decided = ("asymmetry", "shear") if wide else (), _decided(job)
    known = np.array([math.inf if n not in decided else KNOWN_WIDE if n in narrow else KNOWN for n in names])
    return Refine(
        names,
        start_of(info),
        np.array(phases, np.float32).reshape(-1, pixels, pixels),
        units,
        prior,
        limits,
        centre=(float(centres[:, 0].mean()), float(centres[:, 1].mean())),
        begins=BEGINS,
        stride=max(1, math.prod(info.scan_shape) // INFORM),
        known=known,
        crossed=crosses(job, info),
        scored=SCORED,
        across=_across(info, centres) if ROWS[0] in names else (0.0, 0.0),
        pixel=canvas.pixel,
    )
