"""Can a dataset be reconstructed that is ten times larger than the workers' memory, and what does that cost?

Two made-up datasets of vacuum patterns, 4 GiB each as dense pixels: 100 electrons per pattern (kept as events), and 16
electrons in each pixel of a disk that nearly fills the detector (kept dense, because that is smaller). Each is
reconstructed with a memory limit that the cluster enforces and next to no cache, so that counts are read again in every
iteration, and again with all counts cached and no limit, in turn, twice: machines are noisy. Compared are the seconds
and the worker's CPU seconds of one iteration of the low-dose reference case (4 slices, one held mode). The limit counts
the whole worker process: its imports alone take about 220 MiB. Positions lie 0.25 A apart only to keep the object
small, which is not what is measured here.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster
from distributed.comm import tcp
from record import arguments, save

import ptychodask
from ptychodask.model.optics import Microscope
from ptychodask.physics.probe import make_probe

QUESTION = "out of core: counts ten times larger than the workers' memory, against the same run with all counts cached"
PIXELS, THREADS, GIB = 128, 2, 2**30
OPTICS = {
    "energy_ev": 300e3,
    "defocus_angstrom": 600.0,
    "angular_step_mrad": 0.47,
    "scan_step_angstrom": 0.25,
}
CLUSTER = {
    "distributed.scheduler.work-stealing": False,
    # nothing is spilled, a worker is paused at 90 % of its limit and killed at 95 %
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": 0.9,
}
Chunk = Callable[[np.random.Generator, int], np.ndarray]


def disk(semi_angle_mrad: float, electrons: float) -> np.ndarray:
    """Mean pattern of a vacuum, zero angle in the centre."""
    probe = make_probe(Microscope(300e3, semi_angle_mrad, {"C10": -600.0}), PIXELS, 0.3273, electrons)
    return np.abs(np.fft.fftshift(np.fft.fft2(probe, norm="ortho"))) ** 2


def sparse() -> Chunk:
    """Poisson counts at 100 electrons per pattern, drawn electron by electron."""
    cumulative = np.cumsum(disk(10.0, 100.0).ravel())

    def chunk(rng: np.random.Generator, patterns: int) -> np.ndarray:
        electrons = rng.poisson(cumulative[-1], patterns)
        pixel = np.searchsorted(cumulative, rng.random(electrons.sum()) * cumulative[-1])
        counts = np.zeros(patterns * PIXELS**2, np.uint8)
        np.add.at(counts, np.repeat(np.arange(patterns), electrons) * PIXELS**2 + pixel, np.uint8(1))
        return counts

    return chunk


def bright(pool_size: int) -> Chunk:
    """Poisson counts at 200 000 electrons per pattern, picked from a pool of different patterns."""
    mean = disk(29.0, 2e5).ravel()
    pool = np.random.default_rng(1).poisson(mean, (pool_size, PIXELS**2)).astype(np.uint16)

    def chunk(rng: np.random.Generator, patterns: int) -> np.ndarray:
        return pool[rng.permutation(pool_size)[:patterns]]

    return chunk


def make(path: Path, scan: tuple[int, int], tile: int, dtype: str, semi_angle_mrad: float, chunk: Chunk) -> None:
    if path.exists():
        return

    def draw(block_info: dict) -> np.ndarray:
        location = block_info[None]
        shape = location["chunk-shape"]
        return chunk(np.random.default_rng(list(location["chunk-location"])), shape[0] * shape[1]).reshape(shape)

    chunks = (*((tile,) * (side // tile) for side in scan), (PIXELS,), (PIXELS,))
    lazy = da.map_blocks(draw, chunks=chunks, dtype=dtype)
    ptychodask.create_dataset(path, lazy, chunks=(tile, tile), semi_angle_mrad=semi_angle_mrad, **OPTICS)


def watch_kernels() -> None:
    """On a worker: add up the seconds in the kernels."""
    from ptychodask.solver.lsqml import LsqMl

    plain = LsqMl.partial
    LsqMl.seconds_in_kernels = 0.0

    def timed(self: LsqMl, *arguments: Any) -> Any:
        started = time.perf_counter()
        update = plain(self, *arguments)
        LsqMl.seconds_in_kernels += time.perf_counter() - started  # of two threads one may be lost: a block in hundreds
        return update

    LsqMl.partial = timed


def kernel_seconds() -> float:
    from ptychodask.solver.lsqml import LsqMl

    return LsqMl.seconds_in_kernels


def cpu_seconds() -> float:
    return time.process_time()


def peak_rss() -> int:
    """Of this process alone: what getrusage says holds for the process that started it, too."""
    line = next(t for t in Path("/proc/self/status").read_text().splitlines() if t.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


class Traffic:
    """Bytes that this process, which holds client and scheduler, writes to and reads from sockets."""

    def __init__(self) -> None:
        self.sent = self.received = 0
        to_frames, from_frames = tcp.to_frames, tcp.from_frames

        async def out(*arguments: Any, **options: Any) -> Any:
            frames = await to_frames(*arguments, **options)
            self.sent += sum(len(memoryview(f).cast("B")) for f in frames)
            return frames

        async def back(frames: Any, *arguments: Any, **options: Any) -> Any:
            self.received += sum(len(memoryview(f).cast("B")) for f in frames)
            return await from_frames(frames, *arguments, **options)

        tcp.to_frames, tcp.from_frames = out, back


class Watch:
    """Takes the seconds, the kernels' and the CPU's seconds and the traffic of the first iteration, and stops there."""

    def __init__(self, client: Client, traffic: Traffic) -> None:
        self.client, self.traffic, self.result = client, traffic, {}

    def _now(self) -> np.ndarray:
        kernels, cpu = (sum(self.client.run(seconds).values()) for seconds in (kernel_seconds, cpu_seconds))
        return np.array([kernels, cpu, self.traffic.sent, self.traffic.received], dtype=float)

    def __call__(self, event: str, values: dict[str, Any]) -> None:
        if event == "start":
            self.result["container"], self.result["bytes_per_pattern"] = values["container"], values["pattern_bytes"]
            self.before = self._now()
        elif event == "iteration" and values["iteration"] == 0:
            kernels, cpu, sent, received = self._now() - self.before
            self.result |= {
                "seconds_per_iteration": values["seconds"],
                "cpu_seconds_per_iteration": cpu,
                "outside_kernels": 1 - kernels / THREADS / values["seconds"],
                "bytes_read": values["bytes_read"],
                "bytes_merged": values["bytes_merged"],
                "client_and_scheduler_sent": sent,
                "client_and_scheduler_received": received,
            }
            raise KeyboardInterrupt


def run(path: Path, warm: Path, job: dict[str, Any], limit: int | None, traffic: Traffic) -> dict[str, Any]:
    with (
        dask.config.set(CLUSTER),
        LocalCluster(
            1, threads_per_worker=THREADS, processes=True, memory_limit=limit or 0, dashboard_address=None,
            host="127.0.0.1",
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        client.run(watch_kernels)
        ptychodask.reconstruct(warm, job, client)  # compiles and plans
        warm_rss = max(client.run(peak_rss).values())
        plan = ptychodask.plan(path, job, client)
        pids = set(client.run(os.getpid).values())
        watch = Watch(client, traffic)
        started = time.perf_counter()
        with suppress(KeyboardInterrupt):
            ptychodask.reconstruct(path, job, client, output=path.with_name("stopped.zarr"), progress=watch)
        shutil.rmtree(path.with_name("stopped.zarr.run"))
        return {
            **watch.result,
            "seconds_in_all": time.perf_counter() - started,
            "worker_limit": limit,
            "worker_peak_rss": max(client.run(peak_rss).values()),
            "worker_rss_before": warm_rss,
            "worker_survived": pids == set(client.run(os.getpid).values()),
            "predicted": {
                "memory_per_worker": plan.memory_per_worker,
                "bytes_read": plan.bytes_read,
                "bytes_merged": plan.footprint.bytes_merged(0),
                "seconds_per_iteration": plan.seconds_per_iteration,
                "read_and_pack_patterns_per_second": 1 / plan.speed.read_seconds,
            },
        }


def compare(
    path: Path, warm: Path, job: dict[str, Any], limit: int, budget: float, repeats: int, traffic: Traffic
) -> dict[str, Any]:
    turns = []
    for _ in range(repeats):
        streamed = run(path, warm, {**job, "engine": {**job["engine"], "cache_gib": budget / GIB}}, limit, traffic)
        cached = run(path, warm, {**job, "engine": {**job["engine"], "cache_gib": 12.0}}, None, traffic)
        turns.append({"streamed": streamed, "cached": cached})
    slower, more_cpu = (
        [t["streamed"][field] / t["cached"][field] - 1 for t in turns]
        for field in ("seconds_per_iteration", "cpu_seconds_per_iteration")
    )
    counts = ptychodask.open_dataset(path).counts
    patterns = counts.shape[0] * counts.shape[1]
    stored = sum(f.stat().st_size for f in (path / "counts").rglob("*") if f.is_file())
    return {
        "patterns": patterns,
        "patterns_per_block": int(np.prod(job["engine"]["block"])),
        "stored_type": str(counts.dtype),
        "bytes_per_pattern_on_disk": stored / patterns,
        "dense_bytes_over_limit": counts.nbytes / limit,
        "cached_bytes_over_limit": cached["bytes_per_pattern"] * patterns / limit,
        "cached_bytes_over_cache": cached["bytes_per_pattern"] * patterns / budget,
        "slower_than_cached": median(slower),
        "slower_than_cached_in_every_turn": slower,
        "more_cpu_than_cached": median(more_cpu),
        "turns": turns,
    }


if __name__ == "__main__":
    options = arguments(QUESTION, keeps_data=True)
    traffic = Traffic()
    limit = 400 * 2**20
    with tempfile.TemporaryDirectory() as name:
        folder = options.data or Path(name)
        sides = ((16, 16), (16, 16)) if options.tiny else ((512, 512), (512, 256))
        tiles = (8, 8) if options.tiny else (32, 16)
        job: dict[str, Any] = {
            "object": {"slices": 4, "thickness_angstrom": 34.0},
            "solver": {"iterations": 2, "finish": 0, "patience": 1},
        }
        # high-dose jobs hold nothing out; blocks of half a shard take half the memory
        dense_job = {**job, "solver": {**job["solver"], "validation_fraction": None}}
        result, pool = {}, 64 if options.tiny else 2048
        for kind, scan, tile, rows, dtype, angle, chunk, of in (
            ("low dose", sides[0], tiles[0], tiles[0], "uint8", 10.0, sparse(), job),
            ("dense", sides[1], tiles[1], tiles[1] // 2, "uint16", 29.0, bright(pool), dense_job),
        ):
            path, warm = folder / f"{dtype}-{scan[0]}.zarr", folder / f"{dtype}-warm.zarr"
            make(path, scan, tile, dtype, angle, chunk)
            make(warm, (2 * tile, tile), tile, dtype, angle, chunk)
            # room for three blocks: two that are read ahead and one that is kept
            block = rows * tile * (320 if dtype == "uint8" else 2 * PIXELS**2)
            of = {**of, "engine": {"block": (rows, tile)}}
            result[kind] = compare(path, warm, of, limit, 3.2 * block, 1 if options.tiny else 2, traffic)
    save("out_of_core", QUESTION, result, options)
