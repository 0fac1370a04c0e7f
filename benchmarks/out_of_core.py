"""Can a dataset be reconstructed that is ten times larger than the workers' memory, and what does that cost?

Two made-up datasets of vacuum patterns, 5 GiB each as dense pixels: 100 electrons per pattern (kept as events), and 16
electrons in each pixel of a disk that nearly fills the detector (kept dense, because that is smaller). Each is
reconstructed by a worker with a memory limit that the cluster enforces and next to no cache, so that counts are read
again in every iteration, and by one with all counts cached and no limit. Both workers stay, and runs of a few
iterations are given to them in turn, so that what else the machine does meets both. Medians over the iterations that
update are compared (the last one of a run only looks). The limit counts the whole worker process: its imports alone
take about 220 MiB. Positions lie 0.25 A apart only to keep the object small, which is not what is measured here.
``--patterns`` makes the scans smaller, for a try.

What the JSON holds, for ``low dose`` and ``dense``:

patterns, patterns_per_block, stored_type, bytes_per_pattern_on_disk
    The dataset.
dense_bytes_over_limit, cached_bytes_over_limit, cached_bytes_over_cache
    Its size, dense and as it is kept, over the worker's memory limit and over its cache.
slower_than_cached
    Median seconds per iteration, streamed over cached, less 1.
more_cpu_than_cached
    The same for the CPU seconds of the worker process, which other programs disturb less.
streamed, cached
    ``container``, ``bytes_per_pattern`` (kept), ``seconds_per_iteration`` and ``cpu_seconds_per_iteration`` (medians),
    ``us_per_pattern`` (medians over iterations: ``computing`` in the kernels, ``reading`` with decoding and packing,
    and ``waiting`` for blocks that are read ahead, in wall time of the threads, as the run's events say; ``cpu`` of the
    whole process), ``outside_kernels`` (median share of the threads' wall time), ``iterations`` (every one: wall
    seconds, CPU seconds of the process, seconds of computing, reading and waiting, bytes read and merged, bytes through
    client and scheduler), ``seconds_in_all`` (all its runs, surveys and last looks included), ``worker_limit``,
    ``worker_peak_rss``, ``worker_rss_before`` (after a small run), ``worker_survived`` and ``predicted`` (by
    ``ptychodask plan``). Bytes unless said.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import numpy as np
from distributed import Client, LocalCluster
from record import arguments, save
from spent import Traffic, peak_rss
from vacuum import PIXELS, bright, make, sparse

import ptychodask
from ptychodask.distributed.cluster import SETTINGS
from ptychodask.events import Iterated, Started

QUESTION = "out of core: counts ten times larger than the workers' memory, against the same run with all counts cached"
SLICES, THREADS, GIB = 2, 2, 2**30
TURNS, UPDATES = 2, 2
"""Runs of each worker, and iterations of a run that count (at high dose one)."""
CLUSTER = {
    **SETTINGS,
    # nothing is spilled, a worker is paused at 90 % of its limit and killed at 95 %
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": 0.9,
}


class Watch:
    """Observes a run of ``updates``: keeps what every iteration that updates has taken."""

    def __init__(self, client: Client, traffic: Traffic, updates: int) -> None:
        self.client, self.traffic, self.updates = client, traffic, updates
        self.held: dict[str, Any] = {}
        self.iterations: list[dict[str, float]] = []

    def _now(self) -> np.ndarray:
        (cpu,) = self.client.run(time.process_time).values()
        return np.array([cpu, self.traffic.sent, self.traffic.received])

    def started(self, event: Started) -> None:
        self.held = {"container": event.container, "bytes_per_pattern": event.pattern_bytes}
        self.before = self._now()

    def iterated(self, event: Iterated) -> None:
        if event.iteration == self.updates:  # it only looks
            return
        now = self._now()
        cpu, sent, received = (now - self.before).tolist()
        self.before = now
        self.iterations.append(
            {
                "seconds": event.seconds,
                "cpu_seconds": cpu,
                "seconds_computing": event.seconds_computing,
                "seconds_reading": event.seconds_reading,
                "seconds_waiting": event.seconds_waiting,
                "outside_kernels": 1 - event.seconds_computing / THREADS / event.seconds,
                "bytes_read": event.bytes_read,
                "bytes_merged": event.bytes_merged,
                "client_and_scheduler_sent": sent,
                "client_and_scheduler_received": received,
            }
        )


class Site:
    """A worker that stays, and the runs that it has had."""

    def __init__(self, client: Client, path: Path, warm: Path | None, job: dict[str, Any], limit: int | None) -> None:
        self.client, self.path, self.job, self.limit = client, path, job, limit
        self.seconds, self.iterations = 0.0, []
        if warm is not None:
            ptychodask.reconstruct(warm, job, client)  # compiles and plans
        self.warm_rss = max(client.run(peak_rss).values())
        self.plan = ptychodask.plan(path, job, client)
        self.pids = set(client.run(os.getpid).values())

    def run(self, traffic: Traffic) -> None:
        seen = Watch(self.client, traffic, self.job["solver"]["iterations"])
        started = time.perf_counter()
        ptychodask.reconstruct(self.path, self.job, self.client, progress=seen)
        self.seconds += time.perf_counter() - started
        self.iterations += seen.iterations
        self.held = seen.held

    def result(self, patterns: int) -> dict[str, Any]:
        def median(of: Callable[[dict[str, float]], float]) -> float:
            return statistics.median(of(i) for i in self.iterations)

        return {
            **self.held,
            "seconds_per_iteration": median(lambda i: i["seconds"]),
            "cpu_seconds_per_iteration": median(lambda i: i["cpu_seconds"]),
            "us_per_pattern": {
                "computing": 1e6 / patterns * median(lambda i: i["seconds_computing"]),
                "reading": 1e6 / patterns * median(lambda i: i["seconds_reading"]),
                "waiting": 1e6 / patterns * median(lambda i: i["seconds_waiting"]),
                "cpu": 1e6 / patterns * median(lambda i: i["cpu_seconds"]),
            },
            "outside_kernels": median(lambda i: i["outside_kernels"]),
            "iterations": self.iterations,
            "seconds_in_all": self.seconds,
            "worker_limit": self.limit,
            "worker_peak_rss": max(self.client.run(peak_rss).values()),
            "worker_rss_before": self.warm_rss,
            "worker_survived": self.pids == set(self.client.run(os.getpid).values()),
            "predicted": {
                "memory_per_worker": self.plan.memory_per_worker,
                "bytes_read": self.plan.bytes_read,
                "bytes_merged": self.plan.footprint.bytes_merged(0),
                "seconds_per_iteration": self.plan.seconds_per_iteration,
                "read_and_pack_patterns_per_second": 1 / self.plan.speed.read_seconds,
            },
        }


@contextmanager
def worker(limit: int | None, process: bool = True) -> Iterator[Client]:
    with (
        dask.config.set(CLUSTER),
        LocalCluster(
            1, threads_per_worker=THREADS, processes=process,
            memory_limit=(limit or 0) if process else 0, dashboard_address=None, host="127.0.0.1" if process else None,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):  # fmt: skip
        yield client


def compare(
    path: Path, warm: Path | None, job: dict[str, Any], limit: int, budget: float, traffic: Traffic, processes: int
) -> dict[str, Any]:
    """Without ``warm`` it is one turn only. With fewer than two ``processes`` the others are threads."""
    with worker(limit, processes > 0) as small, worker(None, processes > 1) as large:
        jobs = [{**job, "engine": {**job["engine"], "cache_gib": gib}} for gib in (budget / GIB, 12.0)]
        streamed, cached = Site(small, path, warm, jobs[0], limit), Site(large, path, warm, jobs[1], None)
        for _ in range(TURNS if warm else 1):
            streamed.run(traffic)
            cached.run(traffic)
        counts = ptychodask.open_dataset(path).counts
        patterns = counts.shape[0] * counts.shape[1]
        results = {"streamed": streamed.result(patterns), "cached": cached.result(patterns)}
    stored = sum(f.stat().st_size for f in (path / "counts").rglob("*") if f.is_file())
    bytes_held = results["cached"]["bytes_per_pattern"] * patterns
    over = {
        name: results["streamed"][name] / results["cached"][name] - 1
        for name in ("seconds_per_iteration", "cpu_seconds_per_iteration")
    }
    return {
        "patterns": patterns,
        "patterns_per_block": int(np.prod(job["engine"]["block"])),
        "stored_type": str(counts.dtype),
        "bytes_per_pattern_on_disk": stored / patterns,
        "dense_bytes_over_limit": counts.nbytes / limit,
        "cached_bytes_over_limit": bytes_held / limit,
        "cached_bytes_over_cache": bytes_held / budget,
        "slower_than_cached": over["seconds_per_iteration"],
        "more_cpu_than_cached": over["cpu_seconds_per_iteration"],
        **results,
    }


def smaller(scan: tuple[int, int], patterns: int | None, tile: int) -> tuple[int, int]:
    """A scan of at most so many patterns in whole shards, at least two along either side."""
    while patterns is not None and scan[0] * scan[1] > patterns and max(scan) > 2 * tile:
        scan = (scan[0] // 2, scan[1]) if scan[0] >= scan[1] else (scan[0], scan[1] // 2)
    return scan


def made(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    limit, traffic, result = 480 * 2**20, Traffic(), {}
    sides = ((8, 8), (8, 8)) if options.tiny else ((512, 640), (512, 320))
    tiles = (4, 4) if options.tiny else (32, 16)
    job: dict[str, Any] = {
        "object": {"regularisation": "blur", "slices": SLICES, "thickness_angstrom": 20.0},
        "solver": {"iterations": UPDATES, "finish": 0, "patience": UPDATES},
    }
    # high-dose jobs hold nothing out; blocks of half a shard take half the memory
    dense_job = {**job, "solver": {**job["solver"], "validation_fraction": None, "iterations": 1, "patience": 1}}
    for kind, scan, tile, rows, dtype, angle, chunk, of in (
        ("low dose", sides[0], tiles[0], tiles[0], "uint8", 10.0, sparse(), job),
        ("dense", sides[1], tiles[1], tiles[1] // 2, "uint16", 29.0, bright(64 if options.tiny else 2048), dense_job),
    ):
        scan = smaller(scan, options.patterns, tile)
        path, warm = folder / f"{dtype}-{scan[0]}x{scan[1]}.zarr", folder / f"{dtype}-warm-{tile}.zarr"
        make(path, scan, tile, dtype, angle, chunk)
        if not options.tiny:
            make(warm, (2 * tile, tile), tile, dtype, angle, chunk)
        # room for three blocks: two that are read ahead and one that is kept
        block = rows * tile * (320 if dtype == "uint8" else 2 * PIXELS**2)
        asked, budget = {**of, "engine": {"block": (rows, tile)}}, 3.2 * block
        if options.tiny:  # starting a worker process takes most of the time: one shows it
            result[kind] = compare(path, None, asked, limit, budget, traffic, 1 if kind == "dense" else 0)
        else:
            result[kind] = compare(path, warm, asked, limit, budget, traffic, 2)
    return result


if __name__ == "__main__":
    options = arguments(QUESTION, keeps_data=True, takes_patterns=True)
    with tempfile.TemporaryDirectory() as name:
        save("out_of_core", QUESTION, made(options, options.data or Path(name)), options)
