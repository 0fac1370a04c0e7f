"""Positions that are left out, because their counts cannot be read or because they are not wanted: how that is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..io.source import where
from ..model.blocks import Box
from ..model.selection import Selection

NAMED = 5
"""Positions that a warning lists."""


def left_out(damaged: Sequence[Box]) -> int:
    """Number of patterns in the boxes, which do not overlap."""
    return sum((y1 - y0) * (x1 - x0) for y0, y1, x0, x1 in damaged)


def damage_warning(path: str, patterns: int, damaged: Sequence[Box], selection: Selection | None = None) -> str:
    """One line for the user, with the boxes' places in the store."""
    stored = damaged if selection is None else [selection.in_store(box) for box in damaged]
    return (
        f"{path} is damaged: {left_out(damaged)} of {patterns} patterns are left out, those of scan"
        f" {'; '.join(where(box) for box in stored)}"
    )


def misfired_warning(path: str, patterns: int, positions: Sequence[tuple[int, int]]) -> str:
    """One line for the user."""
    more = ", ..." if len(positions) > NAMED else ""
    return (
        f"{path}: {len(positions)} of {patterns} patterns misfired and are left out, those at (scan_y, scan_x)"
        f" {', '.join(map(str, positions[:NAMED]))}{more}"
    )


def positions_in(boxes: Sequence[Box]) -> list[tuple[int, int]]:
    """Scan positions (y, x) in the boxes, rising."""
    return sorted({(y, x) for y0, y1, x0, x1 in boxes for y in range(y0, y1) for x in range(x0, x1)})


def left_out_attributes(damaged: Sequence[Box], excluded: Sequence[Box]) -> dict[str, Any]:
    """What a result says of it: the number of patterns; damaged boxes (y0, y1, x0, x1), ends excluded, and positions
    (y, x) that the job excluded, as JSON."""
    return {
        "patterns_left_out": len(positions_in([*damaged, *excluded])),
        "boxes_left_out": json.dumps([list(box) for box in damaged]),
        "positions_left_out": json.dumps(positions_in(excluded)),
    }
