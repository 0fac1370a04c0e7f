"""A look at a few patterns, and a short run of them with the kernels of the job."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._errors import InputError
from ..counts.patterns import Patterns
from ..io.dataset import DatasetInfo
from ..io.source import source_of
from ..model.blocks import Block
from ..model.state import Model
from ..model.tiles import Rect, Tile
from ..physics.views import windows_of
from ..solver.direction import Direction
from ..solver.lsqml import LsqMl
from ..solver.tiled import TiledLsqMl
from ..solver.unknowns.object import ObjectSums
from ..solver.update import Update
from .build import build_algorithm, initial_shared, initial_state
from .experiment import Experiment
from .recipe import Recipe
from .tasks import electrons_in, initial_tile

SAMPLES = 3
SECONDS = 0.3
"""Least duration of a measurement."""


@dataclass(frozen=True)
class Sample:
    """Strips of a few blocks, as a worker would hold them.

    Parameters
    ----------
    patterns : list of (Block, Patterns)
    pattern_bytes : float
        Mean bytes of a pattern in its container.
    container : str
        The one that most have.
    mean_counts : float
        Training electrons per pattern.
    """

    patterns: list[tuple[Block, Patterns]]
    pattern_bytes: float
    container: str
    mean_counts: float


@dataclass(frozen=True)
class Speed:
    """Rates of one process.

    Parameters
    ----------
    threads : int
        That computed at once.
    pattern_rate : float
        Patterns per second of all threads together.
    line_seconds : float
        Per pattern, of the tangent step on one thread; 0 where there is none.
    read_seconds : float
        Per pattern, to read and pack it on one thread.
    advance_seconds : float
        From merged update to next state, of the whole object or of a tile.
    """

    threads: int
    pattern_rate: float
    line_seconds: float
    read_seconds: float
    advance_seconds: float


def _read(info: DatasetInfo, algorithm: LsqMl, block: Block) -> Patterns:
    source = source_of(info)
    return algorithm.prepare(block, (source.read(strip) for strip in block.strips(source.rows)))


def _middles(experiment: Experiment) -> list[Block]:
    """The middle strip of a few blocks spread over the scan; without damaged chunks, where the job leaves those out."""
    info, blocks = experiment.info, experiment.blocks
    chosen = sorted({round(k * (len(blocks) - 1) / max(SAMPLES - 1, 1)) for k in range(SAMPLES)})
    middles = {b: blocks[b].strips(info.inner_rows) for b in range(len(blocks))}
    strips = {b: s[len(s) // 2] for b, s in middles.items()}
    if experiment.config.data.on_damage != "mask":
        return [strips[b] for b in chosen]
    source = source_of(info)
    for few in (chosen, *([b] for b in strips)):  # where all the chosen ones are damaged, the first that is not
        sound = [strips[b].without(source.damaged(strips[b])) for b in few]
        if any(strip.size for strip in sound):
            return [strip for strip in sound if strip.size]
    raise InputError(f"{info.path}: no electrons in what can be read: every block is damaged, write the dataset again")


def sample(experiment: Experiment, algorithm: LsqMl) -> Sample:
    """The middle strips of a few blocks spread over the scan."""
    taken = [(strip, _read(experiment.info, algorithm, strip)) for strip in _middles(experiment)]
    patterns = sum(block.size for block, _ in taken)
    names = [made.container for _, made in taken]
    electrons = math.fsum(electrons_in(made, algorithm.problem.weights) for _, made in taken)
    return Sample(
        taken,
        sum(made.nbytes for _, made in taken) / patterns,
        max(names, key=names.count),
        max(electrons / patterns, 1e-6),
    )


def measure(experiment: Experiment, recipe: Recipe, taken: Sample, threads: int, tiles: tuple[Tile, ...] = ()) -> Speed:
    """How fast this process works on the sample with ``threads`` threads; in tiles, it takes a step on one of them."""
    algorithm = build_algorithm(recipe)
    models = [_seen_by(recipe, algorithm, block) for block, _ in taken.patterns]
    block, patterns = taken.patterns[0]
    read = _seconds(lambda: _read(experiment.info, algorithm, block)) / block.size

    def compute(turn: int) -> int:
        its = turn % len(taken.patterns)
        own, counts = taken.patterns[its]
        algorithm.partial(own, counts, models[its], False)
        return own.size

    once = _seconds(lambda: compute(0))
    turns = threads * max(1, math.ceil(SECONDS / once))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(compute, range(threads)))  # every thread makes its buffers
        started = time.perf_counter()
        done = sum(pool.map(compute, range(turns)))
        rate = done / (time.perf_counter() - started)
    update = algorithm.merge([algorithm.partial(block, patterns, models[0], False)])
    if experiment.spectral is not None:  # its step is that of tiles, of which a whole object is one
        tiles = tiles or experiment.tiles(recipe.blocks)
    step = _tile_step(recipe, algorithm, tiles, update) if tiles else _whole_step(recipe, algorithm, update)
    line = 0.0
    found = None
    if algorithm.searches_line:
        # along any direction on the block's window
        move = replace(step(None), object=update[ObjectSums].gradient)
        found = algorithm.line_search(block, patterns, models[0], move)
        line = _seconds(lambda: algorithm.line_search(block, patterns, models[0], move)) / block.size
    return Speed(threads, rate, line, read, _seconds(lambda: step(found)))


def _seen_by(recipe: Recipe, algorithm: LsqMl, block: Block) -> Model:
    """What a block sees of the start: its window of the object."""
    problem, shared = algorithm.problem, initial_shared(recipe, algorithm)
    (seen,) = windows_of([block], problem.centres, problem.scan_shape, problem.pixels)
    object_ = np.zeros((problem.slices, *seen.shape), shared.anchor.dtype)
    # an iteration as most are: with the spectral prior, the first measures the information besides
    iteration = 0 if problem.settings.spectral is None else 1
    return replace(shared.model, object=object_, corner=seen.corner, iteration=iteration)


def _whole_step(recipe: Recipe, algorithm: LsqMl, update: Update) -> Callable[[Update | None], Direction]:
    """From a merged update and the sums of a line search to the next state; returns its direction."""
    state = initial_state(recipe, algorithm)

    def step(line: Update | None) -> Direction:
        move = algorithm.direction(state, update)
        algorithm.advance(state, move, line)
        return move

    return step


def _tile_step(
    recipe: Recipe, algorithm: LsqMl, tiles: tuple[Tile, ...], update: Update
) -> Callable[[Update | None], Direction]:
    """As :func:`_whole_step`, for the tile in whose core the update has its centre."""
    tiled = TiledLsqMl(algorithm, tiles, recipe.experiment.object_dtype)
    sums = update[ObjectSums]
    centre = [a + side // 2 for a, side in zip(sums.corner, sums.illumination.shape[1:], strict=True)]
    pixel = Rect(centre[0], centre[0] + 1, centre[1], centre[1] + 1)
    t = next(tile.index for tile in tiles if tile.core.common(pixel))
    state, shared = initial_tile(tiled, t), initial_shared(recipe, tiled)
    if tiled.problem.settings.spectral is not None:
        shared = replace(shared, information=np.ones(2))

    def step(line: Update | None) -> Direction:
        frames = [tiled.lend(u, initial_tile(tiled, u), t) for u in tiles[t].lenders]
        model = tiled.assemble(t, state, shared, frames)
        own = tiled.collect(t, [tiled.give(update, t)])
        highest = tiled.highest([tiled.peak(t, own)])
        move = tiled.step([tiled.pool(t, state, shared, model, own, highest)], shared, tiled.totals(update))
        tiled.advance_tile(t, state, shared, model, own, highest, move, line)
        return move

    return step


def _seconds(function: Callable[[], Any]) -> float:
    """Least time of a call, the first of which compiles."""
    function()
    times: list[float] = []
    for _ in itertools.takewhile(lambda turn: turn < 2 or (turn < 5 and sum(times) < SECONDS), itertools.count()):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)
