"""The command line: parse, call, print. ``main`` is what the ``ptychodask`` command runs."""

from __future__ import annotations

import os
import signal
from typing import Any, NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line, see :func:`ptychodask.cli.app.main`; Ctrl-C is one line from its first moment on."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # where Ctrl-C is ignored, it stays so
        signal.signal(signal.SIGINT, _leave)
    try:
        from .app import main as run  # takes longer than some wait
    finally:
        signal.signal(signal.SIGINT, before)
    run()


def _leave(number: int, frame: Any) -> NoReturn:
    """End the process at once: nothing is done yet that has to be cleared up, and an exception might come to Python's
    import system or a C extension, which print it or make another one of it."""
    os.write(2, b"interrupted\n")
    os._exit(128 + number)
