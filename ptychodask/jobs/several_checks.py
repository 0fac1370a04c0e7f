"""Do several scans of one area go together, and with what a job asks for? Refused before anything is computed."""

from __future__ import annotations

from pathlib import Path

from .._errors import InputError
from .._tables import counted
from ..io.address import is_address
from ..io.dataset import DatasetInfo
from ..model.scan import MOST_SCANS
from .experiment import Experiment

SAME = 1e-3
"""Share by which angular steps may differ: half a box of 50 angstrom then ends within 0.03 angstrom."""
THICKNESS = 0.01
"""Likewise of the specimen's thickness."""


def check_scans(experiment: Experiment) -> None:
    """Refuse scans that do not go together, and options that are for one.

    Raises
    ------
    InputError
        Naming both values, or the option, with the remedy.
    """
    offsets, further = experiment.config.data.offsets, experiment.further
    if not further:
        if offsets is not None:
            raise InputError("data.offsets places further scans, and there is one: give several, or leave it unset")
        return
    if len(experiment.infos) > MOST_SCANS:
        raise InputError(f"{len(experiment.infos)} scans: at most {MOST_SCANS} are reconstructed together")
    for number, info in enumerate(further, start=2):
        _check_pair(experiment.info, info, number)
        before = experiment.infos[: number - 1]
        if twice := next((its for its in before if _same(its, info)), None):
            raise InputError(f"{info.path} holds the counts of {twice.path}: give every scan once")
    _check_options(experiment)
    if offsets is not None and len(offsets) != len(further):
        raise InputError(
            f"data.offsets has {counted(len(offsets), 'place')} for {counted(len(further), 'further scan')}: give"
            " (y, x) in angstrom for each, in the frame of the first"
        )
    if experiment.shifts_known:
        _check_overlap(experiment)


def _same(one: DatasetInfo, two: DatasetInfo) -> bool:
    if is_address(one.path) or is_address(two.path):
        return one.path == two.path
    return one.fingerprint == two.fingerprint or Path(one.path).resolve() == Path(two.path).resolve()


def _check_pair(first: DatasetInfo, info: DatasetInfo, number: int) -> None:
    """Do both have one object, on the same pixels?"""
    energies = [its.microscope.energy_ev for its in (first, info)]
    if abs(energies[1] / energies[0] - 1) > 1e-6:
        raise InputError(
            f"scan {number} has {energies[1] / 1e3:g} keV, the first {energies[0] / 1e3:g}: a specimen has another"
            " phase at another energy, reconstruct them apart"
        )
    sides = [its.detector.pixels for its in (first, info)]
    if sides[0] != sides[1]:
        raise InputError(
            f"scan {number} has patterns of {sides[1]} pixels, the first of {sides[0]}: crop or pad one, so that both"
            " have the same"
        )
    steps = [its.detector.angular_step_mrad for its in (first, info)]
    if abs(steps[1] / steps[0] - 1) > SAME:
        raise InputError(
            f"scan {number} has {steps[1]:.5g} mrad per detector pixel, the first {steps[0]:.5g} (at most"
            f" {SAME:.1%} apart): the object's pixels differ, record both at one camera length"
        )
    if (first.dtype[0] == "u") != (info.dtype[0] == "u"):
        raise InputError(
            f"scan {number} holds {info.dtype}, the first {first.dtype}: count the electrons of both, or of neither"
        )
    depths = [float(its.attributes.get("thickness_angstrom") or 0) for its in (first, info)]
    if min(depths) > 0 and abs(depths[1] / depths[0] - 1) > THICKNESS:
        raise InputError(
            f"scan {number} is of {depths[1]:.4g} A, the first of {depths[0]:.4g}: they are of one specimen, set"
            " thickness_angstrom when the datasets are made"
        )


def _check_options(experiment: Experiment) -> None:
    """Refuse what is for one scan."""
    config = experiment.config
    for wrong, told in (
        (config.geometry.refine not in ("none", "calibrated"), "geometry.refine: calibrate each scan, with --write"),
        (
            config.probe.defocus_angstrom is not None,
            "probe.defocus_angstrom, as each scan has its own: let each dataset say it",
        ),
        (config.analysis.halves, "analysis.halves: leave it off"),
        (config.data.half is not None, "data.half: leave it unset"),
        (
            config.data.exclude is not None and config.data.exclude != "misfired",
            'data.exclude with numbers of positions: use "misfired", or select before the datasets are made',
        ),
        (config.solver.background, "solver.background: leave it off"),
        (config.solver.rounds_per_iteration > 1, "solver.rounds_per_iteration: leave it at 1"),
    ):
        if wrong:
            raise InputError(f"several scans go without {told}")


def _check_overlap(experiment: Experiment) -> None:
    scans = experiment.scans
    low, high = scans[0].centres.min(axis=0), scans[0].centres.max(axis=0)
    for number, scan in enumerate(scans[1:], start=2):
        y, x = experiment.shifts[number - 2]
        if (scan.centres.min(axis=0) > high).any() or (scan.centres.max(axis=0) < low).any():
            raise InputError(
                f"scan {number} at ({y:+.4g}, {x:+.4g}) A does not overlap with the first: check data.offsets, or"
                " reconstruct them apart"
            )
