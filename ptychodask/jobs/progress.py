"""Events of a running job, for whoever shows them.

A report is called with an event's name and its values:

``start``
    ``patterns``, ``electrons_per_pattern``, ``slices``, ``modes``, ``iterations``, ``workers``, ``threads``,
    ``dashboard`` (address or None), ``remarks`` (list of text), ``container`` (how counts are cached: ``events`` or a
    dense type) and ``pattern_bytes`` in it.
``iteration``
    One entry of the history.
``restart``
    ``iteration``, ``trouble``, ``damping``: the run diverged and goes on from an earlier state.
``warning``
    ``text``: something is doubtful or went wrong, and the run goes on. Each text comes once in a run. Where nobody
    watches, it is a :class:`ptychodask.PtychodaskWarning`; the result keeps them all.
``waiting``
    ``text``: there are no workers yet.
``finished``
    ``path``: there was nothing to resume, the result stands.
``checkpoint``
    ``iteration``: where an interrupted run can be resumed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._warnings import warn

Report = Callable[[str, dict[str, Any]], None]
"""Called with an event's name and its values."""


class Reporter:
    """Hands the events of a run to its observer, and keeps its warnings.

    Parameters
    ----------
    observer : callable, optional
        Without one, warnings are those of Python, and other events are dropped.
    """

    def __init__(self, observer: Report | None = None) -> None:
        self._observer = observer
        self._said: set[str] = set()
        self.warnings: list[str] = []
        """Those of the run so far, in order."""

    def __call__(self, event: str, values: dict[str, Any]) -> None:
        """Take one event."""
        if event == "warning":
            self._warning(values["text"])
        elif self._observer is not None:
            self._observer(event, values)

    def _warning(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)
        if text in self._said:
            return
        self._said.add(text)
        if self._observer is None:
            warn(text)
        else:
            self._observer("warning", {"text": text})

    def go_on(self, known: list[str]) -> None:
        """Keep warnings in the list of a run, which may hold those from before it was interrupted."""
        known += [text for text in self.warnings if text not in known]
        self.warnings = known
