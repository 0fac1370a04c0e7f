"""How long does a newcomer wait for the compiler?

Seconds of the first partial update (4 slices, N = 128, its counts thinned and packed), in a process whose cache of
compiled kernels is empty and in one that finds them on disk, less those of the second update; and the function whose
compilation takes longest, with those that it calls. The import is that of ``ptychodask.api``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from record import arguments, save

QUESTION = "seconds until kernels are there: compiled at first use, and from disk"


def update() -> Callable[[], Any]:
    """The partial update that is measured."""
    from per_pattern import case

    def run() -> None:
        solver, block, patterns, model = case(4, 1, 128, "cpu", 4)
        solver.partial(block, patterns, model, False)

    return run


def one_kernel() -> Callable[[], Any]:
    """All that a tiny run compiles: the update's kernels take 20 s."""
    import numpy as np

    from ptychodask.kernels.cpu.fused import arrange

    return lambda: arrange(np.ones((1, 8, 8), np.uint8), np.zeros((1, 1, 64), np.float32))


def measure(prepared: Callable[[], Callable[[], Any]]) -> None:
    start = time.perf_counter()
    import ptychodask.api  # noqa: F401

    imported = time.perf_counter() - start
    from numba.core import event

    first_use = prepared()
    with event.install_recorder("numba:compile") as recorder:
        start = time.perf_counter()
        first_use()
        first = time.perf_counter() - start
    start = time.perf_counter()
    first_use()
    second = time.perf_counter() - start
    name, longest = longest_compilation(recorder.buffer)
    print(json.dumps({"import": imported, "kernels": first - second, "longest": longest, "longest_function": name}))


def longest_compilation(events: list[tuple[float, Any]]) -> tuple[str | None, float]:
    """Of the functions that were compiled; those that were read from disk are not among them."""
    open_, found = [], [(0.0, None)]
    for when, its in events:
        if its.is_start:
            open_.append(when)
        else:
            found.append((when - open_.pop(), its.data["dispatcher"].py_func.__name__))
    seconds, name = max(found, key=lambda pair: pair[0])
    return name, seconds


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(one_kernel if "--tiny" in sys.argv else update)
        raise SystemExit
    options = arguments(QUESTION)
    with tempfile.TemporaryDirectory() as folder:
        rows, command = {}, [sys.executable, __file__, "--measure"]
        for label in ("compiled", "from disk"):
            done = subprocess.run(
                [*command, *(["--tiny"] if options.tiny else [])], capture_output=True, text=True, check=True,
                env={**os.environ, "NUMBA_CACHE_DIR": folder},
            )  # fmt: skip
            rows[label] = json.loads(done.stdout.strip().splitlines()[-1])
    save("first_use", QUESTION, rows, options)
