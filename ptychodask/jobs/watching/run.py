"""``watch``: follow a file while it grows, show what is there, and finish what came."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..._errors import InputError
from ...distributed.cluster import connect
from ...events import Checkpointed, Waiting, Warned
from ...io.atomic import check_output
from ...io.checkpoint import RunFolder
from ...io.dataset import dataset_info
from ...io.described.growing import GrowingFile
from ...io.growing import GrowingFolder
from ...io.kinds import DATASET, RESULT
from ...model.config import JobConfig
from ..importing.prepare import Options
from ..observers import Reporter
from .calibrated import calibrate_whole
from .datasets import AppendedDataset
from .files import GrowingFrames, format_of
from .finish import WHOLE, crop, reconstruct, settle
from .follow import End, Follower
from .grown import Grown
from .hits import GrowingHits
from .origin import Origin, Seen
from .screen import Screen

FIRST_SHARE = 0.1
"""Of the rows that have to be there for the first round, in whole rows of shards."""


@dataclass(frozen=True)
class Watch:
    """What is watched.

    Parameters
    ----------
    origin : Origin
        The file, or the dataset.
    target, data, picture : Path
        Result and dataset to write, and a picture of every round or None.
    given : Options
        Of the import, that were checked, with the format.
    job : JobConfig
        Of the reconstruction.
    finish : str
        ``exact`` or ``warm``.
    patience : float
        Seconds without growth after which the file has ended.
    calibrate : bool
        Find the geometry in the first rows for the rounds, and in the whole scan for the end.
    """

    origin: Origin
    target: Path
    data: Path
    picture: Path | None
    given: Options
    job: JobConfig
    finish: Literal["exact", "warm"]
    patience: float
    calibrate: bool = False

    def __post_init__(self) -> None:
        if self.finish == "warm" and (self.calibrate or self.job.geometry.refine not in ("calibrated", "none")):
            moves = "calibrate moves" if self.calibrate else "geometry.refine moves"
            raise InputError(f"finish = warm keeps the positions, and {moves} them: use exact")

    @property
    def settings(self) -> str:
        """What a watch that goes on must not change, as JSON."""
        said = {field.name: _plain(getattr(self.given, field.name)) for field in fields(self.given)}
        engine = {"engine": type(self.job.engine)().model_dump()}  # where it runs may change
        job = JobConfig.parse({**self.job.model_dump(), **engine}).model_dump_json()
        return json.dumps(
            {
                "file": str(self.origin.path),
                "import": said,
                "job": job,
                "finish": self.finish,
                "calibrate": self.calibrate,
            }
        )


def _plain(value: Any) -> Any:
    return f"{value.dtype} {value.tobytes().hex()[:64]}" if isinstance(value, np.ndarray) else repr(value)


def origin_of(path: Path, given: Options) -> tuple[Origin, Options]:
    """What is at a path, or will be there, and what is said of it, which was checked."""
    if path.suffix == ".zarr" or path.is_dir() or GrowingFolder.of(path).states.path.is_dir():
        return AppendedDataset.of(path, given), given
    given = replace(given, format=format_of(path, given.format, given.dtype))
    if given.format == "tpx3":
        return GrowingHits(path, given), given
    return GrowingFrames.of(path, given), given


def watch(its: Watch, overwrite: bool, client: Any, observers: Sequence[Any]) -> None:
    """Watch a file to its end, and write dataset and result; what was interrupted goes on."""
    folder, report = GrowingFolder.of(its.data), Reporter(observers)
    if its.data == its.origin.path:
        raise InputError(f"{its.data} is what is watched: give another --data")

    def waiting(text: str) -> None:
        report(Waiting(text))

    with folder.hold() as note, connect(client, waiting, its.job.engine.place) as dask_client:
        if note:
            report(Warned(note))
        manifest = _begun(folder, its, overwrite)
        if not manifest.ended:
            _follow(folder, manifest, its, dask_client, report)
        elif manifest.publishes and folder.scan.exists():
            folder.publish()
        if its.calibrate:
            calibrate_whole(its.data, dask_client)
        warm = its.finish == "warm"
        if warm and not _is_whole(folder):  # its canvas is another than that of the rounds
            report(Warned("finish = warm is not possible for a part of the rows: the object so far is that of all"))
            warm = False
        report(Waiting(f"the result is reconstructed from {'the newest object' if warm else 'the start'}"))
        reconstruct(folder, its.job, its.target, warm, dask_client, observers)


def _is_whole(folder: GrowingFolder) -> bool:
    """Did the whole scan come?"""
    manifest = folder.read()
    return manifest is not None and manifest.ended == WHOLE


def _begun(folder: GrowingFolder, its: Watch, overwrite: bool) -> GrowingFile:
    """What is there of the dataset; of what goes on, outputs may be replaced as they might at its beginning."""
    if overwrite:
        folder.empty()
    manifest = folder.read()
    if manifest is not None and manifest.settings != its.settings and not manifest.shards:
        folder.empty()  # nothing came of it, so nothing is lost
        manifest = None
    if manifest is not None and manifest.settings != its.settings:
        raise InputError(
            f"{folder.states.path} holds a watch with other settings: give those, or --overwrite to begin anew"
        )
    for path, kind in ((its.target, RESULT), (its.data, DATASET)):
        check_output(path, kind, overwrite or manifest is not None)
    if manifest is not None:
        return manifest
    folder.check()
    _drop_run(RunFolder.of(its.target), overwrite)
    return folder.write(GrowingFile(settings=its.settings))


def _drop_run(run: RunFolder, overwrite: bool) -> None:
    """No run of before may be taken for the last reconstruction."""
    run.check()
    if run.identity() is None:
        return
    if not overwrite:
        raise InputError(
            f"{run.path} holds an unfinished run: finish it with 'ptychodask resume {run.result}', or use --overwrite"
            " to drop it"
        )
    with run.hold():
        run.remove()


def _follow(folder: GrowingFolder, manifest: GrowingFile, its: Watch, client: Any, report: Reporter) -> None:
    """Import and iterate until the scan is whole or its file has ended, then make the dataset of it."""
    known = manifest.file if manifest.shards else ""  # of what nothing was taken, any file will do
    with ExitStack() as stack:
        follower = stack.enter_context(Follower(its.origin, its.patience, known))
        seen = _first(its, follower, report)
        if seen is None:  # what was followed before an interrupt is no more
            assert follower.end is not None
            rows = folder.rows(manifest)
            height = dataset_info(folder.scan, whole=False).scan_shape[0] if rows else 0
            crop(folder, rows, height, follower.end, report)
            folder.write(manifest, ended=follower.end.why)
            return
        manifest = folder.write(manifest, file=seen.file)
        grown = Grown(client, folder, manifest, its.origin, seen.scan)
        screen = Screen(its.job, its.picture, its.calibrate, grown, report, stack.enter_context(ExitStack()), follower)
        try:
            end = _loop(grown, screen, follower)
        except KeyboardInterrupt:
            report(Checkpointed(screen.iteration))
            raise
        frames = 0 if follower.seen is None else follower.seen.frames
        settle(grown, end, frames, its.finish == "warm", report)


def _loop(grown: Grown, screen: Screen, follower: Follower) -> End | None:
    """Import and show until all rows are there, or the file has ended and what it holds is imported."""
    while grown.rows < grown.scan[0] or screen.rows < grown.rows:
        if follower.trouble is not None:
            raise follower.trouble
        end, seen = follower.end, follower.seen  # in this order: what was seen before it ended is imported
        rows = grown.ready(0 if seen is None else seen.frames)
        goes_on = rows > grown.rows and (end is None or end.readable)
        if goes_on and not _import(grown, rows, follower):
            follower.wait()  # it will say what has happened
        elif screen.rows < grown.rows and grown.rows >= FIRST_SHARE * grown.scan[0]:
            screen.round()
        elif end is not None and not goes_on:
            return end
        elif not goes_on:
            follower.wait()
    return None


def _first(its: Watch, follower: Follower, report: Reporter) -> Seen | None:
    """The file, once it has the frames that are looked at first; None where it has ended before it was seen."""
    if not its.origin.exists():
        report(Waiting(f"{its.origin.path} is not there yet: waiting for it, {its.patience:g} s (--patience) at most"))
    while True:
        if follower.trouble is not None:
            raise follower.trouble
        end, seen = follower.end, follower.seen
        if seen is not None and seen.frames >= its.origin.first_rows(seen.scan) * seen.scan[1]:
            return seen
        if end is not None and seen is not None and seen.frames < seen.scan[1]:
            raise InputError(f"{end.why} and holds no whole row of the scan: nothing can be finished")
        if end is not None:
            return seen
        follower.wait()


def _import(grown: Grown, rows: int, follower: Follower) -> bool:
    """Import up to a row; what was read counts only if the file is still there afterwards."""
    shards = grown.take(rows)
    if not follower.still(rows * grown.scan[1], grown.file):
        return False
    grown.keep(shards)
    return True
