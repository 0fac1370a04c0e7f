"""What ``object.start`` and ``probe.start`` name: object or probe of a result, of ours or of another program."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from .._errors import InputError
from .._tables import counted
from ..io.foreign.found import Found, placed
from ..io.foreign.opening import TAKEN, is_hdf5, read_foreign
from ..io.result import Result, open_result
from ..model.optics import interaction_constant
from ..model.scan import Canvas
from .experiment import Experiment

SAME = 1e-3
"""Share by which two pixels or energies may differ and still be one."""
LEAST = 0.5
"""Share of the canvas that an object has to cover."""


@dataclass(frozen=True)
class Taken:
    """An object (slice, y, x) in the frame of our positions, whether it is a result of ours, and what to say of it."""

    object: xr.DataArray
    ours: bool
    told: tuple[str, ...]


def object_of(path: str, experiment: Experiment) -> Taken:
    """The object of ``object.start``.

    Raises
    ------
    InputError
        If there is none, or it is of another place.
    """
    its, canvas = _opened("object.start", path), experiment.canvas
    told = []
    if isinstance(its, Found):
        if its.phases is None:
            raise InputError(f"object.start = {path}: it is of {its.maker} and has no object in it: give {TAKEN}")
        first = experiment.scans[0]
        try:
            found = placed(its, first.centres * canvas.pixel + canvas.origin)
        except InputError as error:
            raise InputError(f"object.start = {path}: it is of {its.maker}, and {error}") from None
        told.append(
            f"object.start is of {its.maker}: it lies so that the mean of its {len(its.centres)} positions is that of"
            " this scan's, and the constraints of this run are applied to it first"
        )
    else:
        found = its.object
    _check_place(path, found, canvas)
    energy, ours = _energy(its), experiment.microscope.energy_ev
    if energy is None:
        told.append("object.start does not say at which energy it was made: its phase is taken as it is")
    elif not _same(energy, ours):
        share = interaction_constant(ours) / interaction_constant(energy)
        found = found * share
        told.append(
            f"object.start was made at {energy / 1e3:.4g} keV, this scan at {ours / 1e3:.4g} keV: its phase is taken"
            f" times {share:.3f}, the share of the interaction constants"
        )
    return Taken(found, isinstance(its, Result), tuple(told))


def probe_of(path: str, experiment: Experiment) -> tuple[np.ndarray, tuple[str, ...]]:
    """Modes [M, N, N] of ``probe.start`` on the pixels of the run, and what to say of them.

    Raises
    ------
    InputError
        If there are none, or too few, or they are of other pixels or another energy.
    """
    its = _opened("probe.start", path)
    probe, pixels, pixel = its.probe, experiment.info.detector.pixels, experiment.canvas.pixel
    if probe is None:
        raise InputError(f"probe.start = {path}: it has no probe in it: give {TAKEN}")
    step = float(probe["probe_y"].values[1] - probe["probe_y"].values[0])
    if probe.shape[1:] != (pixels, pixels) or not _same(step, pixel):
        raise InputError(
            f"probe.start = {path}: its probe has {probe.shape[-2]} x {probe.shape[-1]} pixels of {step:.4g} A, this"
            f" run {pixels} x {pixels} of {pixel:.4g} A: give a result of the same detector, angular step and energy"
        )
    energy, ours = _energy(its), experiment.microscope.energy_ev
    if energy is not None and not _same(energy, ours):
        raise InputError(
            f"probe.start = {path} was made at {energy / 1e3:.4g} keV, this scan at {ours / 1e3:.4g} keV: give a result"
            " of the same energy"
        )
    modes = experiment.config.probe.modes
    if len(probe) < modes or experiment.further:
        raise InputError(
            f"probe.start = {path} has {counted(len(probe), 'mode')}, probe.modes = {modes} and"
            f" {counted(1 + len(experiment.further), 'scan')} asked for: the probe of one scan is taken, with at least"
            " as many modes"
        )
    waves = np.asarray(probe.values)
    power = (np.abs(waves) ** 2).sum(axis=(1, 2))
    if not power[:modes].sum() > 0:
        raise InputError(f"probe.start = {path}: its probe is 0 everywhere: give another file")
    left = f"probe.start has {len(waves)} modes, {power[modes:].sum() / power.sum():.1%} of its power in those that"
    told = (f"{left} probe.modes = {modes} leaves out",) if len(waves) > modes else ()
    return waves[:modes], told


def _opened(option: str, path: str) -> Result | Found:
    """A result of ours, or what is found in a file of another program."""
    file = Path(path)
    if is_hdf5(file):
        try:
            return read_foreign(file)
        except InputError as error:
            raise InputError(f"{option} = {path}: {error}") from None
    if file.is_file() and not zipfile.is_zipfile(file):
        raise InputError(f"{option} = {path} is a file that is neither HDF5 nor a zipped result: give {TAKEN}")
    try:
        return open_result(path)
    except InputError as error:
        raise InputError(f"{option}: {error}") from None


def _energy(its: Result | Found) -> float | None:
    return its.energy_ev if isinstance(its, Found) else its.described.energy_ev


def _same(one: float, other: float) -> bool:
    return abs(one / other - 1) <= SAME


def _check_place(path: str, object_: xr.DataArray, canvas: Canvas) -> None:
    covered = 1.0
    for axis, name in enumerate(("y", "x")):
        its, wanted = object_[name].values, canvas.coordinates(axis)
        covered *= float(np.mean((wanted >= its[0]) & (wanted <= its[-1])))
    if covered < LEAST:
        raise InputError(
            f"object.start = {path}: its object covers {100 * covered:.0f} % of what this scan sees, at least"
            f" {100 * LEAST:.0f} % are needed: give a result of the same area, in the same coordinates"
        )
