"""Start a job, or take an interrupted one up again: everything around :class:`ptychodask.jobs.run.Run`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import DivergenceError, InputError
from ..distributed.cluster import Client, connect, describe
from ..io.checkpoint import RunFolder
from ..io.dataset import DatasetInfo, dataset_info
from ..model.config import JobConfig
from .run import Log, Report, Run, history, split_iterations, survey
from .setup import Recipe, check_job, microscope_of, slices_of


@dataclass(frozen=True)
class Launch:
    """A job that was checked and has its run folder.

    Parameters
    ----------
    target : Path
        The result to write.
    dataset : DatasetInfo
    job : JobConfig
    overwrite : bool
        Replace an existing result.
    remarks : tuple of str
        What the user should know, from :func:`ptychodask.jobs.setup.check_job`.
    report : callable
        Takes events.
    """

    target: Path
    dataset: DatasetInfo
    job: JobConfig
    overwrite: bool
    remarks: tuple[str, ...]
    report: Report

    @property
    def folder(self) -> RunFolder:
        """Where the run keeps what it needs to resume."""
        return RunFolder.of(self.target)

    def connect(self, client: Client | None) -> Any:
        """Context of a Dask client, as the job says."""
        engine = self.job.engine
        return connect(workers=engine.workers, threads=engine.threads, scheduler=engine.scheduler, client=client)


def start(
    dataset: DatasetInfo, job: JobConfig, target: Path, overwrite: bool, client: Client | None, report: Report
) -> None:
    """Run a new job to its end, and write its result to ``target``."""
    launch = Launch(target, dataset, job, overwrite, tuple(check_job(dataset, job)), report)
    folder = launch.folder
    with launch.connect(client) as dask_client:
        identity = {"data": dataset.path, "config": job.model_dump_json(), "fingerprint": dataset.fingerprint}
        folder.claim(identity, overwrite)
        try:
            recipe = survey(dask_client, dataset, job, report)
        except BaseException:
            folder.remove()  # nothing was computed yet that could be resumed
            raise
        folder.write_json("recipe.json", asdict(recipe))
        _run(launch, dask_client, recipe, Log())


def take_up(target: Path, engine: dict[str, Any], client: Client | None, report: Report) -> None:
    """Run an interrupted job to its end."""
    folder = RunFolder.of(target)
    if not folder.path.exists():
        done = "it is finished: open it with open_result" if target.exists() else "no run was started for it"
        raise InputError(f"{target} has nothing to resume: {done}")
    identity = folder.read_json("job.json")
    job = JobConfig.parse(json.loads(identity["config"]))
    if fixed := {"block", "backend", "tile_pixels", "object_gib"} & set(engine):
        raise InputError(f"engine.{fixed.pop()} cannot change in a resumed run: it would change the bits")
    job = JobConfig.parse({**job.model_dump(), "engine": {**job.engine.model_dump(), **engine}})
    dataset = dataset_info(identity["data"])
    if dataset.fingerprint != identity["fingerprint"]:
        raise InputError(f"{dataset.path} has changed since the run was started: reconstruct it anew with --overwrite")
    log = Log(**folder.read_json("log.json")) if (folder.path / "log.json").exists() else Log()
    launch = Launch(target, dataset, job, True, tuple(check_job(dataset, job)), report)
    with launch.connect(client) as dask_client:
        if (folder.path / "recipe.json").exists():
            # JSON keeps every bit of a float
            recipe = Recipe(**{**folder.read_json("recipe.json"), "config": job.model_dump_json()})
        else:
            recipe = survey(dask_client, dataset, job, report)
        _run(launch, dask_client, recipe, log)


def _run(launch: Launch, client: Client, recipe: Recipe, log: Log) -> None:
    launch.report("start", {**_opening(launch), **describe(client)})
    run = Run(client, launch.dataset, launch.job, launch.folder, recipe, log, launch.report)
    try:
        state, recipe = run.finish(run.fit())
        attributes = _attributes(launch, run)
        run.states.store(launch.target, recipe, state, history(log), attributes, launch.overwrite)
    except KeyboardInterrupt:
        launch.report("checkpoint", {"iteration": run.interrupt()})
        raise
    except Exception as error:
        if isinstance(error, DivergenceError) or not launch.folder.checkpoints():
            launch.folder.remove()  # nothing worth resuming
        raise
    launch.folder.remove()


def _opening(launch: Launch) -> dict[str, Any]:
    return {
        "patterns": int(np.prod(launch.dataset.scan_shape)),
        "electrons_per_pattern": float(launch.dataset.attributes["electrons_per_pattern"]),
        "slices": slices_of(launch.dataset, launch.job),
        "modes": launch.job.probe.modes,
        "remarks": list(launch.remarks),
        "iterations": launch.job.solver.iterations,
    }


def _attributes(launch: Launch, run: Run) -> dict[str, Any]:
    """What the result says of how it was made."""
    dataset, job, log = launch.dataset, launch.job, run.log
    versions = {name: metadata.version(name) for name in ("ptychodask", "numpy", "scipy", "dask", "zarr")}
    return {
        "versions": json.dumps(versions),
        "data": dataset.path,
        "data_fingerprint": dataset.fingerprint,
        "iteration": log.chosen,
        "finish": split_iterations(job, run.holds_out)[1],
        "stopped_because": log.reason,
        "restarts": log.restarts,
        "initial_loss": log.entries[0]["loss"],
        "initial_validation": log.entries[0]["validation"],
        "electrons_per_pattern": float(dataset.attributes["electrons_per_pattern"]),
        "dose_per_square_angstrom": float(dataset.attributes["dose_per_square_angstrom"]),
        "slices": slices_of(dataset, job),
        "energy_ev": dataset.microscope.energy_ev,
        "semi_angle_mrad": dataset.microscope.semi_angle_mrad,
        "defocus_angstrom": microscope_of(dataset, job).defocus_angstrom,
        "remarks": json.dumps(list(launch.remarks)),
    }
