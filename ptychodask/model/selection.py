"""What is selected of a stored dataset: rows and columns of its scan, and a mask and positions of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np


def runs(
    numbers: Sequence[int] | np.ndarray, side: int, first: int = 0, end: int | None = None
) -> list[tuple[int, int]]:
    """Runs (first, end) of places in ``numbers`` whose numbers lie in the same piece of ``side``.

    Examples
    --------
    >>> runs(range(5), 2), runs((1, 3, 5), 4)
    ([(0, 2), (2, 4), (4, 5)], [(0, 2), (2, 3)])
    """
    end = len(numbers) if end is None else end
    cuts = [i for i in range(first + 1, end) if numbers[i] // side != numbers[i - 1] // side]
    return list(zip([first, *cuts], [*cuts, end], strict=True)) if end > first else []


def spacing(numbers: Sequence[int]) -> float:
    """Mean distance of neighbours, 1 for a single number."""
    return abs(numbers[-1] - numbers[0]) / (len(numbers) - 1) if len(numbers) > 1 else 1.0


@dataclass(frozen=True)
class Selection:
    """A part of a stored dataset, in the order in which it is used.

    Whoever uses a selection counts rows, columns and patterns within it, random streams included: it gives the same
    bits as a dataset that holds nothing else.

    Parameters
    ----------
    rows, columns : tuple of int
        Numbers of the scan's rows and columns in the store, all rising or all falling.
    mask, positions : str
        Files (``.npy``) of a mask (ky, kx), zero angle in the centre, and of positions (row, column, 2) in angstrom
        that stand for those in the store; empty where the store's are used.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    mask: str = ""
    positions: str = ""

    @classmethod
    def load(cls, values: dict[str, Any] | None) -> Selection | None:
        """From what JSON made of it."""
        if values is None:
            return None
        return cls(**{**values, "rows": tuple(values["rows"]), "columns": tuple(values["columns"])})

    @property
    def scan_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.rows), len(self.columns)

    @property
    def strides(self) -> tuple[float, float]:
        """Mean distance of rows and of columns in the store."""
        return spacing(self.rows), spacing(self.columns)

    def cuts(self, rows: int) -> frozenset[int]:
        """Rows of the selection at which runs of ``rows`` rows of the store begin."""
        return frozenset(first for first, _ in runs(self.rows, rows))

    def stored_sides(self, sides: tuple[int, int]) -> tuple[int, int]:
        """Sides of a block of the stored scan, of which as many positions are selected as ``sides`` hold, about."""
        return sides[0] * round(self.strides[0]), sides[1] * round(self.strides[1])

    def in_folder(self, folder: Path) -> Selection:
        """The same with its files in a folder."""
        mask, positions = (str(folder / Path(file).name) if file else "" for file in (self.mask, self.positions))
        return replace(self, mask=mask, positions=positions)

    def in_store(self, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """The least box (y0, y1, x0, x1) of the stored scan that holds one of the selection."""
        rows, columns = self.rows[box[0] : box[1]], self.columns[box[2] : box[3]]
        return min(rows), max(rows) + 1, min(columns), max(columns) + 1

    def places(self, boxes: Iterable[tuple[int, int, int, int]]) -> tuple[tuple[int, int, int, int], ...]:
        """Where boxes of the stored scan are in the selection; those of which nothing is selected are not there."""
        found = (_within(self.rows, y0, y1) + _within(self.columns, x0, x1) for y0, y1, x0, x1 in boxes)
        return tuple((y0, y1, x0, x1) for y0, y1, x0, x1 in found if y0 < y1 and x0 < x1)

    def stored(self, positions: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Numbers in the store of positions (y, x) of the selection."""
        return [(self.rows[y], self.columns[x]) for y, x in positions]

    def described(self) -> dict[str, Any]:
        """Rows and columns as [start, stop, step] where they are regular, else one by one."""
        return {"rows": _span(self.rows), "columns": _span(self.columns)}


def _within(numbers: tuple[int, ...], low: int, end: int) -> tuple[int, int]:
    """First place and end of the numbers from ``low`` to ``end``; they rise or fall, so they follow each other."""
    places = [i for i, number in enumerate(numbers) if low <= number < end]
    return (places[0], places[-1] + 1) if places else (0, 0)


def _span(numbers: tuple[int, ...]) -> Any:
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    span = range(numbers[0], numbers[-1] + (1 if step > 0 else -1), step)
    return {"start": span.start, "stop": span.stop, "step": span.step} if tuple(span) == numbers else list(numbers)
