"""Functions that reconstruct, and those that say before what that will take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .. import _arguments as arguments
from .._errors import InputError
from ..distributed.process import check_process
from ..io.address import refuse_address
from ..io.atomic import check_output, resolved
from ..io.dataset import dataset_info
from ..io.kinds import RESULT
from ..io.kinds import picture as picture_kind
from ..model.config import JobConfig
from .asked import as_config, as_path, as_scans, asked_for
from .progress import observing
from .scratch import scratch

if TYPE_CHECKING:
    import xarray as xr

    from ..distributed.cluster import Client
    from ..io.result import Result
    from ..jobs.doctor import Diagnosis
    from ..jobs.plan import Plan


def reconstruct(
    data: str | Path | xr.Dataset | Sequence[str | Path],
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
        A list of paths are several scans of one area, each with a probe of its own, that see one object; where they
        lie is found from the counts, or said by ``data.offsets``.
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
    >>> pair = ptychodask.reconstruct(["near.zarr", "far.zarr"])
    """
    from ..distributed.cluster import a_place
    from ..io.result import open_result
    from ..jobs.halves import make_halves
    from ..jobs.launch import start

    check_process()
    job = as_config(config)
    client, overwrite = a_place(client), arguments.switch(overwrite, "overwrite")
    wanted = arguments.path(output, "output") if output is not None else scratch() / "result.zarr"
    target = check_output(wanted, RESULT, overwrite)
    whole, (first, others) = job.data.on_damage == "stop", as_scans(data)
    with asked_for(first, whole=whole) as dataset, observing(progress) as observers:
        further = tuple(dataset_info(path, whole=whole) for path in others)
        start(dataset, job, target, overwrite, client, observers, further=further)
        if job.analysis.halves:
            make_halves(open_result(target), dataset, vacuum=False, engine={}, client=client, observers=observers)
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
    from ..distributed.cluster import a_place
    from ..io.result import open_result
    from ..jobs.halves import make_halves
    from ..jobs.launch import take_up

    check_process()
    output = arguments.path(output, "output")
    refuse_address(output)
    target = resolved(output)
    options = arguments.mapping(engine, "engine", "options of config.engine")
    moved_to = None if data is None else as_path(data)
    with observing(progress) as observers:
        take_up(target, moved_to, options, a_place(client), observers)
        result = open_result(target)
        if result.config.analysis.halves and result.halves is None:
            moved = None if moved_to is None else dataset_info(moved_to)
            make_halves(result, moved, vacuum=False, engine=options, client=a_place(client), observers=observers)
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
        Of a file of frames (EMPAD, Merlin, NumPy, raw) or hits (Timepix3), or of a dataset that a
        :class:`ptychodask.GrowingDataset` writes; it need not be there yet.
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
        settings. ``warm``: a part of the iterations, from the newest object; sooner, and not the same bits.
    patience_seconds : float
        After so many seconds in which the file has not grown, its whole rows are finished.
    calibrate : bool
        Find the geometry as :func:`calibrate` does: in the first quarter of the rows for the rounds, and in the whole
        scan, with ``write``, for the end.
    overwrite : bool
        Replace result and dataset, and drop what an interrupted call left.
    **options
        Those of :func:`import_data` for a file, such as ``format``, ``scan_shape`` and ``energy_ev``.

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
    from ..distributed.cluster import a_place
    from ..io.result import open_result
    from ..jobs.importing.prepare import Options
    from ..jobs.watching.run import Watch, origin_of
    from ..jobs.watching.run import watch as run

    check_process()
    job, overwrite = as_config(config), arguments.switch(overwrite, "overwrite")
    output = arguments.path(output, "output")
    refuse_address(output)
    target = resolved(output)
    scan = resolved(target.with_name(f"{target.stem}-scan.zarr") if data is None else arguments.path(data, "data"))
    drawn = None if picture is None else arguments.path(picture, "picture")
    if drawn is not None:
        drawn = check_output(drawn, picture_kind(drawn), True)
    if finish not in ("exact", "warm"):
        raise InputError(f"finish = {arguments.shown(finish)}: give exact (same bits) or warm (sooner)")
    patience = arguments.number(patience_seconds, "patience_seconds", "seconds without growth", above=0)
    file, given = arguments.path(path, "path").absolute(), Options.of(options).checked()
    origin, given = origin_of(file, given)
    its = Watch(origin, target, scan, drawn, given, job, finish, patience, arguments.switch(calibrate, "calibrate"))
    with observing(progress) as observers:
        run(its, overwrite, a_place(client), observers)
    return open_result(target)


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
    from ..distributed.cluster import a_place
    from ..jobs.plan import plan_of
    from ..jobs.settled import experiment_of

    check_process()
    measured, job = arguments.switch(calibrate, "calibrate"), as_config(config)
    with asked_for(data) as dataset:
        return plan_of(experiment_of(dataset, job), a_place(client), measured)


def doctor(config: JobConfig | dict[str, Any] | str | Path | None = None) -> Diagnosis:
    """Versions, cores, memory and devices of this machine, or of the cluster that the job's engine names.

    Examples
    --------
    >>> found = ptychodask.doctor({"engine": {"gpus": "all"}})
    >>> print(found.ok, found.use)
    """
    from ..jobs.doctor import diagnose

    check_process()
    return diagnose(as_config(config).engine)
