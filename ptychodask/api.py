"""The public functions. Everything that people call from Python is here; the command line calls nothing else.

Each function loads what it needs: numba, Dask and xarray take a second or two, and ``info`` needs none of them.
"""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from . import _arguments as arguments
from ._errors import InputError
from ._warnings import warn
from .analysis.sampling import SamplingReport
from .distributed.process import check_process
from .io.address import located, refuse_address
from .io.atomic import check_output, resolved
from .io.dataset import DatasetInfo, dataset_info, open_dataset, read_truth
from .io.kinds import RESULT
from .io.kinds import picture as picture_kind
from .model.config import JobConfig

if TYPE_CHECKING:
    import xarray as xr

    from .calibration.table import Calibration
    from .distributed.cluster import Client
    from .io.create import create_dataset
    from .io.result import Result, open_result
    from .jobs.advising import Advice
    from .jobs.doctor import Diagnosis
    from .jobs.importing.table import Imported
    from .jobs.plan import Plan
    from .simulation.run import Steps

__all__ = [
    "calibrate",
    "create_dataset",
    "defects",
    "doctor",
    "export",
    "import_data",
    "info",
    "open_dataset",
    "open_result",
    "plan",
    "read_truth",
    "reconstruct",
    "report",
    "resume",
    "simulate",
    "view",
    "watch",
]


_HOMES = {"create_dataset": "io.create", "open_result": "io.result"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ptychodask.api' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __package__), name)


@contextmanager
def _asked_for(data: str | Path | xr.Dataset, whole: bool = True) -> Iterator[DatasetInfo]:
    """See :func:`ptychodask.io.opened.asked_for`, which a path does not need."""
    if isinstance(data, str | os.PathLike):
        yield dataset_info(_as_path(data), whole=whole)
        return
    from .io.opened import asked_for

    with asked_for(data, _as_path(data), whole=whole) as dataset:
        yield dataset


def info(
    data: str | Path | xr.Dataset, config: JobConfig | dict[str, Any] | str | Path | None = None
) -> SamplingReport:
    """Sampling, dose and probe of a dataset, with warnings where a criterion is violated; reads no counts.

    Parameters
    ----------
    data, config
        As for :func:`reconstruct`.

    Examples
    --------
    >>> print(ptychodask.info("scan.zarr"))
    >>> ptychodask.info("scan.zarr").warnings
    """
    from .jobs.experiment import Experiment

    with _asked_for(data) as dataset:
        return Experiment(dataset, _as_config(config)).sampling


def _as_config(config: JobConfig | dict[str, Any] | str | Path | None) -> JobConfig:
    if isinstance(config, JobConfig):
        return config
    if isinstance(config, str | os.PathLike):
        return JobConfig.load(arguments.path(config, "config"))
    if config is not None and not isinstance(config, Mapping):
        told = "give a JobConfig, a dictionary of sections of options, or the path of a TOML file"
        raise InputError(f"config = {arguments.shown(config)}: {told}")
    return JobConfig.parse(dict(config or {}))


def _as_path(data: str | Path | xr.Dataset) -> str:
    if isinstance(data, str | os.PathLike):
        return located(arguments.path(data, "data"))
    import xarray as xr

    if not isinstance(data, xr.Dataset):
        told = (
            "give the path or address of a dataset as text, which every worker opens itself, or what open_dataset"
            " returned for it; create_dataset makes one of counts"
        )
        raise InputError(f"data = {arguments.shown(data)}: {told}")
    if "path" not in data.attrs:
        raise InputError(
            "this xarray Dataset was not opened by ptychodask.open_dataset: write it with create_dataset first"
        )
    return located(data.attrs["path"])


def _shows(progress: Any) -> bool:
    """Is a bar wanted: in a notebook and at a terminal by default?"""
    if not (progress is None or isinstance(progress, bool)):
        told = "give a function to call, True for a bar, or False for nothing"
        raise InputError(f"progress = {arguments.shown(progress)}: {told}")
    if progress is not None:
        return progress
    return "ipykernel" in sys.modules or (sys.stdout is not None and sys.stdout.isatty())


@contextmanager
def _observers(progress: Any) -> Iterator[list[Any]]:
    """Who takes the events of a run, see :func:`reconstruct`."""
    from .jobs.observers import observer_of

    with ExitStack() as stack:
        found: list[Any] = []
        for one in progress if isinstance(progress, list | tuple) else [progress]:
            if one == "live" and isinstance(one, str):
                from .viz import live

                if live.console.is_jupyter:
                    from .live.notebook import Figures

                    found.append(figures := Figures())
                    stack.callback(figures.close)
                found.append(stack.enter_context(live.reconstruction(warn)))
            elif not (one is None or isinstance(one, bool)):
                found.append(observer_of(one))
            elif _shows(one):
                from .viz import live  # rich takes its time to import

                found.append(stack.enter_context(live.reconstruction(warn)))
        yield found


def simulate(path: str | Path, material: str, *, progress: Steps | bool | None = None, **options: Any) -> Path:
    """See :func:`ptychodask.simulation.run.simulate`; ``progress`` may be True for a bar, or False for nothing."""
    from .simulation import run as simulation

    check_process()
    if callable(progress) or not _shows(progress):
        return simulation.simulate(path, material, progress=progress or None, **options)
    from .viz import live

    with live.steps(f"simulate {material}") as shown:
        return simulation.simulate(path, material, progress=shown, **options)


def advise(material: str | Path, *, progress: Steps | bool | None = None, **options: Any) -> Advice:
    """See :func:`ptychodask.jobs.advising.advise`; ``progress`` may be True for a bar, or False for nothing.

    Examples
    --------
    >>> print(ptychodask.advise("zif-8", thickness_angstrom=34, dose_per_square_angstrom=100))
    """
    from .jobs import advising

    check_process()
    if callable(progress) or not _shows(progress):
        return advising.advise(str(material), progress=progress if callable(progress) else None, **options)
    from .viz import live

    with live.steps(f"advise {material}") as shown:
        return advising.advise(str(material), progress=shown, **options)


def import_data(
    path: str | Path, output: str | Path, *, progress: Steps | bool | None = None, **options: Any
) -> Imported:
    """See :func:`ptychodask.jobs.importing.run.import_data`; ``progress`` may be True for a bar, or False for nothing.

    Examples
    --------
    >>> made = ptychodask.import_data("scan.mib", "scan.zarr", scan_shape=(256, 256), energy_ev=300e3,
    ...                               semi_angle_mrad=10, angular_step_mrad=0.2, scan_step_angstrom=1.05)
    >>> print(made)
    """
    from .jobs.importing import run as importing

    check_process()
    if callable(progress) or not _shows(progress):
        return importing.import_data(path, output, progress=progress if callable(progress) else None, **options)
    from .viz import live

    with live.steps("import") as shown:
        return importing.import_data(path, output, progress=shown, **options)


def calibrate(
    data: str | Path | xr.Dataset,
    client: Client | None = None,
    *,
    output: str | Path | None = None,
    write: bool = False,
    thickness_angstrom: float | None = None,
    defocus_angstrom: float | None = None,
    c12_angstrom: float | None = None,
    phi12_rad: float | None = None,
    rotation_degrees: float | None = None,
    transpose: bool | None = None,
    scale: float | None = None,
    asymmetry: float | None = None,
    shear: float | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Steps | bool | None = None,
) -> Calibration:
    """Find the geometry of a scan from its counts, at about 100 electrons per pattern: disk, orientation, scan, focus.

    Positions ``x_j = A nominal_j`` in angstrom are (y, x) in the axes of the detector, ``A = R(rotation) diag(c (1 +
    a/2), c (1 - a/2)) [[1, g], [0, 1]]`` with scale c, asymmetry a, shear g and ``R = [[cos, -sin], [sin, cos]]``. With
    ``transpose``, rows and columns of every pattern are exchanged first, and all other numbers are those of the
    exchanged patterns; a flipped detector is a transposed one that is turned by 90 degrees. A positive defocus is
    underfocus; it is that of the entrance surface where the thickness is known, else that of the middle of the
    specimen. ``phi12`` and aberrations as :class:`Microscope` has them.

    Parameters
    ----------
    data, client
        As for :func:`reconstruct`; threads of this process by default.
    output : path, optional
        Of a picture: disk, likelihood, phase.
    write : bool
        Write scan, aberrations and the place of the disk into the dataset, which a reconstruction then uses. Counts and
        recorded positions stay as they are; the attribute ``calibration`` says what was found, and what was recorded.
    thickness_angstrom : float, optional
        Of the specimen; by default what the dataset says.
    defocus_angstrom, c12_angstrom, phi12_rad, rotation_degrees, transpose, scale, asymmetry, shear : optional
        What is known, and not to be found. The scale is found and reported, but what is written has the nominal one
        unless it is given.
    workers : int, optional
        Local processes.
    overwrite : bool
        Replace an existing picture.
    progress : callable or bool, optional
        As for :func:`import_data`.

    Returns
    -------
    Calibration
        ``values[name]`` with ``value``, ``sigma``, ``how`` and what the dataset ``said``; ``as_dict()``; printed, a
        table.

    Raises
    ------
    InputError
        No disk, or one at the edge; positions that are no raster; a scan from which no geometry can be told; a dataset
        that cannot be written.

    Examples
    --------
    >>> found = ptychodask.calibrate("scan.zarr")
    >>> print(found)
    >>> found["defocus_angstrom"], found.values["rotation_degrees"].sigma
    """
    from .calibration.run import calibrate as run

    check_process()
    write, overwrite = arguments.switch(write, "write"), arguments.switch(overwrite, "overwrite")
    target = None if output is None else arguments.path(output, "output")
    if target is not None:
        check_output(target, picture_kind(target), overwrite)
    if workers is not None:
        workers = arguments.whole(workers, "workers", "the number of processes, or leave it out for threads", 1, 10_000)
    if client is not None:
        from .distributed.cluster import a_place

        client = a_place(client)
    known = {
        "defocus_angstrom": defocus_angstrom, "c12_angstrom": c12_angstrom, "phi12_rad": phi12_rad,
        "rotation_degrees": rotation_degrees, "transpose": transpose, "scale": scale, "asymmetry": asymmetry,
        "shear": shear,
    }  # fmt: skip
    options: dict[str, Any] = {
        "workers": workers, "write": write, "thickness_angstrom": thickness_angstrom, **known,
    }  # fmt: skip
    with _asked_for(data) as dataset, ExitStack() as stack:
        report: Any = arguments.function(progress, "progress", ("label", "done", "of")) if callable(progress) else None
        if report is None and _shows(progress):
            from .viz import live

            report = stack.enter_context(live.steps("calibrate"))
        made = run(dataset, client, progress=report, **options)
    if target is not None:
        from .viz.calibration import draw_calibration

        draw_calibration(made, target, overwrite=overwrite)
    return made


def view(
    data: str | Path | xr.Dataset,
    output: str | Path | None = None,
    *,
    annuli: Sequence[tuple[float, float]] = (),
    masks: Mapping[str, Any] | None = None,
    defocus_angstrom: float | None = None,
    upsample: int | None = None,
    mask_damaged: bool = False,
    client: Client | str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Steps | bool | None = None,
) -> xr.Dataset:
    """Images of a scan without a reconstruction, by one pass over its counts.

    Parameters
    ----------
    data : path or xarray.Dataset
        As for :func:`reconstruct`; of an opened one, what is selected of it.
    output : path, optional
        What to write, by its ending: ``.png``, ``.pdf``, ``.svg``, ``.jpg``, ``.webp`` or ``.eps`` for a picture of all
        images; ``.h5`` or ``.hdf5`` for the images with units and scales; ``.tif`` or ``.tiff`` for those of the scan's
        pixels as a stack with its scale, in the order of the Dataset.
    annuli : sequence of (float, float)
        Inner and outer angle in mrad of further detectors.
    masks : mapping of array [N, N]
        Weights of further detectors by their names, zero angle in the centre.
    defocus_angstrom : float, optional
        For parallax, instead of the dataset's; positive is underfocus, at the entrance surface.
    upsample : int, optional
        Pixels of the parallax image along a scan step; by default 2 where rays are spread over several steps, else 1.
    mask_damaged : bool
        Leave positions out whose chunks are damaged: NaN.
    client, workers
        Where to run: a client, or so many local processes, or threads of this process. Any give the same bits.
    overwrite : bool
        Replace an existing output of the same kind.
    progress : callable or bool, optional
        As for :func:`import_data`.

    Returns
    -------
    xarray.Dataset
        ``bf, abf, adf``, the further detectors and ``electrons`` (all pixels) in electrons per pattern; ``com_y`` and
        ``com_x`` in mrad; ``icom`` in rad; each (y, x) with coordinates in angstrom. ``parallax`` and
        ``parallax_phase`` (fine_y, fine_x), where there is a defocus. ``pattern`` (ky, kx), the mean one.
        ``attrs["notes"]`` says what is missing or approximate, and why.

    Raises
    ------
    InputError
        Bad input, before counts are read; counts that are damaged.

    Examples
    --------
    >>> images = ptychodask.view("scan.zarr", "overview.png", annuli=[(20, 60)])
    >>> images.adf.plot()
    """
    from .distributed.cluster import a_place
    from .jobs.viewing import run, save
    from .jobs.viewing.wanted import Wanted

    check_process()
    overwrite = arguments.switch(overwrite, "overwrite")
    target = None if output is None else save.checked(arguments.path(output, "output"), overwrite)
    if workers is not None:
        workers = arguments.whole(workers, "workers", "the number of processes, or leave it out for threads", 1, 10_000)
    if upsample is not None:
        upsample = arguments.whole(upsample, "upsample", "pixels along a scan step", 1, 8)
    if isinstance(annuli, str) or not hasattr(annuli, "__len__"):
        raise InputError(f"annuli = {arguments.shown(annuli)}: give a list of (inner, outer) in mrad")
    damage = arguments.switch(mask_damaged, "mask_damaged")
    further = arguments.mapping(masks, "masks", "weights of the detector pixels by names")
    with ExitStack() as stack:
        info = stack.enter_context(_asked_for(data, whole=not damage))
        wanted = Wanted(info, tuple(annuli), further, defocus_angstrom, upsample, damage)
        if not callable(progress):
            shows = _shows(progress)
            progress = None
            if shows:
                from .viz import live

                progress = stack.enter_context(live.steps("view"))
        arguments.function(progress, "progress", ("label", "done", "of"))
        images = run.view(wanted, a_place(client), workers, progress)
    if target is not None:
        save.save(images, target, overwrite)
    return images


def _as_result(result: Result | str | Path) -> Result:
    from .io.result import Result, open_result

    return result if isinstance(result, Result) else open_result(arguments.path(result, "result"))


def reconstruct(
    data: str | Path | xr.Dataset,
    config: JobConfig | dict[str, Any] | str | Path | None = None,
    client: Client | None = None,
    *,
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: Any = None,
) -> Result:
    """Reconstruct object and probe by LSQ-ML on Dask.

    Parameters
    ----------
    data : path or xarray.Dataset
        A dataset, or what :func:`open_dataset` returned for it. Of that, rows and columns that were selected are used
        (``isel``, ``sel``, strides), and the mask and positions that it has now; what else was changed is refused.
    config : JobConfig, dict or path of a TOML file, optional
        The job; the low-dose preset by default.
    client : distributed.Client, optional
        Where to run. By default what ``config.engine`` says: threads of this process, local processes, or a scheduler.
        Workers read the dataset and write checkpoints themselves: they need to see the same files.
    output : path, optional
        Where to write the result; a link means what it leads to. By default a temporary folder that lives as long as
        this process.
    overwrite : bool
        Replace an existing result, and drop an unfinished run for it. Nothing else is ever replaced.
    progress : callable, object, bool or list of them, optional
        Who is told what happens. A function of one argument gets the events of :mod:`ptychodask.events`, an object
        those that it has a method for (``iterated(event)`` for :class:`~ptychodask.events.Iterated`). A function of two
        gets them as a name (``start``, ``iteration``, ``restart``, ``warning``, ``waiting``, ``finished``,
        ``checkpoint``, ``stored``) and a dictionary of values. True shows a bar, or plain lines where a bar cannot
        move; ``"live"`` phase, spectrum, probe and losses as well, in a notebook (elsewhere the bar); False nothing;
        by default a bar in a notebook or a terminal. Warnings that nobody takes are
        :class:`ptychodask.PtychodaskWarning`. What an observer raises stops the run; :func:`resume` goes on.

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
    from .distributed.cluster import a_place
    from .io.result import open_result
    from .jobs.launch import start

    check_process()
    job = _as_config(config)
    client, overwrite = a_place(client), arguments.switch(overwrite, "overwrite")
    wanted = arguments.path(output, "output") if output is not None else _scratch() / "result.zarr"
    target = check_output(wanted, RESULT, overwrite)
    with _asked_for(data, whole=job.data.on_damage == "stop") as dataset, _observers(progress) as observers:
        start(dataset, job, target, overwrite, client, observers)
    return open_result(target)


def resume(
    output: str | Path,
    client: Client | None = None,
    *,
    data: str | Path | None = None,
    engine: dict[str, Any] | None = None,
    progress: Any = None,
) -> Result:
    """Continue an interrupted run to the same bits as if it had not been interrupted; a finished one is opened.

    The bits are those of one kind of processor: where the workers have another one than at the start, it warns.

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
    progress : callable, object, bool or list of them, optional
        As for :func:`reconstruct`.
    """
    from .distributed.cluster import a_place
    from .io.result import open_result
    from .jobs.launch import take_up

    check_process()
    output = arguments.path(output, "output")
    refuse_address(output)
    target = resolved(output)
    options = arguments.mapping(engine, "engine", "options of config.engine")
    moved_to = None if data is None else _as_path(data)
    with _observers(progress) as observers:
        take_up(target, moved_to, options, a_place(client), observers)
    return open_result(target)


def watch(
    path: str | Path,
    output: str | Path,
    config: JobConfig | dict[str, Any] | str | Path | None = None,
    *,
    data: str | Path | None = None,
    picture: str | Path | None = None,
    finish: Literal["exact", "warm"] = "exact",
    patience_seconds: float = 60.0,
    calibrate: bool = False,
    client: Client | None = None,
    overwrite: bool = False,
    progress: Any = None,
    **options: Any,
) -> Result:
    """Follow a file while a scan is written into it: import and reconstruct what is there, and finish what came.

    Rows are imported as soon as those of a row of shards are whole. From a tenth of the rows on there are rounds: some
    iterations over all rows that are there, each round from the object of the round before, then a picture. When the
    scan is whole, dataset and result are written. What is interrupted goes on where it was with the same call.

    Parameters
    ----------
    path : path
        Of a file of frames (EMPAD, Merlin, NumPy, raw), which need not be there yet.
    output : path
        The result.
    config, client, progress
        As for :func:`reconstruct`; each round is an :class:`ptychodask.events.Arrived`.
    data : path, optional
        Of the dataset that is written; by default ``<output>-scan.zarr``, without the ending of the output.
    picture : path, optional
        Of a picture that is drawn after every round.
    finish : str
        ``exact``: dataset and result have the bits of :func:`import_data` and :func:`reconstruct` with the same
        settings. ``warm``: a quarter of the iterations, from the newest object; sooner, and not the same bits.
    patience_seconds : float
        After so many seconds in which the file has not grown, its whole rows are finished.
    calibrate : bool
        Find the geometry as :func:`calibrate` does: in the first quarter of the rows for the rounds, and in the whole
        scan, with ``write``, for the end.
    overwrite : bool
        Replace result and dataset, and drop what an interrupted call left.
    **options
        Those of :func:`import_data`, such as ``format``, ``scan_shape`` and ``energy_ev``.

    Returns
    -------
    Result

    Raises
    ------
    InputError
        Bad input; a file that does not appear, holds no frames, or ends before its first row.
    KeyboardInterrupt
        As it came; the same call goes on.

    Examples
    --------
    >>> result = ptychodask.watch("scan.mib", "result.zarr", scan_shape=(256, 256), energy_ev=300e3, semi_angle_mrad=10,
    ...                           angular_step_mrad=0.2, scan_step_angstrom=1.05)
    """
    from .distributed.cluster import a_place
    from .io.result import open_result
    from .jobs.importing.prepare import Options
    from .jobs.watching.follow import format_of
    from .jobs.watching.run import Watch
    from .jobs.watching.run import watch as run

    check_process()
    job, overwrite = _as_config(config), arguments.switch(overwrite, "overwrite")
    output = arguments.path(output, "output")
    refuse_address(output)
    target = resolved(output)
    scan = resolved(target.with_name(f"{target.stem}-scan.zarr") if data is None else arguments.path(data, "data"))
    drawn = None if picture is None else arguments.path(picture, "picture")
    if drawn is not None:
        drawn = check_output(drawn, picture_kind(drawn), True)
    if finish not in ("exact", "warm"):
        raise InputError(f"finish = {arguments.shown(finish)}: give exact (same bits) or warm (sooner)")
    if finish == "warm" and not job.says_regularisation:  # it begins from a blurred object
        job = job.with_blur()
    patience = arguments.number(patience_seconds, "patience_seconds", "seconds without growth", above=0)
    file, given = arguments.path(path, "path").absolute(), Options.of(options).checked()
    given = replace(given, format=format_of(file, given.format, given.dtype))
    its = Watch(file, target, scan, drawn, given, job, finish, patience, arguments.switch(calibrate, "calibrate"))
    with _observers(progress) as observers:
        run(its, overwrite, a_place(client), observers)
    return open_result(target)


def doctor(config: JobConfig | dict[str, Any] | str | Path | None = None) -> Diagnosis:
    """Versions, cores, memory and devices of this machine, or of the cluster that the job's engine names.

    Examples
    --------
    >>> found = ptychodask.doctor({"engine": {"gpus": "all"}})
    >>> print(found.ok, found.use)
    """
    from .jobs.doctor import diagnose

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
    from .distributed.cluster import a_place
    from .jobs.plan import plan_of
    from .jobs.settled import experiment_of

    check_process()
    measured, job = arguments.switch(calibrate, "calibrate"), _as_config(config)
    with _asked_for(data) as dataset:
        return plan_of(experiment_of(dataset, job), a_place(client), measured)


_scratch_folders: list[Path] = []


def _scratch() -> Path:
    """A temporary folder that is removed when the process ends."""
    if not _scratch_folders:
        folder = Path(tempfile.mkdtemp(prefix="ptychodask-"))
        _scratch_folders.append(folder)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=_scratch_folders[0]))


def report(result: Result | str | Path, output: str | Path | None = None, *, overwrite: bool = False) -> dict[str, Any]:
    """Draw a result as one picture (where ``output`` is given) and return its figures.

    Parameters
    ----------
    result : Result or path
    output : path, optional
        Of the picture, whose ending says what is written: ``.png``, ``.pdf``, ``.svg``, ``.jpg``, ``.tif``, ``.webp``
        or ``.eps``; none draws nothing.
    overwrite : bool
        Replace an existing picture.

    Returns
    -------
    dict
        ``resolution_angstrom`` and ``resolution_by``, how it was got; loss, validation, how the loss compares with that
        of Poisson noise around the model (``fit``, ``loss_excess`` in nats per pattern with its standard error), probe
        diameters and, where the dataset holds a truth, correlation, NRMSE, SSIM, slope and ring correlation with it.
        Numbers that do not exist are None, and ``remarks`` says why.

    Raises
    ------
    InputError
        No result, or an output that exists or cannot be written, before anything is drawn.
    OSError
        The disk is full: an existing picture is as it was.
    """
    overwrite = arguments.switch(overwrite, "overwrite")
    target = None if output is None else arguments.path(output, "output")
    if target is not None:
        check_output(target, picture_kind(target), overwrite)
    # matplotlib takes its time to import, and most calls draw nothing
    from .jobs.figures import report_data
    from .viz.report import draw_report, report_figures

    data = report_data(_as_result(result))
    return report_figures(data) if target is None else draw_report(data, target, overwrite=overwrite)


def defects(result: Result | str | Path) -> xr.Dataset:
    """Where a specimen differs from its lattice, in units of the noise, for a result of the spectral prior.

    Parameters
    ----------
    result : Result or path

    Returns
    -------
    xarray.Dataset
        See :func:`ptychodask.analysis.defects.defect_map`: maps ``z`` of missing and added matter at three scales,
        places of the maxima from the highest on, and how many maxima above a threshold noise alone would give.

    Raises
    ------
    InputError
        No result, or one without a lattice and a residual.

    Examples
    --------
    >>> result = ptychodask.reconstruct("scan.zarr", {"object": {"regularisation": "spectral"}})
    >>> found = ptychodask.defects(result)
    >>> print(found[["place_y", "place_x", "place_z", "place_kind"]].isel(place=slice(5)).to_dataframe())
    """
    from .analysis.defects import Noise, defect_map
    from .solver.spectral import FINEST

    opened = _as_result(result)
    residual, lattice, information = opened.residual, opened.lattice, opened.information
    if residual is None or lattice is None or information is None or opened.config.object.residual == 0:
        raise InputError(
            f"{opened.path} has no residual beside its lattice: reconstruct with object.regularisation = spectral and"
            " object.residual above 0"
        )
    noise = Noise(
        float(opened.described.dose_per_square_angstrom or 0), information.frequency.values,
        information.values, opened.config.object.residual, FINEST,
    )  # fmt: skip
    return defect_map(residual, lattice, opened.positions.values, noise)


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
        Replace an existing file of the same kind.

    Raises
    ------
    InputError
        No result, or an output that exists or cannot be written.
    OSError
        The disk is full: an existing file is as it was.
    """
    from .io.export import export_hdf5, export_tiff
    from .physics.constraints import phase_of

    output, slices = arguments.path(output, "output"), arguments.switch(slices, "slices")
    overwrite = arguments.switch(overwrite, "overwrite")
    opened = _as_result(result)
    ending = output.suffix.lower()
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
