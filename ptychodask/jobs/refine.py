"""The geometry before the image: a short reconstruction in which it moves, and a trial that says whether it helped.

At a low dose the object learns from one half of the electrons and the other half scores the geometry. The score of an
object phi + n, n the noise of its electrons, is biased by ``d/dtheta |H(theta) n|^2``, and by what a filter takes from
phi with the other sign; of a Wiener filter both are equal, so the object has the spectral prior. At a high dose all
electrons do both, with little blur, which biases the geometry less than that of an image would. Slices are tied.

What was found is then given, and the image is made from vacuum as if the dataset had said it: all that a job can ask
for (a free probe, rounds, the spectral prior) works as it does without. The trial does the first iterations again at
the geometry that was found; only where held-out electrons like it better than what the dataset says, it is kept.
"""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._tables import counted
from ..distributed.iterate import Pass
from ..events import Iterated, Refined, Warned
from ..io.checkpoint import RunFolder
from ..model.blocks import Box
from ..model.config import JobConfig
from ..model.presets import PRESETS
from ..model.refining import Refine, Refining
from ..model.refining import Refined as Found
from ..solver.stopping import Record, divergence
from . import tasks
from .experiment import Experiment
from .found import MOVED, found
from .geometry import BEGINS, HALF, MOVES, SETTLED, calibrated, crosses, part_of, pixels_of_stage, wanted
from .job import job_of
from .log import Log
from .observers import Report
from .recipe import Recipe
from .run import Run

CERTAIN, CERTAIN_CALIBRATED = 2.0, 4.0
"""Standard deviations; the latter where the dataset's geometry was found by ``calibrate``, from the same electrons."""
STAYS = "the geometry stays as the dataset says"
BLUR, DOSE = 0.3, 100.0
"""Blur in angstrom while the geometry moves, at most, at a dose in electrons per square angstrom.

It falls with the fourth root of the dose: with too little the object keeps the noise of these counts, which holds the
geometry where it is; with too much the defocus makes up for what is smoothed. Found by trial at 100 and 4000.
"""


def recipe_of_stage(job: JobConfig, dose: float, crossed: bool = False) -> JobConfig:
    """The job with which the geometry is refined, for a dose in electrons per square angstrom."""
    said, spectral = job.model_dump(), job.object.regularisation == "spectral"
    said["object"] |= {"coupling": "identical"}
    said["probe"] |= {"update_start": None}
    # one more than there are: with the spectral prior the last iteration does something else
    said["solver"] |= {"iterations": BEGINS + MOVES + 1, "step_rule": "pooled", "rounds_per_iteration": 1, "finish": 0}
    said["engine"] |= {"tile_pixels": None, "object_gib": None}
    if crossed:
        said["object"] |= {"regularisation": "spectral", "blur_angstrom": 0.0}
        said["solver"] |= {"validation_fraction": HALF, "acceleration": False}
        return JobConfig.parse(said)
    most = PRESETS["low-dose"]["object"]["blur_angstrom"] if spectral else job.object.blur_angstrom
    said["object"] |= {"regularisation": "blur", "blur_angstrom": min(most, BLUR * (DOSE / dose) ** 0.25)}
    said["solver"]["acceleration"] |= spectral  # whose own steps need none
    return JobConfig.parse(said)


@dataclass(frozen=True)
class _Stage:
    """Where the refinement runs, and whom it tells."""

    client: Any
    folder: RunFolder
    recipe: Recipe
    report: Report

    def run(self, recipe: Recipe, label: str) -> tuple[Run, Any]:
        """What iterates a recipe, and its job."""
        run = Run(self.client, recipe.experiment, self.folder, recipe, Log(), self.report)
        return run, job_of(self.client, recipe.experiment, recipe, f"{run.name}-{label}", self.report)

    def tell(self, seen: Pass, seconds: float, of: int) -> None:
        """An iteration."""
        entry = {"iteration": seen.iteration, "stage": "geometry", **seen.metrics, "seconds": seconds, "of": of}
        self.report(Iterated.of(entry, seen.by_worker))


def refined(client: Any, folder: RunFolder, recipe: Recipe, report: Report) -> Recipe:
    """The recipe with the geometry that was found, or as it was where there is nothing to refine or nothing was won."""
    if not wanted(recipe.job) or recipe.decided.geometry is not None:
        return recipe
    given = recipe.experiment
    of_scan = _of_part(recipe, given) if given.tile_side is not None else recipe
    crossed = crosses(recipe.job, given.info)
    job = recipe_of_stage(recipe.job, float(given.info.attributes["dose_per_square_angstrom"]), crossed)
    pixels = pixels_of_stage(given.info.detector.pixels, given.canvas.pixel)
    bare = replace(of_scan, config=job.model_dump_json(), pixels=pixels)
    if crossed:
        fitted = recipe.decided.mean_counts * (1 - HALF) / (given.train_fraction or 1.0)
        bare = bare.with_decided(mean_counts=fitted)
    stage = _Stage(client, replace(folder, stage="geometry"), bare, report)
    settled, losses, trouble = _move(stage)
    experiment = replace(bare, refines=True).experiment
    its, microscope = experiment.refine, experiment.microscope
    assert its is not None
    made = found(its, settled, microscope)
    trouble = trouble or _beyond(its, settled)
    if trouble:
        report(Warned(f"{STAYS}: {trouble}"))
    elif settled.free.any():
        gained = _gained(stage, made, losses)
        settled, made, gained = _drift_alone(stage, its, settled, (made, gained), losses)
        trouble = _no_gain(stage, its, settled, gained, calibrated(given.info))
        made = _told(made, f"{MOVED}, {counted(f'{gained:.0f}', 'nat')} better for held-out electrons", MOVED)
    if trouble:
        made = found(its, replace(Refining.begin(its), information=settled.information), microscope)
        made = _told(made, f"not refined: {trouble}")
    report(Refined(iteration=BEGINS + MOVES, values=made.values, settled=True))
    stage.folder.forget(stage.folder.checkpoints())
    return recipe.with_decided(geometry=made)


def _told(made: Found, how: str, instead_of: str = "") -> Found:
    """What was found, with how its numbers were got, those of one way or all."""
    values = {name: {**its, "how": how} if instead_of in its["how"] else its for name, its in made.values.items()}
    return replace(made, values=values)


def _of_part(recipe: Recipe, given: Experiment) -> Recipe:
    """The recipe of that part of the scan whose object is whole."""
    part = part_of(given.info)
    if part is None or part == given.info.selection:
        return recipe
    (rows, columns), (height, width), decided = given.info.scan_shape, part.scan_shape, recipe.decided
    y, x = (rows - height) // 2, (columns - width) // 2

    def moved(boxes: tuple[Box, ...]) -> tuple[Box, ...]:
        """Where boxes of the scan are in the part."""
        cut = ((max(a - y, 0), min(b - y, height), max(c - x, 0), min(d - x, width)) for a, b, c, d in boxes)
        return tuple((a, b, c, d) for a, b, c, d in cut if a < b and c < d)

    decided = replace(decided, damaged=moved(decided.damaged), excluded=moved(decided.excluded))
    return replace(recipe, selection=part, decided=decided)


def _move(stage: _Stage) -> tuple[Refining, dict[int, float], str]:
    """Iterate while the geometry moves: where it settled, losses by iteration, and what went wrong, if anything."""
    recipe = replace(stage.recipe, refines=True)
    run, job = stage.run(recipe, "geometry")
    last, stored = BEGINS + MOVES, stage.folder.checkpoints()
    first = max((i for i in stored if i <= last), default=0)
    name = f"{run.name}-geometry-start"
    state = run.states.load(stage.folder.checkpoint(first), name) if first else run.initial(job)
    losses, records = dict[int, float](), list[Record]()
    experiment = recipe.experiment

    def cut(iteration: int, state: Any) -> Any:
        trouble = run.states.save(stage.folder.checkpoint(iteration), state, f"{run.name}-geometry-{iteration}-save")
        if trouble:
            stage.report(Warned(f"no checkpoint of the geometry ({trouble})"))
            return state
        return run.states.load(stage.folder.checkpoint(iteration), f"{run.name}-geometry-{iteration}-load")

    every, clock = stage.recipe.job.engine.checkpoint_every, time.perf_counter()
    with closing(run.states.passes(job, state, first, last, cut=cut, every=every)) as looked_at:
        for seen in looked_at:
            now = time.perf_counter()
            stage.tell(seen, now - clock, last)
            clock = now
            losses[seen.iteration] = _judged(seen)
            records.append(
                Record(seen.iteration, *(seen.metrics[n] for n in ("loss", "validation", "patterns", "power")))
            )
            if trouble := divergence(records):
                assert experiment.refine is not None
                return Refining.begin(experiment.refine), losses, f"its refinement diverges ({trouble})"
            if seen.iteration == BEGINS + 1:
                _decided(stage, experiment, _refining(stage, seen))
    return _refining(stage, seen).at_mean(SETTLED), losses, ""


def _refining(stage: _Stage, seen: Pass) -> Refining:
    return stage.client.submit(tasks.refining_of, seen.state.shared, pure=False).result()  # type: ignore[no-any-return]


def _judged(seen: Pass) -> float:
    """Nats of all held-out electrons; of the fitted ones where none are held out."""
    held = seen.metrics["validation"]
    return (held if math.isfinite(held) else seen.metrics["loss"]) * seen.metrics["patterns"]


def _decided(stage: _Stage, experiment: Experiment, at: Refining) -> None:
    assert experiment.refine is not None
    values = found(experiment.refine, at, experiment.microscope).values
    stage.report(Refined(iteration=BEGINS, values=values, settled=False))


def _beyond(its: Refine, at: Refining) -> str:
    """Did a number go as far as it may?"""
    beyond = np.abs(at.values - its.first) > 0.98 * its.limits
    if not beyond.any():
        return ""
    name = its.names[int(np.argmax(beyond))]
    return f"{name} ran beyond what can be refined, so the start is too far off: run 'ptychodask calibrate' first"


def _gained(stage: _Stage, made: Found, losses: dict[int, float]) -> float:
    """Nats that held-out electrons gain by the geometry that was found."""
    before = losses.get(BEGINS)
    if before is None:  # resumed after these iterations
        before = _trial(stage, stage.recipe, "before")
    return before - _trial(stage, stage.recipe.with_decided(geometry=made), "trial")


def _drift_alone(
    stage: _Stage, its: Refine, settled: Refining, best: tuple[Found, float], losses: dict[int, float]
) -> tuple[Refining, Found, float]:
    """What was found, or its drift alone where the other numbers win held-out electrons no more than noise does.

    With the drift, which is real, they would pass for real too: at 21 mrad they wander by more than their errors.
    """
    made, gained = best
    others = np.arange(len(its.names)) < len(its.names) - its.drifts
    count = np.count_nonzero(settled.free & others)
    if not count or not settled.free[~others].any():
        return settled, made, gained
    alone = settled.with_held(others, its)
    drift = found(its, alone, stage.recipe.experiment.microscope)
    by_drift = _gained(stage, drift, losses)
    if gained - by_drift >= count / 2 + CERTAIN * math.sqrt(count / 2):
        return settled, made, gained
    return alone, drift, by_drift


def _no_gain(stage: _Stage, its: Refine, settled: Refining, gained: float, calibrated: bool) -> str:
    """Why the geometry that was found is not better than the dataset's, if it is not.

    It must be farther from there than its own errors explain: by noise, P numbers gain P / 2 nats of the electrons
    that scored them, with a standard deviation of sqrt(P / 2), and two of those above it are asked, or four where
    the dataset's was calibrated: that is as good a guess from the same electrons, and errors are larger than stated
    where rows drift. And held-out electrons must like it better after the first iterations from vacuum; the objects
    that are compared differ by tens of nats by themselves, so that alone is not enough. Where the dataset's
    geometry wins as clearly, a warning says so.
    """
    by_noise = np.count_nonzero(settled.free) / 2
    least = by_noise + (CERTAIN_CALIBRATED if calibrated else CERTAIN) * math.sqrt(by_noise)
    if gained < -least:
        trouble = f"held-out electrons like the refined one less, by {counted(f'{-gained:.0f}', 'nat')}"
        stage.report(Warned(f"{STAYS}: {trouble}"))
        return trouble
    away = (settled.values - its.first) / its.units
    nats = float(away @ settled.information @ away) / 2
    if nats < least:
        return f"what was found is that within its errors ({nats:.1f} nats, {least:.1f} are asked)"
    return "" if gained > 0 else f"held-out electrons tell no difference ({gained:+.1f} nats)"


def _trial(stage: _Stage, recipe: Recipe, label: str) -> float:
    """Nats of held-out electrons after the first iterations at a geometry that does not move."""
    run, job = stage.run(replace(recipe, refines=True), label)  # on a canvas as large as the other's: windows as there
    with closing(run.states.passes(job, run.initial(job), 0, BEGINS)) as looked_at:
        for seen in looked_at:
            last = seen
    return _judged(last)
