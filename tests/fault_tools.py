"""A Dask cluster of processes that can be killed, and a run in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tiny_scan import BLUR

JOB = {
    **BLUR,
    "solver": {"iterations": 12, "finish": 2, "patience": 20},
    "engine": {"checkpoint_every": 3},
}


class Cluster:
    """``dask scheduler`` and ``dask worker`` as a batch system starts them."""

    def __init__(self, folder: Path, options: tuple[str, ...] = ()) -> None:
        self.file, self.options = folder / "scheduler.json", options
        self.workers: list[subprocess.Popen] = []
        self.scheduler = self._start("dask_scheduler", "--port", "0", "--dashboard-address", "127.0.0.1:0")
        deadline = time.monotonic() + 60
        while not self.file.exists() or not self.file.read_text():
            assert time.monotonic() < deadline and self.scheduler.poll() is None, "the scheduler does not start"
            time.sleep(0.05)

    def _start(self, tool: str, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.{tool}", "--scheduler-file", str(self.file)]
        command += ["--host", "127.0.0.1", *self.options, *arguments]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @property
    def address(self) -> str:
        import json

        return json.loads(self.file.read_text())["address"]

    def wait_for_workers(self) -> None:
        """Until all that were added have joined."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(len(self.workers), timeout=60)

    def add_worker(self) -> None:
        self.workers.append(self._start("dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard"))

    def kill_workers(self) -> None:
        while self.workers:
            _kill(self.workers.pop())

    def kill_scheduler(self) -> None:
        _kill(self.scheduler)


def _kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


@contextmanager
def dask_processes(folder: Path, workers: int, options: tuple[str, ...] = ()) -> Iterator[Cluster]:
    """A scheduler with so many workers, on 127.0.0.1."""
    cluster = Cluster(folder, options)
    try:
        for _ in range(workers):
            cluster.add_worker()
        yield cluster
    finally:
        cluster.kill_workers()
        cluster.kill_scheduler()


@contextmanager
def command_line(*arguments: object) -> Iterator[subprocess.Popen]:
    """``ptychodask ...`` in a process group of its own."""
    command = [sys.executable, "-u", "-m", "ptychodask", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "400"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(path: Path, process: subprocess.Popen, pattern: str, seconds: float = 120) -> None:
    """Until a file that fits the pattern is in the folder."""
    deadline = time.monotonic() + seconds
    while not list(path.glob(pattern)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"no {pattern} in {path}"
        time.sleep(0.01)
