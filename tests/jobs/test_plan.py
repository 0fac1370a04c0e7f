"""A plan predicts what the history then says, and refuses what cannot fit with a remedy that works."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from distributed import Client
from tiny_scan import BLUR, OPTICS, PEAKS, Recorder, expected_counts, write_scan

import ptychodask
from ptychodask import InputError, JobConfig
from ptychodask.distributed import stream
from ptychodask.distributed.cache import BlockCache
from ptychodask.distributed.site import Site, site_here, site_of
from ptychodask.io.checkpoint import RunFolder
from ptychodask.io.dataset import dataset_info
from ptychodask.jobs import memory
from ptychodask.jobs import plan as plan_module
from ptychodask.jobs.calibrate import Speed
from ptychodask.jobs.experiment import Experiment
from ptychodask.jobs.plan import _problems, make_plan, plan_of, refuse, size
from ptychodask.kernels.gpu.workspace import bytes_per_pattern
from ptychodask.model.place import DEVICE_THREADS, Place

HERE = Site(1, 2, None, True, True)
JOB = {**BLUR, "solver": {"iterations": 5, "finish": 0, "patience": 100}}


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """Ragged blocks: 4 x 4, 4 x 2, 3 x 4 and 3 x 2."""
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", (11, 10))


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    """Electrons in nearly every pixel, so that dense counts are smaller than events; equal blocks."""
    expected, positions = expected_counts((8, 16), 1.0, 1e5, PEAKS)
    counts = np.random.default_rng(0).poisson(expected + 6).astype(np.uint16)
    path = tmp_path_factory.mktemp("scan") / "bright.zarr"
    options = {"scan_step_angstrom": 1.0, "positions_angstrom": positions, "chunks": (4, 4)}
    return ptychodask.create_dataset(path, counts, **options, **OPTICS)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """A run before may have left the same counts in the cache of this process."""
    monkeypatch.setattr(stream, "WORKER_CACHE", BlockCache())


def planned(path, job, site=HERE, calibrate=False):
    return make_plan(Experiment(dataset_info(path), JobConfig.parse({**BLUR, **job})), site, calibrate=calibrate)


@pytest.mark.parametrize(
    "job",
    [
        {},
        {"object": {"slices": 3, "thickness_angstrom": 30, "kind": "complex", "positivity": False}},
        {"probe": {"modes": 2, "update_start": 3}, "engine": {"block": [5, 3]}},
    ],
    ids=str,
)
def test_bytes_merged_are_those_of_the_history(scan, job):
    job = {**JOB, **job}
    plan = planned(scan, job)
    history = ptychodask.reconstruct(scan, job).history
    expected = [plan.footprint.bytes_merged(int(u)) for u in history["updates"][:-1]]
    assert history["bytes_merged"].tolist() == [*expected, 0.0]  # the last pass only looks
    assert plan.bytes_merged == expected[-1] > 0


@pytest.mark.parametrize("cache_gib", [0, 4.0])
def test_bytes_read_are_those_of_the_history(scan, cache_gib):
    job = {**JOB, "engine": {"cache_gib": cache_gib, "threads": 2}}
    plan = planned(scan, job)
    read = ptychodask.reconstruct(scan, job).history["bytes_read"]
    assert (read == plan.bytes_read).all()
    assert plan.bytes_read == (0 if cache_gib else 11 * 10 * 32 * 32 * np.dtype(dataset_info(scan).dtype).itemsize)


@pytest.mark.parametrize("blocks", [1.5, 3, 5.2, 7.9, 8])
def test_bytes_read_of_a_part_that_does_not_fit(bright, blocks):
    """Dense blocks have one size, so it is exact: what does not fit, and the two that are read ahead."""
    block = 16 * 32 * 32 * 2
    solver = {**JOB["solver"], "validation_fraction": None}
    job = {**BLUR, "solver": solver, "engine": {"cache_gib": blocks * block / 2**30, "threads": 1}}
    plan = planned(bright, job)
    assert plan.sample.container == "uint16" and plan.sample.pattern_bytes == block / 16
    result = ptychodask.reconstruct(bright, job)
    assert (result.history["bytes_read"][1:] == plan.bytes_read).all()
    missed = 0 if blocks >= 8 else 8 - max(0, int(blocks) - 2)
    assert plan.bytes_read == missed * block
    assert (result.attributes["container"], result.attributes["bytes_per_pattern"]) == ("uint16", block / 16)


def test_the_container_is_told_once_at_the_start(scan):
    seen = Recorder()
    result = ptychodask.reconstruct(scan, {**BLUR, "solver": {"iterations": 2, "finish": 0}}, progress=seen)
    (start,) = seen.named("start")
    assert start["container"] == result.attributes["container"] == "events"
    assert start["pattern_bytes"] == result.attributes["bytes_per_pattern"]
    plan = planned(scan, {})
    assert plan.sample.pattern_bytes == pytest.approx(start["pattern_bytes"], rel=0.1)
    assert plan.sample.container == "events" and plan.footprint.data_bytes(1) < 110 * 32 * 32


def test_shares_are_those_of_the_placement(scan):
    shapes = planned(scan, {}).footprint
    assert shapes.largest_share(1) == 110
    assert shapes.largest_share(2) == 4 * 16 + 12  # of nine blocks the five largest at most
    assert shapes.largest_share(100) == 16


def test_a_calibrated_plan_says_how_long(scan):
    plan = planned(scan, {"object": {"slices": 2, "thickness_angstrom": 20}}, calibrate=True)
    assert plan.speed is not None and 0 < plan.seconds_per_iteration < 60
    both = replace(plan, site=replace(HERE, workers=2, here=False, in_process=False))
    assert both.seconds_per_iteration < plan.seconds_per_iteration
    labels = [label for label, *_ in plan.rows()]
    assert "time per iteration" in labels and "memory per worker" in labels
    assert "time per iteration" not in [label for label, *_ in planned(scan, {}).rows()]
    assert math.isnan(planned(scan, {}).seconds_per_iteration)


def test_shards_are_looked_at_only_for_who_reads_the_plan(scan, monkeypatch):
    """Each is a file, and a store may have millions: a run need not know what they hold in all."""

    def fails(path):
        raise OSError("a shard was looked at")

    for module in ("jobs.plan", "io.source"):
        monkeypatch.setattr(f"ptychodask.{module}.stored_bytes", fails)
    assert len(ptychodask.reconstruct(scan, {**BLUR, "solver": {"iterations": 1, "finish": 0}}).history) == 1
    with pytest.raises(OSError, match="a shard was looked at"):
        ptychodask.plan(scan, {}, calibrate=False)


@pytest.mark.parametrize("problems", [(), ("memory is short",), ("memory is short", "and so is the device's")])
@pytest.mark.parametrize("speed", [None, Speed(2, 1000.0, 0.0, 0.0, 0.0)])
def test_a_repr_is_one_short_line(scan, speed, problems):
    text = repr(replace(planned(scan, {}), speed=speed, problems=problems))
    assert text.startswith("Plan(110 patterns, 1 worker of ") and "\n" not in text and len(text) < 150
    assert ("s per iteration" in text) == (speed is not None)
    assert {0: "it fits)", 1: "1 problem)", 2: "2 problems)"}[len(problems)] in text


def test_the_tangent_step_is_measured_too(scan):
    job = {"object": {"slices": 2, "thickness_angstrom": 20}, "solver": {"step_rule": "tangent"}}
    assert planned(scan, job, calibrate=True).speed.line_seconds > 0


@pytest.fixture
def steady(monkeypatch):
    """This process does not grow between two plans."""
    monkeypatch.setattr(memory, "resident_bytes", lambda: 200 * 2**20)


def test_what_cannot_fit_is_refused_with_a_remedy(bright, steady):
    job = {**BLUR, "solver": {"validation_fraction": None}}
    roomy = planned(bright, job)
    refuse(roomy)
    need = planned(bright, job, Site(1, 2, None, False, False)).memory_per_worker
    refuse(planned(bright, job, Site(1, 2, need, False, False)))
    with pytest.raises(InputError, match=r"a worker needs .* of memory \(.*\): set engine.cache_gib = "):
        refuse(planned(bright, job, Site(1, 2, need - 1, False, False)))
    with pytest.raises(InputError, match="or workers with more memory"):
        refuse(planned(bright, job, Site(1, 2, need // 4, False, False)))


def test_the_cache_that_is_proposed_fits(bright):
    job = {"engine": {"threads": 1}, "solver": {"validation_fraction": None}}
    plan = planned(bright, job)
    large = replace(plan.footprint, pattern_bytes=1e9)  # as if patterns took a gigabyte
    memory = {**plan.memory, "cached counts": min(large.cache_bytes, large.data_bytes(1))}
    limit = sum(memory.values()) - 2**30
    (problem,) = _problems(replace(plan, footprint=large, memory=memory, site=Site(1, 1, limit, False, False)))
    proposed = float(problem.split("cache_gib = ")[1].split()[0])
    assert 2.99 <= proposed <= 3.0
    memory["cached counts"] = int(proposed * 2**30)
    assert sum(memory.values()) <= limit


def test_threads_are_given_up_before_the_rest(bright, steady):
    site = Site(1, 8, None, False, False)
    plan = planned(bright, {}, site)
    each = plan.footprint.thread_bytes() + plan.footprint.block_bytes()
    limit = plan.memory_per_worker - plan.memory["cached counts"] - 2 * each
    with pytest.raises(InputError, match=r"set engine\.threads = 6 and engine\.cache_gib = 0"):
        refuse(planned(bright, {}, replace(site, limit=limit)))
    fixed = {"engine": {"cache_gib": 0}}
    refuse(planned(bright, fixed, replace(site, threads=6, limit=limit)))


def test_workers_here_share_the_memory_of_the_machine(scan):
    crowd = Site(10_000, 1, None, True, False)
    with pytest.raises(InputError, match=r"10000 workers together: .* free here\)"):
        refuse(planned(scan, {}, crowd))


def test_reconstruct_refuses_before_it_computes(scan, tmp_path):
    """A worker that Dask would pause at once."""
    target = tmp_path / "result.zarr"
    with Client(
        processes=False, n_workers=1, threads_per_worker=1, memory_limit="100 MiB", dashboard_address="127.0.0.1:0"
    ) as client:
        assert site_of(client).limit == 80 * 2**20
        with pytest.raises(InputError, match="before Dask pauses it"):
            ptychodask.reconstruct(scan, {}, client, output=target)
        plan = ptychodask.plan(scan, {}, client)
    assert plan.problems and plan.speed is None
    assert not target.exists() and not RunFolder.of(target).path.exists()


def test_a_device_is_given_few_threads():
    of = {name: Place(**options).threads_each(16) for name, options in {
        "processor": {}, "device": {"device": True}, "asked": {"device": True, "threads": 5},
        "its own": {"gpus": "all", "device": True}, "processes": {"workers": 2, "device": True},
    }.items()}  # fmt: skip
    assert of == {"processor": 16, "device": DEVICE_THREADS, "asked": 5, "its own": 1, "processes": 8}
    assert Place(device=True).threads_per_device(16) == DEVICE_THREADS and Place().threads_per_device(16) == 16
    assert Place(workers=2, device=True).threads_per_device(16) == 16


def test_where_it_would_run(scan):
    alone, two = site_here(Place(threads=3), 0), site_here(Place(workers=2), 0)
    assert (alone.workers, alone.threads, alone.limit, alone.in_process) == (1, 3, None, True)
    assert two.workers == 2 and not two.in_process and two.limit > 0
    plan = plan_of(
        Experiment(dataset_info(scan), JobConfig.parse({"engine": {"workers": 2, "threads": 1}})), None, False
    )
    assert (plan.site.workers, plan.site.threads) == (2, 1)


@pytest.mark.parametrize(("gpus", "workers"), [("all", 4), ([0, 2], 2)])
def test_workers_on_gpus_do_not_share_the_measured_one(scan, monkeypatch, gpus, workers):
    """The threads of one worker are measured, on one device; all cores at once would share its memory."""
    measured = []
    monkeypatch.setattr(plan_module, "cuda_devices", lambda: ([None] * 4, ""))
    monkeypatch.setattr(plan_module, "cupy_available", lambda: False)
    monkeypatch.setattr(plan_module, "choose_kernels", lambda recipe: recipe)
    monkeypatch.setattr(plan_module, "measure", lambda *a: measured.append(a[3]) or Speed(a[3], 1000.0, 0.0, 0.0, 0.0))
    plan = plan_of(Experiment(dataset_info(scan), JobConfig.parse({"engine": {"gpus": gpus}})), None, True)
    assert (plan.site.workers, plan.site.threads, plan.site.in_process) == (workers, 1, False)
    assert measured == [1]
    one = replace(
        plan, footprint=replace(plan.footprint, experiment=Experiment(plan.footprint.info, JobConfig.parse({})))
    )
    tasks = 9 * plan_module.BLOCK_SECONDS  # of nine blocks, however many workers there are
    assert one.seconds_per_iteration - tasks == pytest.approx(workers * (plan.seconds_per_iteration - tasks))


@pytest.mark.parametrize(("block", "passes"), [([11, 10], 1), ([1, 1], 1), ([2, 5], 2)])
def test_every_block_is_a_task_that_takes_time(scan, block, passes):
    job = {"engine": {"block": block}, "solver": {"step_rule": "tangent" if passes == 2 else "pooled"}}
    plan = replace(planned(scan, job), speed=Speed(2, 1e12, 0.0, 0.0, 0.0))
    blocks = -(-11 // block[0]) * -(-10 // block[1])
    assert plan.seconds_per_iteration == pytest.approx(passes * blocks * plan_module.BLOCK_SECONDS, rel=1e-6)


def test_a_device_must_hold_one_pattern(scan, monkeypatch):
    """``solver.batch`` is of the plain kernels: mini-batches on a device are as large as fits."""
    monkeypatch.setattr(plan_module, "cupy_available", lambda: True)
    monkeypatch.setattr(plan_module, "_device_bytes", lambda: 2**30)
    job = {"engine": {"backend": "cupy"}, "probe": {"modes": 3}}
    plan = planned(scan, {**job, "solver": {"batch": 65_536}})
    assert plan.device_memory == planned(scan, job).device_memory > bytes_per_pattern(1, 3, 32)
    assert not plan.problems and ("device memory", True) in [(row[0], row[3]) for row in plan.rows()]
    monkeypatch.setattr(plan_module, "_device_bytes", lambda: plan.device_memory - 1)
    with pytest.raises(InputError, match=r"on the device \(.* free\): free its memory, or set a smaller engine.block"):
        refuse(planned(scan, job))


def test_a_job_that_is_wrong_is_refused_as_by_reconstruct(scan):
    with pytest.raises(InputError, match="needs the thickness"):
        ptychodask.plan(scan, {"object": {"slices": 3}})


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (2048, "2 KiB"), (5e9, "4.66 GiB")])
def test_bytes_for_people(count, text):
    assert size(count) == text


MEASURE = """
import json, sys
import ptychodask, ptychodask.api, ptychodask.kernels.cpu
from ptychodask.distributed import stream
from ptychodask.distributed.cache import BlockCache
from ptychodask.distributed.site import resident_bytes
job = json.loads(sys.argv[2])
short = {"object": {"regularisation": "blur"}, "solver": {"iterations": 2, "finish": 0}}
ptychodask.reconstruct(sys.argv[1], short)
base = resident_bytes()
ptychodask.reconstruct(sys.argv[1], job)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # getrusage counts the parent too
print(json.dumps({"base": base, "peak": int(peak.split()[1]) * 1024}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
def test_memory_is_predicted_and_rather_too_high(tmp_path):
    """What a run takes beyond its imports: 48 slices, so that states and steps weigh more than those.

    Steps of 8 angstrom, because memory does not depend on how often a pixel is lit, and time does. Nothing is held out:
    of the states that may still be returned a plan counts the most, and how many there are depends on the history.
    """
    path = write_scan(tmp_path / "scan.zarr", (12, 12), chunks=(4, 4), step=8.0, peaks=((2.0, 3.0, 0.9),))
    job = {
        "object": {**BLUR["object"], "slices": 48, "thickness_angstrom": 100.0},
        "solver": {"iterations": 5, "finish": 0, "step_rule": "pooled", "validation_fraction": None},
        "engine": {"threads": 2},
    }
    run = [sys.executable, "-c", MEASURE, str(path), json.dumps(job)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout.splitlines()[-1])
    memory = planned(path, job).memory
    predicted = sum(memory.values()) - memory["imports"]
    taken = measured["peak"] - measured["base"]
    assert predicted > 200 * 2**20  # or it is noise
    assert taken / 1.2 < predicted < 2.5 * taken, (predicted / 2**20, taken / 2**20)


def test_passes_for_the_information_are_counted(scan):
    """The spectral prior takes one more at the start of each of its two stages, a blur one for its finish."""
    speed = Speed(2, 1000.0, 0.0, 0.0, 0.0)
    plan = replace(planned(scan, {"object": {"regularisation": "spectral"}}), speed=speed)
    assert (plan.iterations, plan.information_passes) == (13, 2)
    assert plan.seconds == pytest.approx(15 * plan.seconds_per_iteration)
    assert "for 13 iterations and 2 passes for the information, the most" in str(plan)
    plain = replace(planned(scan, JOB), speed=speed)
    assert plain.information_passes == 0 and "for 5 iterations, the most" in str(plain)
    finished = replace(planned(scan, {**JOB, "solver": {"iterations": 5, "finish": 2}}), speed=speed)
    assert finished.information_passes == 1 and "and 1 pass for the information" in str(finished)
