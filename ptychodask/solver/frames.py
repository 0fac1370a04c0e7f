"""Frames: parts of the canvas's maps that tiles lend each other, and how they are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..model.tiles import Rect


@dataclass(frozen=True)
class Frame:
    """Part of an object or of its direction [S, h, w], and the canvas pixel of its first pixel."""

    corner: tuple[int, int]
    object: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes that travel."""
        return self.object.nbytes

    @property
    def rect(self) -> Rect:
        """Its pixels."""
        (y, x), (h, w) = self.corner, self.object.shape[1:]
        return Rect(y, y + h, x, x + w)


def common(a: Rect, b: Rect) -> Rect:
    """Pixels of both, which there must be."""
    both = a.common(b)
    assert both is not None, "tiles exchange only what they have in common"
    return both


def cut(frame: Frame, rect: Rect) -> Frame:
    """A copy of what the frame has of a rectangle."""
    part = common(frame.rect, rect)
    rows, columns = part.inside(frame.corner)
    return Frame(part.corner, frame.object[:, rows, columns].copy())


def together(frames: Sequence[Frame], rect: Rect) -> np.ndarray:
    """The map [S, h, w] on a rectangle that the frames cover, each its part."""
    first = frames[0].object
    out = np.empty((len(first), *rect.shape), first.dtype)
    for frame in frames:
        rows, columns = frame.rect.inside(rect.corner)
        out[:, rows, columns] = frame.object
    return out
