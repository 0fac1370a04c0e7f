"""What people see while it runs: progress bars, remarks, the summary line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from .._geometry import geometry_lines
from .._tables import Row, counted
from ..viz import live
from ..viz.live import console, steps

__all__ = ["Interrupted", "columns", "console", "reconstruction", "remarks", "rows", "steps", "summary", "warning"]


class Interrupted(Exception):
    """A verb was interrupted; the text says how to go on. No KeyboardInterrupt, whose text typer does not hand on."""


def warning(text: str) -> None:
    """One line."""
    from rich.text import Text

    console.print(Text.assemble(("warning: ", "yellow"), text), soft_wrap=True)


def reconstruction() -> AbstractContextManager[live.Reconstruction]:
    """Shows a run: gives the observer of its events."""
    return live.reconstruction(warning)


def rows(title: object, found: Iterable[Row]) -> None:
    """Print a table: what is fulfilled in green, what is not in red."""
    from rich.table import Table
    from rich.text import Text

    words = {True: ("ok  ", "green"), False: ("no  ", "red"), None: ("", "")}
    table = Table(title=str(title), title_justify="left", box=None, show_header=False)
    for label, value, remark, fulfilled in found:
        table.add_row(label, value, Text.assemble(words[fulfilled], remark))
    console.print(table)


def columns(found: Sequence[tuple[str, Sequence[str]]], most: int, breaks: str = " ", best: bool = False) -> None:
    """Print a table of columns, each a title and texts, of its first rows; the first one bold where it is the best.

    Titles are broken at ``breaks``; a wide table is not cut at the width of the terminal.
    """
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0))
    for title, _ in found:
        for mark in breaks:
            title = title.replace(mark, mark.rstrip() + "\n")
        table.add_column(title, justify="right", no_wrap=True)
    for i in range(min(most, len(found[0][1]))):
        table.add_row(*(texts[i] for _, texts in found), style="bold" if best and i == 0 else None)
    console.print(table, crop=False, width=1000)


def summary(result: Any, figures: dict[str, Any]) -> str:
    """One line with the figures that matter, the same wherever a result is named."""
    parts = [f"iteration {result.iteration} of {len(result.history)}"]
    parts += [f"{name} {figures[name]:.4f}" for name in ("loss", "validation") if figures[name] is not None]
    if "fit" in figures:
        parts.append(figures["fit"])
    if figures["resolution_angstrom"] is not None:
        parts.append(f"resolution {figures['resolution_angstrom']:.2f} Å ({figures['resolution_by']})")
    if figures.get("correlation_2.5A") is not None:
        parts.append(f"correlation with the truth {figures['correlation_2.5A']:.3f} at 2.5 Å")
    if result.geometry:
        parts.append(f"geometry {'; '.join(geometry_lines(result.geometry))}")
    if result.warnings:
        parts.append(counted(len(result.warnings), "warning"))
    seconds = sum(entry.seconds for entry in result.history)
    return ", ".join([*parts, f"iterations took {seconds:.0f} s"])


def remarks(figures: dict[str, Any]) -> None:
    """Say which figures were left out, and why."""
    for name, text in figures["remarks"].items():
        console.print(f"note: no {name.replace('_', ' ')}: {text}", soft_wrap=True)
