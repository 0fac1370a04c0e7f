"""The costs that ``scaling_model.py`` multiplies, each measured here, in worker processes of one thread.

What works on large arrays is slower in a worker process than in another: Dask starts its workers with
``MALLOC_TRIM_THRESHOLD_``, which makes the C library ask the system for every large array anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from distributed import Client, LocalCluster
from scaling_counts import Note, Notebook

from ptychodask.distributed import iterate
from ptychodask.distributed.tiled import InTiles, _submit_pass, tiled_passes
from ptychodask.jobs.build import build_algorithm, initial_shared, initial_state
from ptychodask.jobs.recipe import Decisions, Recipe
from ptychodask.jobs.tasks import build_tiled, initial_tile
from ptychodask.model.blocks import Block, make_blocks
from ptychodask.model.config import JobConfig
from ptychodask.model.tiles import Rect, make_tiles
from ptychodask.solver.tiled import Both
from ptychodask.solver.unknowns.object import ObjectSums
from ptychodask.solver.unknowns.probe import ProbeSums
from ptychodask.solver.update import Sums, Update


@dataclass(frozen=True)
class Rates:
    """Seconds each, medians; CPU seconds where it says so."""

    scheduler_task: float
    """CPU of the process with client and scheduler, per task of the loop with nothing to do."""
    worker_task: float
    """CPU of the workers, per task of the same loop."""
    wall_task: float
    """Wall clock of the same loop per task; not used by the model."""
    level: float
    """Wall clock of one task after the other in an iteration of two blocks: model, update, merge, state, its tile."""
    merge_byte: float
    """Per byte of the updates that are merged."""
    tcp_byte: float
    """Wall clock, per byte that one worker gets from another on this machine."""
    tcp_cpu_byte: float
    """CPU of both workers, per byte."""


class Nothing:
    """An algorithm with the loop's shape and nothing to do."""

    data_key, searches_line = "nothing", False

    def prepare(self, block: Block, counts: Any) -> Any:
        return np.zeros(1)

    def assemble(self, index: int, state: Any, shared: Any, frames: list[Any]) -> Any:
        return state

    def partial(self, block: Block, data: Any, model: Any, evaluate_only: bool) -> Any:
        return data

    def merge(self, updates: list[Any]) -> Any:
        return updates[0]

    def decide(self, state: Any, shared: Any, update: Any) -> Any:
        return None

    def go_on(self, state: Any, shared: Any, decided: Any, line: Any) -> Any:
        return Both(state, shared)

    def metrics(self, update: Any) -> dict[str, float]:
        return {}


class NoCounts:
    """A source of nothing."""

    key, rows = "nothing", 1

    def read(self, block: Block) -> np.ndarray:
        return np.zeros(1)

    def nbytes(self, block: Block) -> int:
        return 0


def loop(client: Client, blocks: int, iterations: int) -> dict[str, float]:
    """Seconds per iteration of the engine's loop with nothing to do, and how many tasks that are."""
    algorithm, tile = client.submit(Nothing, pure=False), client.submit(float, pure=False)
    tiles = make_tiles((8, 8), 8, [Rect(0, 8, 0, 8)] * blocks, 0)
    job = iterate.Job(client, algorithm, False, NoCounts(), make_blocks((1, blocks), (1, 1)), 2**20, iterate.new_name())
    stamps: list[float] = []
    cpu: list[np.ndarray] = []
    for seen in tiled_passes(job, tiles, InTiles((tile,), tile), 0, iterations):
        if seen.iteration in (1, iterations):  # the first pass fills the caches, and imports
            cpu.append(np.array([time.process_time(), sum(client.run(time.process_time).values())]))
        stamps.append(time.perf_counter())
    here, there = (cpu[1] - cpu[0]) / (iterations - 1)
    wall = np.median(np.diff(stamps[1:]))
    notes: Any = Notebook(2)
    start: Any = Note("start")
    _submit_pass(tiles, replace(job, client=notes, algorithm=start), "0", InTiles((start,), start), False)
    return {"tasks": len(notes.notes), "wall": float(wall), "here": float(here), "there": float(there)}


def transfer(client: Client, size: int, repeats: int) -> tuple[float, float]:
    """Seconds, and CPU seconds of both, per byte from one worker to the other."""
    first, second = sorted(iterate.workers_of(client))
    walls, cpus = [], []
    for i in range(repeats):
        sent = client.submit(np.ones, size // 8, key=f"sent-{i}-{time.time_ns()}", workers=[first])
        client.submit(len, sent, workers=[first], pure=False).result()
        before, started = sum(client.run(time.process_time).values()), time.perf_counter()
        client.submit(len, sent, workers=[second], pure=False).result()
        walls.append(time.perf_counter() - started)
        cpus.append(sum(client.run(time.process_time).values()) - before)
        del sent
    return median(walls) / size, median(cpus) / size


def timed(function: Callable[[], Any], repeats: int) -> float:
    """Median CPU seconds of a call on this thread."""
    function()
    times = []
    for _ in range(repeats):
        started = time.thread_time()
        function()
        times.append(time.thread_time() - started)
    return median(times)


def merge_byte(slices: int, side: int, repeats: int) -> float:
    """Of eight updates side by side, as a leaf of the tree has them."""
    one = np.ones((slices, side, side), np.float32)
    updates = [Update(Sums(), ObjectSums((0, i * side // 3), one, one)) for i in range(iterate.FAN_IN)]
    return timed(lambda: Update.merged(updates), repeats) / sum(u.nbytes for u in updates)


def _maps(shape: tuple[int, ...]) -> ObjectSums:
    rng = np.random.default_rng(1)
    return ObjectSums((0, 0), rng.random(shape, np.float32), rng.random(shape, np.float32))


def advance_pixel(path: str, config: str, repeats: int) -> float:
    """From a merged update to the next state, per pixel and slice of a whole object."""
    recipe = Recipe(path, config, Decisions(mean_counts=100.0))
    algorithm = build_algorithm(recipe)
    state = initial_state(recipe, algorithm)
    probe = ProbeSums(state.model.probe, np.ones(state.model.probe.shape[1:], np.float32))
    update = Update(Sums(1.0, 100.0, 100.0), _maps(state.model.object.shape), probe)
    step = timed(lambda: algorithm.advance(state, algorithm.direction(state, update), None), repeats)
    return step / state.model.object.size


def advance_tile_pixel(path: str, config: str, side: int, repeats: int) -> float:
    """From a tile's sums to its next state, per pixel and slice of its work area."""
    engine = {"engine": {"tile_pixels": side}}
    job = JobConfig.parse({**JobConfig.model_validate_json(config).model_dump(), **engine})
    recipe = Recipe(path, job.model_dump_json(), Decisions(mean_counts=100.0))
    algorithm = build_tiled(recipe)
    shared, states = initial_shared(recipe, algorithm), [initial_tile(algorithm, t.index) for t in algorithm.tiles]
    tile = algorithm.tiles[0]
    model = algorithm.assemble(0, states[0], shared, [algorithm.lend(u, states[u], 0) for u in tile.lenders])
    sums = replace(_maps((algorithm.problem.slices, *tile.work.shape)), corner=tile.work.corner)
    probe = ProbeSums(shared.model.probe, np.ones(shared.model.probe.shape[1:], np.float32))
    totals = Update(Sums(1.0, 100.0, 100.0), probe)

    def step() -> Any:
        highest = algorithm.highest([algorithm.peak(0, sums)])
        move = algorithm.step([algorithm.pool(0, states[0], shared, model, sums, highest)], shared, totals)
        return algorithm.advance_tile(0, states[0], shared, model, sums, highest, move)

    return timed(step, repeats) / sums.gradient.size


def star() -> float:
    """Of the copies that a worker's result makes to seven others who want it at once: how many that worker sends."""
    options: Any = {"processes": False, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(n_workers=8, **options) as cluster, Client(cluster, set_as_default=False) as client:
        names = sorted(iterate.workers_of(client))
        model = client.submit(np.ones, 2**20, workers=names[:1])
        client.gather([client.submit(np.size, model, workers=[n], pure=False) for n in names])
        logs = {w.address: list(w.transfer_outgoing_log) for w in cluster.workers.values()}
    large = {name: sum(entry["total"] > 2**20 for entry in log) for name, log in logs.items()}
    return large[names[0]] / max(sum(large.values()), 1)


def measure(client: Client, tiny: bool) -> Rates:
    """On a client with two workers of one thread."""
    many, few = (16, 3) if tiny else (512, 5)
    loop(client, 8, 3)
    full, chain = loop(client, many, few), loop(client, 2, 10 if tiny else 100)
    wall, cpu = transfer(client, 2**20 if tiny else 2**26, 3 if tiny else 9)
    return Rates(
        scheduler_task=full["here"] / full["tasks"],
        worker_task=full["there"] / full["tasks"],
        wall_task=full["wall"] / full["tasks"],
        level=chain["wall"] / 5,
        merge_byte=client.submit(merge_byte, *((2, 64, 3) if tiny else (20, 176, 9)), pure=False).result(),
        tcp_byte=wall,
        tcp_cpu_byte=cpu,
    )
