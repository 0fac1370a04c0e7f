"""Signals that end a process, and none of which is lost: a run leaves its checkpoint after each."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

ENDS = {signal.SIGTERM: "terminated"}
"""Beside Ctrl-C: what a batch system sends, and what a terminal does that is closed."""
if hasattr(signal, "SIGHUP"):  # Windows has none
    ENDS[signal.SIGHUP] = "the terminal was closed"


@contextmanager
def interrupting() -> Iterator[list[signal.Signals]]:
    """Every signal of ``ENDS`` raises KeyboardInterrupt, as Ctrl-C does; gives the list of those that came, Ctrl-C too.

    What is raised while an object is thrown away, or while the garbage is collected, Python prints and forgets: there
    the signal is sent once more.
    """
    received: list[signal.Signals] = []

    def interrupt(number: int, frame: Any) -> NoReturn:
        received.append(signal.Signals(number))
        if number in ENDS:  # batch systems repeat it, and the checkpoint takes a moment
            _ignore(*ENDS)
        raise KeyboardInterrupt

    def forgotten(event: Any) -> None:
        if not issubclass(event.exc_type, KeyboardInterrupt):
            before(event)
            return
        number = received.pop() if received else signal.SIGINT
        if number in ENDS:
            signal.signal(number, interrupt)
        _thread.start_new_thread(_send, (number,))  # threading's locks may be held by what is interrupted

    before, sys.unraisablehook = sys.unraisablehook, forgotten
    for each in ENDS:
        if each == signal.SIGTERM or signal.getsignal(each) is not signal.SIG_IGN:  # nohup has SIGHUP ignored
            signal.signal(each, interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # where Ctrl-C is ignored, it stays so
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield received
    finally:
        sys.unraisablehook = before
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def ignore() -> None:
    """Whatever comes now comes too late: what is done is done, and an exception would only hide what was said of it."""
    _ignore(signal.SIGINT, *ENDS)


def _ignore(*numbers: int) -> None:
    for each in numbers:
        signal.signal(each, signal.SIG_IGN)


def _send(number: int) -> None:
    time.sleep(0.02)  # until what forgot it is over
    os.kill(os.getpid(), number)
