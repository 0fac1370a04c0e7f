"""The two tasks of a study: a simulation without noise, and a condition from its counts to its figures.

Both run on one worker from beginning to end, and leave their result under a name that stands for all it depends on.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..._errors import DivergenceError, InputError
from ...analysis.compare import compare_with_truth, on_grid
from ...analysis.spectrum import crop_to_scan
from ...distributed.inline import inline
from ...io.atomic import remove
from ...io.dataset import dataset_info, read_truth
from ...io.result import open_result
from ...io.study import SCRATCH, Parts, read_record, write_record
from ...model.config import JobConfig
from ...model.optics import Microscope
from ...model.study import Status
from ...simulation.counted import count_electrons
from ...simulation.run import simulate
from ..curves import Curves
from ..figures import stages_of
from ..launch import start

NAN = math.nan
RIM = 2.0
"""Angstrom around the scan that are kept of a phase."""


@dataclass(frozen=True)
class Grid:
    """Pixels on which all phases of a study are kept: ``shape`` (y, x), ``pixel`` in angstrom, from position (0, 0)."""

    shape: tuple[int, int]
    pixel: float

    def coordinates(self, axis: int) -> np.ndarray:
        """In angstrom."""
        return np.arange(self.shape[axis]) * self.pixel

    def of(self, image: xr.DataArray) -> np.ndarray:
        """An image (y, x) in angstrom on these pixels."""
        frame = xr.DataArray(np.zeros(self.shape), {"y": self.coordinates(0), "x": self.coordinates(1)}, ("y", "x"))
        return on_grid(image, frame).astype(np.float32)


@dataclass(frozen=True)
class Scan:
    """A simulation without noise.

    Parameters
    ----------
    name : str
        Stands for ``options``.
    material : str
    options : mapping
        Of :func:`ptychodask.simulate`.
    points : int
        Of source and focus, each of which is as much work.
    """

    name: str
    material: str
    options: Mapping[str, Any]
    points: int = 1


@dataclass(frozen=True)
class Work:
    """A condition.

    Parameters
    ----------
    name : str
        Stands for all that its record depends on.
    scan : Scan
    believed : Microscope
        What the reconstruction knows of the lens.
    dose : float
        Electrons per square angstrom.
    seed : int
        Of the noise.
    job : JobConfig
    resolutions : tuple of float
        Angstrom, of the correlations.
    """

    name: str
    scan: Scan
    believed: Microscope
    dose: float
    seed: int
    job: JobConfig
    resolutions: tuple[float, ...]


def make_scan(scan: Scan, folder: str) -> None:
    """Simulate, and keep the true phase besides."""
    parts = Parts(Path(folder))
    target = parts.scan(scan.name)
    if not target.exists():
        options = {**scan.options, "dose_per_square_angstrom": math.inf}
        simulate(target, scan.material, client=inline(), **options)
    if not parts.truth(scan.name).exists():
        truth = read_truth(target)
        assert truth is not None  # every simulation writes one
        write_record(parts.truth(scan.name), truth[["phase"]])


def run_condition(work: Work, folder: str) -> None:
    """Count, reconstruct, compare, and keep the record."""
    parts = Parts(Path(folder))
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as scratch:
        scan, result = Path(scratch) / "scan.zarr", Path(scratch) / "result.zarr"
        count_electrons(parts.scan(work.scan.name), scan, work.believed, work.dose, work.seed)
        seen, began = Curves(), time.perf_counter()
        status: Status = "done"
        remark = ""
        try:
            start(dataset_info(scan), work.job, result, False, inline(), (seen,))
        except (DivergenceError, InputError) as error:
            status = "diverged" if isinstance(error, DivergenceError) else "refused"
            remark = " ".join(str(error).split())
        seconds = time.perf_counter() - began
        found = _figures(work, result, read_record(parts.truth(work.scan.name))) if status == "done" else {}
        remark = str(found.pop("remark", remark))
        write_record(parts.record(work.name), _record(seen, found, status, remark, seconds))


def refuse(work: Work, reason: str, folder: str) -> None:
    """Keep that a condition cannot be simulated, and why."""
    write_record(Parts(Path(folder)).record(work.name), _record(Curves(), {}, "refused", reason, 0.0))


def drop_scan(scan: Scan, folder: str) -> None:
    """Let go of a simulation that no condition waits for."""
    remove(Parts(Path(folder)).scan(scan.name))


def _record(seen: Curves, figures: dict[str, Any], status: Status, remark: str, seconds: float) -> xr.Dataset:
    """What is kept of a condition."""
    last = max(seen.loss, default=-1)
    curves = {
        name: ("iteration", np.array([values.get(i, NAN) for i in range(last + 1)], dtype=float))
        for name, values in (("loss_curve", seen.loss), ("validation_curve", seen.validation))
    }
    phase = figures.pop("phase", None)
    image = {} if phase is None else {"phase": phase}
    said = {"status": status, "remark": remark, "seconds": seconds, "warnings": seen.warnings, **figures}
    return xr.Dataset({**curves, **image}, attrs={"figures": json.dumps(said)})


def _figures(work: Work, path: Path, truth: xr.Dataset) -> dict[str, Any]:
    """Of a finished reconstruction, as plain values; and its phase."""
    result = open_result(path)
    chosen = [entry for entry in result.history if entry.stage == "fit" and entry.updates == result.iteration]
    known, phase, sharper = result.described, result.phase, stages_of(result)[2]
    figures: dict[str, Any] = {
        "iterations": result.iteration,
        "sharper_from": NAN if sharper is None else sharper,
        "loss": chosen[0].loss if chosen else NAN,
        "validation": chosen[0].validation if chosen else NAN,
        "loss_excess": NAN if known.loss_excess is None else known.loss_excess,
        "electrons_per_pattern": known.electrons_per_pattern,
        "phase": xr.DataArray(crop_to_scan(phase, result.positions.values, -RIM)).astype(np.float32).drop_attrs(),
        "correlation": [NAN] * len(work.resolutions),
        "frc_resolution_angstrom": NAN,
    }
    used, wanted = result.config.object.regularisation, work.job.object.regularisation
    if used != wanted:
        figures["remark"] = f"object.regularisation = {used}, as {wanted} needs counted electrons"
    try:
        compared = compare_with_truth(phase, truth["phase"], result.positions.values, work.resolutions)
    except InputError as error:  # of a scan that is too small: the curves are worth something all the same
        return {**figures, "remark": str(error)}
    figures["correlation"] = [float(compared.correlation[d]) for d in work.resolutions]
    return {**figures, "frc_resolution_angstrom": float(compared.frc.resolution_angstrom)}
