"""What the live page costs: CPU time of a run's process with nobody looking, and with a page open.

One run on a simulated scan, in threads of this process; a client in another process opens the page for every other
group of iterations. CPU time is compared, not wall time, so that other work on the machine matters little; iterations
in which the page is being opened or closed are left out.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from record import arguments, save

import ptychodask
from ptychodask.events import Iterated, Started

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


class Switching:
    """An observer that opens and closes the page, and notes the CPU seconds of every iteration."""

    def __init__(self, group: int, closes: float) -> None:
        self.group, self.closes, self.url = group, closes, ""
        self.viewer: subprocess.Popen[str] | None = None
        self.seconds: dict[bool, list[float]] = {False: [], True: []}
        self._count, self._clock = 0, 0.0

    def __call__(self, event: object) -> None:
        if isinstance(event, Started):
            self.url = event.page or ""
        if not isinstance(event, Iterated):
            return
        turn, self._count = self._count % self.group, self._count + 1
        now = time.process_time()
        # the first of a group holds the opening, or what is left of a page that was closed
        if turn >= 2 and self._count > self.group:
            self.seconds[self.viewer is not None].append(now - self._clock)
        if turn == self.group - 1:
            self.switch()
        self._clock = time.process_time()

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
    """CPU seconds per iteration, closed and open."""
    side, iterations, group = (16, 9, 3) if tiny else (64, 30, 6)
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
    closed, opened = (statistics.median(watch.seconds[is_open]) for is_open in (False, True))
    return {
        "scan": [side, side],
        "cpu_seconds_of_iterations": {"closed": watch.seconds[False], "open": watch.seconds[True]},
        "median_closed": closed,
        "median_open": opened,
        "share_of_the_run": opened / closed - 1,
    }


if __name__ == "__main__":
    options = arguments(QUESTION, keeps_data=True)
    save("live_page", QUESTION, measure(options.tiny, options.data), options)
