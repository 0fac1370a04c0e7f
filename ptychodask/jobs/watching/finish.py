"""The end of a scan: its dataset becomes what an import would make of it, then a last reconstruction.

``exact``: dataset and result have the bits of ``import`` and ``reconstruct`` with the same settings; shards that were
written while the scan grew are kept where an import of all of it decides the same of the counts. ``warm``: the dataset
is the one that grew, and the reconstruction begins from the newest state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..._errors import InputError
from ...events import Warned
from ...io.checkpoint import RunFolder
from ...io.content import identified
from ...io.dataset import dataset_info
from ...io.growing import GrowingFolder
from ...io.result import open_result
from ...model.config import JobConfig
from ..importing.prepare import Prepared
from ..importing.run import write
from ..launch import start, take_up
from ..observers import Report
from ..settled import experiment_of
from .follow import End
from .grown import Grown

WHOLE = "the whole scan"
"""How a scan ended that came to its end."""
WARM_SHARE, WARM_LEAST = 4, 6
"""Of the iterations of a job, one in so many is done by a warm finish, with the job's own finish; before that at least
so many, in which the spectral prior measures its spectrum twice and goes by it."""


def settle(grown: Grown, end: End | None, frames: int, warm: bool, report: Report) -> None:
    """Make the dataset of what came: all of the scan where there was no ``end``, else whole rows."""
    made: Prepared | None = None
    if end is None and not warm:
        made = grown.intake.again(None, report)
    differs = "" if made is None else grown.intake.differs(made)
    if end is None and not differs:
        grown.writer.seal(grown.folder.scan)
        grown.end(WHOLE, publishes=True)
        grown.folder.publish()
    elif end is None:
        assert made is not None
        report(Warned(f"{differs}: it is imported once more"))
        write(grown.client, made, grown.folder.dataset)
        grown.end(WHOLE)
    else:
        rows, height = frames // grown.scan[1], grown.scan[0]
        made = grown.intake.again(rows, report) if end.readable and rows else None
        if made is None:
            crop(grown.folder, grown.rows, height, end, report)
        else:
            report(Warned(f"{end.why}: {rows} of {height} rows are whole and are finished"))
            write(grown.client, made, grown.folder.dataset)
        grown.end(end.why)


def crop(folder: GrowingFolder, rows: int, height: int, end: End, report: Report) -> None:
    """Make the dataset of the rows that were imported, without the file."""
    if rows == 0:
        raise InputError(f"{end.why} before a row of shards was imported: there is nothing to finish")
    report(Warned(f"{end.why}: {rows} of {height} rows were imported before and are finished"))
    folder.copy(rows)


def job_of_warm(job: JobConfig) -> JobConfig:
    """The job with as few iterations as lead from the newest state to the end."""
    said = job.model_dump()
    finish = job.solver.finish
    iterations = max(finish + WARM_LEAST, math.ceil(job.solver.iterations / WARM_SHARE))
    said["solver"] |= {"iterations": min(job.solver.iterations, iterations)}
    return JobConfig.parse(said)


def reconstruct(
    folder: GrowingFolder, job: JobConfig, target: Path, warm: bool, client: Any, observers: Sequence[Any]
) -> None:
    """The last reconstruction, or what is left of it; then nothing grows any more."""
    run, states = RunFolder.of(target), folder.states
    if not run.path.exists() and not warm and _stands(target, folder.dataset, job):
        pass  # somebody has resumed it as a run
    elif (run.path / "decisions.json").exists():
        take_up(target, None, {}, client, observers)
    else:
        newest = max(states.checkpoints(), default=0)
        begin = Path(states.checkpoint(newest)) if warm and newest else None
        chosen = job if begin is None else job_of_warm(job)
        start(dataset_info(folder.dataset), chosen, target, True, client, observers, begin)
    folder.empty()


def _stands(target: Path, data: Path, job: JobConfig) -> bool:
    """Is there a result of this job on this dataset?"""
    try:
        made = open_result(target)
    except InputError:
        return False
    info = identified(dataset_info(data))
    settled = experiment_of(info, job).config  # what the job left to the data is in the result
    same = made.attributes.get("data_fingerprint") == info.fingerprint
    return same and made.config.model_copy(update={"engine": settled.engine}) == settled
