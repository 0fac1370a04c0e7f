"""What is known of an experiment: given by a person, said by the file, or missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._arguments import number, shown
from ..._errors import InputError
from ...model.optics import wavelength
from ...readers.reader import Reader

OPTIONS = {
    "energy_ev": "--energy (keV; energy_ev)",
    "semi_angle_mrad": "--semi-angle (mrad; semi_angle_mrad)",
    "angular_step_mrad": "--angular-step (mrad; angular_step_mrad)",
    "scan_step_angstrom": "--step (angstrom; scan_step_angstrom)",
}
"""What has to be known, and how it is given."""


SAME = 0.01
"""Relative difference up to which the file and a person say the same."""


@dataclass(frozen=True)
class Fact:
    """A value and where it is from."""

    value: Any
    source: str
    """``given`` (and what else the file says), ``the file``, or what was done with what the file says; ``missing`` for
    what was assumed."""


def gather(given: Mapping[str, Any], reader: Reader) -> dict[str, Fact]:
    """What is known, with where it is from: what was given comes before what the file says.

    Parameters
    ----------
    given : mapping
        Arguments of :func:`ptychodask.import_data`; None where nothing was said.
    reader : Reader
        Of the file.

    Raises
    ------
    InputError
        If something is missing without which there is no dataset: all of it, in one line.
    """
    facts = {name: Fact(value, "the file") for name, value in reader.about.metadata.items()}
    scan, said = given.get("scan_shape"), reader.about.scan
    if said is not None and (scan is None or scan[1] != said[1]):  # rows that are missing or not read are told anyway
        facts["scan_shape"] = Fact(said, "the file")
    for name, value in given.items():
        if value is not None:
            other = 0.0 if name == "scan_shape" else SAME  # frames that lie elsewhere are another image
            facts[name] = Fact(value, f"given{_contradicted(value, facts.get(name), other)}")
    frequency = facts.pop("reciprocal_step_per_angstrom", None)
    if frequency is not None and "angular_step_mrad" not in facts and "energy_ev" in facts:
        energy = number(facts["energy_ev"].value, "energy_ev", "the beam energy in eV (300 kV is 300e3)", 1e3, 5e6)
        step = frequency.value * wavelength(energy) * 1e3
        facts["angular_step_mrad"] = Fact(step, f"the file: {frequency.value:.4g} per angstrom times the wavelength")
    found_later = "angular_step_mrad"  # by the disk
    if missing := [told for name, told in OPTIONS.items() if name not in facts and name != found_later]:
        known = ", ".join(f"{name} = {shown(facts[name].value)}" for name in OPTIONS if name in facts)
        raise InputError(f"the file does not say all ({known or 'nothing of these'}): give {', '.join(missing)}")
    facts.setdefault("defocus_angstrom", Fact(0.0, "missing"))
    return facts


def contradictions(facts: Mapping[str, Fact]) -> tuple[str, ...]:
    """A line for everything of which file and person say different things."""
    return tuple(
        f"{name} = {shown(fact.value)} is {fact.source}: check which is right"
        for name, fact in facts.items()
        if fact.source.startswith(f"given{SAID}")
    )


SAID = "; the file says "


def _contradicted(value: Any, said: Fact | None, same_to: float) -> str:
    """What the file says, where that is something else than what was given."""
    if said is None:
        return ""
    try:
        same = np.allclose(np.asarray(value, float), np.asarray(said.value, float), rtol=same_to, atol=0)
    except (TypeError, ValueError):  # whoever uses it says what is wrong
        return ""
    return "" if same else f"{SAID}{shown(said.value)}"
