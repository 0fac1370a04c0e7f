"""The public functions. Everything that people call from Python is here; the command line calls nothing else."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from ._errors import InputError
from .analysis.sampling import SamplingReport
from .io.atomic import check_output
from .io.create import create_dataset
from .io.dataset import dataset_info, open_dataset, read_truth
from .io.export import export_hdf5, export_tiff
from .io.result import Result, open_result
from .jobs.criteria import sampling_of
from .jobs.doctor import Diagnosis, diagnose
from .jobs.excess import excess_figures
from .jobs.launch import start, take_up
from .jobs.plan import Plan, plan_of
from .jobs.progress import silent
from .jobs.run import Report
from .model.config import JobConfig
from .physics.constraints import phase_of
from .simulation.run import simulate

if TYPE_CHECKING:
    from .distributed.cluster import Client

__all__ = [
    "create_dataset",
    "doctor",
    "export",
    "info",
    "open_dataset",
    "open_result",
    "plan",
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
    return sampling_of(dataset_info(path), config or JobConfig.parse({}))


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
    StoppedError
        The cluster was lost or the disk is full; :func:`resume` goes on.
    KeyboardInterrupt
        As it came; a checkpoint is left, :func:`resume` goes on.

    Examples
    --------
    >>> result = ptychodask.reconstruct("scan.zarr", {"object": {"slices": 2, "thickness_angstrom": 50}})
    >>> result.phase.plot()
    """
    path, job = _as_path(data).resolve(), _as_config(config)
    target = check_output(output if output is not None else _scratch() / "result.zarr", overwrite).resolve()
    if target == path:
        raise InputError(f"output {target} is the dataset itself: choose another name for the result")
    dataset = dataset_info(path, whole=job.data.on_damage == "stop")
    start(dataset, job, target, overwrite, client, progress)
    return open_result(target)


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
    take_up(target, engine or {}, client, progress)
    return open_result(target)


def doctor(config: JobConfig | dict[str, Any] | str | Path | None = None) -> Diagnosis:
    """Versions, cores, memory and devices of this machine, or of the cluster that the job's engine names.

    Examples
    --------
    >>> found = ptychodask.doctor({"engine": {"gpus": "all"}})
    >>> print(found.ok, found.use)
    """
    return diagnose(_as_config(config).engine)


def plan(
    data: str | Path | xr.Dataset,
    config: JobConfig | dict[str, Any] | str | Path | None = None,
    client: Client | None = None,
    *,
    calibrate: bool = True,
) -> Plan:
    """What a job will take, before it runs: memory, bytes read and merged, time, and whether that fits.

    Parameters
    ----------
    data, config, client
        As for :func:`reconstruct`, which makes the same check of memory before it starts.
    calibrate : bool
        Measure the time of an iteration with a few patterns in this process.

    Returns
    -------
    Plan
        ``problems`` says why the job cannot run, with the remedy; ``rows()`` is what ``ptychodask plan`` prints.

    Examples
    --------
    >>> ptychodask.plan("scan.zarr", {"engine": {"workers": 4}}).seconds_per_iteration
    """
    return plan_of(dataset_info(_as_path(data).resolve()), _as_config(config), client, calibrate)


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
        Information limit, loss, validation, how the loss compares with that of Poisson noise around the model
        (``loss_excess`` in nats per pattern, with its standard error), probe diameters and, where the dataset holds a
        truth, correlation, NRMSE, SSIM and ring correlation with it. Numbers that do not exist are None.
    """
    # matplotlib takes its time to import, and most calls draw nothing
    from .jobs.figures import report_data
    from .viz.report import draw_report, report_figures

    opened = result if isinstance(result, Result) else open_result(result)
    data = report_data(opened)
    figures = report_figures(data) if output is None else draw_report(data, output)
    return {**figures, **excess_figures(opened.attributes)}


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
