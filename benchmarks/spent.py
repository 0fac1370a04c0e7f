"""What a worker spends, and what passes through client and scheduler: for benchmarks of whole runs."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from distributed.comm import tcp


def watch() -> None:
    """On a worker: keep the seconds of every call of the kernels (wall, CPU) and of reading and packing (CPU)."""
    from ptychodask.solver.lsqml import LsqMl

    LsqMl.spent = {"kernels_wall": [], "kernels": [], "reading": []}

    def timed(name: str) -> None:
        plain = getattr(LsqMl, name)

        def call(*arguments: Any) -> Any:
            wall, cpu = time.perf_counter(), time.thread_time()
            value = plain(*arguments)
            spent = time.thread_time() - cpu
            if name == "prepare":  # its counts come from a generator that reads them
                LsqMl.spent["reading"].append(spent)
            else:
                LsqMl.spent["kernels"].append(spent)
                LsqMl.spent["kernels_wall"].append(time.perf_counter() - wall)
            return value

        setattr(LsqMl, name, call)

    timed("partial")
    timed("prepare")


def seconds_spent() -> list[float]:
    """Of this process so far: CPU in all, in kernels, in reading, and the threads' wall time in kernels."""
    from ptychodask.solver.lsqml import LsqMl

    return [time.process_time(), *(math.fsum(LsqMl.spent[name]) for name in ("kernels", "reading", "kernels_wall"))]


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
