"""``calibrate``: a glance for the disk, one pass for the bright field, the likelihood; and what is written of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from .. import _arguments as arguments
from .._errors import InputError
from ..io.centre import centre_of
from ..io.dataset import DatasetInfo, placed
from ..io.geometry import check_writable, write_geometry
from ..io.selected import positions_of
from ..model.geometry import geometry_of
from ..model.optics import ANGLES, COEFFICIENTS, LARGEST_FOCUS, defocus_of
from ..physics.probe import aberration_phase
from .bright_field import make_bins, make_spectrum, misfires, rows_of
from .centring import as_stored, better, rough, smear_of, used_of
from .descan import window
from .disk import Disk, fit_disk
from .drift import row_drift
from .estimate import estimate
from .notes import doubts, drift_notes, notes_of
from .read import Steps, read_bright_field, stored
from .table import Calibration, values_of
from .weak_phase import Optics, Phase

SMALLEST_SCAN = 16
"""Positions along each axis."""
JITTER = 0.25
"""RMS distance in steps of positions from a raster up to which they are one."""
EDGE = 1.5
"""Sides of a bin over which it sees the aperture's edge fall."""
FROM_DISK = ("angular_step_from", "the disk")
"""Attribute of a dataset whose angular step an import found by the disk and the semi-angle."""
FITS = 1.2
"""Times the box of the patterns, the width of the probe up to which its defocus is looked for."""


def calibrate(
    info: DatasetInfo,
    client: Any = None,
    *,
    workers: int | None = None,
    write: bool = False,
    thickness_angstrom: float | None = None,
    progress: Steps | None = None,
    **known: Any,
) -> Calibration:
    """The geometry of a dataset, see :func:`ptychodask.calibrate`."""
    target = None
    if write:
        if info.selection is not None:
            raise InputError("only a whole dataset can be written to: give its path, or write=False for a selection")
        target = check_writable(info.path)
    given, transpose = _given(**known)
    thickness = info.attributes.get("thickness_angstrom") if thickness_angstrom is None else thickness_angstrom
    depth = arguments.number(thickness or 0.0, "thickness_angstrom", "the specimen's thickness in angstrom", 0, 1e5)
    if "defocus" in given:
        given["defocus"] -= depth / 2  # the likelihood's is that of the middle
    if min(info.scan_shape) < SMALLEST_SCAN:
        raise InputError(
            f"a scan of {info.scan_shape[0]} x {info.scan_shape[1]} positions: at least {SMALLEST_SCAN} x"
            f" {SMALLEST_SCAN} are needed for its Fourier coefficients"
        )
    recorded = recorded_raster(info)
    there, first = rough(as_stored(info))
    used = used_of(there)
    bins = make_bins(used, first.centre, first.radius)
    about = window(info.detector.pixels, first.centre, first.radius, used)
    field = read_bright_field(there, bins, client, workers, progress, about)
    odd = misfires(field.totals)
    disk = fit_disk(field.pattern, used, field.patterns, smear_of(there))
    centring = better(there, field, disk, odd)
    scope, angle = info.microscope, _angular_step(info, disk)
    dk = angle * 1e-3 / scope.wavelength
    optics = Optics(
        scope.wavelength, disk.radius * dk, EDGE * bins.side * dk, _higher(scope.aberrations, scope.wavelength)
    )
    spectrum = make_spectrum(
        field.electrons, field.scan_shape, info.scan_step, bins, disk.centre, disk.level, dk, optics.cutoff, odd
    )
    found = estimate(
        spectrum,
        optics,
        disk.radius * angle * 1e-3,
        field.scan_shape,
        info.scan_step,
        bins.side * dk,
        thickness=depth,
        reach=min(1.5 * abs(scope.defocus_angstrom), FITS / (dk * 2 * scope.semi_angle)),
        given=given,
        transpose=transpose,
    )
    rows = rows_of(field.electrons, field.scan_shape, bins, disk.level, odd)
    drift = row_drift(rows, field.scan_shape, spectrum, found.held.geometry, optics, info.scan_step)
    if tuple(info.scan_shape) != field.scan_shape:  # of a part nobody knows how the other rows go on
        drift = None
    said = _said(info, recorded)
    at_scan = replace(disk, centre=(float(centring.centre[0]), float(centring.centre[1])))
    values = values_of(at_scan, found, said, {name for name, value in known.items() if value is not None})
    at = found.held.geometry
    notes = [
        *notes_of(info, values, centring, angle),
        *doubts(found.skew, found.margin, int(odd.sum())),
        *drift_notes(drift),
        *_partly(info, field.scan_shape),
    ]
    mean = field.pattern / field.patterns
    made = Calibration(
        info.path, values, tuple(notes), at, at.defocus + depth / 2, disk, found, mean, info.scan_step, centring, drift
    )
    if target is not None:
        affine = affine_of(info, made)
        aberrations = {**scope.aberrations, **aberrations_of(made)}
        how: dict[str, Any] = {"values": made.as_dict(), "matrix": at.stored_matrix}
        if drift is not None:
            how["drift"] = {"rms": drift.rms, "sigma": drift.sigma, "nats": drift.nats, "how": "lattice, row by row"}
        write_geometry(
            target, affine, aberrations, how,
            drift=None if drift is None or not drift.certain else drift.placed(at),
            centre=centring.plane, angular_step_mrad=None if angle == info.detector.angular_step_mrad else angle,
            thickness_angstrom=None if thickness_angstrom is None else depth,
        )  # fmt: skip
    return made


def _angular_step(info: DatasetInfo, disk: Disk) -> float:
    """mrad per pixel: what was given, or what the disk shows where an import found it so, from fewer patterns."""
    if info.attributes.get(FROM_DISK[0]) == FROM_DISK[1]:
        return info.microscope.semi_angle_mrad / disk.radius
    return info.detector.angular_step_mrad


def aberrations_of(made: Calibration) -> dict[str, float]:
    """Krivanek coefficients that were found, in the axes of the stored patterns."""
    at = made.geometry
    turned = {"C12": at.c12, "phi12": _stored_phi12(made)} if at.c12 >= 1e-3 else {"C12": 0.0, "phi12": 0.0}
    return {"C10": 0.0 - made.defocus_angstrom, **turned}


def affine_of(info: DatasetInfo, made: Calibration) -> np.ndarray:
    """Map [2, 3] from recorded positions (y, x, 1) to those in the axes of the detector, about the scan's centre."""
    positions = positions_of(info, recorded=True)
    raster = _fitted(positions, info.scan_shape)[0] / np.array(
        info.scan_step
    )  # from the nominal raster to recorded ones
    matrix = made.geometry.stored_matrix @ np.linalg.inv(raster)
    centre = positions.mean(axis=0)
    return np.concatenate([matrix, (centre - matrix @ centre)[:, None]], axis=1)


def recorded_raster(info: DatasetInfo) -> np.ndarray:
    """Map [2, 2] from the nominal raster to the dataset's positions.

    Raises
    ------
    InputError
        If the positions are no raster.
    """
    own = info.selection is not None and bool(info.selection.positions)
    positions, affine = positions_of(info, recorded=True), info.attributes.get("scan_affine")
    if affine is not None and not own:  # without what a calibration found of drift
        positions = placed(positions, affine)
    matrix, spread = _fitted(positions, info.scan_shape)
    step = min(info.scan_step)
    if not spread < JITTER * step or abs(np.linalg.det(matrix)) < 1e-3 * step**2:
        raise InputError(
            f"the recorded positions lie {spread:.3g} A (RMS) from any raster, at most {JITTER:g} of the step"
            f" {step:.3g} A is allowed: the likelihood needs a raster, row by row in the same direction; select such a"
            " part, or write the dataset with a raster"
        )
    return matrix / np.array(info.scan_step)


def _fitted(positions: np.ndarray, scan_shape: tuple[int, int]) -> tuple[np.ndarray, float]:
    """Map [2, 2] from the scan's index (y, x) to positions in angstrom, and their RMS distance from it."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in scan_shape), indexing="ij"), -1).reshape(-1, 2)
    index, away = index - index.mean(axis=0), positions - positions.mean(axis=0)
    matrix = np.linalg.lstsq(index, away, rcond=None)[0].T
    return matrix, float(np.sqrt(((away - index @ matrix.T) ** 2).sum(axis=1).mean()))


def _given(
    *,
    defocus_angstrom: float | None = None,
    c12_angstrom: float | None = None,
    phi12_rad: float | None = None,
    rotation_degrees: float | None = None,
    transpose: bool | None = None,
    scale: float | None = None,
    asymmetry: float | None = None,
    shear: float | None = None,
) -> tuple[dict[str, float], bool | None]:
    """What the user knows, by the names of the fit."""
    found: dict[str, float] = {}
    if defocus_angstrom is not None:
        found["defocus"] = defocus_of(defocus_angstrom)
    if rotation_degrees is not None:
        wanted = "the rotation of the scan in degrees"
        found["rotation"] = math.radians(arguments.number(rotation_degrees, "rotation_degrees", wanted, -360, 360))
    for name, value, wanted, low, high in (
        ("scale", scale, "the scan's step over the nominal one", 0.5, 2),
        ("asymmetry", asymmetry, "the difference of the scan's steps y and x over their mean", -0.5, 0.5),
        ("shear", shear, "the shear of the scan", -0.5, 0.5),
    ):
        if value is not None:
            found[name] = arguments.number(value, name, wanted, low, high)
    if phi12_rad is not None and c12_angstrom is None:
        raise InputError("phi12_rad is the angle of c12_angstrom, which is not given: give both, or neither")
    if c12_angstrom is not None:
        c12 = arguments.number(c12_angstrom, "c12_angstrom", "the astigmatism in angstrom", 0, LARGEST_FOCUS)
        if phi12_rad is None and c12 > 0:
            raise InputError(f"c12_angstrom = {c12:g} without its angle: give phi12_rad too")
        angle = arguments.number(phi12_rad or 0.0, "phi12_rad", "its angle in rad, not in degrees", -math.pi, math.pi)
        found |= {"c12a": c12 * math.cos(2 * angle), "c12b": c12 * math.sin(2 * angle)}
    return found, None if transpose is None else arguments.switch(transpose, "transpose")


def _higher(aberrations: Mapping[str, float], wavelength: float) -> Any:
    """Phase of all recorded aberrations but defocus and twofold astigmatism; None where there are none."""
    names = [name for name in (*COEFFICIENTS, *ANGLES) if name not in ("C10", "C12", "phi12")]
    kept = {name: aberrations[name] for name in names if aberrations.get(name)}
    if not any(name in COEFFICIENTS for name in kept):
        return None
    return phase_of(wavelength, kept)


def phase_of(wavelength: float, aberrations: Mapping[str, float]) -> Phase:
    """Phase chi(ky, kx) of aberrations."""
    return partial(_phase, wavelength=wavelength, aberrations=aberrations)


def _phase(ky: np.ndarray, kx: np.ndarray, wavelength: float, aberrations: Mapping[str, float]) -> np.ndarray:
    return aberration_phase(ky, kx, wavelength, aberrations).astype(np.result_type(ky, kx))


def _said(info: DatasetInfo, recorded: np.ndarray) -> dict[str, float | bool]:
    """What the dataset says, in the axes of the patterns that its own positions mean."""
    at, aberrations, n = geometry_of(recorded), info.microscope.aberrations, info.detector.pixels
    angle = float(aberrations.get("phi12", 0.0))
    known = centre_of(info.attributes, n)
    y, x = (n // 2, n // 2) if known is None else known.at(*stored(info)).mean(axis=(0, 1))
    return {
        "defocus_angstrom": info.microscope.defocus_angstrom,
        "c12_angstrom": float(aberrations.get("C12", 0.0)),
        "phi12_rad": (math.pi / 2 - angle if at.transpose else angle) % math.pi,
        "rotation_degrees": math.degrees(at.rotation),
        "transpose": at.transpose,
        "scale": at.scale,
        "asymmetry": at.asymmetry,
        "shear": at.shear,
        "centre_y_pixels": float(y),
        "centre_x_pixels": float(x),
        "semi_angle_pixels": info.microscope.semi_angle_mrad / info.detector.angular_step_mrad,
    }


def _stored_phi12(made: Calibration) -> float:
    """Angle of the astigmatism in the axes of the stored patterns: exchanging them mirrors it at 45 degrees."""
    angle = made.geometry.phi12
    return (math.pi / 2 - angle) % math.pi if made.geometry.transpose else angle


def _partly(info: DatasetInfo, read: tuple[int, int]) -> list[str]:
    if read == tuple(info.scan_shape):
        return []
    return [f"of {info.scan_shape[0]} x {info.scan_shape[1]} positions the middle {read[0]} x {read[1]} were used"]
