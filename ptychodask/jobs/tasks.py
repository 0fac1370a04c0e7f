"""What runs on a worker besides the loop itself: functions of small, picklable arguments and of futures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..distributed.iterate import block_data
from ..io.dataset import ZarrBlocks, dataset_info
from ..io.result import create_result, write_object, write_result
from ..model.blocks import Block, make_blocks
from ..model.state import State, TileState
from ..model.tiles import Rect, Tile
from ..solver.lsqml import LsqMl
from ..solver.patterns import Events
from ..solver.tiled import TiledLsqMl, tiles_of
from .setup import (
    Recipe,
    build_algorithm,
    geometry,
    initial_shared,
    initial_state,
    microscope_of,
    object_dtype,
    tile_side,
    vacuum,
)

__all__ = [
    "build_algorithm",
    "build_tiled",
    "create_tiled_result",
    "finish_from",
    "initial_shared",
    "initial_state",
    "initial_tile",
    "plan_tiles",
    "recover",
    "recover_tile",
    "store_result",
    "store_tile",
    "survey_block",
]


def survey_block(algorithm: LsqMl, source: ZarrBlocks, block: Block, budget: int) -> tuple[float, int]:
    """Fitted electrons of a block in the pixels in use, and its number of patterns."""
    patterns, _ = block_data(algorithm, source, block, budget)
    counts, weights = patterns.fitted, algorithm.problem.weights
    if isinstance(counts, Events):
        return float((counts.count * weights.ravel()[counts.pixel]).sum(dtype=np.float64)), block.size
    return float((counts * weights).sum(dtype=np.float64)), block.size


def finish_from(algorithm: LsqMl | TiledLsqMl, state: State) -> State:
    """See :meth:`LsqMl.finish_from`."""
    return algorithm.finish_from(state)


def recover(algorithm: LsqMl | TiledLsqMl, state: State, damping: float) -> State:
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


@dataclass(frozen=True)
class TilePlan:
    """What the client knows of tiles: who exchanges with whom, the object's shape [S, Oy, Ox] and dtype, cores' sides,
    and the number of patterns of every tile."""

    tiles: tuple[Tile, ...]
    shape: tuple[int, int, int]
    dtype: np.dtype
    chunk: tuple[int, int]
    patterns: tuple[int, ...]


def build_tiled(recipe: Recipe) -> TiledLsqMl:
    """The solver with its problem, the object in tiles."""
    config, info = recipe.job, dataset_info(recipe.path)
    side = tile_side(info, config)
    assert side is not None, "only jobs in tiles have this algorithm"
    solver = build_algorithm(recipe)
    _, centres = geometry(info, microscope_of(info, config))
    blocks = make_blocks(info.scan_shape, config.engine.block or info.tile)
    tiles = tiles_of(solver.problem, blocks, centres, side)
    return TiledLsqMl(solver, tiles, object_dtype(config))


def plan_tiles(recipe: Recipe) -> TilePlan:
    """The plan of a job's tiles: it depends on the scan and the job alone."""
    algorithm, config = build_tiled(recipe), recipe.job
    info, canvas = dataset_info(recipe.path), algorithm.problem.canvas
    blocks = make_blocks(info.scan_shape, config.engine.block or info.tile)
    patterns = tuple(sum(blocks[b].size for b in tile.blocks) for tile in algorithm.tiles)
    shape = (algorithm.problem.slices, *canvas.shape)
    chunk = algorithm.tiles[0].core.shape
    return TilePlan(algorithm.tiles, shape, algorithm.object_dtype, chunk, patterns)


def initial_tile(algorithm: TiledLsqMl, index: int) -> TileState:
    """Vacuum on a core."""
    shape = (algorithm.problem.slices, *algorithm.tiles[index].core.shape)
    object_ = vacuum(algorithm.object_dtype, shape)
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
    problem, model = algorithm.problem, algorithm.solver.full_dose(shared.model)
    maps = (plan.dtype, plan.chunk)
    create_result(path, model, *maps, problem.canvas, problem.scan_shape, recipe.job, entries, attributes)
    return path


def store_tile(path: str, core: Rect, state: TileState) -> str:
    """Write a tile's object into the result."""
    write_object(path, core, state.object)
    return path
