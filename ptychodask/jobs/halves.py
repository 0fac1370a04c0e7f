"""Two halves of a result's electrons, each reconstructed on its own with the result's own job, and of vacuum if wanted.

Both are runs like any other, in a folder beside the result, until their phases are in it: what is killed goes on with
the next call. Halves are drawn by lot, electron by electron, with the job's seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from .._errors import InputError
from .._warnings import warn
from ..analysis.compare import on_grid
from ..analysis.frc import find_shift, shift_image
from ..analysis.halves import compared
from ..analysis.spectrum import crop_to_scan, pixel_size
from ..distributed.cluster import Client, connect
from ..io.address import is_address
from ..io.atomic import check_folder, remove
from ..io.checkpoint import RunFolder
from ..io.content import identified
from ..io.dataset import DatasetInfo, dataset_info
from ..io.halves import write_halves
from ..io.lock import locked
from ..io.result import Result, open_result
from ..io.selected import described
from ..model.config import JobConfig
from .identity import elsewhere
from .launch import start, take_up
from .vacuum import write_vacuum

LOST = 1.0
"""Angstrom: by so much one half is moved onto the other at most, where probe or geometry moved in both."""


def folder_of(result: Path) -> Path:
    """Where halves lie until they are in the result."""
    return result.with_name(f"{result.name}.halves")


def make_halves(
    result: Result,
    dataset: DatasetInfo | None,
    *,
    vacuum: bool,
    engine: dict[str, Any],
    client: Client | None,
    observers: Sequence[Any],
) -> None:
    """Reconstruct both halves of a result's electrons, and add their phases to it.

    Parameters
    ----------
    dataset : DatasetInfo, optional
        That of the result; by default what stands where it was.
    vacuum : bool
        The same for a scan of vacuum with the result's probe and dose.
    engine : dict
        Replaces options of the job's engine.

    Raises
    ------
    InputError
        If the dataset is not there or another one, or no halves can be made of its counts.
    """
    target = Path(result.path)
    job = _job(result, engine)
    info = _dataset(result, dataset, job)
    compared(crop_to_scan(result.phase, result.positions.values))  # refuses an area that would tell nothing
    folder = folder_of(target)
    check_folder(target.parent)
    with locked(folder.with_name(folder.name + ".held"), f"halves of {target}") as note:
        if note:
            warn(note)
        run = result.described.run[:8] or "result"
        _prepare(folder, run)
        with connect(client, place=job.engine.place) as dask_client:
            made = {
                half: _one(info, job, half, folder / f"{half}-{run}.zarr", dask_client, observers)
                for half in ("first", "second")
            }
            if vacuum:
                if result.geometry:
                    raise InputError("vacuum has no geometry to refine: leave --vacuum out where it was refined")
                empty = folder / f"vacuum-{run}.zarr"
                if not empty.exists():
                    write_vacuum(empty, info, result, job.solver.seed)
                known = dataset_info(empty)
                for half in ("first", "second"):
                    name = f"vacuum_{half}"
                    made[name] = _one(known, job, half, folder / f"{name}-{run}.zarr", dask_client, observers)
        images = _in_one_frame(made, moves=job.probe.update_start is not None or bool(result.geometry))
        write_halves(target, images, folder, {"run": result.described.run, "seed": job.solver.seed})
        remove(folder)


def _job(result: Result, engine: dict[str, Any]) -> JobConfig:
    job = result.config
    if job.data.half is not None:
        raise InputError(
            f"{result.path} is a half itself (data.half = {job.data.half}): give a result of all electrons"
        )
    job = job.model_copy(update={"analysis": job.analysis.model_copy(update={"halves": False})})
    return elsewhere(job, engine) if engine else job


def _dataset(result: Result, dataset: DatasetInfo | None, job: JobConfig) -> DatasetInfo:
    said = result.described
    if said.of_scans:
        raise InputError(f"{result.path} is of {len(said.of_scans)} scans: halves are made of a result of one")
    if is_address(result.path):
        raise InputError(f"{result.path} is an address: halves are written into a result on a disk; copy it first")
    if dataset is None:
        if said.selection:
            raise InputError(
                f"{result.path} is of a part of its dataset, or has a mask or positions of its own: give the same"
                " Dataset again, halves(result, data)"
            )
        if not is_address(said.data) and not Path(said.data).exists():
            raise InputError(f"the dataset of the result, {said.data}, does not exist: say where it is with --data")
        dataset = dataset_info(said.data, whole=job.data.on_damage == "stop")
    dataset = identified(dataset)
    if dataset.fingerprint != said.data_fingerprint or described(dataset.selection) != said.selection:
        raise InputError(f"{dataset.path} is another dataset, or another part of it, than {result.path} was made from")
    return dataset


def _prepare(folder: Path, run: str) -> None:
    """Make the folder, without what belongs to an earlier result."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder, and the halves need one: move it away")
    folder.mkdir(exist_ok=True)
    for left in folder.iterdir():
        if f"-{run}.zarr" not in left.name:
            remove(left)


def _one(
    info: DatasetInfo, job: JobConfig, half: str, target: Path, client: Client, observers: Sequence[Any]
) -> Result:
    """A half's result: there, taken up again, or made."""
    if not target.exists():
        run = RunFolder.of(target)
        if run.identity() is not None:
            take_up(target, info.path, {}, client, observers)  # it may have been moved since
        else:
            its = job.model_copy(update={"data": job.data.model_copy(update={"half": half})})
            start(info, its, target, False, client, observers)
    return open_result(target)


def _in_one_frame(made: dict[str, Result], moves: bool) -> dict[str, xr.DataArray]:
    """Phases on the pixels of the first one's scan; moved onto each other where probe or geometry moved."""
    area = crop_to_scan(made["first"].phase, made["first"].positions.values)
    spacing = pixel_size(area)
    images = {name: area.copy(data=on_grid(its.phase, area)) for name, its in made.items()}
    for first, second in (("first", "second"), ("vacuum_first", "vacuum_second")):
        if moves and first in images:
            limit = (LOST / spacing[0], LOST / spacing[1])
            shift = find_shift(images[first].values, images[second].values, limit)
            images[second] = area.copy(data=shift_image(images[second].values, shift))
    return images
