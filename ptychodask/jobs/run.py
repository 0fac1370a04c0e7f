"""Run a job to its end: survey, fit with validation, finish with all electrons, result; checkpoints on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from .._errors import DivergenceError, InputError
from ..analysis.suspicion import Survey, misfired, suspicions
from ..distributed.iterate import FAN_IN, Job, Pass, map_blocks, new_name
from ..io.checkpoint import RunFolder
from ..io.dataset import DatasetInfo
from ..io.result import Entry
from ..io.source import ZarrBlocks
from ..model.blocks import boxes_of
from ..model.config import JobConfig
from ..solver.stopping import Record, chosen, divergence, stop_reason
from . import tasks
from .criteria import lens_of, survey_of
from .damage import misfired_warning
from .excess import Excess
from .setup import Recipe, blocks_of, choose_kernels, excluded_by, searches_line, train_fraction
from .states import States, states_of

MOST_RESTARTS = 3
Report = Callable[[str, dict[str, Any]], None]
"""Called with an event's name and its values; see :mod:`ptychodask.jobs.progress`."""


@dataclass
class Log:
    """What a run has seen, kept in the run folder beside the checkpoints. The one mutable thing here."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    restarts: int = 0
    chosen: int | None = None
    """Iteration that the fit returned, once it is decided."""
    reason: str = ""
    floor: int = 0
    """No state before this iteration can be returned: a restart or a resume gave them up."""

    @property
    def records(self) -> list[Record]:
        """Records of the fit, the state before the first update included."""
        names = ("iteration", "loss", "validation", "patterns", "power")
        return [Record(**{n: e[n] for n in names}) for e in self.entries if e["stage"] == "fit"]

    @property
    def candidates(self) -> list[Record]:
        """Records of the states that can still be returned."""
        return [r for r in self.records if r.iteration >= self.floor]

    @property
    def oldest(self) -> int:
        """Iteration of the state that would be returned now; none before it ever will be, unless the run restarts."""
        candidates = self.candidates
        return candidates[chosen(candidates)].iteration if candidates else self.floor

    def back_to(self, iteration: int) -> None:
        """Forget what was seen from ``iteration`` on, and that earlier states could be returned."""
        self.entries = [e for e in self.entries if e["stage"] == "fit" and e["iteration"] < iteration]
        self.floor, self.chosen = iteration, None


def split_iterations(config: JobConfig, holds_out: bool) -> tuple[int, int]:
    """Largest number of iterations of the fit, and number of those of the finish."""
    total = config.solver.iterations
    finish = min(config.solver.finish, total // 2) if holds_out else 0
    return total - finish, finish


class Run:
    """One reconstruction on a client, resumable at every checkpoint."""

    def __init__(
        self,
        client: Any,
        info: DatasetInfo,
        config: JobConfig,
        folder: RunFolder,
        recipe: Recipe,
        log: Log,
        report: Report,
    ) -> None:
        self.client, self.info, self.config, self.folder = client, info, config, folder
        self.log, self.report = log, report
        self.holds_out = train_fraction(info, config) is not None
        self.recipe = recipe
        self.name = new_name()
        self._clock = time.perf_counter()
        self._latest: Pass | None = None
        self._kept: dict[int, Pass] = {}
        self.excess = Excess()

    @cached_property
    def states(self) -> States:
        """Whole states or in tiles, as the job says."""
        return states_of(self.client, self.info, self.recipe)

    # -- the stages ----------------------------------------------------------------------------------------------

    def fit(self) -> Any:
        """Iterate until the stopping rule speaks; returns the future of the state that it chose."""
        if self.log.chosen in self.folder.checkpoints():
            return self._load(self.log.chosen)  # interrupted after the fit
        job = self._job("fit", self.recipe)
        last, _ = split_iterations(self.config, self.holds_out)
        first, state = self._start(job)
        while True:
            restore = self._iterate(job, state, first, last)
            if restore is None:
                break
            first, state = restore
        self.log.chosen = self.log.oldest
        state = self._kept[self.log.chosen].state
        state = self._cut(self.log.chosen, state)
        self._kept.clear()
        self._latest = None
        return state

    def finish(self, state: Any) -> tuple[Any, Recipe]:
        """Fit all electrons for a few iterations; returns the last state and the recipe of its algorithm."""
        _, count = split_iterations(self.config, self.holds_out)
        assert self.log.chosen is not None
        if count == 0:
            job = self._job("look", self.recipe)
            for seen in self.states.passes(job, state, self.log.chosen, self.log.chosen):
                self.excess = self._excess(seen)
            return state, self.recipe
        self.log.entries = [e for e in self.log.entries if e["stage"] == "fit"]
        share = train_fraction(self.info, self.config)
        assert share is not None
        recipe = replace(self.recipe, mean_counts=self.recipe.mean_counts / share, hold_out=False)
        fitted = self._job("fit", self.recipe)
        job = self._job("finish", recipe)
        state = self.states.finish_from(fitted.algorithm, state, f"{self.name}-finish-start")
        first = self.log.chosen
        for seen in self.states.passes(job, state, first, first + count):
            if seen.iteration > first:
                self._note(seen, "finish")
            state = seen.state
        self.excess = self._excess(seen)
        return state, recipe

    # -- inside ----------------------------------------------------------------------------------------------------

    def _excess(self, seen: Pass) -> Excess:
        radius = lens_of(self.info, self.config).radius
        return Excess.of(seen.metrics, self.recipe.mean_counts / (math.pi * radius**2))

    def _job(self, label: str, recipe: Recipe) -> Job:
        algorithm = self.states.algorithm(recipe, f"{self.name}-{label}-algorithm")
        searches = searches_line(self.info, self.config)
        budget = int(self.config.engine.cache_gib * 2**30)
        source = ZarrBlocks(self.info.path, self.info.fingerprint)
        return Job(
            self.client, algorithm, searches, source, blocks_of(self.info, self.config, recipe.left_out), budget,
            f"{self.name}-{label}", self.config.solver.rounds_per_iteration,
        )  # fmt: skip

    def _start(self, job: Job) -> tuple[int, Any]:
        """The newest checkpoint from which every state that may still be chosen is computed again, or the start."""
        first = self._newest()
        if first is not None:
            state = self._load(first)
        else:
            state = self.states.initial(self.recipe, job.algorithm, f"{self.name}-start")
        self.log.back_to(first or 0)
        return first or 0, state

    def _newest(self) -> int | None:
        """Iteration of the newest checkpoint that is not too new."""
        return max((i for i in self.folder.checkpoints() if i <= self.log.oldest), default=None)

    def _load(self, iteration: int) -> Any:
        return self.states.load(self.folder.checkpoint(iteration), f"{self.name}-start")

    def _iterate(self, job: Job, state: Any, first: int, last: int) -> tuple[int, Any] | None:
        """Iterate until the rule says stop (None) or the run diverges (where to go on from)."""
        every = self.config.engine.checkpoint_every
        # closed at once when it is left: what is in flight must not keep an interrupted run from its checkpoint
        with closing(
            self.states.passes(job, state, first, last, attempt=self.log.restarts, cut=self._cut, every=every)
        ) as looked_at:
            for seen in looked_at:
                self._note(seen, "fit")
                self._kept[seen.iteration] = self._latest = seen
                trouble = divergence(self.log.records)
                if trouble:
                    return self._restore(job, trouble)
                oldest = self.log.oldest
                self._kept = {i: p for i, p in self._kept.items() if i >= oldest}
                self.log.reason = stop_reason(self.log.records, self.config.solver.patience) or ""
                if self.log.reason:
                    return None
        self.log.reason = f"all {last} iterations are done"
        return None

    def _restore(self, job: Job, trouble: str) -> tuple[int, Any]:
        sound = self.log.candidates[:-1]
        if self.log.restarts == MOST_RESTARTS or not sound:
            raise DivergenceError(
                f"the reconstruction diverges ({trouble}) even with steps / {2**self.log.restarts}:"
                " lower solver.object_step, raise object.blur_angstrom, or check defocus and scan step"
            )
        best = sound[chosen(sound)].iteration
        restarts = self.log.restarts + 1
        damping = 0.5**restarts
        self.report("restart", {"iteration": best, "trouble": trouble, "damping": damping})
        key = f"{self.name}-recovered-{restarts}"
        state = self.states.recover(job.algorithm, self._kept[best].state, damping, key)
        # a resumed run must find this state, and none of those that led astray
        self.folder.forget(after=best)
        self.log.back_to(best)
        self.log.restarts = restarts
        self._kept.clear()
        return best, self._cut(best, state)

    def _note(self, seen: Pass, stage: str) -> None:
        now = time.perf_counter()
        entry = {"iteration": seen.iteration, "stage": stage, **seen.metrics, "seconds": now - self._clock}
        self._clock = now
        self.log.entries.append(entry)
        self.report("iteration", entry)

    def _cut(self, iteration: int, state: Any) -> Any:
        """Store a state and go on from the stored one, so the scheduler can forget how it was made.

        Where it cannot be stored, say so and go on from it as it is.
        """
        if not self._store(iteration, state):
            return state
        return self.states.load(self.folder.checkpoint(iteration), f"{self._token(iteration)}-load")

    def _store(self, iteration: int, state: Any) -> bool:
        path = self.folder.checkpoint(iteration)
        key = f"{self._token(iteration)}-save"
        trouble = self.states.save(path, state, key)
        if not trouble:
            try:
                self._write_log()
            except OSError as error:
                trouble = str(error)
        if trouble:
            self.report(
                "warning",
                {"text": f"no checkpoint of iteration {iteration} ({trouble}): the one before it stays"},
            )
        return not trouble

    def _token(self, iteration: int) -> str:
        return f"{self.name}-{self.log.restarts}-{iteration}-{self._latest.iteration if self._latest else 0}"

    def _write_log(self) -> None:
        self.folder.write_json("log.json", asdict(self.log))
        newest = self._newest()
        if newest is not None:
            self.folder.forget(before=newest)

    @property
    def resumes_from(self) -> int:
        """The iteration that a resumed run starts from."""
        return self._newest() or 0

    def interrupt(self) -> int:
        """Store the oldest state that may still be chosen; returns the iteration that a resumed run starts from."""
        if self._kept:  # otherwise what the folder holds is all there is
            oldest = min(self._kept)
            self.log.back_to(oldest)
            self._store(oldest, self._kept[oldest].state)
        return self.resumes_from


def survey(client: Any, info: DatasetInfo, config: JobConfig, report: Report) -> Recipe:
    """The recipe of a job, with kernels that a worker chose and the mean electrons per pattern that are trained on.

    Reads all counts once, which fills the workers' caches, finds the chunks that are damaged, and shows what is
    suspicious. Where misfired frames are to be left out and there are some, what is left is surveyed again.
    """
    start = Recipe(info.path, config.model_dump_json(), excluded=excluded_by(config))
    recipe = client.submit(choose_kernels, start, pure=False).result()
    recipe, seen = _surveyed(client, info, config, recipe, report)
    leaves_out = config.data.exclude == "misfired"
    warnings = suspicions(seen, leaves_out)
    if leaves_out and (odd := misfired(seen)):
        warnings.insert(0, misfired_warning(info.path, math.prod(info.scan_shape), odd))
        recipe, _ = _surveyed(client, info, config, replace(recipe, excluded=boxes_of(odd)), report)
    return replace(recipe, suspicions=tuple(warnings))


def _surveyed(
    client: Any, info: DatasetInfo, config: JobConfig, recipe: Recipe, report: Report
) -> tuple[Recipe, Survey]:
    """The recipe with what is known of the counts but those excluded, and what was seen of them."""
    run = Run(client, info, config, RunFolder(Path()), recipe, Log(), report)
    job, places = run._job("survey", recipe), run.states.places()
    mask_damage, through = config.data.on_damage == "mask", lens_of(info, config)
    parts = map_blocks(job, "survey", tasks.survey_block, mask_damage, through, places=places)
    while len(parts) > 1 or not isinstance(found := parts[0].result(), tasks.Surveys):
        groups = [parts[i : i + FAN_IN] for i in range(0, len(parts), FAN_IN)]
        parts = [client.submit(tasks.merge_surveyed, group, pure=False) for group in groups]
    electrons = math.fsum(p.electrons for p in found.parts)
    if electrons <= 0 or found.look is None:
        raise InputError(f"{info.path}: no electrons in the pixels that the mask uses, or in what can be read")
    patterns = sum(p.patterns for p in found.parts)
    made = replace(
        recipe,
        mean_counts=electrons / patterns,
        damaged=tuple(box for p in found.parts for box in p.damaged),
        container=", ".join(sorted({p.container for p in found.parts if p.patterns})),
        pattern_bytes=sum(p.bytes for p in found.parts) / patterns,
    )
    return made, survey_of(info, config, found.look)


def history(log: Log) -> list[Entry]:
    """The log as the result keeps it: without the state before the first update, numbered in the order of work."""
    names: tuple[str, ...] = ("stage", "loss", "validation", "seconds", "power", "bytes_read", "bytes_merged")
    entries = [e for e in log.entries if e["stage"] == "finish" or e["iteration"] > 0]
    if entries and "bytes_exchanged" in entries[0]:
        names += ("bytes_exchanged",)
    return [Entry(iteration=i + 1, updates=e["iteration"], **{n: e[n] for n in names}) for i, e in enumerate(entries)]
