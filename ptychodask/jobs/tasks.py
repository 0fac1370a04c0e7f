"""What runs on a worker besides the loop itself: functions of small, picklable arguments and of futures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .._errors import InputError
from ..distributed.iterate import block_data
from ..io.checkpoint import save_state
from ..io.result import write_result
from ..io.source import ZarrBlocks
from ..model.blocks import Block, Box
from ..model.state import State
from ..solver.lsqml import LsqMl
from ..solver.patterns import Events
from .setup import Recipe, build_algorithm, initial_state

__all__ = [
    "build_algorithm",
    "finish_from",
    "initial_state",
    "recover",
    "store_checkpoint",
    "store_result",
    "survey_block",
]


def survey_block(
    algorithm: LsqMl, source: ZarrBlocks, block: Block, budget: int, mask_damage: bool
) -> tuple[float, int, tuple[Box, ...]]:
    """Fitted electrons of a block in the pixels in use, its number of patterns, and the damaged chunks left out."""
    # the store is asked, not the cache: what is left out must not depend on what this worker has read before
    damaged = source.damaged(block) if mask_damage else ()
    block = block.without(damaged) if damaged else block
    if block.size == 0:
        return 0.0, 0, damaged
    patterns, _ = block_data(algorithm, source, block, budget)
    counts, weights = patterns.fitted, algorithm.problem.weights
    if isinstance(counts, Events):
        return float((counts.count * weights.ravel()[counts.pixel]).sum(dtype=np.float64)), block.size, damaged
    return float((counts * weights).sum(dtype=np.float64)), block.size, damaged


def finish_from(algorithm: LsqMl, state: State) -> State:
    """See :meth:`LsqMl.finish_from`."""
    return algorithm.finish_from(state)


def recover(algorithm: LsqMl, state: State, damping: float) -> State:
    """See :meth:`LsqMl.recover`; the damping is given, so that recovering a recovered state changes nothing."""
    return replace(algorithm.recover(state), damping=damping)


def store_checkpoint(path: str, state: State) -> str:
    """Write a checkpoint; why it could not be written, or nothing.

    An error of the disk is told, not raised: those that are raised come from the tasks that made the state.
    """
    try:
        save_state(path, state)
    except (OSError, InputError) as error:
        return " ".join(str(error).split())
    return ""


def store_result(
    path: str,
    algorithm: LsqMl,
    state: State,
    recipe: Recipe,
    entries: list[Mapping[str, Any]],
    attributes: dict[str, Any],
    overwrite: bool,
) -> str:
    """Write the result where the state is, so that the client never holds it."""
    problem = algorithm.problem
    write_result(
        path,
        algorithm.full_dose(state.model),
        problem.canvas,
        problem.scan_shape,
        recipe.job,
        entries,
        attributes,
        overwrite,
    )
    return path
