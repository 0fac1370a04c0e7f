"""Start a job, or take an interrupted one up again: everything around :class:`ptychodask.jobs.run.Run`."""

from __future__ import annotations

import json
import math
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from .._errors import DivergenceError, InputError, StoppedError
from ..distributed.cluster import Client, cluster_trouble, connect, describe
from ..events import Checkpointed, Finished, Started, Waiting, Warned
from ..io.address import is_address
from ..io.atomic import check_output, replacing
from ..io.checkpoint import RunFolder
from ..io.content import identified, lost_shards
from ..io.dataset import DatasetInfo, dataset_info
from ..io.described.run import SCHEMA as RUN_SCHEMA
from ..io.described.run import DecisionsFile, JobFile, LogFile
from ..io.kinds import RESULT
from ..io.result import open_result
from ..io.selected import described, keep, select
from ..io.stored import stored_config
from ..model.config import EngineConfig, JobConfig
from ..model.selection import Selection
from .checks import check, doubts
from .damage import damage_warning, left_out_attributes
from .experiment import Experiment
from .log import Log
from .observers import Reporter
from .places import check_places, other_processors
from .plan import check_fits
from .recipe import Decisions, Recipe
from .refine import refined
from .run import Run, history, start_in, survey
from .settled import experiment_of
from .showing import Showing, showing

PLACES = {"workers", "gpus", "scheduler"}
"""Options of the engine of which a job says one at most."""


@dataclass(frozen=True)
class Launch:
    """A job that was checked and has its run folder.

    Parameters
    ----------
    target : Path
        The result to write.
    experiment : Experiment
    overwrite : bool
        Replace an existing result.
    remarks : tuple of str
        What the user should know, from :func:`ptychodask.jobs.checks.check`.
    report : Reporter
    """

    target: Path
    experiment: Experiment
    overwrite: bool
    remarks: tuple[str, ...]
    report: Reporter

    @property
    def dataset(self) -> DatasetInfo:
        """What is used of the dataset."""
        return self.experiment.info

    @property
    def job(self) -> JobConfig:
        """The configuration."""
        return self.experiment.config

    @property
    def folder(self) -> RunFolder:
        """Where the run keeps what it needs to resume."""
        return RunFolder.of(self.target)

    def connect(self, client: Client | None) -> Any:
        """Context of a Dask client, as the job says."""

        def waiting(text: str) -> None:
            self.report(Waiting(text))

        return connect(client, waiting, self.job.engine.place)


def start(
    dataset: DatasetInfo,
    job: JobConfig,
    target: Path,
    overwrite: bool,
    client: Client | None,
    observers: Sequence[Any],
    begin: Path | None = None,
) -> None:
    """Run a new job to its end, and write its result to ``target``.

    ``begin`` is a checkpoint of the same canvas and object to begin from, vacuum by default; the run keeps a copy.
    """
    dataset = identified(dataset)
    launch = _launch(target, experiment_of(dataset, job), overwrite, Reporter(observers))
    folder, job = launch.folder, launch.job
    folder.check()
    with _held(folder, launch.report), launch.connect(client) as dask_client:
        check_fits(launch.experiment, dask_client)
        name = uuid.uuid4().hex
        identity = {
            "schema": RUN_SCHEMA,
            "version": metadata.version("ptychodask"),
            "data": dataset.path,
            "config": job.model_dump_json(),
            "fingerprint": dataset.fingerprint,
            "run": name,
            "selection": None if dataset.selection is None else asdict(dataset.selection),
            "lost": lost_shards(dataset.path) if job.data.on_damage == "mask" else [],
        }
        folder.claim(identity, overwrite)
        try:
            _check_places(launch, dask_client)
            kept = replace(dataset, selection=keep(dataset.selection, folder.path))
            launch = replace(launch, experiment=Experiment(kept, job))
            recipe = _recipe(launch, dask_client, begin)
        except BaseException:
            folder.remove()  # nothing was computed yet that could be resumed
            raise
        _run(launch, dask_client, recipe, Log(), name)


def _launch(target: Path, experiment: Experiment, overwrite: bool, report: Reporter) -> Launch:
    """Check a job, and say what is doubtful about it."""
    remarks = tuple(check(experiment))
    for text in doubts(experiment):
        report(Warned(text))
    return Launch(target, experiment, overwrite, remarks, report)


def take_up(
    target: Path, data: str | None, engine: dict[str, Any], client: Client | None, observers: Sequence[Any]
) -> None:
    """Run an interrupted job to its end; one that is finished is left alone."""
    folder, report = RunFolder.of(target), Reporter(observers)
    if not folder.path.exists():
        if not target.exists():
            raise InputError(f"{target} has nothing to resume: no run was started for it")
        report(Finished(str(target)))
        return
    with _held(folder, report):
        identity = folder.identity()
        if target.exists() and (identity is None or (identity.run and _made(target) == identity.run)):
            folder.remove()  # its own run was killed while it did that
            report(Finished(str(target)))
            return
        if identity is None:
            raise InputError(f"{folder.path} holds no run to resume: start it anew with reconstruct")
        job = _elsewhere(stored_config(identity.config, str(folder.path / "job.json"), identity.version), engine)
        dataset = _same_data(identity, data, job)
        if dataset.path != identity.data:
            folder.write_json("job.json", {**identity.content(), "data": dataset.path})
        dataset = select(dataset, _chosen(folder, identity, dataset))
        launch = _launch(target, Experiment(dataset, job), True, report)
        log = Log(**folder.read("log.json", LogFile).content()) if (folder.path / "log.json").exists() else Log()
        with launch.connect(client) as dask_client:
            _check_places(launch, dask_client)
            if (folder.path / "decisions.json").exists():
                recipe = _stored_recipe(folder, dataset, job)
            else:
                recipe = _recipe(launch, dask_client)
            _run(launch, dask_client, recipe, log, identity.run)


def _made(result: Path) -> str | None:
    """The run that wrote a result; None if it is no result of ours, or one of an early version."""
    try:
        return open_result(result).attributes.get("run")
    except InputError:
        return None


def _same_data(identity: JobFile, moved_to: str | None, job: JobConfig) -> DatasetInfo:
    """The dataset of an interrupted run, where it is now."""
    path = identity.data if moved_to is None else moved_to
    if moved_to is None and not is_address(path) and not Path(path).exists():
        raise InputError(f"the run's dataset {path} does not exist: if it was moved, say where to with --data (data=)")
    dataset = identified(dataset_info(path, whole=job.data.on_damage == "stop"), identity.lost)
    if dataset.fingerprint == identity.fingerprint:
        return dataset
    if moved_to is not None:
        raise InputError(
            f"{path} is not the dataset of the run, which was {identity.data}: their"
            " counts, positions, masks or calibrations differ"
        )
    raise InputError(f"{path} has changed since the run was started: reconstruct it anew with --overwrite")


def _chosen(folder: RunFolder, identity: JobFile, dataset: DatasetInfo) -> Selection | None:
    """What the run uses of the dataset."""
    if identity.selection is None:
        return None
    chosen = Selection.load(identity.selection.model_dump())
    assert chosen is not None
    (rows, columns), file = dataset.scan_shape, folder.path / "job.json"
    if max(chosen.rows) >= rows or max(chosen.columns) >= columns:
        raise InputError(f"{file} selects positions beyond the scan of {rows} x {columns}: start the run anew")
    return chosen.in_folder(folder.path)


def _stored_recipe(folder: RunFolder, dataset: DatasetInfo, job: JobConfig) -> Recipe:
    """What the survey found when the run was started."""
    stored = folder.read("decisions.json", DecisionsFile)
    (rows, columns), path = dataset.scan_shape, folder.path / "decisions.json"
    if any(y1 > rows or x1 > columns for _, y1, _, x1 in (*stored.damaged, *stored.excluded)):
        raise InputError(f"{path} leaves out positions beyond the scan of {rows} x {columns}: start the run anew")
    return Recipe(dataset.path, job.model_dump_json(), Decisions.load(stored.content()), dataset.selection)


def _elsewhere(job: JobConfig, engine: dict[str, Any]) -> JobConfig:
    """The job with other options of the engine, of which none may change the bits."""
    if fixed := EngineConfig.changing_bits() & set(engine):
        raise InputError(f"engine.{min(fixed)} cannot change in a resumed run: it would change the bits")
    here = job.engine.model_dump()
    if PLACES & set(engine):  # another place to run replaces the old one
        here |= dict.fromkeys(PLACES) | {"host": EngineConfig().host, "protocol": None}
    return JobConfig.parse({**job.model_dump(), "engine": {**here, **engine}})


@contextmanager
def _held(folder: RunFolder, report: Reporter) -> Iterator[None]:
    """Hold the result's lock."""
    with folder.hold() as note:
        if note:
            report(Warned(note))
        yield


def _check_places(launch: Launch, client: Client) -> None:
    """Can the result be written here, and can workers read and write where they will have to?"""
    check_output(launch.target, RESULT, launch.overwrite)
    with _explained(launch):
        check_places(client, launch.dataset, (launch.target, launch.folder.path / "log.json"))


def _recipe(launch: Launch, client: Client, begin: Path | None = None) -> Recipe:
    """Survey the data, and keep what a resumed run must not find out anew."""
    if begin is not None:
        with replacing(start_in(launch.folder), None) as part:
            shutil.copytree(begin, part)
    with _explained(launch):
        recipe = survey(client, launch.experiment, launch.report)
    # a run that was killed before it had decided has the copy all the same
    recipe = recipe.with_decided(begun=Path(start_in(launch.folder)).exists())
    launch.folder.write_json("decisions.json", asdict(recipe.decided))
    return recipe


def _run(launch: Launch, client: Client, recipe: Recipe, log: Log, name: str) -> None:
    launch.report.go_on(log.warnings)
    runs = [Run(client, launch.experiment, launch.folder, recipe, log, launch.report)]
    with showing(client, lambda: runs[-1], launch.report) as shown:
        launch.report(_opening(launch, recipe, client, shown))
        _warn(launch, client, recipe)
        launch, recipe = _refined(launch, client, recipe)
        runs.append(Run(client, launch.experiment, launch.folder, recipe, log, launch.report))
        _to_the_end(launch, runs[-1], name)
    launch.folder.remove()


def _warn(launch: Launch, client: Client, recipe: Recipe) -> None:
    """Say what is doubtful about counts and workers."""
    decided = recipe.decided
    if decided.damaged:
        patterns, selection = math.prod(launch.dataset.scan_shape), launch.dataset.selection
        launch.report(Warned(damage_warning(launch.dataset.path, patterns, decided.damaged, selection)))
    with _explained(launch):
        unlike = other_processors(client, decided.backend, decided.processor)
    for text in (*filter(None, [unlike]), *launch.experiment.sampling.warnings, *decided.suspicions):
        launch.report(Warned(text))


def _to_the_end(launch: Launch, run: Run, name: str) -> None:
    """Iterate, and write the result."""
    try:
        with _explained(launch, run):
            state, recipe = run.finish(run.fit())
            if misfit := run.excess.warning():
                launch.report(Warned(misfit))
            _store(launch, run, state, recipe, name)
    except KeyboardInterrupt:
        with _explained(launch, run):
            launch.report(Checkpointed(run.interrupt()))
        raise
    except StoppedError:
        raise
    except Exception as error:
        if isinstance(error, DivergenceError) or not launch.folder.checkpoints():
            launch.folder.remove()  # nothing worth resuming
        raise


def _refined(launch: Launch, client: Client, recipe: Recipe) -> tuple[Launch, Recipe]:
    """With the geometry found first, where the job wants that; a run that is resumed knows it."""
    try:
        with _explained(launch):
            found = refined(client, launch.folder, recipe, launch.report)
    except KeyboardInterrupt:
        launch.report(Checkpointed(0))
        raise
    except StoppedError:
        raise
    except Exception:
        if not (launch.folder.checkpoints() or replace(launch.folder, stage="geometry").checkpoints()):
            launch.folder.remove()  # nothing worth resuming
        raise
    if found is not recipe:
        launch.folder.write_json("decisions.json", asdict(found.decided))
    return replace(launch, experiment=replace(launch.experiment, geometry=found.decided.geometry)), found


def _store(launch: Launch, run: Run, state: Any, recipe: Recipe, name: str) -> None:
    """Write the result, from the worker that has the state."""
    entries, attributes = history(run.log), {"run": name, **_attributes(launch, run)}
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


def _opening(launch: Launch, recipe: Recipe, client: Client, shown: Showing) -> Started:
    return Started(
        patterns=math.prod(launch.dataset.scan_shape),
        electrons_per_pattern=float(launch.dataset.attributes["electrons_per_pattern"]),
        slices=launch.experiment.slices,
        modes=launch.job.probe.modes,
        iterations=launch.job.solver.iterations,
        remarks=(*launch.remarks, *filter(None, [shown.remark])),
        page=shown.link,
        container=recipe.decided.container,
        pattern_bytes=recipe.decided.pattern_bytes,
        **describe(client),
    )


def _geometry(decided: Decisions) -> dict[str, str]:
    """What was found of the geometry."""
    its = decided.geometry
    return (
        {}
        if its is None
        else {"geometry": json.dumps({"matrix": its.matrix, "aberrations": its.aberrations, "values": its.values})}
    )


def _attributes(launch: Launch, run: Run) -> dict[str, Any]:
    """What the result says of how it was made."""
    dataset, log, decided = launch.dataset, run.log, run.recipe.decided
    versions = {name: metadata.version(name) for name in ("ptychodask", "numpy", "scipy", "dask", "zarr")}
    return {
        "versions": json.dumps(versions),
        "data": dataset.path,
        "data_fingerprint": dataset.fingerprint,
        "selection": described(dataset.selection),
        "iteration": log.chosen,
        "finish": run.experiment.split_iterations[1],
        "stopped_because": log.reason,
        "restarts": log.restarts,
        "initial_loss": log.entries[0]["loss"],
        "initial_validation": log.entries[0]["validation"],
        "electrons_per_pattern": float(dataset.attributes["electrons_per_pattern"]),
        "dose_per_square_angstrom": float(dataset.attributes["dose_per_square_angstrom"]),
        **left_out_attributes(decided.damaged, decided.excluded),
        **run.excess.attributes,
        "container": decided.container,
        "bytes_per_pattern": decided.pattern_bytes,
        "slices": launch.experiment.slices,
        "energy_ev": dataset.microscope.energy_ev,
        "semi_angle_mrad": dataset.microscope.semi_angle_mrad,
        "defocus_angstrom": launch.experiment.microscope.defocus_angstrom,
        **_geometry(decided),
        "remarks": json.dumps(list(launch.remarks)),
        "warnings": json.dumps(log.warnings),
    }
