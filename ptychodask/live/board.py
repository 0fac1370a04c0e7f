"""What a scheduler knows of the runs on it: a few numbers per iteration, messages, and one picture while one is wanted.

Plain data that runs send (:mod:`ptychodask.live.page`) and pages read (:mod:`ptychodask.live.document`). Nobody waits
here, and nothing is computed.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

MOST_RUNS = 4
"""Runs that are remembered."""
MOST_MESSAGES = 200
"""Of a run."""
Message = dict[str, Any]
"""``kind`` and what belongs to it: ``about``, ``row``, ``back``, ``text``, ``picture`` or ``end``."""


def rate(row: dict[str, Any]) -> float:
    """Patterns per second in an iteration."""
    return float(row["patterns"]) / max(float(row["seconds"]), 1e-9)


@dataclass
class Shown:
    """What is known of one run."""

    about: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    """An entry per iteration, in the order of work; see :func:`ptychodask.live.page.row_of`."""
    messages: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=MOST_MESSAGES))
    """Seconds since the epoch, and a line."""
    picture: dict[str, Any] | None = None
    ended: bool = False
    version: int = 0
    """Changes with all that is told."""
    pictures: int = 0
    """Came so far."""

    def take(self, message: Message) -> None:
        """Take what a run says."""
        kind = message["kind"]
        self.version += 1
        if kind == "row":
            self.rows.append(message["row"])
        elif kind == "back":
            self.rows = [r for r in self.rows if r["stage"] != message["stage"] or r["iteration"] < message["to"]]
        elif kind == "text":
            self.messages.append((time.time(), message["text"]))
        elif kind == "picture":
            self.picture, self.pictures = message["picture"], self.pictures + 1
        elif kind == "end":
            self.ended = True
            self.messages.append((time.time(), message["text"]))


class Board:
    """All runs, and which of them the pages show that are open."""

    def __init__(self) -> None:
        self.runs: dict[str, Shown] = {}
        self._pages: dict[Any, str | None] = {}

    def begin(self, run: str, about: dict[str, Any]) -> None:
        """A run begins, or is taken up again."""
        self.runs.pop(run, None)
        self.runs[run] = Shown(about)
        while len(self.runs) > MOST_RUNS:
            del self.runs[next(iter(self.runs))]

    def take(self, run: str, messages: list[Message]) -> bool:
        """Take what a run says; does a page show it?"""
        shown = self.runs.get(run)
        if shown is None:  # other runs came since
            return False
        for message in messages:
            shown.take(message)
        return self.watched(run)

    def say(self, text: str) -> None:
        """A line to all runs that go on."""
        for shown in self.runs.values():
            if not shown.ended:
                shown.take({"kind": "text", "text": text})

    def watched(self, run: str) -> bool:
        """Does an open page show this run?"""
        latest = next(reversed(self.runs), None)
        return any((wanted or latest) == run for wanted in self._pages.values())

    def open(self, page: Any, run: str | None = None) -> None:
        """A page is open, and shows this run, or the latest."""
        self._pages[page] = run

    def close(self, page: Any) -> None:
        """A page was closed."""
        self._pages.pop(page, None)

    @property
    def pages(self) -> int:
        """How many are open."""
        return len(self._pages)

    def shown(self, page: Any) -> tuple[str | None, Shown | None]:
        """The run that a page shows, by name."""
        name = self._pages.get(page) or next(reversed(self.runs), None)
        return name, self.runs.get(name) if name is not None else None
