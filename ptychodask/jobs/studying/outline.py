"""From the document of a study to its tasks, each checked and named by its content; and what all of them will take."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ..._arguments import shown
from ..._errors import InputError
from ...kernels.cpu.scatter import diffract
from ...model.optics import Microscope
from ...model.scan import Detector
from ...model.study import Condition, Simulated, StudyConfig
from ...physics.coherence import points
from ...simulation.prepared import prepare, stored_type
from ...simulation.specimen import Specimen, crystal_thickness
from ...simulation.width import defocus_of_width
from .work import Grid, Scan, Work

ASK_ABOVE, ASK_SECONDS = 200, 3600.0
"""Conditions, and expected seconds, above which a study wants a yes."""
PASS, FIXED = 3.0, 1.5
"""What a pattern takes in an iteration, in propagations of one slice by the simulation's kernel; and seconds of a
condition besides. Measured on one core of a server: a forecast, good to a factor of two."""
VERSION = metadata.version("ptychodask")
"""Records of another one are made anew."""
ROUNDED = 0.02
"""Of a cell, by which a thickness may be rounded."""
TRIED = 8
"""Patterns whose propagation is timed."""


@dataclass(frozen=True)
class Outline:
    """A study that was checked.

    Parameters
    ----------
    study : StudyConfig
    conditions : tuple of Condition
        In the order of the axes, the last one fastest.
    works : tuple of Work
        One for each.
    refused : dict of str
        Why a condition cannot be simulated, by the name of its work.
    grid : Grid
        Of the phases in the store.
    """

    study: StudyConfig
    conditions: tuple[Condition, ...]
    works: tuple[Work, ...]
    refused: Mapping[str, str]
    grid: Grid

    @property
    def name(self) -> str:
        """Stands for all that the store depends on."""
        said = [self.study.dims, [work.name for work in self.works], self.grid.pixel, *self.study.axes.values()]
        return _named(said)

    def scans(self, works: tuple[Work, ...]) -> dict[str, Scan]:
        """Simulations that some conditions need, by their names."""
        return {work.scan.name: work.scan for work in works if work.name not in self.refused}

    def seconds(self, works: tuple[Work, ...], threads: int) -> float:
        """About how long some conditions take on so many threads, if all do all of their iterations."""
        speeds: dict[int, float] = {}

        def propagation(pixels: int) -> float:
            if pixels not in speeds:
                speeds[pixels] = _propagation_seconds(pixels)
            return speeds[pixels]

        total = 0.0
        for scan in self.scans(works).values():
            o = scan.options
            slices = max(1.0, o["thickness_angstrom"] / o["slice_thickness_angstrom"]) * max(1, o["phonons"])
            slices *= scan.points
            total += math.prod(o["scan_shape"]) * slices * propagation(o["detector_pixels"] * 3 // 2)
        for work in works:
            if work.name in self.refused:
                continue
            o, job = work.scan.options, work.job
            passes = job.solver.iterations * (2 if job.object.regularisation == "spectral" else 1)
            slices = job.object.slices or max(1, math.ceil(2 * o["thickness_angstrom"] / work.believed.depth_of_field))
            patterns = math.prod(o["scan_shape"]) * job.probe.modes
            total += FIXED + passes * patterns * slices * PASS * propagation(o["detector_pixels"])
        return total / max(1, min(threads, len(works)))


def outline(study: StudyConfig, folder: Path) -> Outline:
    """Check every condition.

    Parameters
    ----------
    study : StudyConfig
    folder : Path
        Where simulations will be written.

    Raises
    ------
    InputError
        For a condition that is out of bounds, an unknown material, or where none of the conditions can be simulated.
    """
    conditions = tuple(study.conditions_of())
    materials = {material: _content_of(material) for material in {c.simulated.material for c in conditions}}
    cells = {material: crystal_thickness(Specimen(material, 1.0)) for material in materials}
    prepared: dict[str, tuple[Scan, str]] = {}
    works, refused = [], {}
    for condition in conditions:
        simulated = condition.simulated
        key = json.dumps([simulated.without_noise(), materials[simulated.material]], sort_keys=True)
        if key not in prepared:
            prepared[key] = _checked(simulated, cells[simulated.material], _named([VERSION, key]), folder)
        scan, reason = prepared[key]
        believed = _believed(simulated, scan.options)
        dose, identity = simulated.dose_per_square_angstrom, condition.identity()
        name = _named([VERSION, identity, materials[simulated.material], study.resolutions_angstrom])
        works.append(Work(name, scan, believed, dose, simulated.seed, condition.job, study.resolutions_angstrom))
        if not reason and math.isfinite(dose):
            try:
                stored_type(
                    dose,
                    dose * simulated.scan_step_angstrom**2,
                    believed,
                    Detector(simulated.detector_pixels, simulated.angular_step_mrad),
                )
            except InputError as error:
                reason = str(error)
        if reason:
            refused[name] = reason
    if len(refused) == len({work.name for work in works}):
        raise InputError(f"none of the conditions can be simulated: {next(iter(refused.values()))}")
    sides = [
        min((c.simulated.positions[axis] - 1) * c.simulated.scan_step_angstrom for c in conditions) for axis in (0, 1)
    ]
    shape = tuple(max(1, math.floor(side / study.pixel_angstrom) + 1) for side in sides)
    return Outline(study, conditions, tuple(works), refused, Grid((shape[0], shape[1]), study.pixel_angstrom))


def _checked(simulated: Simulated, cell: float, name: str, folder: Path) -> tuple[Scan, str]:
    """A simulation of a crystal whose ``cell`` is so high, and why it cannot be made, if so."""
    options = simulated.without_noise()
    material, diameter = options.pop("material"), options.pop("probe_diameter_angstrom")
    material = str(Path(material).resolve()) if Path(material).is_file() else material  # workers are elsewhere
    try:
        if simulated.thickness_angstrom < cell * (1 - ROUNDED):
            raise InputError(
                f"thickness_angstrom = {simulated.thickness_angstrom:g} is less than one cell of {material}, which is"
                f" {cell:.4g} A high: give at least that"
            )
        if diameter is not None:
            optics = (options["energy_ev"], options["semi_angle_mrad"], options["aberrations"])
            options["defocus_angstrom"] = defocus_of_width(*optics, diameter)
        made = prepare(material, folder, dose_per_square_angstrom=math.inf, **options).experiment
    except InputError as error:
        return Scan(name, material, options), " ".join(str(error).split())
    return Scan(name, material, options, len(points(made.microscope, made.source_size, made.focal_spread))), ""


def _believed(simulated: Simulated, options: Mapping[str, Any]) -> Microscope:
    wrong = dict(simulated.aberrations)
    for name, error in simulated.aberration_errors.items():
        wrong[name] = wrong.get(name, 0.0) + error
    defocus = options["defocus_angstrom"] + simulated.defocus_error_angstrom
    return Microscope.of(simulated.energy_ev, simulated.semi_angle_mrad, defocus, wrong)


def _content_of(material: str) -> str:
    """What is in the file of a structure; nothing for a material that is known by its name.

    Raises
    ------
    InputError
        If there is no such material.
    """
    crystal_thickness(Specimen(material, 1.0))
    path = Path(material)
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() if path.is_file() else ""


def _named(content: Any) -> str:
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def _propagation_seconds(pixels: int) -> float:
    """What this machine takes to bring one probe through one slice, by the compiled kernel."""
    rng = np.random.default_rng(0)
    side, slices = pixels + 4, 3
    transmission = np.exp(0.1j * rng.normal(size=(slices, side, side))).astype(np.complex64)
    spectrum = np.ones((1, pixels, pixels), np.complex64)
    propagators = np.ones((slices - 1, pixels, pixels), np.complex64)
    centres = np.full((TRIED, 2), pixels / 2 + 1.0)
    taken = []
    for _ in range(3):  # the first one loads the kernel
        began = time.perf_counter()
        diffract(transmission, centres, spectrum, propagators)
        taken.append(time.perf_counter() - began)
    return min(taken) / (TRIED * slices)


def as_study(document: Any) -> StudyConfig:
    """From what a person gives.

    Raises
    ------
    InputError
        If it is nothing of the kind, or invalid.
    """
    if isinstance(document, StudyConfig):
        return document
    if isinstance(document, str | Path):
        return StudyConfig.load(document)
    if isinstance(document, Mapping):
        return StudyConfig.parse(document)
    raise InputError(f"study = {shown(document)}: give the path of a TOML file, or a dictionary of its sections")
