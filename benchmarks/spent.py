"""Memory of a process, and what passes through client and scheduler: what the events of a run do not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distributed.comm import tcp


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
