"""What of the geometry may move in a job, and what was found, by the names that people use."""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._errors import InputError
from ..calibration.run import recorded_raster
from ..io.dataset import DatasetInfo
from ..model.config import AUTO, JobConfig
from ..model.geometry import Geometry, geometry_of
from ..model.optics import Microscope
from ..model.refining import ABERRATIONS, Refine, Refined, Refining
from ..model.scan import Canvas
from ..physics.probe import aberration_phase
from ..solver.geometry import errors

PARTS = {"c12": ("c12a", "c12b"), "c21": ("c21a", "c21b")}
"""Numbers of what has an angle."""
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
BEGINS, MOVES, SETTLED = 4, 12, 4
"""Iterations before the geometry moves and in which it does, and the last ones of those, whose mean is kept."""
STRIDE, FEWEST = 16, 512
"""One pattern of so many measures the information, but not fewer than this."""


def wanted(job: JobConfig) -> tuple[str, ...]:
    """Numbers that may move, aberrations first."""
    asked = job.geometry.refine
    if asked == "none":
        return ()
    names = AUTO if asked == "auto" else asked
    parts = [part for name in names for part in PARTS.get(name, (name,))]
    order = (*ABERRATIONS, *SCAN)
    return tuple(sorted(parts, key=order.index))


def check_refinement(job: JobConfig, microscope: Microscope, in_tiles: bool) -> None:
    """Refuse what cannot be refined.

    Raises
    ------
    InputError
        Naming the option and the remedy.
    """
    names = wanted(job)
    if not names:
        return
    if in_tiles:
        raise InputError(
            "geometry.refine needs the object whole, which engine.tile_pixels or engine.object_gib keep in tiles:"
            " refine a part of the scan and calibrate with what it finds, or set geometry.refine = none"
        )
    if {"scale", "defocus"} <= set(names) and microscope.semi_angle_mrad > 15:
        raise InputError(
            f"geometry.refine with scale and defocus at {microscope.semi_angle_mrad:g} mrad: the one makes up for the"
            " other, and both run away: leave scale out, which the step gives"
        )


def start_of(info: DatasetInfo) -> Geometry:
    """Numbers of the scan that the dataset's positions mean; where these are no raster, those of no change."""
    try:
        return geometry_of(recorded_raster(info))
    except InputError:
        return Geometry()


def room_to_move(job: JobConfig, positions: np.ndarray, pixel: float) -> int:
    """Pixels around the canvas that positions may need while they move."""
    limits = sum(SCAN[name][2] for name in wanted(job) if name in SCAN)
    return math.ceil(limits * math.hypot(*np.ptp(positions, axis=0)) / 2 / pixel)


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
        np.array([share / rad for rad in at_edge] + [SCAN[name][i] for name in names if name in SCAN])
        for i, share in enumerate((UNIT, PRIOR, LIMIT))
    )
    return Refine(
        names,
        start_of(info),
        np.array(phases, np.float32).reshape(-1, pixels, pixels),
        units,
        prior,
        limits,
        centre=(float(centres[:, 0].mean()), float(centres[:, 1].mean())),
        begins=BEGINS,
        stride=max(1, min(STRIDE, math.prod(info.scan_shape) // FEWEST)),
        decides=job.geometry.refine == "auto",
    )


def found(its: Refine, at: Refining, microscope: Microscope) -> Refined:
    """What a refinement has come to."""
    changes = dict(zip(its.names, at.values.tolist(), strict=True))
    matrix = tuple(map(tuple, its.matrix(at.values).tolist()))
    aberrations = {name: changes[name] for name in its.names if name in CHI}
    return Refined(matrix, _aberrations(microscope, aberrations), _values(its, at, microscope))  # type: ignore[arg-type]


def _aberrations(microscope: Microscope, changes: Mapping[str, float]) -> dict[str, float]:
    """Krivanek coefficients after changes of Cartesian ones, those that changed."""
    before, after = microscope.aberrations, {}
    for name in ("defocus", "c30"):
        if name in changes:
            key = "C10" if name == "defocus" else "C30"
            after[key] = float(before.get(key, 0.0)) + changes[name] * CHI[name][key]
    for name, (a, b) in PARTS.items():
        if a in changes:
            key, m = name.upper(), int(name[2])
            angle = f"phi{name[1:]}"
            wave = float(before.get(key, 0.0)) * cmath.exp(1j * m * float(before.get(angle, 0.0)))
            wave += complex(changes[a], changes[b])
            after |= {key: abs(wave), angle: cmath.phase(wave) / m % (2 * math.pi / m)}
    return after


def _values(its: Refine, at: Refining, microscope: Microscope) -> dict[str, dict[str, Any]]:
    """``{name: {"value", "sigma", "how"}}`` by the names of ``ptychodask calibrate --json``."""
    sigma = dict(zip(its.names, errors(its, at).tolist(), strict=True))
    free = dict(zip(its.names, at.free.tolist(), strict=True))
    new = {
        **microscope.aberrations,
        **_aberrations(microscope, {n: float(v) for n, v in zip(its.names, at.values, strict=True) if n in CHI}),
    }
    scan, told = its.geometry(at.values), dict[str, dict[str, Any]]()

    def tell(name: str, value: float, error: float, parts: tuple[str, ...], unit: float = 1.0) -> None:
        how = "refined with the image" if any(free[part] for part in parts) else "held: the electrons cannot tell"
        told[name] = {"value": value * unit, "sigma": error * unit, "how": how}

    if "defocus" in free:
        tell("defocus_angstrom", -new["C10"], sigma["defocus"], ("defocus",))
    for name, (a, b) in PARTS.items():
        if a not in free:
            continue
        size, m = new[name.upper()], int(name[2])
        angle = new[f"phi{name[1:]}"]
        cos, sin = math.cos(m * angle), math.sin(m * angle)
        tell(f"{name}_angstrom", size, math.hypot(cos * sigma[a], sin * sigma[b]), (a, b))
        across = math.hypot(sin * sigma[a], cos * sigma[b]) / (m * max(size, 1e-12))
        shown = (math.pi / 2 - angle) % math.pi if its.start.transpose and m == 2 else angle
        tell(f"phi{name[1:]}_rad", shown, min(across, math.pi / m / 3**0.5), (a, b))
    if "c30" in free:
        tell("c30_angstrom", new["C30"], sigma["c30"], ("c30",))
    for name in its.scans:
        turns = name == "rotation"
        tell(
            "rotation_degrees" if turns else name,
            getattr(scan, name),
            sigma[name],
            (name,),
            180 / math.pi if turns else 1,
        )
    return told
