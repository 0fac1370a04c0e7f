"""What cannot work is refused, and what is doubtful is said, before anything is computed."""

from __future__ import annotations

import math

import numpy as np

from .._errors import InputError
from .._tables import counted
from ..analysis.sampling import check_geometry
from ..io.dataset import dataset_info
from ..io.source import source_of
from ..physics.coherence import coherent_modes
from .build import coherence
from .experiment import Experiment
from .geometry import (
    BEGINS,
    ENOUGH_FOR_PLACES,
    MOVES,
    PART,
    calibrated,
    check_refinement,
    crosses,
    moves_places,
    part_of,
    pixels_of_stage,
    wanted,
)
from .settled import why_blur


def check(experiment: Experiment) -> list[str]:
    """Refuse what cannot work; returns remarks for the user.

    Raises
    ------
    InputError
        Naming value, bound and remedy.
    """
    info, config = experiment.info, experiment.config
    slices = experiment.slices
    for scan in experiment.scans:
        its = scan.info
        check_geometry(
            scan.microscope, its.detector.pixels, its.detector.angular_step_mrad, step_angstrom=its.scan_step
        )
    _ = experiment.canvas
    _check_excluded(experiment)
    if config.data.half is not None and not experiment.counts_are_whole:
        raise InputError(
            f"data.half = {config.data.half} draws lots for whole electrons, the counts are {info.dtype}: count them,"
            " or leave data.half unset"
        )
    rounds, blocks = config.solver.rounds_per_iteration, len(experiment.blocks)
    if rounds > blocks:
        raise InputError(
            f"solver.rounds_per_iteration = {rounds} is more than the scan's {counted(blocks, 'block')}:"
            f" use at most {blocks}, or smaller blocks (engine.block)"
        )
    side = experiment.tile_side
    check_refinement(config, experiment.microscope, info.scan_shape, side is not None)
    if config.probe.mode_power * (config.probe.modes - 1) >= 1:
        raise InputError(
            f"probe.modes = {config.probe.modes} at probe.mode_power = {config.probe.mode_power} leave"
            f" nothing to the first mode: use mode_power < {1 / (config.probe.modes - 1):.3g}"
        )
    remarks = _coherence_told(experiment)
    if not all(source_of(its).as_we_write for its in experiment.infos):
        remarks.append("counts are stored in another layout: Zarr decodes them, which takes longer")
    if side is not None:
        remarks.append(f"the object is kept in tiles of at most {side} x {side} pixels")
    if wanted(config):
        padded = pixels_of_stage(info.detector.pixels, experiment.canvas.pixel)
        told = f", with patterns padded to {padded} x {padded} pixels" if padded else ""
        if side is not None and max(info.scan_shape) > PART:
            told += f", by {PART} x {PART} positions in the middle of the scan"
            _ = part_of(info)
        told += "; a half of the electrons scores it in a pass of its own" if crosses(config, info) else ""
        remarks.append(f"the geometry is refined in {BEGINS + MOVES} + {BEGINS} iterations before the image{told}")
    if moves_places(config):
        remarks.append(
            f"every pattern moves on its own from iteration {BEGINS} on, which takes six forward models more"
        )
    if any(map(calibrated, experiment.further)):
        remarks.append("geometries that were calibrated stay as they are: with several scans none is refined")
    if why := why_blur(experiment):
        remarks.append(why)
    if config.object.slices is None:
        remarks.append(f"object.slices is unset: {_slices_told(slices, experiment.thickness)}")
    return remarks


HELD, MOST_MODES = 0.95, 24
"""Power of a partially coherent probe that modes must hold; and the most of them that are tried."""


def _coherence_told(experiment: Experiment) -> list[str]:
    """How much of a partially coherent probe its modes hold; refuse those that hold too little."""
    its, pixel = experiment.config.probe, experiment.canvas.pixel
    every = coherence(its, experiment.microscope)
    if len(every) == 1:
        return []
    sizes = {name: getattr(its, name) for name in ("source_size_angstrom", "focal_spread_angstrom")}
    said = ", ".join(f"probe.{name} = {value:g}" for name, value in sizes.items() if value)
    if its.start is not None:
        raise InputError(f"{said} beside probe.start, whose modes it has: leave one of them out")

    def powers(modes: int) -> np.ndarray:
        found = coherent_modes(experiment.microscope, experiment.detector.pixels, pixel, every, modes)
        return np.asarray((np.abs(found) ** 2).sum(axis=(1, 2)))

    here = float(powers(its.modes).sum())
    if here < HELD:
        enough = 1 + int(np.searchsorted(np.cumsum(powers(MOST_MODES)), HELD))
        advice = f"{enough} hold {HELD:.0%}" if enough <= MOST_MODES else "give less of it, or another geometry"
        raise InputError(
            f"{said}: with {counted(its.modes, 'mode')} {here:.1%} of the probe are held ({advice}): set probe.modes"
        )
    return [f"{said}: {counted(its.modes, 'mode')} hold {here:.1%} of the probe"]


def _slices_told(slices: int, thickness: float | None) -> str:
    if thickness is None:
        return "1 slice, because the thickness is not known (object.thickness_angstrom says it)"
    return f"{counted(slices, 'slice')} for {thickness:g} A"


def _check_excluded(experiment: Experiment) -> None:
    info, listed = experiment.info, experiment.config.data.exclude
    if listed is None or listed == "misfired":
        return
    rows, columns = info.scan_shape if info.selection is None else dataset_info(info.path, whole=False).scan_shape
    for y, x in listed:
        if y >= rows or x >= columns:
            raise InputError(
                f"data.exclude = ({y}, {x}) is outside the scan of {rows} x {columns} positions: they are"
                f" counted from (0, 0) to ({rows - 1}, {columns - 1})"
            )
    if not experiment.blocks:
        count = math.prod(info.scan_shape)
        raise InputError(f"data.exclude leaves none of the {count} positions: exclude fewer")


def doubts(experiment: Experiment) -> list[str]:
    """Warnings about a job that can run."""
    found = []
    if experiment.config.solver.validation_fraction is not None and not experiment.counts_are_whole:
        found.append("counts are not whole electrons: nothing is held out, the run stops on the loss alone")
    listed = experiment.config.data.exclude
    if experiment.info.selection is not None and listed not in (None, "misfired"):
        beyond = len(set(listed)) - sum((y1 - y0) * (x1 - x0) for y0, y1, x0, x1 in experiment.excluded)
        if beyond:
            found.append(
                f"{beyond} of the positions in data.exclude are not in the selection: they are counted in the stored"
                " scan, as the coordinates scan_y and scan_x are"
            )
    iterations = experiment.config.solver.iterations
    if moves_places(experiment.config) and iterations < ENOUGH_FOR_PLACES:
        found.append(
            f"geometry.refine = positions with solver.iterations = {iterations}: a drift that patterns share is found"
            f" in part only, use {ENOUGH_FOR_PLACES}"
        )
    return found
