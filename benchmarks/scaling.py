"""Is the time linear in patterns J, slices S and modes M, does it grow with N like FFTs, and do two workers halve it?

Seconds of one iteration through the whole engine (the fastest one: other programs only make it slower), in-process
threads and worker processes, for a made-up dataset of 100-electron patterns. The slopes are fits of log time against
log size, or against log (N^2 log2 N). Slices are also swept at N = 64, where all waves of a pattern stay in the caches.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from memory import make
from record import arguments, save

import ptychodask

QUESTION = "time against J, S, M, N and the number of threads and workers"


def iteration(path: Path, slices: int, modes: int, engine: dict[str, Any], iterations: int) -> float:
    """Least seconds of an iteration, without the first, which compiles and fills caches."""
    job = {
        "object": {"regularisation": "blur", "slices": slices, "thickness_angstrom": 10.0 * slices},
        "probe": {"modes": modes},
        "solver": {"iterations": iterations, "finish": 0, "patience": 1000},
        "engine": engine,
    }
    result = ptychodask.reconstruct(path, job)
    # the last pass only looks at the last state
    return float(np.min(result.history["seconds"][1:-1]))


def transform_work(n: int) -> float:
    return n * n * float(np.log2(n))


def sweep(name: str, sizes: list[int], seconds: list[float], work: Callable[[int], float] = float) -> dict[str, Any]:
    """Exponent of the seconds against the ``work`` that a size stands for."""
    exponent = np.polyfit(np.log([work(size) for size in sizes]), np.log(seconds), 1)[0]
    return {"against": name, "sizes": sizes, "seconds": seconds, "exponent": float(exponent)}


if __name__ == "__main__":
    options = arguments(QUESTION)
    with tempfile.TemporaryDirectory() as name:
        sides = [16, 32] if options.tiny else [32, 48, 64, 96]
        paths = {side: Path(name) / f"{side}.zarr" for side in sides}
        for side, path in paths.items():
            make(path, side, 64 if options.tiny else 128)
        middle = sides[0]
        base = paths[middle]
        widths = {n: Path(name) / f"{n}-wide.zarr" for n in ([32, 64] if options.tiny else [64, 128, 256])}
        for n, path in widths.items():
            make(path, middle, n)
        deep, many = (1, 3) if options.tiny else (4, 5)
        threads = {"threads": 2}
        # what a pattern costs beside its waves (losses, events) would hide the slope below four of them
        slices, modes = ([1, 2], [1, 2]) if options.tiny else ([4, 8, 16, 32], [1, 2, 4, 8])
        narrow = [] if options.tiny else [widths[64]]  # a tiny run has N = 64 everywhere
        rows = [
            sweep("J", [s * s for s in sides], [iteration(paths[s], deep, 1, threads, many) for s in sides]),
            sweep("S", slices, [iteration(base, s, 1, threads, many) for s in slices]),
            *(sweep("S, N = 64", slices, [iteration(w, s, 1, threads, many) for s in slices]) for w in narrow),
            sweep("M", modes, [iteration(base, deep, m, threads, many) for m in modes]),
            sweep("N", list(widths), [iteration(w, deep, 1, threads, many) for w in widths.values()], transform_work),
        ]
        engines = {
            "1 thread": {"threads": 1},
            "2 threads": {"threads": 2},
            "1 process": {"workers": 1, "threads": 1},
            "2 processes": {"workers": 2, "threads": 1},
        }
        largest = base if options.tiny else paths[64]
        if options.tiny:
            engines = {k: engines[k] for k in ("1 thread", "2 threads")}
        seconds = {label: iteration(largest, deep, 2, engine, many) for label, engine in engines.items()}
    result = {
        "sweeps": rows,
        "workers_seconds": seconds,
        "two_threads_speed_up": seconds["1 thread"] / seconds["2 threads"],
    }
    if not options.tiny:
        result["two_processes_speed_up"] = seconds["1 process"] / seconds["2 processes"]
    save("scaling", QUESTION, result, options)
