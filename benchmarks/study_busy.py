"""Does a study keep its cores busy, and what does it do again after it was killed?

``busy``: 24 conditions of 4 simulations (ZIF-8, 34 A, 48 x 48 positions, 128 pixels; 4 semi-angles, 2 doses, 3 seeds),
by threads of one process and by one worker process for each core: CPU seconds of the process and its workers over wall
time times cores, of the whole call and of its three stretches: before the first condition may begin (checks, starting
workers), conditions, and the store that is written from them. ``others`` is the share that other processes of the
machine took of its cores meanwhile, and ``load_before`` its load average: such time is not ours to keep busy.

``kills``: a small study of 24 conditions in a process of its own that is killed (SIGKILL) at a random moment after its
first new record, and started again, several times over. ``in_flight`` are the conditions that had begun and left
nothing, so they are done again; ``kept_untouched`` says that no record which was there at the kill was written again.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from record import arguments, save

import ptychodask
from ptychodask.distributed.machine import cores
from ptychodask.io.study import SCRATCH, Parts

QUESTION = "a study of 24 conditions: share of the cores' time that is computing, and what a kill costs"
STUDY: dict[str, Any] = {
    "simulate": {"material": "zif-8", "thickness_angstrom": 34, "scan_shape": [48, 48]},
    "axes": {"semi_angle": [5.0, 10.0, 15.0, 21.0], "dose": [1000.0, 100.0], "seed": [0, 1, 2]},
}
SMALL: dict[str, Any] = {
    "simulate": {
        "material": "zif-8", "thickness_angstrom": 17, "scan_shape": [12, 12], "scan_step_angstrom": 1.5,
        "detector_pixels": 48, "angular_step_mrad": 0.8, "defocus_angstrom": 150, "slice_thickness_angstrom": 8,
    },
    "reconstruct": {"solver": {"iterations": 8, "finish": 1}},
    "axes": {"semi_angle": [8.0, 12.0], "dose": [3000.0, 1000.0], "seed": [0, 1, 2, 3, 4, 5]},
}  # fmt: skip
ALONE = """
import json, sys, ptychodask
ptychodask.study(json.loads(sys.argv[1]), sys.argv[2], progress=False)
"""
KILLS, SEED, LATEST = 6, 15, 2.0
"""How often, drawn from which seed, and at most how many seconds after the first new record. Six kills leave enough of
24 conditions for the last."""


def cpu_seconds() -> float:
    """Of this process and of its children, whether they live or not."""
    me = psutil.Process()
    spent = sum(me.cpu_times()[:4])
    for child in me.children(recursive=True):
        with suppress(psutil.Error):
            spent += sum(child.cpu_times()[:2])
    return spent


def now() -> tuple[float, float, float]:
    """Seconds: of the clock, of CPU that are ours, and that all cores of the machine have worked for whomever."""
    everyone = psutil.cpu_times()
    return time.perf_counter(), cpu_seconds(), float(everyone.user + everyone.system)


def busy(document: dict[str, Any], folder: Path, workers: int | None) -> dict[str, Any]:
    """One study, and how busy it kept the cores."""
    load = os.getloadavg()[0]
    moments = [now()]
    found = ptychodask.study(
        document, folder / f"study-{workers}.zarr", workers=workers, yes=True,
        progress=lambda label, done, of: moments.append(now()),
    )  # fmt: skip
    moments.append(now())
    stretches = {"before": (0, 1), "conditions": (1, -2), "store": (-2, -1), "whole": (0, -1)}
    shares = {}
    for name, (first, last) in stretches.items():
        wall, cpu, everyone = (b - a for a, b in zip(moments[first], moments[last], strict=True))
        others = max(0.0, everyone - cpu) / (wall * (psutil.cpu_count() or 1))
        shares[name] = {"seconds": wall, "cpu_seconds": cpu, "busy": cpu / (wall * cores()), "others": others}
    return {
        "worker_processes": workers,
        "conditions": int(found.status.size),
        "done": int((found.status == 0).sum()),
        "cores": cores(),
        "load_before": load,
        **shares,
    }


def records(parts: Parts) -> dict[str, int]:
    """When each was written, by name."""
    return {path.name: path.stat().st_mtime_ns for path in (parts.path / "records").glob("*.zarr")}


def kills(document: dict[str, Any], target: Path, count: int, latest: float) -> list[dict[str, Any]]:
    """Killed so often, each at most ``latest`` seconds after its first new record; then left alone to its end."""
    rng, parts, rows = random.Random(SEED), Parts.of(target), []
    command = [sys.executable, "-W", "ignore", "-c", ALONE, json.dumps(document), str(target)]
    for _ in range(count):
        before = records(parts)
        process = subprocess.Popen(command)
        while process.poll() is None and len(records(parts)) == len(before):
            time.sleep(0.01)
        after = rng.uniform(0.0, latest)
        time.sleep(after)
        if process.poll() is not None:
            raise RuntimeError(f"the study ended before its kill (exit code {process.returncode})")
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept, flying = records(parts), len(list(parts.path.glob(f"{SCRATCH}*")))
        rows.append({"killed_after_s": after, "records_before": len(before), "records_kept": len(kept),
                     "in_flight": flying, "kept_untouched": {n: kept.get(n) for n in before} == before})  # fmt: skip
        print(rows[-1], flush=True)
    kept = records(parts)
    subprocess.run(command, check=True)
    now = records(parts)
    rows.append({"killed_after_s": None, "records_before": len(kept), "records_kept": len(now), "in_flight": 0,
                 "kept_untouched": {n: now.get(n) for n in kept} == kept})  # fmt: skip
    return rows


if __name__ == "__main__":
    options = arguments(QUESTION)
    few = {**SMALL, "axes": {**SMALL["axes"], "seed": [0]}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.tiny:
            shares = [busy(few, folder, None)]
            killed = kills(few, folder / "killed.zarr", 1, 0.0)
        else:
            ptychodask.study(few, folder / "first.zarr", progress=False)  # compiles the kernels, whoever runs them
            shares = [busy(STUDY, folder, workers) for workers in (None, cores())]
            killed = kills(SMALL, folder / "killed.zarr", KILLS, LATEST)
    save("study_busy", QUESTION, {"busy": shares, "kills": killed}, options)
