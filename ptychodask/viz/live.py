"""What people see while it runs: a bar in a terminal or a notebook, plain lines in a pipe or a file."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from .._geometry import geometry_lines
from .._tables import counted
from ..events import Arrived, Checkpointed, Finished, Iterated, Refined, Restarted, Started, Waiting, Warned

console = Console(highlight=False, markup=False)  # a path may hold brackets
LINES = 20
"""Plain lines of a task at most, besides the last."""


class View(Protocol):
    """Shows how far tasks are."""

    def show(self, title: str, done: int, of: int, note: str = "") -> None: ...
    def close(self) -> None: ...


class Bar:
    """A bar that shows with its first task, so that bad input prints its one line and nothing else."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def show(self, title: str, done: int, of: int, note: str = "") -> None:
        """Move the task of this title, or begin it."""
        if title not in self._tasks:
            self._progress.start()
            self._tasks[title] = self._progress.add_task(title, total=of, note=note)
        self._progress.update(self._tasks[title], completed=done, note=note)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._progress.live.is_started:
            self._progress.stop()


class Cell:
    """A bar in the output of a notebook's cell, drawn over in place; it needs no widgets."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._text: dict[str, str] = {}
        self._handle: Any = None
        self._drawn, self._stale = 0.0, False

    def show(self, title: str, done: int, of: int, note: str = "") -> None:
        """Move the task of this title, or begin it; the screen follows ten times a second at most."""
        now = time.monotonic()
        seconds = now - self._began.setdefault(title, now)
        left = f", {seconds / done * (of - done):.0f} s left" if 0 < done < of else ""
        self._text[title] = f"{title} {_filled(done, of)} {done}/{of}  {note.strip()}  {seconds:.0f} s{left}"
        self._stale = True
        if now - self._drawn > 0.1:
            self._draw()

    def _draw(self) -> None:
        from IPython.display import display

        text = "\n".join(self._text.values())
        page = {"text/html": f"<pre style='line-height:1.2;margin:0'>{escape(text)}</pre>", "text/plain": text}
        if self._handle is None:
            self._handle = display(page, raw=True, display_id=True)
        else:
            self._handle.update(page, raw=True)
        self._drawn, self._stale = time.monotonic(), False

    def close(self) -> None:
        """Leave the bar as it is, with the last step."""
        if self._stale:
            self._draw()


def _filled(done: int, of: int, width: int = 30) -> str:
    full = min(width, width * done // max(of, 1))
    return "█" * full + "░" * (width - full)


@dataclass
class Lines:
    """A line for every twentieth of a task, and for its last step; each is written at once."""

    _began: dict[str, float] = field(default_factory=dict)
    _shown: dict[str, int] = field(default_factory=dict)
    _pending: str = ""

    def show(self, title: str, done: int, of: int, note: str = "") -> None:
        """Print the step, or keep it in case that it is the last."""
        now = time.monotonic()
        seconds = now - self._began.setdefault(title, now)
        line = "  ".join(filter(None, (f"{title} {done}/{of}", note.strip(), f"{seconds:.0f} s")))
        if done < of and done < self._shown.get(title, 0) + max(1, math.ceil(of / LINES)):
            self._pending = line if done else ""
            return
        self._shown[title], self._pending = done, ""
        console.print(line, soft_wrap=True)

    def close(self) -> None:
        """Print the last step."""
        if self._pending:
            console.print(self._pending, soft_wrap=True)


def _moves() -> bool:
    """Can what is shown be drawn over?"""
    return console.is_terminal and not console.is_dumb_terminal


@contextmanager
def _view() -> Iterator[View]:
    view: View = Cell() if console.is_jupyter else Bar() if _moves() else Lines()
    try:
        yield view
    finally:
        view.close()


@contextmanager
def steps(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """For :func:`ptychodask.simulate`: gives a callable (label, done, of)."""
    with _view() as view:
        yield lambda label, done, of: view.show(f"{title}: {label}", done, of)


class Reconstruction:
    """Shows the events of :mod:`ptychodask.events` that it has a method for."""

    def __init__(self, view: View, warn: Callable[[str], None]) -> None:
        self._view, self._warn = view, warn
        self._iterations = 0
        self._done = 0
        self._page: str | None = None

    def started(self, event: Started) -> None:
        self._iterations = event.iterations
        console.print(
            f"{event.patterns} patterns of {event.electrons_per_pattern:.4g} electrons,"
            f" {counted(event.slices, 'slice')}, {counted(event.modes, 'probe mode')};"
            f" {counted(event.workers, 'worker')}, {counted(event.threads, 'thread')};"
            f" counts cached as {event.container}, {event.pattern_bytes:.0f} bytes per pattern",
            soft_wrap=True,
        )
        if event.page or event.dashboard:
            console.print(f"live page: {event.page}" if event.page else f"dashboard: {event.dashboard}", soft_wrap=True)
        for remark in event.remarks:
            console.print(f"note: {remark}", soft_wrap=True)
        self._view.show("reconstruct", 0, self._iterations)

    def iterated(self, event: Iterated) -> None:
        if event.stage == "geometry":
            self._view.show("geometry", event.iteration, int((event.more or {})["of"]), f"loss {event.loss:.4f}")
            return
        if (event.stage == "fit" and event.iteration == 0) or not self._iterations:
            return  # the start, or a round of a scan that still grows: arrived() tells of it
        self._done = event.iteration if event.stage == "fit" else self._done + 1
        held = "" if math.isnan(event.validation) else f"  validation {event.validation:.4f}"
        finish = "  all electrons" if event.stage == "finish" else ""
        self._view.show("reconstruct", self._done, self._iterations, f"loss {event.loss:.4f}{held}{finish}")

    def arrived(self, event: Arrived) -> None:
        if event.page != self._page:
            self._page = event.page
            console.print(f"live page: {event.page}", soft_wrap=True)
        shown = f"  {event.picture}" if event.picture else ""
        console.print(
            f"{event.rows} of {event.of} rows, {event.seconds_behind:.1f} s behind: iteration {event.iteration}, loss"
            f" {event.loss:.4f}{shown}",
            soft_wrap=True,
        )

    def refined(self, event: Refined) -> None:
        for line in geometry_lines(event.values):
            console.print(f"geometry: {line}" if event.settled else f"geometry at the start: {line}", soft_wrap=True)

    def restarted(self, event: Restarted) -> None:
        console.print(
            f"diverged ({event.trouble}): back to iteration {event.iteration}, steps x {event.damping:g}, no momentum",
            soft_wrap=True,
        )

    def warned(self, event: Warned) -> None:
        self._warn(event.text)

    def waiting(self, event: Waiting) -> None:
        console.print(event.text, soft_wrap=True)

    def finished(self, event: Finished) -> None:
        console.print(f"{event.path} is finished: there is nothing to resume", soft_wrap=True)

    def checkpointed(self, event: Checkpointed) -> None:
        console.print(f"interrupted; checkpoint at iteration {event.iteration}")


@contextmanager
def reconstruction(warn: Callable[[str], None]) -> Iterator[Reconstruction]:
    """For :func:`ptychodask.reconstruct`: gives the observer of its events; ``warn`` takes the warnings."""
    with _view() as view:
        yield Reconstruction(view, warn)
