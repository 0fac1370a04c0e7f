"""The public functions. Everything that people call from Python is here; the command line calls nothing else."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from ._errors import InputError
from ._warnings import warn
from .analysis.sampling import SamplingReport, sampling_report
from .distributed.process import check_process
from .io.atomic import check_output
from .io.create import create_dataset
from .io.dataset import dataset_info, open_dataset, read_truth
from .io.export import export_hdf5, export_tiff
from .io.result import Result, open_result
from .jobs.doctor import Diagnosis, diagnose
from .jobs.launch import start, take_up
from .jobs.plan import Plan, plan_of
from .jobs.progress import Report
from .jobs.setup import microscope_of, slices_of, thickness_of
from .model.config import JobConfig
from .physics.constraints import phase_of
from .simulation import run as simulation

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


def _shows(progress: bool | None) -> bool:
    """Is a bar wanted: in a notebook and at a terminal by default?"""
    if progress is not None:
        return progress
    return "ipykernel" in sys.modules or (sys.stdout is not None and sys.stdout.isatty())


@contextmanager
def _observer(progress: Report | bool | None) -> Iterator[Report | None]:
    """Who takes the events of a run, see :func:`reconstruct`."""
    if callable(progress):
        yield progress
    elif _shows(progress):
        from .viz import live  # rich takes its time to import

        with live.reconstruction(warn) as shown:
            yield shown
    else:
        yield None


@wraps(simulation.simulate)
def simulate(
    path: str | Path, material: str, *, progress: simulation.Steps | bool | None = None, **options: Any
) -> Path:
    check_process()
    if callable(progress) or not _shows(progress):
        return simulation.simulate(path, material, progress=progress or None, **options)
    from .viz import live

    with live.steps(f"simulate {material}") as shown:
        return simulation.simulate(path, material, progress=shown, **options)


def reconstruct(
    data: str | Path | xr.Dataset,
    config: JobConfig | dict[str, Any] | str | Path | None = None,
    client: Client | None = None,
    *,
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: Report | bool | None = None,
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
    progress : callable or bool, optional
        Called with events, see :mod:`ptychodask.jobs.progress`. True shows a bar, or plain lines where a bar cannot
        move; False nothing; by default a bar in a notebook or a terminal. Warnings go to a callable, or else are
        :class:`ptychodask.PtychodaskWarning`.

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
    check_process()
    path, job = _as_path(data).resolve(), _as_config(config)
    target = check_output(output if output is not None else _scratch() / "result.zarr", overwrite).resolve()
    if target == path:
        raise InputError(f"output {target} is the dataset itself: choose another name for the result")
    dataset = dataset_info(path, whole=job.data.on_damage == "stop")
    with _observer(progress) as observer:
        start(dataset, job, target, overwrite, client, observer)
    return open_result(target)


def resume(
    output: str | Path,
    client: Client | None = None,
    *,
    data: str | Path | None = None,
    engine: dict[str, Any] | None = None,
    progress: Report | bool | None = None,
) -> Result:
    """Continue an interrupted run to the same bits as if it had not been interrupted; a finished one is opened.

    Parameters
    ----------
    output : path
        The result that the run was to write.
    client : distributed.Client, optional
        Where to run; any number of workers.
    data : path, optional
        Where the dataset is now, if it was moved since; its fingerprint must be that of the run.
    engine : dict, optional
        Replaces options of ``config.engine``, such as ``{"workers": 4}``. ``block`` and ``backend`` cannot change.
    progress : callable or bool, optional
        As for :func:`reconstruct`.
    """
    check_process()
    target = Path(output).resolve()
    with _observer(progress) as observer:
        take_up(target, None if data is None else Path(data).resolve(), engine or {}, client, observer)
    return open_result(target)


def doctor(config: JobConfig | dict[str, Any] | str | Path | None = None) -> Diagnosis:
    """Versions, cores, memory and devices of this machine, or of the cluster that the job's engine names.

    Examples
    --------
    >>> found = ptychodask.doctor({"engine": {"gpus": "all"}})
    >>> print(found.ok, found.use)
    """
    check_process()
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
    check_process()
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
        Information limit, loss, validation, probe diameters and, where the dataset holds a truth, correlation, NRMSE,
        SSIM and ring correlation with it. Numbers that do not exist are None.
    """
    # matplotlib takes its time to import, and most calls draw nothing
    from .jobs.figures import report_data
    from .viz.report import draw_report, report_figures

    data = report_data(result if isinstance(result, Result) else open_result(result))
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
