"""A look at all counts before the first iteration, from which a job becomes a recipe."""

from __future__ import annotations

import math
from typing import Any

from .._errors import InputError
from ..distributed.iterate import FAN_IN, map_blocks, new_name
from ..model.blocks import boxes_of
from . import tasks
from .criteria import lens_of
from .damage import misfired_warning
from .experiment import Experiment
from .job import job_of
from .recipe import Decisions, Recipe, choose_kernels
from .states import states_of


def survey(client: Any, experiment: Experiment) -> Recipe:
    """The recipe of a job, with kernels that a worker chose and the mean electrons per pattern that are trained on.

    Reads all counts once, which fills the workers' caches, finds the chunks that are damaged, and shows what is
    suspicious. Where misfired frames are to be left out and there are some, what is left is surveyed again.
    """
    info, config = experiment.info, experiment.config
    bare = Recipe(info.path, config.model_dump_json(), Decisions(excluded=experiment.excluded), info.selection)
    recipe = client.submit(choose_kernels, bare, pure=False).result()
    recipe, seen = _surveyed(client, experiment, recipe)
    warnings, odd = list(seen.suspicions), seen.misfired
    if config.data.exclude == "misfired" and odd:
        stored = odd if info.selection is None else info.selection.stored(odd)
        warnings.insert(0, misfired_warning(info.path, math.prod(info.scan_shape), stored))
        recipe, _ = _surveyed(client, experiment, recipe.with_decided(excluded=boxes_of(odd)))
    return recipe.with_decided(suspicions=tuple(warnings))


def _surveyed(client: Any, experiment: Experiment, recipe: Recipe) -> tuple[Recipe, tasks.Judged]:
    """The recipe with what is known of the counts but those excluded, and what a worker thinks of them."""
    job = job_of(client, experiment, recipe, f"{new_name()}-survey")
    looks_for = experiment.config.data.on_damage == "mask", lens_of(experiment)
    places = states_of(client, experiment, tuple(job.blocks)).places
    parts = map_blocks(job, "survey", tasks.survey_block, lambda b: looks_for, places.blocks)
    while True:
        groups = [parts[i : i + FAN_IN] for i in range(0, len(parts), FAN_IN)]
        parts = [client.submit(tasks.merge_surveyed, group, pure=False) for group in groups]
        if len(parts) == 1:
            break
    found = client.submit(tasks.judge, recipe, parts[0], pure=False).result()
    electrons = math.fsum(p.electrons for p in found.parts)
    if electrons <= 0:
        raise InputError(
            f"{experiment.info.path}: no electrons in the pixels that the mask uses, or in what can be read"
        )
    patterns = sum(p.patterns for p in found.parts)
    made = recipe.with_decided(
        mean_counts=electrons / patterns,
        damaged=tuple(box for p in found.parts for box in p.damaged),
        container=", ".join(sorted({p.container for p in found.parts if p.patterns})),
        pattern_bytes=sum(p.bytes for p in found.parts) / patterns,
    )
    return made, found
