"""Run a job to its end: fit with validation, finish with all electrons; checkpoints on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from typing import Any

from .._errors import DivergenceError
from .._tables import counted
from ..distributed.iterate import Job, Pass, new_name
from ..events import Iterated, Restarted, Stored, Warned
from ..io.checkpoint import RunFolder
from ..io.result import Entry
from ..model.blocks import Block
from ..solver.stopping import chosen, divergence, stop_reason
from . import tasks
from .criteria import lens_of
from .excess import Excess
from .experiment import Experiment
from .job import job_of
from .log import MOST_STATES, Log
from .observers import Report
from .recipe import Recipe, blocks_of
from .states import States, states_of

MOST_RESTARTS = 3


class Run:
    """One reconstruction on a client, resumable at every checkpoint."""

    def __init__(
        self,
        client: Any,
        experiment: Experiment,
        folder: RunFolder,
        recipe: Recipe,
        log: Log,
        report: Report,
    ) -> None:
        self.client, self.experiment, self.folder = client, experiment, folder
        self.info, self.config = experiment.info, experiment.config
        self.log, self.report = log, report
        self.recipe = recipe
        if experiment.spectral is not None:
            log.stops_early, log.compares_from = False, experiment.spectral.sharpen_at
        self.name = new_name()
        self._clock = time.perf_counter()
        self._latest: Pass | None = None
        """What an interrupt stores."""
        self._kept: dict[int, Any] = {}
        """States that may be returned, by iteration; those that are not here are computed again."""
        self._unvouched: set[int] = set()
        """Checkpoints that are newer than the log on disk."""
        self.excess = Excess()
        """How the loss compares with that of Poisson noise, once the run has come to its end."""

    @cached_property
    def states(self) -> States:
        """How states are kept."""
        return states_of(self.client, self.experiment, self.blocks)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The scan's blocks without what is left out."""
        return blocks_of(self.experiment, self.recipe.decided)

    # -- the stages ----------------------------------------------------------------------------------------------

    def fit(self) -> Any:
        """Iterate until the stopping rule speaks; returns the future of the state that it chose."""
        if self.log.chosen in self.folder.checkpoints():
            return self._load(self.log.chosen)  # interrupted after the fit
        self.log.fit_again()
        job = job_of(self.client, self.experiment, self.recipe, f"{self.name}-fit", self.report)
        last, _ = self.experiment.split_iterations
        first, state = self._start(job)
        while True:
            restore = self._iterate(job, state, first, last)
            if restore is None:
                break
            first, state = restore
        best = self.log.reach[0]
        state = self._cut(best, self._state_of(job, best))
        self._kept.clear()
        self._latest = None
        self.log.chosen = best
        self._write_log(best)
        return state

    def finish(self, state: Any) -> tuple[Any, Recipe]:
        """Fit all electrons for a few iterations; returns the last state and the recipe of its algorithm."""
        _, count = self.experiment.split_iterations
        assert self.log.chosen is not None
        if count == 0:
            job = job_of(self.client, self.experiment, self.recipe, f"{self.name}-look", self.report)
            for seen in self.states.passes(job, state, self.log.chosen, self.log.chosen):
                self.excess = self._excess(seen)
            return state, self.recipe
        share = self.experiment.train_fraction
        assert share is not None
        recipe = replace(self.recipe, decided=self.recipe.decided.at_full_dose(share), begins_finish=self.log.chosen)
        job = job_of(self.client, self.experiment, recipe, f"{self.name}-finish", self.report)
        first, state = self._start_of_finish(state)
        # where the fit's state is not on disk, a resumed run does the fit again, and must not meet states of the finish
        stored = self.log.chosen in self.folder.checkpoints()
        end, cut = self.log.chosen + count, self._cut if stored else None
        # closed at once when it is left: what is in flight must not keep an interrupted run from its checkpoint
        with closing(self.states.passes(job, state, first, end, cut=cut, every=self._every)) as looked_at:
            for seen in looked_at:
                if seen.iteration > self.log.chosen:
                    self._latest = seen if stored else None
                    self._note(seen, "finish")
                    self._vouch(seen.iteration + 1)
                state = seen.state
        self.excess = self._excess(seen)
        self._latest = None
        return state, recipe

    def initial(self, job: Job) -> Any:
        """The state that a job begins with: vacuum, or what the run folder says."""
        if self.recipe.decided.begun:
            return self.states.load(start_in(self.folder), f"{self.name}-start")
        return self.states.initial(self.recipe, job.algorithm, f"{self.name}-start")

    def some(self, job: Job, state: Any, first: int, last: int) -> Generator[Pass, None, None]:
        """Iterations without checkpoints and a rule that stops them, which the log keeps nowhere else."""
        with closing(self.states.passes(job, state, first, last)) as looked_at:
            for seen in looked_at:
                self._latest = seen
                self._note(seen, "fit")
                yield seen

    # -- inside ----------------------------------------------------------------------------------------------------

    def _excess(self, seen: Pass) -> Excess:
        radius = lens_of(self.experiment).radius
        return Excess.of(seen.metrics, self.recipe.decided.mean_counts / (math.pi * radius**2))

    def _start(self, job: Job) -> tuple[int, Any]:
        """The newest checkpoint, or the start."""
        first = self.log.newest(self.folder.checkpoints())
        state = self.initial(job) if first is None else self._load(first)
        self.log.back_to(first or 0)
        return first or 0, state

    def _start_of_finish(self, state: Any) -> tuple[int, Any]:
        """The newest checkpoint of the finish, or the fit's ``state``."""
        assert self.log.chosen is not None
        later = [i for i in self.folder.checkpoints() if i > self.log.chosen]
        if self.log.entries[-1]["stage"] == "finish":
            first = max((i for i in later if i <= self.log.next), default=self.log.chosen)
        else:
            self.folder.forget(later)  # they are the fit's
            first = self.log.chosen
        self.log.back_to(first)
        if first > self.log.chosen:
            return first, self._load(first)
        key = f"{self.name}-fit-algorithm"
        fitted = self.client.submit(tasks.build_tiled, self.recipe, key=key, pure=False)
        return first, self.states.finish_from(fitted, state, f"{self.name}-finish-start")

    def _load(self, iteration: int) -> Any:
        return self.states.load(self.folder.checkpoint(iteration), f"{self.name}-start-{self.log.restarts}-{iteration}")

    @property
    def _every(self) -> int:
        return self.config.engine.checkpoint_every

    def _iterate(self, job: Job, state: Any, first: int, last: int) -> tuple[int, Any] | None:
        """Iterate until the rule says stop (None) or the run diverges (where to go on from)."""
        # closed at once when it is left: what is in flight must not keep an interrupted run from its checkpoint
        with closing(
            self.states.passes(job, state, first, last, attempt=self.log.restarts, cut=self._cut, every=self._every)
        ) as looked_at:
            for seen in looked_at:
                self._latest = seen
                self._note(seen, "fit")
                trouble = divergence(self.log.comparable)
                if trouble:
                    return self._restore(job, trouble)
                self._kept[seen.iteration] = seen.state
                wanted = {*self.log.reach[:MOST_STATES], *self._without_checkpoint}
                self._kept = {i: kept for i, kept in self._kept.items() if i in wanted}
                self._vouch(seen.iteration + 1)
                if self.log.stops_early:
                    settled = its.begins if (its := self.experiment.places) else 0
                    self.log.reason = stop_reason(self.log.records, self.config.solver.patience, settled) or ""
                    if self.log.reason:
                        return None
        self.log.reason = f"all is done: {counted(last, 'iteration')}"
        return None

    def _state_of(self, job: Job, iteration: int) -> Any:
        """The state after ``iteration`` updates: as it was kept, or computed again from the nearest before it."""
        on_disk = self.folder.checkpoints()
        first = self.log.before(iteration, {*on_disk, *self._kept})
        if first is None:
            assert self.log.restarts == 0, "the state that a restart goes on from is stored or kept"
            first, state = 0, self.initial(job)
        else:
            state = self._kept[first] if first in self._kept else self._load(first)
        if first == iteration:
            return state
        again = replace(job, name=f"{job.name}-again-{iteration}")
        attempt = self.log.restarts
        with closing(
            self.states.passes(again, state, first, iteration, attempt=attempt, cut=self._cut, every=self._every)
        ) as looked_at:
            for seen in looked_at:
                state = seen.state
        return state

    @property
    def _without_checkpoint(self) -> list[int]:
        """The state that a restart went on from, where it could not be stored: nothing else leads to later ones."""
        stored = self.log.restarts == 0 or self.log.floor in self.folder.checkpoints()
        return [] if stored else [self.log.floor]

    def _restore(self, job: Job, trouble: str) -> tuple[int, Any]:
        sound = self.log.candidates[:-1]
        if self.log.restarts == MOST_RESTARTS or not sound:
            raise DivergenceError(
                f"the reconstruction diverges ({trouble}) even with steps / {2**self.log.restarts}:"
                " lower solver.object_step, raise object.blur_angstrom, or check defocus and scan step"
            )
        best = sound[chosen(sound)].iteration
        damping = 0.5 ** (self.log.restarts + 1)
        self.report(Restarted(best, trouble, damping))
        # nobody may go on from what diverged, also not if this is interrupted
        self.log.back_to(self.log.records[-1].iteration)
        key = f"{self.name}-recovered-{self.log.restarts + 1}"
        state = self.states.recover(job.algorithm, self._state_of(job, best), damping, key)
        # a resumed run must find this state, and none of those that led astray
        self.folder.forget([i for i in self.folder.checkpoints() if i > best])
        self._unvouched.clear()
        self.log.restart(best)
        self._kept.clear()
        self._latest = None
        state = self._cut(best, state)
        self._kept[best] = state
        return best, state

    def _note(self, seen: Pass, stage: str) -> None:
        now = time.perf_counter()
        entry = {"iteration": seen.iteration, "stage": stage, **seen.metrics, "seconds": now - self._clock}
        self._clock = now
        self.log.entries.append(entry)
        self.report(Iterated.of(entry, seen.by_worker))

    def _cut(self, iteration: int, state: Any) -> Any:
        """Store a state and go on from the stored one, so the scheduler can forget how it was made.

        Where it cannot be stored, say so and go on from it as it is.
        """
        if not self._store(iteration, state):
            return state
        return self.states.load(self.folder.checkpoint(iteration), f"{self._token(iteration)}-load")

    def _store(self, iteration: int, state: Any) -> bool:
        path = self.folder.checkpoint(iteration)
        trouble = self.states.save(path, state, f"{self._token(iteration)}-save")
        if trouble:
            self._not_stored(iteration, trouble)
            return False
        self._unvouched.add(iteration)
        if not self._write_log(iteration):
            return False
        self.report(Stored(iteration, "fit" if self.log.chosen is None else "finish"))
        return True

    def _vouch(self, iteration: int) -> None:
        """Write the log if there is a checkpoint of this iteration, before which everything is known now.

        Checkpoints are made while the passes before them are in flight; nobody can go on from one until then.
        """
        if iteration in self._unvouched:
            self._write_log(iteration)

    def _write_log(self, iteration: int) -> bool:
        """Write the log, and let go of the checkpoints that are superfluous with it."""
        try:
            self.folder.write_json("log.json", self.log.stored())
        except OSError as error:
            self._not_stored(iteration, str(error))
            return False
        self._unvouched = {i for i in self._unvouched if i > self.log.next}
        self.folder.forget(self.log.superfluous(self.folder.checkpoints()))
        return True

    def _not_stored(self, iteration: int, trouble: str) -> None:
        self.report(Warned(f"no checkpoint of iteration {iteration} ({trouble}): the one before it stays"))

    def _token(self, iteration: int) -> str:
        stage = "fit" if self.log.chosen is None else "finish"
        return f"{self.name}-{stage}-{self.log.restarts}-{iteration}-{self._latest.iteration if self._latest else 0}"

    @property
    def newest(self) -> Pass | None:
        """The newest state that was looked at, for who wants to see it; None between the stages."""
        return self._latest

    @property
    def resumes_from(self) -> int:
        """The iteration that a resumed run starts from."""
        return self.log.newest(self.folder.checkpoints()) or 0

    def interrupt(self) -> int:
        """Store the newest state; returns the iteration that a resumed run starts from."""
        if self._latest is not None:  # otherwise what the folder holds is all there is
            self.log.back_to(self._latest.iteration)
            self._store(self._latest.iteration, self._latest.state)
        return self.resumes_from


def start_in(folder: RunFolder) -> str:
    """Path of the checkpoint that a run begins from, where it does not begin from vacuum."""
    return replace(folder, stage="start").checkpoint(0)


def history(log: Log) -> list[Entry]:
    """The log as the result keeps it: without the state before the first update, numbered in the order of work."""
    bytes_of = ("bytes_read", "bytes_merged", "bytes_exchanged")
    names = ("stage", "loss", "validation", "seconds", "power", *bytes_of)
    seconds_of = ("seconds_computing", "seconds_reading", "seconds_waiting")
    # a run that an earlier version began knows no seconds of its first entries
    entries = [
        {**{n: e[n] for n in names}, **{n: e.get(n, math.nan) for n in seconds_of}, "updates": e["iteration"]}
        for e in log.entries
        if e["stage"] == "finish" or e["iteration"] > 0
    ]
    return [Entry(iteration=i, **entry) for i, entry in enumerate(entries, start=1)]
