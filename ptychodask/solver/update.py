"""The partial update of a block: a commutative monoid of sums, numerators and denominators, never ratios.

Any grouping of blocks gives the same update up to rounding; a fixed grouping gives the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import reduce
from operator import add
from typing import Any, Protocol

import numpy as np


class Term(Protocol):
    """What adds up over patterns."""

    @property
    def nbytes(self) -> int:
        """Bytes of its maps, which travel and take memory."""
        ...

    @classmethod
    def merged(cls, parts: list[Any]) -> Any:
        """Sum of such terms in the order of the list."""
        ...


@dataclass(frozen=True)
class Sums:
    """Scalar sums over patterns, float64."""

    patterns: float = 0.0
    electrons: float = 0.0
    """Training electrons in the pixels that the mask uses."""
    intensity: float = 0.0
    """Predicted intensity in the same pixels."""
    loss: float = 0.0
    held_loss: float = 0.0
    background_numerator: float = 0.0
    background_denominator: float = 0.0
    line_numerator: float = 0.0
    line_denominator: float = 0.0
    tested: float = 0.0
    """Patterns whose loss is compared with its expectation."""
    tested_loss: float = 0.0
    expected_loss: float = 0.0
    """Theirs, if the counts were Poisson noise around the model."""
    expected_variance: float = 0.0

    @property
    def nbytes(self) -> int:
        """They are no maps."""
        return 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @classmethod
    def merged(cls, parts: list[Sums]) -> Sums:
        """Sum in the order of the list."""
        return reduce(add, parts)


@dataclass(frozen=True)
class ObjectSums:
    """Object numerators and denominators on a window of the canvas.

    Parameters
    ----------
    corner : (int, int)
        Canvas pixel of the window's first pixel.
    gradient : array [S, h, w]
        ``sum_j V_j^T sum_m conj(u) chi``; for a pure phase object its projection on the phase, real.
    illumination : float array [S, h, w]
        ``sum_j V_j^T sum_m |u|^2``.
    noise : array [S, h, w] or None
        Where the information is measured: a map with zero mean and the gradient's covariance, see ``spectral``.
    """

    corner: tuple[int, int]
    gradient: np.ndarray
    illumination: np.ndarray
    noise: np.ndarray | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the maps."""
        return self.gradient.nbytes + self.illumination.nbytes + (0 if self.noise is None else self.noise.nbytes)

    @classmethod
    def merged(cls, parts: list[ObjectSums]) -> ObjectSums:
        """Sum in the order of the list, on the smallest window that holds them all."""
        low = [min(p.corner[axis] for p in parts) for axis in (0, 1)]
        high = [max(p.corner[axis] + p.gradient.shape[1 + axis] for p in parts) for axis in (0, 1)]
        return place(parts, (low[0], low[1]), (high[0] - low[0], high[1] - low[1]))

    def on(self, rows: slice, columns: slice, corner: tuple[int, int]) -> ObjectSums:
        """A copy of a part of them."""
        noise = None if self.noise is None else self.noise[:, rows, columns].copy()
        return ObjectSums(
            corner, self.gradient[:, rows, columns].copy(), self.illumination[:, rows, columns].copy(), noise
        )


@dataclass(frozen=True)
class ProbeSums:
    """Probe numerator [M, N, N] and denominator [N, N]."""

    gradient: np.ndarray
    illumination: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of both maps."""
        return self.gradient.nbytes + self.illumination.nbytes

    @classmethod
    def merged(cls, parts: list[ProbeSums]) -> ProbeSums:
        """Sum in the order of the list."""
        gradient, illumination = parts[0].gradient.copy(), parts[0].illumination.copy()
        for part in parts[1:]:
            gradient += part.gradient
            illumination += part.illumination
        return cls(gradient, illumination)


@dataclass(frozen=True)
class GeometrySums:
    """Descent of the loss along the elementary directions [D], and their information [D, D]."""

    score: np.ndarray
    information: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.score.nbytes + self.information.nbytes

    @classmethod
    def merged(cls, parts: list[GeometrySums]) -> GeometrySums:
        """Sum in the order of the list."""
        return cls(reduce(add, (p.score for p in parts)), reduce(add, (p.information for p in parts)))


@dataclass(frozen=True)
class Update:
    """What a block, or a merged group of blocks, says about the state; each field is a :class:`Term`.

    Terms are None where they are not asked for.
    """

    sums: Sums
    object: ObjectSums | None = None
    probe: ProbeSums | None = None
    geometry: GeometrySums | None = None
    """While the geometry is refined."""

    @property
    def nbytes(self) -> int:
        """Bytes of the maps."""
        terms: list[Term | None] = [getattr(self, f.name) for f in fields(self)]
        return sum(term.nbytes for term in terms if term is not None)


def merge(updates: list[Update]) -> Update:
    """Sum of updates in the order of the list."""
    merged: dict[str, Any] = {}
    for term in (f.name for f in fields(Update)):
        parts = [part for update in updates if (part := getattr(update, term)) is not None]
        merged[term] = type(parts[0]).merged(parts) if parts else None
    return Update(**merged)


def place(parts: list[ObjectSums], corner: tuple[int, int], shape: tuple[int, int]) -> ObjectSums:
    """Sum of the parts on a window with a given corner and shape."""
    slices = parts[0].gradient.shape[0]
    gradient = np.zeros((slices, *shape), dtype=parts[0].gradient.dtype)
    illumination = np.zeros((slices, *shape), dtype=parts[0].illumination.dtype)
    noise = None if all(part.noise is None for part in parts) else np.zeros_like(gradient)
    for part in parts:
        y, x = part.corner[0] - corner[0], part.corner[1] - corner[1]
        h, w = part.gradient.shape[1:]
        gradient[:, y : y + h, x : x + w] += part.gradient
        illumination[:, y : y + h, x : x + w] += part.illumination
        if noise is not None and part.noise is not None:
            noise[:, y : y + h, x : x + w] += part.noise
    return ObjectSums(corner, gradient, illumination, noise)
