"""What iterates a recipe on a cluster."""

from __future__ import annotations

from typing import Any

from ..distributed.iterate import Job
from ..io.source import sources_of
from . import tasks
from .experiment import Experiment
from .recipe import Recipe, blocks_of


def job_of(client: Any, experiment: Experiment, recipe: Recipe, name: str) -> Job:
    """The job on the blocks of the recipe; keys of its tasks begin with ``name``."""
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
    )
