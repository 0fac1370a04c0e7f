"""What the live page costs: CPU time of all threads that do not compute, with nobody looking, and with a page open.

One run on a simulated scan, in threads of this process; a client in another process opens the page for every other
group of iterations. What the other threads take (scheduler with the page, client, the page's own) is held against what
the computing threads take in the same iterations: both are CPU time, and other work on the machine slows both. Pictures
are made by computing threads, in at most ``ptychodask.live.page.SHARE`` of their time, which is added. Iterations in
which the page is being opened or closed are left out. Linux only, where a thread's CPU time can be read.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from record import arguments, save

import ptychodask
from ptychodask.events import Iterated, Started
from ptychodask.live.page import SHARE

QUESTION = "What share of a run's CPU time does an open live page take?"
CLOSES_SECONDS = 20.0
"""After which a page that was closed is forgotten; Bokeh takes 15."""
CLIENT = """
import sys
from bokeh.client import pull_session
session = pull_session(url=sys.argv[1])
print("open", flush=True)
session._loop_until_closed()
"""


def spent() -> tuple[float, float]:
    """CPU seconds so far of the threads that compute, and of all others."""
    computing = {str(t.native_id) for t in threading.enumerate() if "Dask-Default-Threads" in t.name}
    seconds = [0.0, 0.0]
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        seconds[task.name not in computing] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds[0], seconds[1]


class Switching:
    """An observer that opens and closes the page, and notes the CPU seconds of every iteration."""

    def __init__(self, group: int, closes: float) -> None:
        self.group, self.closes, self.url = group, closes, ""
        self.viewer: subprocess.Popen[str] | None = None
        self.seconds: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
        self._count, self._clock = 0, (0.0, 0.0)

    def __call__(self, event: object) -> None:
        if isinstance(event, Started):
            self.url = event.page or ""
        if not isinstance(event, Iterated):
            return
        turn, self._count = self._count % self.group, self._count + 1
        now = spent()
        # the first of a group holds the opening, or what is left of a page that was closed
        if turn >= 2 and self._count > self.group:
            self.seconds[self.viewer is not None].append((now[0] - self._clock[0], now[1] - self._clock[1]))
        if turn == self.group - 1:
            self.switch()
        self._clock = spent()

    def switch(self) -> None:
        """Open the page, or close it."""
        if self.viewer is None:
            command = [sys.executable, "-c", CLIENT, self.url]
            self.viewer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert self.viewer.stdout is not None and self.viewer.stdout.readline() == "open\n"
            return
        self.viewer.kill()
        self.viewer.wait()
        self.viewer = None
        time.sleep(self.closes)


def measure(tiny: bool, kept: Path | None) -> dict[str, Any]:
    """CPU seconds, closed and open."""
    side, iterations, group = (16, 9, 3) if tiny else (64, 60, 10)
    with tempfile.TemporaryDirectory() as folder:
        data = (kept or Path(folder)) / "nu-1000.zarr"  # that of the demo
        if not data.exists():
            ptychodask.simulate(
                data, "nu-1000", thickness_angstrom=50, scan_shape=(side, side),
                slice_thickness_angstrom=4.0 if tiny else 2.0, detector_pixels=64 if tiny else 128,
            )  # fmt: skip
        watch = Switching(group, 0.0 if tiny else CLOSES_SECONDS)
        rules = {"regularisation": "blur", "slices": 2}
        job = {"solver": {"iterations": iterations, "finish": 1, "patience": 99}, "object": rules}
        try:
            ptychodask.reconstruct(data, job, progress=watch)
        finally:
            if watch.viewer is not None:
                watch.viewer.kill()
    totals = {
        is_open: [sum(column) for column in zip(*watch.seconds[is_open], strict=True)] for is_open in (False, True)
    }
    of_others = {is_open: others / max(computing, 1e-9) for is_open, (computing, others) in totals.items()}
    names = {False: "closed", True: "open"}
    return {
        "scan": [side, side],
        "iterations": {names[k]: len(v) for k, v in watch.seconds.items()},
        "cpu_seconds_computing": {names[k]: v[0] for k, v in totals.items()},
        "cpu_seconds_of_other_threads": {names[k]: v[1] for k, v in totals.items()},
        "pictures_at_most": SHARE,
        "share_of_the_run": of_others[True] - of_others[False] + SHARE,
    }


if __name__ == "__main__":
    options = arguments(QUESTION, keeps_data=True)
    save("live_page", QUESTION, measure(options.tiny, options.data), options)
