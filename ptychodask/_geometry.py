"""Numbers of a geometry as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

LABELS = {
    "defocus_angstrom": ("defocus", "Å"),
    "c12_angstrom": ("C12", "Å"),
    "phi12_rad": ("phi12", "rad"),
    "c21_angstrom": ("C21", "Å"),
    "phi21_rad": ("phi21", "rad"),
    "c30_angstrom": ("C30", "Å"),
    "rotation_degrees": ("rotation", "°"),
    "scale": ("scale", ""),
    "asymmetry": ("asymmetry", ""),
    "shear": ("shear", ""),
    "drift_angstrom": ("drift", "Å"),
}


def number_text(name: str, value: float, sigma: float) -> str:
    """``defocus 612.1 ± 2.3 Å``: two digits of the error.

    Of ``positions_angstrom`` the value is of all patterns and sigma of one, so that no ± stands between them.
    """
    label, unit = LABELS.get(name, (name, ""))
    digits = max(0, 1 - math.floor(math.log10(sigma))) if sigma > 0 else 3
    if name == "positions_angstrom":
        return f"patterns moved {value:.{digits}f} Å RMS, each known to {sigma:.{digits}f} Å"
    return f"{label} {round(value, digits) + 0.0:.{digits}f} ± {sigma:.{digits}f} {unit}".strip()


def geometry_lines(values: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each way in which numbers were got: the numbers, and how."""
    by_way: dict[str, list[str]] = {}
    for name, its in values.items():
        by_way.setdefault(str(its["how"]), []).append(number_text(name, float(its["value"]), float(its["sigma"])))
    return [f"{', '.join(texts)}: {how}" for how, texts in by_way.items()]
