"""Several scans of one area see one object: what is found out about each, and where it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .._errors import InputError
from .._tables import counted
from ..events import Warned
from .experiment import Experiment
from .observers import Report
from .recipe import Decisions, Recipe
from .survey import survey


def of_scan(number: int, text: str, scans: Sequence[Any]) -> str:
    """A line about one of several scans."""
    return text if len(scans) == 1 else f"scan {number + 1}: {text}"


def survey_all(client: Any, experiment: Experiment) -> Recipe:
    """The recipe of a job: every scan is surveyed by itself, and the kernels are those chosen for the first."""
    if not experiment.further:
        return survey(client, experiment)
    found = [survey(client, Experiment(info, experiment.config)) for info in experiment.infos]
    lines = tuple(of_scan(s, text, found) for s, its in enumerate(found) for text in its.decided.suspicions)
    decided = replace(found[0].decided, further=tuple(its.decided for its in found[1:]), suspicions=lines)
    return replace(found[0], decided=decided, further=tuple(info.path for info in experiment.further))


def placed(client: Any, experiment: Experiment, recipe: Recipe, report: Report) -> Recipe:
    """The recipe with the places of further scans: as the job says, or by their maps of the weak phase.

    Raises
    ------
    InputError
        Where nothing tells them.
    """
    if not experiment.further:
        return recipe
    if (given := experiment.config.data.offsets) is not None:
        return recipe.with_decided(offsets=given)
    from ..calibration.offset import CLEAR, is_certain, map_of, offset_of  # loads compiled code

    remedy = "say where it lies with data.offsets, such as [[3.2, -0.8]] (y, x) in angstrom"
    depth, maps = experiment.thickness or 0.0, []
    for number, scan in enumerate(experiment.scans, start=1):
        try:
            maps.append(map_of(scan.info, scan.microscope, depth, client))
        except InputError as error:
            raise InputError(f"scan {number} cannot be placed ({error}): {remedy}") from None
    found = []
    for number, its in enumerate(maps[1:], start=2):
        try:
            offset = offset_of(maps[0], its)
        except InputError as error:
            raise InputError(f"scan {number} cannot be placed ({error}): {remedy}") from None
        if not is_certain(offset):
            raise InputError(
                f"scan {number} shows nothing of the first: the best place, {_text(offset.angstrom)}, agrees by"
                f" {offset.agreement:.2f} ({offset.certainty:.1f} standard deviations of chance): do they overlap?"
                f" Then {remedy}"
            )
        if offset.rival is not None:
            told = f"scan {number} fits nearly as well at {_text(offset.rival)} as at {_text(offset.angstrom)}"
            if offset.lead < CLEAR:
                raise InputError(f"{told} ({offset.lead:.1f} nats, {CLEAR:g} are asked), as crystals do: {remedy}")
            lead = counted(f"{offset.lead:.0f}", "nat")
            report(Warned(f"{told} ({lead}), as crystals do: give data.offsets if it is there"))
        found.append(offset)
    return recipe.with_decided(
        offsets=tuple(its.angstrom for its in found), offset_errors=tuple(its.error for its in found)
    )


def _text(offset: tuple[float, float]) -> str:
    return f"({offset[0]:+.2f}, {offset[1]:+.2f}) A"


def told_of(decided: Decisions) -> list[str]:
    """Where scans lie, in words."""
    lines = []
    for s, offset in enumerate(decided.offsets):
        line = f"scan {s + 2} lies at {_text(offset)} of scan 1"
        if decided.offset_errors:
            y, x = decided.offset_errors[s]
            line += f", +- ({y:.2g}, {x:.2g}) A, found from the counts"
        lines.append(line)
    return lines
