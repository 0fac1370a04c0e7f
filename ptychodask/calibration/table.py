"""What was found, as people and programs read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._tables import Row, table
from ..model.geometry import Geometry
from .centring import Centring
from .disk import Disk
from .drift import Drift
from .estimate import Estimate

NAMES: dict[str, tuple[str, str]] = {
    "defocus_angstrom": ("defocus", "Å"),
    "c12_angstrom": ("C12", "Å"),
    "phi12_rad": ("phi12", "rad"),
    "rotation_degrees": ("rotation", "°"),
    "transpose": ("transpose", ""),
    "scale": ("scale", ""),
    "asymmetry": ("asymmetry", ""),
    "shear": ("shear", ""),
    "centre_y_pixels": ("centre y", "pixels"),
    "centre_x_pixels": ("centre x", "pixels"),
    "semi_angle_pixels": ("semi-angle", "pixels"),
}
"""Names of the values, and how people read them: label and unit."""
LIKELIHOOD, DISK, GIVEN = "weak-phase likelihood", "ellipse on the mean pattern", "given"


@dataclass(frozen=True)
class Value:
    """A number, its standard error (None where there is none), how it was got, and what the dataset said."""

    value: float | bool
    sigma: float | None
    how: str
    said: float | bool | None = None


@dataclass(frozen=True)
class Calibration:
    """Geometry of a dataset, from its counts.

    Parameters
    ----------
    path : str
        Of the dataset.
    values : mapping
        Every :class:`Value` by its name, see :data:`NAMES`.
    notes : tuple of str
        What else to know.
    geometry : Geometry
        What is handed on to a reconstruction: with the scale held at its nominal value, or at the given one.
    defocus_angstrom : float
        That goes with it; at the entrance surface where the thickness is known, else at the middle of the specimen.
    disk, estimate, pattern, step
        What the picture shows: the disk, the estimate, the mean pattern [N, N], moved so that zero angle is in its
        centre, and the nominal step (y, x) in angstrom.
    centring : Centring
        Where the disk is in stored patterns, and how it moves over the scan.
    drift : Drift, optional
        Of the rows of the scan; None where the specimen shows no lattice.
    """

    path: str
    values: Mapping[str, Value]
    notes: tuple[str, ...]
    geometry: Geometry
    defocus_angstrom: float
    disk: Disk = field(repr=False)
    estimate: Estimate = field(repr=False)
    pattern: np.ndarray = field(repr=False)
    step: tuple[float, float] = (1.0, 1.0)
    centring: Centring | None = field(default=None, repr=False)
    drift: Drift | None = field(default=None, repr=False)

    def __getitem__(self, name: str) -> float | bool:
        return self.values[name].value

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """``{name: {"value", "sigma", "how"}}``, as ``ptychodask calibrate --json`` prints it."""
        return {name: {"value": v.value, "sigma": v.sigma, "how": v.how} for name, v in self.values.items()}

    def lines(self) -> list[tuple[str, str, str, str, str]]:
        """Label, value with its unit, standard error, what the dataset said, and how it was got."""
        found = []
        for name, its in self.values.items():
            label, unit = NAMES[name]
            digits = _digits(its.sigma)
            sigma = "" if its.sigma is None else f"± {its.sigma:.{digits}f}"
            said = "" if its.said is None else _text(its.said, digits)
            found.append((label, f"{_text(its.value, digits)} {unit}".strip(), sigma, said, its.how))
        return found

    def rows(self) -> tuple[Row, ...]:
        """The same, as rows for a table of text."""
        return tuple(
            (label, f"{value} {sigma}".strip(), how + (f"; the dataset says {said}" if said else ""), None)
            for label, value, sigma, said, how in self.lines()
        )

    def __str__(self) -> str:
        return "\n".join([self.path, table(self.rows()), *(f"note: {note}" for note in self.notes)])


def values_of(disk: Disk, found: Estimate, said: Mapping[str, float | bool], given: set[str]) -> dict[str, Value]:
    """All values of a fit.

    Parameters
    ----------
    disk, found
    said : mapping
        What the dataset says, by the names of :data:`NAMES`.
    given : set of str
        Names of those that the user gave.
    """
    at, sigma, thickness = found.held.geometry, found.sigma, found.held.geometry.thickness
    cos, sin = math.cos(2 * at.phi12), math.sin(2 * at.phi12)
    a, b = sigma.get("c12a", 0.0), sigma.get("c12b", 0.0)
    across = math.hypot(sin * a, cos * b)
    where = f"at the entrance, {thickness:.4g} Å thick" if thickness else "at the middle of the specimen"
    held = LIKELIHOOD
    free = ", scale free; the others are with it held" if "scale" in found.free.names else ""
    margin = "" if math.isinf(found.margin) else f", wins by {found.margin:.0f} nats"
    twin = "" if math.isnan(found.skew) else f", 180° by the skewness {found.skew:.2f} of the phase"
    numbers: dict[str, tuple[float | bool, float | None, str]] = {
        "defocus_angstrom": (at.defocus + thickness / 2, sigma.get("defocus"), f"{held}, {where}"),
        "c12_angstrom": (at.c12, math.hypot(cos * a, sin * b), held),
        "phi12_rad": (at.phi12, min(across / (2 * at.c12), math.pi / 12**0.5) if at.c12 > 0 else None, held),
        "rotation_degrees": (math.degrees(at.rotation), math.degrees(sigma.get("rotation", 0.0)), f"{held}{twin}"),
        "transpose": (at.transpose, None, f"{LIKELIHOOD}{margin}"),
        "scale": (found.free.geometry.scale, sigma.get("scale"), f"{LIKELIHOOD}{free}"),
        "asymmetry": (at.asymmetry, sigma.get("asymmetry"), f"{held}, usual 0 ± 0.03"),
        "shear": (at.shear, sigma.get("shear"), f"{held}, usual 0 ± 0.03"),
        "centre_y_pixels": (disk.centre[0], disk.errors[0], DISK),
        "centre_x_pixels": (disk.centre[1], disk.errors[1], DISK),
        "semi_angle_pixels": (disk.radius, disk.errors[2], f"{DISK}, whose axes differ by {disk.elongation:.1%}"),
    }
    return {
        name: Value(value, None if name in given else error, GIVEN if name in given else how, said.get(name))
        for name, (value, error, how) in numbers.items()
    }


def _digits(sigma: float | None) -> int:
    """Decimals that show two digits of an error."""
    if sigma is None or sigma <= 0:
        return 3
    return max(0, 1 - math.floor(math.log10(sigma)))


def _text(value: float | bool, digits: int) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{round(value, digits) + 0.0:.{digits}f}"  # no minus before 0
