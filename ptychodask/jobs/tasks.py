"""What runs on a worker besides the loop itself: functions of small, picklable arguments and of futures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from .._errors import InputError
from ..analysis.survey import Lens, Look, look, merge_looks
from ..analysis.suspicion import misfired, suspicions
from ..counts.patterns import Events, Patterns
from ..distributed.stream import Supply, block_data
from ..io.checkpoint import create_state, save_state, save_tile
from ..io.result import Besides, create_result, write_object, write_result
from ..io.result_scans import FurtherScan
from ..io.source import ZarrBlocks
from ..model.blocks import Block, Box
from ..model.refining import Refining
from ..model.state import Model, State, TileState
from ..model.tiles import Rect, Tile
from ..solver.information import RING
from ..solver.lsqml import LsqMl
from ..solver.tiled import TiledLsqMl, as_whole
from .build import build_algorithm, initial_shared
from .criteria import survey_of
from .found import with_places
from .recipe import Recipe

__all__ = [
    "build_algorithm",
    "build_tiled",
    "create_tiled_result",
    "finish_from",
    "initial_shared",
    "initial_tile",
    "merge_surveyed",
    "recover",
    "recover_tile",
    "refining_of",
    "store_checkpoint",
    "store_result",
    "store_shared",
    "store_tile",
    "store_tile_state",
    "survey_block",
]


@dataclass(frozen=True)
class Surveyed:
    """What a block holds: fitted electrons in the pixels in use, patterns, their container and its bytes, the damaged
    chunks that are left out, and what was seen of its counts."""

    electrons: float
    patterns: int
    container: str
    bytes: int
    damaged: tuple[Box, ...]
    look: Look | None = None


@dataclass(frozen=True)
class Surveys:
    """What blocks hold, each without its look, and what was seen of all of them."""

    parts: tuple[Surveyed, ...]
    look: Look | None


def survey_block(
    algorithm: LsqMl | TiledLsqMl, source: ZarrBlocks, block: Block, supply: Supply, mask_damage: bool, through: Lens
) -> Surveyed:
    """Read a block for the first time."""
    # the store is asked, not the cache: what is left out must not depend on what this worker has read before
    damaged = source.damaged(block) if mask_damage else ()
    if damaged:
        # blocks that are read ahead are not known to be sound
        block, supply = block.without(damaged), Supply(supply.cache_bytes)
    if block.size == 0:
        return Surveyed(0.0, 0, "", 0, damaged)
    patterns = block_data(algorithm, source, block, supply).data
    electrons = electrons_in(patterns, algorithm.problem.weights)
    scan_shape = algorithm.problem.scan_shape
    seen = look(patterns, block.flat(scan_shape), scan_shape, through)
    return Surveyed(electrons, block.size, patterns.container, patterns.nbytes, damaged, seen)


def merge_surveyed(found: Sequence[Surveyed | Surveys]) -> Surveys:
    """All of them in the order given."""
    looks = [its.look for its in found if its.look is not None]
    parts = [(replace(its, look=None),) if isinstance(its, Surveyed) else its.parts for its in found]
    return Surveys(tuple(chain.from_iterable(parts)), merge_looks(looks) if looks else None)


@dataclass(frozen=True)
class Judged:
    """What blocks hold, and what is thought of all counts: warnings, and positions (y, x) that misfired."""

    parts: tuple[Surveyed, ...]
    suspicions: tuple[str, ...] = ()
    misfired: tuple[tuple[int, int], ...] = ()


def judge(recipe: Recipe, found: Surveys) -> Judged:
    """Think about the counts where they were looked at: what was seen of them does not travel to the client."""
    if found.look is None:
        return Judged(found.parts)
    seen, leaves_out = survey_of(recipe.experiment, found.look), recipe.job.data.exclude == "misfired"
    odd = tuple(misfired(seen)) if leaves_out else ()
    return Judged(found.parts, tuple(suspicions(seen, leaves_out)), odd)


def electrons_in(patterns: Patterns, weights: np.ndarray) -> float:
    """Fitted electrons in the pixels in use."""
    counts = patterns.fitted
    if isinstance(counts, Events):
        return float((counts.count * weights.ravel()[counts.pixel]).sum(dtype=np.float64))
    return math.fsum(float((pattern * weights).sum(dtype=np.float64)) for pattern in counts)


def finish_from(algorithm: LsqMl | TiledLsqMl, state: State) -> State:
    """See :meth:`LsqMl.finish_from`."""
    return algorithm.finish_from(state)


def refining_of(shared: State) -> Refining | None:
    """How far the geometry has come: a few numbers."""
    return shared.geometry


def recover(algorithm: LsqMl | TiledLsqMl, state: State, damping: float) -> State:
    """See :meth:`LsqMl.recover`; the damping is given, so that recovering a recovered state changes nothing."""
    return replace(algorithm.recover(state), damping=damping)


def store_checkpoint(path: str, tile: TileState, shared: State) -> str:
    """Write a checkpoint of a lone tile; why it could not be written, or nothing.

    An error of the disk is told, not raised: those that are raised come from the tasks that made the state.
    """
    return _told(save_state, path, as_whole(tile, shared))


def store_shared(path: str, shared: State, shape: tuple[int, int, int], dtype: np.dtype, chunk: tuple[int, int]) -> str:
    """As :func:`store_checkpoint`, for what tiles share."""
    return _told(create_state, path, shared, shape, dtype, chunk)


def store_tile_state(path: str, core: Rect, state: TileState) -> str:
    """As :func:`store_checkpoint`, for one tile."""
    return _told(save_tile, path, core, state)


def _told(write: Callable[..., Any], *arguments: Any) -> str:
    try:
        write(*arguments)
    except (OSError, InputError) as error:
        return " ".join(str(error).split())
    return ""


def store_result(
    path: str,
    algorithm: TiledLsqMl,
    tile: TileState,
    shared: State,
    recipe: Recipe,
    entries: list[Mapping[str, Any]],
    attributes: dict[str, Any],
    overwrite: bool,
) -> str:
    """Write the result of a lone tile where it is, so that the client never holds it."""
    problem = algorithm.problem
    model, further = _first_and_others(algorithm, algorithm.solver.full_dose(as_whole(tile, shared).model))
    write_result(
        path,
        model,
        problem.positions(shared.model),
        problem.canvas,
        problem.scan_shape,
        recipe.job,
        entries,
        with_places(attributes, problem, model),
        overwrite,
        _besides(algorithm, shared, tile.anchor.sum(axis=0)),
        further,
    )
    return path


def _first_and_others(algorithm: TiledLsqMl, model: Model) -> tuple[Model, tuple[FurtherScan, ...]]:
    """A model with the probe of the first scan alone, and what the others have of their own."""
    scans = algorithm.solver.scans
    if not scans:
        return model, ()
    own = [model.of_scan(s, len(scans)) for s in range(len(scans))]
    problems = [scan.problem for scan in scans]
    parts = [FurtherScan(m.probe, p.positions(m), p.scan_shape) for m, p in zip(own, problems, strict=True)]
    return own[0], tuple(parts[1:])


def _besides(algorithm: TiledLsqMl, shared: State, lattice: np.ndarray) -> Besides | None:
    """What there is besides the object: what the electrons carry, and the lattice of the spectral prior."""
    known = shared.information
    if known is None:
        return None
    return Besides(np.asarray(known), RING, None if algorithm.problem.settings.spectral is None else lattice)


@dataclass(frozen=True)
class TilePlan:
    """What the client knows of tiles: who exchanges with whom, the object's shape [S, Oy, Ox], dtype, cores' sides."""

    tiles: tuple[Tile, ...]
    shape: tuple[int, int, int]
    dtype: np.dtype
    chunk: tuple[int, int]


def build_tiled(recipe: Recipe) -> TiledLsqMl:
    """The solver with its problem, the object in tiles or, where it stays whole, in one."""
    experiment, solver = recipe.experiment, build_algorithm(recipe)
    tiles = experiment.tiles(recipe.blocks)
    return TiledLsqMl(solver, tiles, experiment.object_dtype)


def initial_tile(algorithm: TiledLsqMl, index: int) -> TileState:
    """Vacuum on a core."""
    object_ = np.zeros((algorithm.problem.slices, *algorithm.tiles[index].core.shape), algorithm.object_dtype)
    return TileState(object_, object_)


def recover_tile(algorithm: TiledLsqMl, state: TileState) -> TileState:
    """See :meth:`TiledLsqMl.recover_tile`."""
    return algorithm.recover_tile(state)


def create_tiled_result(
    path: str,
    algorithm: TiledLsqMl,
    shared: State,
    recipe: Recipe,
    plan: TilePlan,
    entries: list[Mapping[str, Any]],
    attributes: dict[str, Any],
) -> str:
    """Write a result but for its object."""
    problem = algorithm.problem
    model, further = _first_and_others(algorithm, algorithm.solver.full_dose(shared.model))
    maps = (plan.dtype, plan.chunk)
    besides = _besides(algorithm, shared, shared.anchor)
    create_result(
        path,
        model,
        problem.positions(model),
        *maps,
        problem.canvas,
        problem.scan_shape,
        recipe.job,
        entries,
        with_places(attributes, problem, model),
        besides,
        further,
    )
    return path


def store_tile(path: str, core: Rect, state: TileState) -> str:
    """Write a tile's object into the result."""
    write_object(path, core, state.object, state.anchor.sum(axis=0))
    return path
