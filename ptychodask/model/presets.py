"""Presets: starting points by electrons per pattern. What a job says itself always wins over its preset."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    # up to a few hundred electrons per pattern: regularise, hold the probe, stop on held-out electrons
    "low-dose": {
        "object": {
            "kind": "phase",
            "positivity": True,
            "regularisation": "spectral",
            "blur_angstrom": 0.45,
            "coupling": "identical",
        },
        "probe": {"modes": 1, "update_start": None},
        "solver": {"residual": "poisson", "epsilon": 0.1, "iterations": 40, "validation_fraction": 0.1},
    },
    # 1e3 to 1e4 electrons per pattern
    "medium": {
        "object": {"kind": "phase", "positivity": False, "blur_angstrom": 0.0, "coupling": "gaussian"},
        "probe": {"modes": 2, "update_start": 10},
        "solver": {"residual": "poisson", "epsilon": 0.01, "iterations": 100, "validation_fraction": 0.05},
    },
    # above 1e5 electrons per pattern
    "high-dose": {
        "object": {"kind": "complex", "positivity": False, "blur_angstrom": 0.0, "coupling": "gaussian"},
        "probe": {"modes": 4, "update_start": 5},
        "solver": {"residual": "amplitude", "epsilon": 0.01, "iterations": 200, "validation_fraction": None},
    },
}


SPECTRAL: dict[str, dict[str, Any]] = {
    # no blur, and no stopping early: six iterations, four with a smaller epsilon, three with all electrons
    "object": {"blur_angstrom": 0.0},
    "solver": {"iterations": 13, "acceleration": False},
}
"""Goes before a preset where the object's regularisation is spectral."""


def fill_from_preset(values: dict[str, Any], preset: str, regularisation: str | None = None) -> dict[str, Any]:
    """The job's own values over those of the preset, which may be told another ``regularisation``."""
    merged, presets, object_ = dict(values), PRESETS.get(preset, {}), values.get("object", {})
    instead = {} if regularisation is None else {"regularisation": regularisation}
    rules = {**presets.get("object", {}), **instead, **(object_ if isinstance(object_, dict) else {})}
    spectral = rules.get("regularisation") == "spectral"
    for section, defaults in presets.items():
        own = merged.get(section, {})
        if isinstance(own, dict):
            first = {**defaults, **(instead if section == "object" else {})}
            merged[section] = {**first, **(SPECTRAL.get(section, {}) if spectral else {}), **own}
    return merged
