"""What runs on a worker besides the loop itself: functions of small, picklable arguments and of futures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..distributed.stream import Supply, block_data
from ..io.dataset import ZarrBlocks
from ..io.result import write_result
from ..model.blocks import Block
from ..model.state import State
from ..solver.lsqml import LsqMl
from ..solver.patterns import Events, Patterns
from .setup import Recipe, build_algorithm, initial_state

__all__ = [
    "build_algorithm",
    "finish_from",
    "initial_state",
    "recover",
    "store_result",
    "survey_block",
]


def survey_block(algorithm: LsqMl, source: ZarrBlocks, block: Block, supply: Supply) -> tuple[float, int, str, int]:
    """Fitted electrons of a block in the pixels in use, its number of patterns, their container and bytes."""
    patterns, _ = block_data(algorithm, source, block, supply)
    return electrons_in(patterns, algorithm.problem.weights), block.size, patterns.container, patterns.nbytes


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
