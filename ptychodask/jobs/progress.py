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
    ``text``: something went wrong and the run goes on.
``checkpoint``
    ``iteration``: where an interrupted run can be resumed.
"""

from __future__ import annotations

from typing import Any


def silent(event: str, values: dict[str, Any]) -> None:
    """Report nothing."""
