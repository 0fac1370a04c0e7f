"""What iterates a recipe on a cluster."""

from __future__ import annotations

from typing import Any

from ..distributed.iterate import Job
from ..events import Warned
from ..io.source import sources_of
from . import tasks
from .experiment import Experiment
from .observers import Report
from .recipe import Recipe, blocks_of


def job_of(client: Any, experiment: Experiment, recipe: Recipe, name: str, report: Report | None = None) -> Job:
    """The job on the blocks of the recipe; keys of its tasks begin with ``name``, and ``report`` takes its warnings."""
    algorithm = client.submit(tasks.build_tiled, recipe, key=f"{name}-algorithm", pure=False)
    config = experiment.config
    return Job(
        client,
        algorithm,
        experiment.searches_line,
        sources_of(experiment.infos),
        blocks_of(experiment, recipe.decided),
        int(config.engine.cache_gib * 2**30),
        name,
        config.solver.rounds_per_iteration,
        None if report is None else lambda text: report(Warned(text)),
    )
