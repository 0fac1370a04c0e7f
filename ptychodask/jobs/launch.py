"""Start a job, or take an interrupted one up again: everything around :class:`ptychodask.jobs.run.Run`."""

from __future__ import annotations

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
from ..distributed.cluster import Client, cluster_trouble, connect
from ..events import Checkpointed, Finished, Waiting, Warned
from ..io.atomic import check_output, replacing
from ..io.checkpoint import RunFolder, begin_anew
from ..io.content import identified, lost_shards
from ..io.dataset import DatasetInfo
from ..io.described.run import SCHEMA as RUN_SCHEMA
from ..io.described.run import LogFile
from ..io.kinds import RESULT
from ..io.result import open_result
from ..io.selected import keep, select
from ..io.stored import stored_config
from ..model.config import JobConfig
from . import compiling
from .begun import begin as begin_with
from .begun import check_start, with_whole_paths
from .checks import check, doubts
from .damage import damage_warning
from .experiment import Experiment
from .identity import chosen, elsewhere, further_identities, made_by, same_data, same_further, stored_recipe
from .log import Log
from .observers import Reporter
from .places import check_places, other_processors
from .plan import check_fits
from .recipe import Recipe
from .refine import refined
from .run import Run, history, start_in
from .settled import experiment_of
from .several import of_scan, placed, survey_all, told_of
from .showing import showing
from .told import attributes, opening


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
    further: tuple[DatasetInfo, ...] = (),
) -> None:
    """Run a new job to its end, and write its result to ``target``.

    ``further`` are further scans of the same area, which see the same object.
    ``begin`` is a checkpoint of the same canvas and object to begin from, vacuum by default; the run keeps a copy.
    """
    dataset, job = identified(dataset), with_whole_paths(job)
    further = tuple(map(identified, further))
    launch = _launch(target, experiment_of(dataset, job, further), overwrite, Reporter(observers))
    folder, job = launch.folder, launch.job
    told = check_start(launch.experiment)
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
            **further_identities(further, job),
        }
        folder.claim(identity, overwrite)
        try:
            _check_places(launch, dask_client)
            kept = replace(dataset, selection=keep(dataset.selection, folder.path))
            launch = replace(launch, experiment=Experiment(kept, job, further=further))
            recipe = _recipe(launch, dask_client, told, begin)
            if further:  # their places may make the canvas larger
                check_fits(replace(launch.experiment, offsets=recipe.decided.offsets), dask_client)
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
        open_result(target)  # before anybody is told that it is finished
        report(Finished(str(target)))
        return
    with _held(folder, report):
        identity = folder.identity()
        if target.exists() and (identity is None or (identity.run and made_by(target) == identity.run)):
            folder.remove()  # its own run was killed while it did that
            report(Finished(str(target)))
            return
        if identity is None:
            raise InputError(f"{folder.path} holds no run to resume: start it anew with reconstruct")
        job = elsewhere(stored_config(identity.config, str(folder.path / "job.json"), identity.version), engine)
        if identity.further and data is not None:
            raise InputError("--data names one dataset, and this run has several: put them back where they were")
        dataset = same_data(identity, data, job)
        if dataset.path != identity.data:
            folder.write_json("job.json", {**identity.content(), "data": dataset.path})
        dataset = select(dataset, chosen(folder, identity, dataset))
        launch = _launch(target, Experiment(dataset, job, further=same_further(identity, job)), True, report)
        log = Log(**folder.read("log.json", LogFile).content()) if (folder.path / "log.json").exists() else Log()
        with launch.connect(client) as dask_client:
            _check_places(launch, dask_client)
            if (folder.path / "decisions.json").exists():
                recipe = stored_recipe(folder, launch.experiment)
            else:
                recipe = _recipe(launch, dask_client, check_start(launch.experiment))
            _run(launch, dask_client, recipe, log, identity.run)


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
        for dataset in launch.experiment.infos:
            check_places(client, dataset, (launch.target, launch.folder.path / "log.json"))


def _recipe(launch: Launch, client: Client, told: tuple[str, ...], begin: Path | None = None) -> Recipe:
    """Survey the data, and keep what a resumed run must not find out anew."""
    if begin is not None:
        with replacing(start_in(launch.folder), None) as part:
            shutil.copytree(begin, part)
            begin_anew(part, 0 if launch.job.solver.acceleration else -1)
    with _explained(launch):
        recipe = placed(client, launch.experiment, survey_all(client, launch.experiment), launch.report)
    # a run that was killed before it had decided has the copy all the same
    recipe = recipe.with_decided(begun=Path(start_in(launch.folder)).exists(), told=told)
    launch.folder.write_json("decisions.json", recipe.decided.stored())
    return recipe


def _run(launch: Launch, client: Client, recipe: Recipe, log: Log, name: str) -> None:
    launch.report.go_on(log.warnings)
    launch = replace(launch, remarks=(*launch.remarks, *recipe.decided.told))
    if launch.experiment.further:
        its, remarks = replace(launch.experiment, offsets=recipe.decided.offsets), told_of(recipe.decided)
        launch = replace(launch, experiment=its, remarks=(*launch.remarks, *remarks))
    runs = [Run(client, launch.experiment, launch.folder, recipe, log, launch.report)]
    with showing(client, lambda: runs[-1], launch.report) as shown:
        launch.report(opening(launch.experiment, launch.remarks, recipe, client, shown))
        _warn(launch, client, recipe)
        if text := compiling.told(client, recipe):
            launch.report(Waiting(text))
        launch, recipe = _refined(launch, client, recipe)
        recipe = begin_with(launch.folder, recipe)
        runs.append(Run(client, launch.experiment, launch.folder, recipe, log, launch.report))
        _to_the_end(launch, runs[-1], name)
    launch.folder.remove()


def _warn(launch: Launch, client: Client, recipe: Recipe) -> None:
    """Say what is doubtful about counts and workers."""
    decided, scans = recipe.decided, launch.experiment.scans
    for dataset, its in zip(launch.experiment.infos, (decided, *decided.further), strict=True):
        if its.damaged:
            patterns = math.prod(dataset.scan_shape)
            launch.report(Warned(damage_warning(dataset.path, patterns, its.damaged, dataset.selection)))
    with _explained(launch):
        unlike = other_processors(client, decided.backend, decided.processor)
    sampled = [of_scan(s, text, scans) for s, scan in enumerate(scans) for text in scan.sampling.warnings]
    for text in (*filter(None, [unlike]), *sampled, *decided.suspicions):
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
        launch.folder.write_json("decisions.json", found.decided.stored())
    return replace(launch, experiment=replace(launch.experiment, geometry=found.decided.geometry)), found


def _store(launch: Launch, run: Run, state: Any, recipe: Recipe, name: str) -> None:
    """Write the result, from the worker that has the state."""
    entries, said = history(run.log), {"run": name, **attributes(launch.remarks, run)}
    try:
        run.states.store(launch.target, recipe, state, entries, said, launch.overwrite)
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
