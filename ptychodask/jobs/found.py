"""What a refinement found, by the names that people use."""

from __future__ import annotations

import cmath
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..model.optics import Microscope
from ..model.refining import Refine, Refined, Refining
from ..model.row_drift import NAMES as ROWS
from ..model.state import Model
from ..solver.problem import Problem
from ..solver.unknowns.geometry import errors
from .geometry import CHI, PARTS

MOVED, HELD = "refined with the image", "held: the electrons cannot tell"
RIGHT = "held: where the dataset says, as far as the electrons can tell"
WAVES = {name: (its[0], its[1]) for name, its in PARTS.items() if len(its) == 2}
"""Aberrations with an angle: their Cartesian parts."""


def found(its: Refine, at: Refining, microscope: Microscope) -> Refined:
    """What a refinement has come to."""
    changes = dict(zip(its.names, at.values.tolist(), strict=True))
    matrix = tuple(map(tuple, its.matrix(at.values).tolist()))
    aberrations = {name: changes[name] for name in its.names if name in CHI}
    drift, across = its.row_drift(at.values), (its.across[0] / its.pixel, its.across[1] / its.pixel)
    rows = () if drift is None else tuple((float(y), float(x)) for y, x in drift.amplitudes * its.pixel)
    values = _values(its, at, microscope)
    return Refined(matrix, _aberrations(microscope, aberrations), values, rows, across)  # type: ignore[arg-type]


def _aberrations(microscope: Microscope, changes: Mapping[str, float]) -> dict[str, float]:
    """Krivanek coefficients after changes of Cartesian ones, those that changed."""
    before, after = microscope.aberrations, {}
    for name in ("defocus", "c30"):
        if name in changes:
            key = "C10" if name == "defocus" else "C30"
            after[key] = float(before.get(key, 0.0)) + changes[name] * CHI[name][key]
    for name, (a, b) in WAVES.items():
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
        how = MOVED if any(free[part] for part in parts) else HELD
        told[name] = {"value": value * unit, "sigma": error * unit, "how": how}

    if "defocus" in free:
        tell("defocus_angstrom", -new["C10"], sigma["defocus"], ("defocus",))
    for name, (a, b) in WAVES.items():
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
    if its.drifts:
        amplitudes, each = at.values[-its.drifts :], np.array([sigma[name] for name in ROWS])
        rms = float(np.sqrt((amplitudes**2).sum()))
        along = float(np.hypot.reduce(amplitudes * each)) / rms if rms else float(np.sqrt((each**2).mean()))
        tell("drift_angstrom", rms, along, ROWS)
    return told


def with_places(attributes: Mapping[str, Any], problem: Problem, model: Model) -> dict[str, Any]:
    """Attributes of a result, with how far patterns moved each on its own, RMS of both axes, among its geometry."""
    rules, its = problem.settings.places, model.places
    if rules is None or its is None:
        return dict(attributes)
    nothing: dict[str, Any] = {"matrix": np.eye(2).tolist(), "aberrations": {}, "values": {}}
    said, pixel = json.loads(attributes.get("geometry", "{}")) or nothing, problem.canvas.pixel

    def rms(lengths: np.ndarray) -> float:
        return pixel * float(np.sqrt((lengths**2).sum(axis=1).mean()))

    seen = its.information.any(axis=1)
    held = RIGHT if rules.told_by(its.information[seen]) else HELD
    its_own = {
        "value": rms(its.off[seen]),
        "sigma": rms(its.errors(rules.prior)[seen]),
        "how": MOVED if its.off.any() else held,
    }
    values = {**said["values"], "positions_angstrom": its_own}
    return {**attributes, "geometry": json.dumps({**said, "values": values})}
