"""What people see while it runs: progress bars, remarks, the summary line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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

console = Console(highlight=False, markup=False)  # a path may hold brackets


@contextmanager
def _bar() -> Iterator[Progress]:
    """A bar that shows with its first task, so that bad input prints its one line and nothing else."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )
    try:
        yield bar
    finally:
        if bar.live.is_started:
            bar.stop()


@contextmanager
def steps(title: str) -> Iterator[Any]:
    """A bar for :func:`simulate`: gives a callable (label, done, of)."""
    with _bar() as bar:
        tasks: dict[str, TaskID] = {}

        def update(label: str, done: int, of: int) -> None:
            if label not in tasks:
                bar.start()
                tasks[label] = bar.add_task(f"{title}: {label}", total=of, note="")
            bar.update(tasks[label], completed=done)

        yield update


class Reconstruction:
    """Shows the events of :mod:`ptychodask.jobs.progress`."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID | None = None
        self._iterations = 0
        self._done = 0

    def __call__(self, event: str, values: dict[str, Any]) -> None:
        """Take one event."""
        getattr(self, f"_{event}")(values)

    def _start(self, v: dict[str, Any]) -> None:
        self._iterations = v["iterations"]
        console.print(
            f"{v['patterns']} patterns of {v['electrons_per_pattern']:.4g} electrons, {v['slices']} slice(s),"
            f" {v['modes']} probe mode(s); {v['workers']} worker(s), {v['threads']} thread(s); counts cached as"
            f" {v['container']}, {v['pattern_bytes']:.0f} bytes per pattern",
            soft_wrap=True,
        )
        if v["dashboard"]:
            console.print(f"dashboard: {v['dashboard']}", soft_wrap=True)
        for remark in v["remarks"]:
            console.print(f"note: {remark}", soft_wrap=True)
        self._bar.start()
        self._task = self._bar.add_task("reconstruct", total=self._iterations, note="")

    def _iteration(self, v: dict[str, Any]) -> None:
        if self._task is None or (v["stage"] == "fit" and v["iteration"] == 0):
            return
        self._done = v["iteration"] if v["stage"] == "fit" else self._done + 1
        held = "" if math.isnan(v["validation"]) else f"  validation {v['validation']:.4f}"
        finish = "  all electrons" if v["stage"] == "finish" else ""
        self._bar.update(self._task, completed=self._done, note=f"loss {v['loss']:.4f}{held}{finish}")

    def _restart(self, v: dict[str, Any]) -> None:
        console.print(
            f"diverged ({v['trouble']}): back to iteration {v['iteration']}, steps x {v['damping']:g}, no momentum",
            soft_wrap=True,
        )

    def _warning(self, v: dict[str, Any]) -> None:
        console.print(f"warning: {v['text']}", soft_wrap=True)

    def _checkpoint(self, v: dict[str, Any]) -> None:
        console.print(f"interrupted; checkpoint at iteration {v['iteration']}")


@contextmanager
def reconstruction() -> Iterator[Reconstruction]:
    """A bar for :func:`reconstruct`: gives the callable for its events."""
    with _bar() as bar:
        yield Reconstruction(bar)


def summary(result: Any, figures: dict[str, Any], seconds: float) -> str:
    """One line with the figures that matter."""
    parts = [f"iteration {result.iteration} of {len(result.history)}", f"loss {figures['loss']:.4f}"]
    if figures.get("validation") is not None:
        parts.append(f"validation {figures['validation']:.4f}")
    if "fit" in figures:
        parts.append(figures["fit"])
    limit = figures.get("information_limit_angstrom") or figures.get("peak_limit_angstrom")
    if limit:
        parts.append(f"information to {limit:.2f} Å")
    if figures.get("correlation_2.5A") is not None:
        parts.append(f"correlation with the truth {figures['correlation_2.5A']:.3f} at 2.5 Å")
    if figures.get("frc_resolution_angstrom") is not None:
        parts.append(f"FRC {figures['frc_resolution_angstrom']:.2f} Å")
    if "not_compared" in figures:
        parts.append("not compared with the truth: the scan is too small")
    parts.append(f"{seconds:.0f} s")
    return ", ".join(parts)
