"""Rounds over the rows that are there, each from the object of the round before; a picture after each.

The canvas is that of the whole scan, and rows that are not there are left out like any that a job excludes: positions,
random streams and the state keep their places from round to round, and held-out electrons stay held out.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from ..._errors import StoppedError
from ...distributed.iterate import Pass
from ...events import Waiting, Warned
from ...io.checkpoint import RunFolder
from ...live.picture import Frame, picture, piece
from ...model.config import JobConfig, ObjectConfig
from ...solver.stopping import divergence
from ...viz.growing import draw_growing
from .. import compiling
from ..experiment import Experiment
from ..job import job_of
from ..log import Log
from ..observers import Report
from ..recipe import Decisions, Recipe, choose_kernels
from ..run import Run
from ..showing import frame_of
from .grown import Grown

FIRST, MOST, LAST = 4, 8, 4
"""Iterations of the first round, and at most of any, and of that over the whole scan: who waits for it waits for the
result as well."""
ROUND_SECONDS = 4.0
"""That a round takes, about; at least an iteration."""


def job_of_rounds(job: JobConfig) -> JobConfig:
    """The job without what needs the whole scan: no geometry, no finish, no misfires, a blur for the spectral prior."""
    said = job.model_dump()
    said["geometry"] |= {"refine": "none"}
    said["solver"] |= {"finish": 0}
    if job.data.exclude == "misfired":
        said["data"] |= {"exclude": None}
    if job.object.regularisation == "spectral":
        said["object"] |= {"regularisation": "blur", "blur_angstrom": ObjectConfig().blur_angstrom}
        said["solver"] |= {"acceleration": True}
    return JobConfig.parse(said)


@dataclass(frozen=True)
class Round:
    """What a round came to."""

    rows: int
    iteration: int
    loss: float


class Rounds:
    """Iterates over what is there of a dataset that grows; the newest state lies in its folder."""

    def __init__(self, grown: Grown, job: JobConfig, report: Report) -> None:
        self._grown, self._job, self._report = grown, job_of_rounds(job), report
        self._experiment = Experiment(grown.info, self._job, grown.geometry)
        bare = Recipe(grown.info.path, self._job.model_dump_json(), Decisions(geometry=grown.geometry))
        self._recipe = grown.client.submit(choose_kernels, bare, pure=False).result()
        self._pace = 0.0
        """Seconds of a pass over a row."""
        self.run = self._run(grown.rows)
        self._seen: Pass | None = None

    @property
    def folder(self) -> RunFolder:
        """Where the state lies."""
        return self._grown.folder.states

    @property
    def iteration(self) -> int:
        """Updates that made the newest state; 0 where there is none."""
        return max(self.folder.checkpoints(), default=0)

    def _run(self, rows: int) -> Run:
        height, width = self._grown.scan
        left = ((rows, height, 0, width),) if rows < height else ()
        share = self._experiment.train_fraction or 1.0
        if self._job.data.half is not None:
            share /= 2
        recipe = self._recipe.with_decided(
            excluded=self._experiment.excluded + left,
            mean_counts=share * self._grown.electrons_per_pattern(),
        )
        return Run(self._grown.client, self._experiment, self.folder, recipe, Log(), self._report)

    def go(self) -> Round:
        """Some iterations over all rows that are there."""
        rows, first = self._grown.rows, self.iteration
        passes = ROUND_SECONDS / (self._pace * rows) if self._pace else FIRST + 1
        most = MOST if rows < self._grown.scan[0] else LAST
        last = first + max(1, min(most, int(passes) - 1))
        self.run = run = self._run(rows)
        job = job_of(self._grown.client, self._experiment, run.recipe, f"{run.name}-rows{rows}", run.report)
        state = run.states.load(self.folder.checkpoint(first), f"{run.name}-start") if first else run.initial(job)
        if not self._pace and (text := compiling.told(self._grown.client, run.recipe)):
            self._report(Waiting(text))
        for its in run.some(job, state, first, last):
            seen = its
            if trouble := divergence(run.log.records):
                self._report(Warned(f"what was reconstructed of the rows that are there is dropped: {trouble}"))
                self.folder.forget(self.folder.checkpoints())
                return Round(rows, 0, math.nan)
        self._store(run, seen)
        self._seen = seen
        # the first pass reads what is new, and of the first round it compiles
        self._pace = statistics.median(entry["seconds"] for entry in run.log.entries[1:]) / rows
        return Round(rows, last, seen.metrics["loss"])

    def _store(self, run: Run, seen: Pass) -> None:
        older = self.folder.checkpoints()
        if trouble := run.states.save(self.folder.checkpoint(seen.iteration), seen.state, f"{run.name}-save"):
            raise StoppedError(f"the state cannot be stored ({trouble}): make room, then give the same command again")
        self.folder.forget(older)

    def draw(self, path: Path, title: str) -> None:
        """Draw the phase of the newest state, which is down-sampled where it lies."""
        if self._seen is None:
            return
        submit, frame, state = self._grown.client.submit, self._frame, self._seen.state
        pieces = [submit(piece, tile, frame, index, pure=False) for index, tile in enumerate(state.tiles)]
        made = submit(picture, pieces, state.shared, frame, pure=False).result()
        draw_growing(made, path, title, self._grown.rows / self._grown.scan[0])

    @property
    def _frame(self) -> Frame:
        return frame_of(self.run)
