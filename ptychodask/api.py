"""The public functions. Everything that people call from Python is here; the command line calls nothing else."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from . import __version__
from ._errors import DivergenceError, InputError
from .analysis.sampling import SamplingReport, sampling_report
from .distributed.cluster import connect, describe
from .io.atomic import check_output
from .io.checkpoint import RunFolder
from .io.create import create_dataset
from .io.dataset import dataset_info, open_dataset, read_truth
from .io.export import export_hdf5, export_tiff
from .io.result import Result, open_result
from .jobs import tasks
from .jobs.progress import silent
from .jobs.run import Log, Report, Run, history, split_iterations, survey
from .jobs.setup import Recipe, check_job, microscope_of, slices_of, thickness_of
from .model.config import JobConfig
from .physics.constraints import phase_of
from .simulation.run import simulate

if TYPE_CHECKING:
    from .distributed.cluster import Client

__all__ = [
    "create_dataset",
    "export",
    "info",
    "open_dataset",
    "open_result",
    "read_truth",
    "reconstruct",
    "report",
    "resume",
    "simulate",
]


def info(path: str | Path, config: JobConfig | None = None) -> SamplingReport:
    """Sampling, dose and probe of a dataset, with warnings where a criterion is violated; reads no counts.

    Examples
    --------
    >>> for label, value, remark, fulfilled in ptychodask.info("scan.zarr").rows():
    ...     print(label, value, remark)
    """
    data, job = dataset_info(path), config or JobConfig.parse({})
    return sampling_report(
        microscope_of(data, job),
        data.detector.pixels,
        data.detector.angular_step_mrad,
        data.scan_step,
        data.scan_shape,
        float(data.attributes["electrons_per_pattern"]),
        slices=slices_of(data, job),
        modes=job.probe.modes,
        thickness_angstrom=thickness_of(data, job),
    )


def _as_config(config: JobConfig | dict[str, Any] | str | Path | None) -> JobConfig:
    if config is None or isinstance(config, dict):
        return JobConfig.parse(config or {})
    return config if isinstance(config, JobConfig) else JobConfig.load(config)


def _as_path(data: str | Path | xr.Dataset) -> Path:
    if not isinstance(data, xr.Dataset):
        return Path(data)
    if "path" not in data.attrs:
        raise InputError(
            "this xarray Dataset was not opened by ptychodask.open_dataset: write it with create_dataset first"
        )
    return Path(data.attrs["path"])


def reconstruct(
    data: str | Path | xr.Dataset,
    config: JobConfig | dict[str, Any] | str | Path | None = None,
    client: Client | None = None,
    *,
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: Report = silent,
) -> Result:
    """Reconstruct object and probe by LSQ-ML on Dask.

    Parameters
    ----------
    data : path or xarray.Dataset
        A dataset, or what :func:`open_dataset` returned for it.
    config : JobConfig, dict or path of a TOML file, optional
        The job; the low-dose preset by default.
    client : distributed.Client, optional
        Where to run. By default what ``config.engine`` says: threads of this process, local processes, or a scheduler.
        Workers read the dataset and write checkpoints themselves: they need to see the same files.
    output : path, optional
        Where to write the result. By default a temporary folder that lives as long as this process.
    overwrite : bool
        Replace an existing result, and drop an unfinished run for it.
    progress : callable
        Called with events, see :mod:`ptychodask.jobs.progress`.

    Returns
    -------
    Result

    Raises
    ------
    InputError
        Bad input, before computing starts.
    DivergenceError
        The run diverged and smaller steps did not help.
    KeyboardInterrupt
        As it came; a checkpoint is left, :func:`resume` goes on.

    Examples
    --------
    >>> result = ptychodask.reconstruct("scan.zarr", {"object": {"slices": 2, "thickness_angstrom": 50}})
    >>> result.phase.plot()
    """
    job, path = _as_config(config), _as_path(data).resolve()
    dataset = dataset_info(path)
    remarks = check_job(dataset, job)
    target = check_output(output if output is not None else _scratch() / "result.zarr", overwrite).resolve()
    if target == path:
        raise InputError(f"output {target} is the dataset itself: choose another name for the result")
    folder = RunFolder.of(target)
    with _connected(job, client) as dask_client:
        folder.claim(
            {"data": str(path), "config": job.model_dump_json(), "fingerprint": dataset.fingerprint},
            overwrite,
        )
        try:
            recipe = survey(dask_client, dataset, job, progress)
        except BaseException:
            folder.remove()  # nothing was computed yet that could be resumed
            raise
        folder.write_json("recipe.json", asdict(recipe))
        return _run(dask_client, target, dataset, job, folder, recipe, Log(), remarks, overwrite, progress)


def resume(
    output: str | Path,
    client: Client | None = None,
    *,
    engine: dict[str, Any] | None = None,
    progress: Report = silent,
) -> Result:
    """Continue an interrupted run to the same bits as if it had not been interrupted.

    Parameters
    ----------
    output : path
        The result that the run was to write.
    client : distributed.Client, optional
        Where to run; any number of workers.
    engine : dict, optional
        Replaces options of ``config.engine``, such as ``{"workers": 4}``. ``block`` and ``backend`` cannot change.
    progress : callable
        As for :func:`reconstruct`.
    """
    target = Path(output).resolve()
    folder = RunFolder.of(target)
    if not folder.path.exists():
        done = "it is finished: open it with open_result" if target.exists() else "no run was started for it"
        raise InputError(f"{target} has nothing to resume: {done}")
    job_text = folder.read_json("job.json")
    job = JobConfig.parse(json.loads(job_text["config"]))
    if fixed := {"block", "backend"} & set(engine or {}):
        raise InputError(f"engine.{fixed.pop()} cannot change in a resumed run: it would change the bits")
    job = JobConfig.parse({**job.model_dump(), "engine": {**job.engine.model_dump(), **(engine or {})}})
    dataset = dataset_info(job_text["data"])
    if dataset.fingerprint != job_text["fingerprint"]:
        raise InputError(f"{dataset.path} has changed since the run was started: reconstruct it anew with --overwrite")
    has_log = (folder.path / "log.json").exists()
    log = Log(**folder.read_json("log.json")) if has_log else Log()
    with _connected(job, client) as dask_client:
        surveyed = (folder.path / "recipe.json").exists()
        recipe = (
            # JSON keeps every bit of a float
            Recipe(**{**folder.read_json("recipe.json"), "config": job.model_dump_json()})
            if surveyed
            else survey(dask_client, dataset, job, progress)
        )
        return _run(dask_client, target, dataset, job, folder, recipe, log, check_job(dataset, job), True, progress)


def _connected(job: JobConfig, client: Client | None) -> Any:
    engine = job.engine
    return connect(workers=engine.workers, threads=engine.threads, scheduler=engine.scheduler, client=client)


def _run(
    client: Client,
    target: Path,
    dataset: Any,
    job: JobConfig,
    folder: RunFolder,
    recipe: Recipe,
    log: Log,
    remarks: list[str],
    overwrite: bool,
    progress: Report,
) -> Result:
    electrons = float(dataset.attributes["electrons_per_pattern"])
    progress(
        "start",
        {
            "patterns": int(np.prod(dataset.scan_shape)),
            "electrons_per_pattern": electrons,
            "slices": slices_of(dataset, job),
            "modes": job.probe.modes,
            "remarks": remarks,
            "iterations": job.solver.iterations,
            **describe(client),
        },
    )
    run = Run(client, dataset, job, folder, recipe, log, progress)
    try:
        state, recipe = run.finish(run.fit())
        attributes = {
            "version": __version__,
            "versions": json.dumps({name: metadata.version(name) for name in ("numpy", "scipy", "dask", "zarr")}),
            "data": dataset.path,
            "data_fingerprint": dataset.fingerprint,
            "iteration": log.chosen,
            "finish": split_iterations(job, run.holds_out)[1],
            "stopped_because": log.reason,
            "restarts": log.restarts,
            "initial_loss": log.entries[0]["loss"],
            "initial_validation": log.entries[0]["validation"],
            "electrons_per_pattern": electrons,
            "dose_per_square_angstrom": electrons / (dataset.scan_step[0] * dataset.scan_step[1]),
            "slices": slices_of(dataset, job),
            "energy_ev": dataset.microscope.energy_ev,
            "semi_angle_mrad": dataset.microscope.semi_angle_mrad,
            "defocus_angstrom": microscope_of(dataset, job).defocus_angstrom,
            "remarks": json.dumps(remarks),
        }
        algorithm = client.submit(tasks.build_algorithm, recipe, pure=False)
        client.submit(
            tasks.store_result,
            str(target),
            algorithm,
            state,
            recipe,
            history(log),
            attributes,
            overwrite,
            pure=False,
        ).result()
    except KeyboardInterrupt:
        progress("checkpoint", {"iteration": run.interrupt()})
        raise
    except Exception as error:
        if isinstance(error, DivergenceError) or not folder.checkpoints():
            folder.remove()  # nothing worth resuming
        raise
    folder.remove()
    return open_result(target)


_scratch_folders: list[Path] = []


def _scratch() -> Path:
    """A temporary folder that is removed when the process ends."""
    if not _scratch_folders:
        folder = Path(tempfile.mkdtemp(prefix="ptychodask-"))
        _scratch_folders.append(folder)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=_scratch_folders[0]))


def report(result: Result | str | Path, output: str | Path | None = None) -> dict[str, Any]:
    """Draw a result as one PNG (where ``output`` is given) and return its figures.

    Parameters
    ----------
    result : Result or path
    output : path, optional
        Of the picture; none draws nothing.

    Returns
    -------
    dict
        Information limit, loss, validation, probe diameters and, where the dataset holds a truth, correlation, NRMSE,
        SSIM and ring correlation with it. Numbers that do not exist are None.
    """
    from .viz.report import draw_report, report_figures

    data = _report_data(result if isinstance(result, Result) else open_result(result))
    return report_figures(data) if output is None else draw_report(data, output)


def export(result: Result | str | Path, output: str | Path, *, slices: bool = False, overwrite: bool = False) -> Path:
    """Write a result for other programs, by the ending of ``output``.

    Parameters
    ----------
    result : Result or path
    output : path
        ``.tif`` or ``.tiff``: the phase as float32 with its scale, for ImageJ and the like. ``.h5`` or ``.hdf5``:
        phase, object, probe and positions with units and dimension scales.
    slices : bool
        TIFF: the phase of every slice instead of the sum.
    overwrite : bool
        Replace an existing file.
    """
    opened = result if isinstance(result, Result) else open_result(result)
    ending = Path(output).suffix.lower()
    if ending in (".tif", ".tiff"):
        phase = opened.object.copy(data=phase_of(opened.object.values)) if slices else opened.phase
        return export_tiff(phase, output, overwrite=overwrite)
    if ending in (".h5", ".hdf5"):
        arrays = {
            "phase": opened.phase,
            "object": opened.object,
            "probe": opened.probe,
            "positions": opened.positions,
        }
        return export_hdf5(arrays, opened.attributes, output, overwrite=overwrite)
    raise InputError(f"{output}: the ending {ending!r} is not known, use .tif or .h5")


def _report_data(result: Result) -> Any:
    from .viz.report import ReportData

    attributes = result.attributes
    source = Path(attributes["data"])
    truth = read_truth(source) if source.exists() else None
    specimen = dataset_info(source).attributes.get("specimen", source.stem) if source.exists() else source.stem
    steps = result.history
    best = max((i for i, e in enumerate(steps) if e.stage == "fit" and e.updates == result.iteration), default=0)
    return ReportData(
        title=f"{specimen}, {attributes['dose_per_square_angstrom']:.4g} e/Å²",
        phase=result.phase,
        probe=result.probe.rename(probe_y="y", probe_x="x"),
        positions=result.positions.values,
        history={name: steps[name] for name in ("iteration", "loss", "validation", "seconds")},
        best_iteration=int(steps[best].iteration) if len(steps) else 0,
        truth=None if truth is None else truth["phase"],
        summary={
            "dose (e/Å²)": attributes["dose_per_square_angstrom"],
            "electrons per pattern": attributes["electrons_per_pattern"],
            "semi-angle (mrad)": attributes["semi_angle_mrad"],
            "defocus (Å)": attributes["defocus_angstrom"],
            "slices": attributes["slices"],
            "modes": result.probe.sizes["mode"],
        },
    )
