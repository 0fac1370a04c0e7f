"""Chunks of counts that cannot be read and whose positions are left out: how that is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..io.source import where
from ..model.blocks import Box
from ..model.selection import Selection


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


def damage_attributes(damaged: Sequence[Box]) -> dict[str, Any]:
    """What a result says of it: the number of patterns, and the boxes (y0, y1, x0, x1), ends excluded, in the
    scan of the result, as JSON."""
    return {"patterns_left_out": left_out(damaged), "boxes_left_out": json.dumps([list(box) for box in damaged])}
