"""How long does an iteration of a whole run take on a CUDA device, by the size of blocks and the number of threads?

ZIF-8 as in ``low_dose.py`` (4 slices, one mode, 128 pixels). Milliseconds per iteration, the median of those between
the second and the last but one; of the last, which only looks; and seconds of the whole call. ``--data`` may name a
folder that holds the scans; after 100 seconds no further case is started.
"""

from __future__ import annotations

import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from record import arguments, save
from time_to_image import dataset, device

import ptychodask
from ptychodask.events import Event, Iterated

QUESTION = "milliseconds per iteration of a run on a CUDA device, by block size and threads"
SECONDS = 100


def row(data: Path, side: int, backend: str, block: int, threads: int, iterations: int) -> dict[str, Any]:
    """One run without a finish."""
    stamps: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, Iterated):
            stamps.append(time.perf_counter())

    job = {
        "object": {"regularisation": "blur", "slices": 4},
        "solver": {"iterations": iterations, "finish": 0, "patience": 100},
        "engine": {"backend": backend, "threads": threads, "block": [block, block]},
    }
    start = time.perf_counter()
    ptychodask.reconstruct(data, job, progress=note)
    seconds, steps = time.perf_counter() - start, np.diff(stamps) * 1e3
    return {
        "positions": side * side,
        "block": block,
        "threads": threads,
        "seconds": seconds,
        "milliseconds_per_iteration": float(np.median(steps[1:-1])),
        "milliseconds_of_the_look": float(steps[-1]),
    }


if __name__ == "__main__":
    options = arguments(QUESTION, keeps_data=True)
    name = device()
    backend = "cpu" if name is None else "cupy"
    sides, blocks, threads, iterations = (96, 256), (32, 64), (1, 2, 4), 9
    if options.tiny:
        sides, blocks, threads, iterations = (12,), (6,), (1,), 4
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.data or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        begin = time.perf_counter()
        for side, block, count in product(sides, blocks, threads):
            data = dataset(folder, side, 64 if options.tiny else 128)
            if not rows and not options.tiny:  # compile and import everything once
                row(data, side, backend, block, count, iterations)
            if time.perf_counter() - begin < SECONDS:
                rows.append(row(data, side, backend, block, count, iterations))
    if name is None and options.out is None:
        options.tiny = True  # a table of a processor has no place among the results
    save("gpu_loop", QUESTION, {"device": name, "rows": rows}, options)
