"""What runs on a worker besides the loop itself: functions of small, picklable arguments and of futures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._errors import InputError
from ..distributed.stream import Supply, block_data
from ..io.checkpoint import save_state
from ..io.result import write_result
from ..io.source import ZarrBlocks
from ..model.blocks import Block, Box
from ..model.state import State
from ..solver.lsqml import LsqMl
from ..solver.patterns import Events, Patterns
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


@dataclass(frozen=True)
class Surveyed:
    """What a block holds: fitted electrons in the pixels in use, patterns, their container and its bytes, and the
    damaged chunks that are left out."""

    electrons: float
    patterns: int
    container: str
    bytes: int
    damaged: tuple[Box, ...]


def survey_block(algorithm: LsqMl, source: ZarrBlocks, block: Block, supply: Supply, mask_damage: bool) -> Surveyed:
    """Read a block for the first time."""
    # the store is asked, not the cache: what is left out must not depend on what this worker has read before
    damaged = source.damaged(block) if mask_damage else ()
    if damaged:
        # blocks that are read ahead are not known to be sound
        block, supply = block.without(damaged), Supply(supply.cache_bytes)
    if block.size == 0:
        return Surveyed(0.0, 0, "", 0, damaged)
    patterns, _ = block_data(algorithm, source, block, supply)
    electrons = electrons_in(patterns, algorithm.problem.weights)
    return Surveyed(electrons, block.size, patterns.container, patterns.nbytes, damaged)


def electrons_in(patterns: Patterns, weights: np.ndarray) -> float:
    """Fitted electrons in the pixels in use."""
    counts = patterns.fitted
    if isinstance(counts, Events):
        return float((counts.count * weights.ravel()[counts.pixel]).sum(dtype=np.float64))
    return math.fsum(float((pattern * weights).sum(dtype=np.float64)) for pattern in counts)


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
