"""Run a study: what is missing of its conditions, as tasks of one cluster, then its store."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr

from ... import _arguments as arguments
from ..._errors import InputError, StoppedError
from ..._tables import counted
from ..._warnings import warn
from ...distributed.cluster import Client, a_place, cluster_trouble, connect
from ...distributed.feed import feed
from ...distributed.site import site_of
from ...io.atomic import check_output
from ...io.kinds import STUDY
from ...io.study import Parts, open_study
from ...model.place import Place
from .gathered import gathered
from .outline import ASK_ABOVE, ASK_SECONDS, Outline, as_study, outline
from .work import Scan, Work, drop_scan, make_scan, refuse, run_condition

Steps = Callable[[str, int, int], None]


def study(
    document: Any,
    output: str | Path,
    *,
    yes: bool = False,
    client: Client | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Steps | None = None,
) -> xr.Dataset:
    """Simulate and reconstruct every condition of a study, and keep what came of them side by side.

    Many conditions run at a time, each on one thread of the cluster. One simulation without noise serves all doses,
    seeds and jobs. Finished conditions are kept in ``OUTPUT.parts`` under names of their content: a study that was
    killed, or that gets more conditions, does only what is missing.

    Parameters
    ----------
    document : path or dict
        Sections ``simulate`` and ``reconstruct``, which all conditions have in common, ``axes`` with values of options,
        of which all combinations are conditions, and ``conditions``, a list of further ones. See docs/study.md.
    output : path
        Of the store.
    yes : bool
        Start although there are more than 200 conditions, or it will take more than an hour.
    client, workers
        Where to run: a client, or so many local processes, or threads of this process.
    overwrite : bool
        Replace another study at ``output``.
    progress : callable, optional
        Called with a label, the number of finished and of all conditions.

    Returns
    -------
    xarray.Dataset
        Over the axes: ``correlation`` with the truth at each ``resolution``, ``frc_resolution_angstrom``, ``loss``,
        ``validation`` and ``loss_excess`` in nats per pattern, ``iterations``, ``seconds``, ``status`` (0 done,
        1 diverged, 2 refused), ``loss_curve`` and ``validation_curve`` by ``iteration``, ``phase`` (y, x) in rad;
        ``truth`` by ``simulation``, whose number is in ``simulation_of``.

    Raises
    ------
    InputError
        For a document that is invalid, a study that wants a yes, or an output that exists.
    StoppedError
        The cluster was lost; started again, it goes on.

    Examples
    --------
    >>> found = ptychodask.study(
    ...     {"simulate": {"material": "zif-8", "thickness_angstrom": 34},
    ...      "axes": {"semi_angle_mrad": [5, 10, 21], "dose_per_square_angstrom": [30, 100, 300]}}, "study.zarr")
    >>> found.correlation.sel(resolution=2.0).plot(x="dose_per_square_angstrom", hue="semi_angle_mrad")
    """
    yes, overwrite = arguments.switch(yes, "yes"), arguments.switch(overwrite, "overwrite")
    arguments.function(progress, "progress", ("label", "done", "of"))
    if workers is not None:
        workers = arguments.whole(workers, "workers", "the number of processes, or leave it out for threads", 1, 10_000)
    client, wanted = a_place(client), as_study(document)
    output = arguments.path(output, "output")
    target = check_output(output, STUDY, True)
    plan = outline(wanted, target.parent)
    if target.exists():
        if open_study(target).attrs.get("name") == plan.name:
            return open_study(target)
        check_output(output, STUDY, overwrite)
    parts = Parts.of(target)
    with parts.held() as note:
        if note:
            warn(note)
        with connect(client, place=Place(workers=workers)) as dask_client:
            _all_conditions(plan, parts, dask_client, yes, progress or (lambda label, done, of: None))
        gathered(plan, parts, target, overwrite)
    return open_study(target)


def _all_conditions(plan: Outline, parts: Parts, client: Client, yes: bool, report: Steps) -> None:
    """Do what is missing."""
    by_name = {work.name: work for work in plan.works}
    for name, reason in plan.refused.items():
        if not parts.record(name).exists():
            refuse(by_name[name], reason, str(parts.path))
    missing = tuple(w for w in by_name.values() if w.name not in plan.refused and not parts.keeps(w.name))
    for work in missing:
        parts.forget(work.name)
    site = site_of(client)
    label = _size(plan, missing, site.workers * site.threads, yes)
    done = len(by_name) - len(missing)
    report(label, done, len(by_name))
    queue = _Queue(plan, missing, parts)
    try:
        for finished, _ in feed(client, queue.next_call):
            queue.note(finished)
            if isinstance(finished, Work):
                done += 1
                report(label, done, len(by_name))
    except Exception as error:
        trouble = cluster_trouble(error)
        if trouble is None:
            raise
        raise StoppedError(f"{trouble}; {done} of {len(by_name)} conditions are kept: start it again") from error


def _size(plan: Outline, missing: tuple[Work, ...], threads: int, yes: bool) -> str:
    """How much there is to do, in words.

    Raises
    ------
    InputError
        If it is so much that nobody asked for it by accident.
    """
    scans, seconds = len(plan.scans(missing)), plan.seconds(missing, threads)
    told = f"{counted(len(missing), 'condition')} of {counted(scans, 'simulation')}, about {duration(seconds)}"
    if (len(missing) > ASK_ABOVE or seconds > ASK_SECONDS) and not yes:
        raise InputError(
            f"the study has {told} on {counted(threads, 'thread')}: say yes=True (--yes) to start it, or give fewer"
            " values"
        )
    return told


def duration(seconds: float) -> str:
    """For people."""
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(1.0, seconds):.0f} s"


class _Queue:
    """What can be started: conditions whose simulation is there, before further simulations, which take disk."""

    def __init__(self, plan: Outline, missing: tuple[Work, ...], parts: Parts) -> None:
        self._folder = str(parts.path)
        self._scans = deque(plan.scans(missing).values())
        self._waiting: dict[str, list[Work]] = {}
        for work in missing:
            self._waiting.setdefault(work.scan.name, []).append(work)
        self._left = {name: len(works) for name, works in self._waiting.items()}
        self._ready = deque[Work]()

    def next_call(self) -> tuple[Scan | Work, Callable[..., Any], tuple[Any, ...]] | None:
        """For :func:`ptychodask.distributed.feed.feed`."""
        if self._ready:
            work = self._ready.popleft()
            return work, run_condition, (work, self._folder)
        if self._scans:
            scan = self._scans.popleft()
            return scan, make_scan, (scan, self._folder)
        return None

    def note(self, finished: Scan | Work) -> None:
        """Something has ended: others may begin, and a simulation may go."""
        if isinstance(finished, Scan):
            self._ready.extend(self._waiting.pop(finished.name))
            return
        self._left[finished.scan.name] -= 1
        if self._left[finished.scan.name] == 0:
            drop_scan(finished.scan, self._folder)
