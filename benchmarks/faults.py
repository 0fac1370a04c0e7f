"""A worker is killed at a random moment: is the result the same, and what does it cost?

Two worker processes on one machine. Each run kills one of them once (SIGKILL), picked at random, at a moment drawn
uniformly over the iterations of an undisturbed run; Dask's nanny starts another in its place. Object and probe are
compared bit by bit with the undisturbed run. The time lost is against the median of undisturbed runs, interleaved with
the others because machines are noisy; each of these comes after one that is not counted, which warms the worker that
was started last. All runs start from one run folder, so all compute with one set of FFT plans. Counts are Poisson noise
of the vacuum, which the object fits: nothing depends on what is in them.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client
from memory import make
from record import arguments, save

import ptychodask
from ptychodask.distributed.cluster import connect
from ptychodask.events import Event, Iterated
from ptychodask.model.place import Place

QUESTION = "a worker killed at a random moment in 20 runs: same bits, seconds lost"
SEED = 7


class Bench:
    """A run folder that holds a job's recipe and no iteration yet, and the workers to run it on."""

    def __init__(self, folder: Path, client: Client, side: int, pixels: int, iterations: int) -> None:
        self.folder, self.client, self.scan = folder, client, folder / "scan.zarr"
        self.job = {
            "object": {"regularisation": "blur", "slices": 2, "thickness_angstrom": 34.0},
            "probe": {"update_start": 2},
            "solver": {"iterations": iterations, "validation_fraction": None},
            "engine": {"checkpoint_every": 3},
        }
        make(self.scan, side, pixels)

        def stop(event: Event) -> None:
            if isinstance(event, Iterated):
                raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            ptychodask.reconstruct(self.scan, self.job, client, output=folder / "first.zarr", progress=stop)

    def run(self, kill_after: float | None = None, worker: int = 0) -> dict[str, Any]:
        """One run; ``kill_after`` seconds after the first entry of the history a worker is killed."""
        while len(pids := sorted(self.client.run(os.getpid).values())) < 2:  # the one killed last comes back
            time.sleep(0.1)
        target = self.folder / "result.zarr"
        shutil.copytree(self.folder / "first.zarr.run", self.folder / "result.zarr.run")
        seen: list[float] = []
        killed: list[int] = []

        def kill() -> None:
            killed.append(len(seen))
            os.kill(pids[worker], signal.SIGKILL)

        timer = threading.Timer(kill_after or 0.0, kill)

        def progress(event: Event) -> None:
            if isinstance(event, Iterated):
                seen.append(event.seconds)
                if len(seen) == 1 and kill_after is not None:
                    timer.start()

        start = time.perf_counter()
        result = ptychodask.resume(target, self.client, progress=progress)
        seconds = time.perf_counter() - start
        timer.cancel()
        arrays = [np.asarray(a.values) for a in (result.object, result.probe)]
        assert all(np.abs(a).max() > 0 for a in arrays)
        shutil.rmtree(target)
        return {
            "seconds": seconds,
            "span": sum(seen[1:]),
            "iteration": statistics.median(seen[1:]),
            "killed_in_iteration": killed[0] if killed else None,
            "bits": b"".join(a.tobytes() for a in arrays),
        }


if __name__ == "__main__":
    options = arguments(QUESTION)
    rng = np.random.default_rng(SEED)
    side, pixels, iterations, kills = (16, 64, 4, 1) if options.tiny else (32, 128, 8, 20)
    runs = 1 if options.tiny else 2  # of which the last counts
    with tempfile.TemporaryDirectory() as name, connect(place=Place(workers=2, threads=1)) as client:
        bench = Bench(Path(name), client, side, pixels, iterations)
        undisturbed = [[bench.run() for _ in range(runs)][-1]]
        span, bits = undisturbed[0]["span"], undisturbed[0]["bits"]
        if options.tiny:  # nothing was warm: the next run may end before its worker is killed
            span /= 4
        rows: list[dict[str, Any]] = []
        for number in range(kills):
            if number % 5 == 4:
                undisturbed.append([bench.run() for _ in range(runs)][-1])
            moment = float(rng.uniform(0, span))
            found = bench.run(moment, int(rng.integers(2)))
            rows.append(
                {
                    "killed_after_s": moment,
                    "killed_in_iteration": found["killed_in_iteration"],
                    "seconds": found["seconds"],
                    "same_bits": found["bits"] == bits,
                }
            )
            print(rows[-1], flush=True)
    usual = statistics.median(u["seconds"] for u in undisturbed)
    iteration = statistics.median(u["iteration"] for u in undisturbed)
    lost = [row["seconds"] - usual for row in rows if row["killed_in_iteration"] is not None]
    result = {
        "patterns": side * side,
        "workers": 2,
        "iterations": iterations,
        "runs_with_a_kill": len(lost),
        "runs_with_the_same_bits": sum(row["same_bits"] for row in rows),
        "undisturbed_seconds": [u["seconds"] for u in undisturbed],
        "undisturbed_same_bits": all(u["bits"] == bits for u in undisturbed),
        "seconds_per_iteration": iteration,
        "seconds_lost_mean": statistics.mean(lost) if lost else None,
        "seconds_lost_worst": max(lost, default=None),
        "target_seconds": iteration + 5,
        "runs": rows,
    }
    save("faults", QUESTION, result, options)
