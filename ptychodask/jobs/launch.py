"""Start a job, or take an interrupted one up again: everything around :class:`ptychodask.jobs.run.Run`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from .._errors import DivergenceError, InputError, StoppedError
from ..distributed.cluster import Client, cluster_trouble, connect, describe
from ..io.checkpoint import RunFolder
from ..io.dataset import DatasetInfo, dataset_info
from ..model.config import EngineConfig, JobConfig
from .criteria import sampling_of
from .damage import damage_warning, left_out_attributes
from .plan import check_fits
from .run import Log, Report, Run, history, split_iterations, survey
from .setup import Recipe, check_job, microscope_of, slices_of

PLACES = {"workers", "gpus", "scheduler"}
"""Options of the engine of which a job says one at most."""


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
        return connect(client, **self.job.engine.model_dump())


def start(
    dataset: DatasetInfo, job: JobConfig, target: Path, overwrite: bool, client: Client | None, report: Report
) -> None:
    """Run a new job to its end, and write its result to ``target``."""
    launch = Launch(target, dataset, job, overwrite, tuple(check_job(dataset, job)), report)
    folder = launch.folder
    with _held(folder, report), launch.connect(client) as dask_client:
        check_fits(dataset, job, dask_client)
        identity = {"data": dataset.path, "config": job.model_dump_json(), "fingerprint": dataset.fingerprint}
        folder.claim(identity, overwrite)
        try:
            recipe = _recipe(launch, dask_client)
        except BaseException:
            folder.remove()  # nothing was computed yet that could be resumed
            raise
        _run(launch, dask_client, recipe, Log())


def take_up(target: Path, engine: dict[str, Any], client: Client | None, report: Report) -> None:
    """Run an interrupted job to its end."""
    folder = RunFolder.of(target)
    if not folder.path.exists():
        done = "it is finished: open it with open_result" if target.exists() else "no run was started for it"
        raise InputError(f"{target} has nothing to resume: {done}")
    with _held(folder, report):
        identity = folder.read_json("job.json")
        job = _elsewhere(JobConfig.parse(json.loads(identity["config"])), engine)
        dataset = dataset_info(identity["data"], whole=job.data.on_damage == "stop")
        if dataset.fingerprint != identity["fingerprint"]:
            raise InputError(
                f"{dataset.path} has changed since the run was started: reconstruct it anew with --overwrite"
            )
        launch = Launch(target, dataset, job, True, tuple(check_job(dataset, job)), report)
        log = Log(**folder.read_json("log.json")) if (folder.path / "log.json").exists() else Log()
        with launch.connect(client) as dask_client:
            if (folder.path / "recipe.json").exists():
                recipe = Recipe.load({**folder.read_json("recipe.json"), "config": job.model_dump_json()})
            else:
                recipe = _recipe(launch, dask_client)
            _run(launch, dask_client, recipe, log)


def _elsewhere(job: JobConfig, engine: dict[str, Any]) -> JobConfig:
    """The job with other options of the engine, of which none may change the bits."""
    if fixed := {"block", "backend", "tile_pixels", "object_gib"} & set(engine):
        raise InputError(f"engine.{fixed.pop()} cannot change in a resumed run: it would change the bits")
    here = job.engine.model_dump()
    if PLACES & set(engine):  # another place to run replaces the old one
        here |= dict.fromkeys(PLACES) | {"host": EngineConfig().host, "protocol": None}
    return JobConfig.parse({**job.model_dump(), "engine": {**here, **engine}})


@contextmanager
def _held(folder: RunFolder, report: Report) -> Iterator[None]:
    """Hold the result's lock."""
    with folder.hold() as note:
        if note:
            report("warning", {"text": note})
        yield


def _recipe(launch: Launch, client: Client) -> Recipe:
    """Survey the data, and keep what a resumed run must not find out anew."""
    with _explained(launch):
        recipe = survey(client, launch.dataset, launch.job, launch.report)
    launch.folder.write_json("recipe.json", asdict(recipe))
    return recipe


def _run(launch: Launch, client: Client, recipe: Recipe, log: Log) -> None:
    held = {"container": recipe.container, "pattern_bytes": recipe.pattern_bytes}
    launch.report("start", {**_opening(launch), **held, **describe(client)})
    if recipe.damaged:
        patterns = math.prod(launch.dataset.scan_shape)
        launch.report("warning", {"text": damage_warning(launch.dataset.path, patterns, recipe.damaged)})
    for text in (*sampling_of(launch.dataset, launch.job).warnings, *recipe.suspicions):
        launch.report("warning", {"text": text})
    run = Run(client, launch.dataset, launch.job, launch.folder, recipe, log, launch.report)
    try:
        with _explained(launch, run):
            state, recipe = run.finish(run.fit())
            if misfit := run.excess.warning():
                launch.report("warning", {"text": misfit})
            _store(launch, run, state, recipe)
    except KeyboardInterrupt:
        with _explained(launch, run):
            launch.report("checkpoint", {"iteration": run.interrupt()})
        raise
    except StoppedError:
        raise
    except Exception as error:
        if isinstance(error, DivergenceError) or not launch.folder.checkpoints():
            launch.folder.remove()  # nothing worth resuming
        raise
    launch.folder.remove()


def _store(launch: Launch, run: Run, state: Any, recipe: Recipe) -> None:
    """Write the result, from the worker that has the state."""
    entries, attributes = history(run.log), _attributes(launch, run)
    try:
        run.states.store(launch.target, recipe, state, entries, attributes, launch.overwrite)
    except OSError as error:
        if cluster_trouble(error):
            raise
        text = " ".join(str(error).split())
        raise StoppedError(
            f"the result cannot be written ({text}): make room, then {_continue(launch, run)}"
        ) from error


def _continue(launch: Launch, run: Run) -> str:
    return f"continue from iteration {run.resumes_from} with 'ptychodask resume {launch.target}'"


@contextmanager
def _explained(launch: Launch, run: Run | None = None) -> Iterator[None]:
    """The loss of the cluster as one line, with how to go on."""
    try:
        yield
    except Exception as error:
        trouble = cluster_trouble(error)
        if trouble is None:
            raise
        raise StoppedError(f"{trouble}; {'start it again' if run is None else _continue(launch, run)}") from error


def _opening(launch: Launch) -> dict[str, Any]:
    return {
        "patterns": math.prod(launch.dataset.scan_shape),
        "electrons_per_pattern": float(launch.dataset.attributes["electrons_per_pattern"]),
        "slices": slices_of(launch.dataset, launch.job),
        "modes": launch.job.probe.modes,
        "remarks": list(launch.remarks),
        "iterations": launch.job.solver.iterations,
    }


def _attributes(launch: Launch, run: Run) -> dict[str, Any]:
    """What the result says of how it was made."""
    dataset, job, log, damaged = launch.dataset, launch.job, run.log, run.recipe.damaged
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
        **left_out_attributes(damaged, run.recipe.excluded),
        **run.excess.attributes,
        "container": run.recipe.container,
        "bytes_per_pattern": run.recipe.pattern_bytes,
        "slices": slices_of(dataset, job),
        "energy_ev": dataset.microscope.energy_ev,
        "semi_angle_mrad": dataset.microscope.semi_angle_mrad,
        "defocus_angstrom": microscope_of(dataset, job).defocus_angstrom,
        "remarks": json.dumps(list(launch.remarks)),
    }
