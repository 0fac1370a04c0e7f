"""A plan of an object in tiles predicts what the history then says, and refuses what cannot fit."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from distributed import Client
from test_plan import HERE, JOB, MEASURE, planned
from tiny_scan import BLUR, OPTICS, PEAKS, expected_counts, write_scan

import ptychodask
from ptychodask import InputError, JobConfig
from ptychodask.distributed import stream
from ptychodask.distributed.cache import BlockCache
from ptychodask.distributed.rounds import tile_places
from ptychodask.distributed.site import Site
from ptychodask.jobs import calibrate, memory
from ptychodask.jobs.plan import refuse
from ptychodask.jobs.recipe import Recipe
from ptychodask.jobs.tasks import build_tiled

SOLVER = {**JOB["solver"], "iterations": 3}
TILES = {**BLUR, "solver": SOLVER, "engine": {"tile_pixels": 30, "threads": 2}}
TANGENT = {"solver": {**SOLVER, "step_rule": "tangent"}, "object": {"slices": 2, "thickness_angstrom": 30}}
ROUNDS = {"solver": {**SOLVER, "rounds_per_iteration": 3}}
CASES = {
    "plain": {"object": {"blur_angstrom": 0}},
    "blur that looks far": {"object": {"blur_angstrom": 1.7}},
    "complex": {
        "object": {"slices": 3, "thickness_angstrom": 30, "kind": "complex", "positivity": False},
        "probe": {"modes": 2},
    },
    "tangent": TANGENT,
    "rounds": ROUNDS,
    "both": {**TANGENT, "solver": {**TANGENT["solver"], **ROUNDS["solver"]}},
    "tiles without blocks": {"engine": {"tile_pixels": 22, "block": [5, 5], "cache_gib": 0}},
}


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """Ragged blocks: 4 x 4, 4 x 2, 3 x 4 and 3 x 2, spread over several tiles."""
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", (11, 10), step=2.5)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(stream, "WORKER_CACHE", BlockCache())


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_bytes_are_those_of_the_history(scan, changes):
    job = {**TILES, **changes}
    plan = planned(scan, job)
    assert sum(bool(tile.blocks) for tile in plan.footprint.tiles) >= 4
    history = ptychodask.reconstruct(scan, job).history
    assert (history["bytes_exchanged"][:-1] == plan.bytes_exchanged).all() and plan.bytes_exchanged > 0
    assert history["bytes_exchanged"][-1] < plan.bytes_exchanged  # the last pass only looks
    expected = [plan.footprint.bytes_merged(int(u)) for u in history["updates"][:-1]]
    assert history["bytes_merged"].tolist() == [*expected, 0.0]
    assert (history["bytes_read"] == plan.bytes_read).all() and (plan.bytes_read > 0) == ("block" in job["engine"])


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_the_tiles_are_those_of_the_run(scan, changes):
    config = JobConfig.parse({**TILES, **changes})
    made = build_tiled(Recipe(str(scan), config.model_dump_json()))
    assert made.tiles == planned(scan, {**TILES, **changes}).footprint.tiles


@pytest.mark.parametrize("blocks", [3, 5.2])
def test_bytes_read_of_a_part_that_does_not_fit(tmp_path, blocks):
    """Dense blocks of one size: what does not fit, and the two that are read ahead."""
    expected, positions = expected_counts((8, 16), 1.0, 1e5, PEAKS)
    counts = np.random.default_rng(0).poisson(expected + 6).astype(np.uint16)
    options = {"scan_step_angstrom": 1.0, "positions_angstrom": positions, "chunks": (4, 4)}
    path = ptychodask.create_dataset(tmp_path / "bright.zarr", counts, **options, **OPTICS)
    block = 16 * 32 * 32 * 2
    solver = {**SOLVER, "validation_fraction": None}
    engine = {"cache_gib": blocks * block / 2**30, "threads": 1, "tile_pixels": 30}
    job = {**BLUR, "solver": solver, "engine": engine}
    plan = planned(path, job)
    assert plan.bytes_read == (8 - (int(blocks) - 2)) * block
    assert (ptychodask.reconstruct(path, job).history["bytes_read"][1:] == plan.bytes_read).all()


def test_a_whole_object_exchanges_nothing(scan):
    plan = planned(scan, JOB)
    assert plan.bytes_exchanged == 0 and not plan.footprint.tiles
    assert "exchanged per iteration" not in [label for label, *_ in plan.rows()]


def test_more_workers_hold_less_each(scan):
    one, three = (planned(scan, TILES, replace(HERE, workers=w, in_process=False)) for w in (1, 3))
    assert sum(len(share) for share in three.footprint.tile_shares(3)) == len(three.footprint.tiles)
    names = ("states", "models and sums of tiles", "frames on their way", "cached counts")
    alone, together = (sum(plan.memory[name] for name in names) for plan in (one, three))
    assert alone / 3 < together < 0.7 * alone
    # counts are where their tiles are
    tiles, blocks = three.footprint.tiles, three.footprint.blocks
    places = tile_places([sum(blocks[b].size for b in tile.blocks) for tile in tiles], ["a", "b", "c"])
    loads = [
        sum(blocks[b].size for tile, its in zip(tiles, places, strict=True) if its == place for b in tile.blocks)
        for place in "abc"
    ]
    assert three.footprint.largest_share(3) == max(loads) < sum(loads) == one.footprint.largest_share(1)


@pytest.mark.parametrize("changes", [{}, CASES["both"]], ids=["pooled", "both"])
def test_a_calibrated_plan_says_how_long_and_computes_one_tile(scan, changes, monkeypatch):
    def whole(*arguments):
        raise AssertionError("nobody holds the object")

    monkeypatch.setattr(calibrate, "initial_state", whole)
    plan = planned(scan, {**TILES, **changes}, calibrate=True)
    assert 0 < plan.seconds_per_iteration < 60
    assert (plan.speed.line_seconds > 0) == bool(changes)
    rows = {label: (value, remark) for label, value, remark, _ in plan.rows()}
    assert rows["tiles of the object"][1].startswith("of at most ")
    assert rows["exchanged per iteration"][0] != "0 B"
    assert "without what sending frames takes" in rows["time per iteration"][1]
    # as many steps as there are tiles to a thread, in every round
    slow = replace(plan, speed=replace(plan.speed, advance_seconds=plan.speed.advance_seconds + 1))
    away = replace(slow, site=Site(3, 2, None, False, False))
    before = replace(away, speed=plan.speed)
    most = max(len(share) for share in plan.footprint.tile_shares(3))
    rounds = 3 if changes else 1
    assert away.seconds_per_iteration - before.seconds_per_iteration == pytest.approx(rounds * -(-most // 2))


@pytest.fixture
def large(tmp_path_factory, monkeypatch):
    """So many slices that the object weighs more than all else, in a process that does not grow."""
    monkeypatch.setattr(memory, "resident_bytes", lambda: 200 * 2**20)
    path = write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", (12, 12), step=8.0, peaks=((2.0, 3.0, 0.9),))
    job = {
        "object": {**BLUR["object"], "slices": 48, "thickness_angstrom": 100.0},
        "solver": {"iterations": 5, "finish": 0, "step_rule": "pooled", "validation_fraction": None},
        "engine": {"threads": 1, "cache_gib": 0, "block": [2, 2]},
    }
    return path, job


def in_tiles(job, side):
    return {**job, "engine": {**job["engine"], "tile_pixels": side}}


def proposed(plan, word):
    with pytest.raises(InputError, match=word) as told:
        refuse(plan)
    return int(str(told.value).split(word)[1].split()[0])


def test_a_whole_object_that_cannot_fit_is_told_the_largest_tiles_with_which_it_does(large):
    path, job = large
    site = Site(8, 1, 300 * 2**20, False, False)
    side = proposed(planned(path, job, site), "set engine.tile_pixels = ")
    refuse(planned(path, in_tiles(job, side), site))
    for fewer in range(2, 261 // side):
        with pytest.raises(InputError):
            refuse(planned(path, in_tiles(job, 261 // fewer), site))


def test_tiles_that_cannot_fit_are_told_how_they_do(large):
    path, job = large
    site = Site(8, 1, 300 * 2**20, False, False)
    side = proposed(planned(path, in_tiles(job, 300), site), "set engine.tile_pixels = ")
    assert side < 261
    refuse(planned(path, in_tiles(job, side), site))
    few = Site(2, 1, 330 * 2**20, False, False)
    workers = proposed(planned(path, in_tiles(job, 64), few), "use ")  # half the tile would be less than a pattern
    refuse(planned(path, in_tiles(job, 64), replace(few, workers=workers)))
    with pytest.raises(InputError):
        refuse(planned(path, in_tiles(job, 64), replace(few, workers=workers - 1)))
    with pytest.raises(InputError, match="or workers with more memory"):
        refuse(planned(path, in_tiles(job, 64), replace(few, limit=210 * 2**20)))


def test_reconstruct_refuses_tiles_before_it_computes(scan, tmp_path):
    target = tmp_path / "result.zarr"
    with Client(
        processes=False, n_workers=1, threads_per_worker=1, memory_limit="100 MiB", dashboard_address="127.0.0.1:0"
    ) as client:
        with pytest.raises(InputError, match="before Dask pauses it"):
            ptychodask.reconstruct(scan, TILES, client, output=target)
        plan = ptychodask.plan(scan, TILES, client)
    assert plan.problems and plan.bytes_exchanged > 0 and not target.exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
def test_memory_is_predicted_and_rather_too_high(large):
    path, job = large
    job = in_tiles({**job, "engine": {"threads": 2}}, 90)
    run = [sys.executable, "-c", MEASURE, str(path), json.dumps(job)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout.splitlines()[-1])
    plan = planned(path, job)
    predicted = plan.memory_per_worker - plan.memory["imports"]
    taken = measured["peak"] - measured["base"]
    assert predicted > 200 * 2**20  # or it is noise
    assert taken / 1.2 < predicted < 2.5 * taken, (predicted / 2**20, taken / 2**20)
