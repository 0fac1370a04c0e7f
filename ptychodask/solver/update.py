"""The partial update of a block: a commutative monoid of sums, numerators and denominators, never ratios.

Any grouping of blocks gives the same update up to rounding; a fixed grouping gives the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import reduce
from operator import add

import numpy as np

from .geometry import GeometrySums


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

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


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


@dataclass(frozen=True)
class Update:
    """What a block, or a merged group of blocks, says about the state. Maps are None where they are not asked for."""

    sums: Sums
    object: ObjectSums | None = None
    probe: ProbeSums | None = None
    geometry: GeometrySums | None = None
    """While the geometry is refined."""

    @property
    def nbytes(self) -> int:
        """Bytes of the maps."""
        return sum(part.nbytes for part in (self.object, self.probe, self.geometry) if part is not None)


def merge(updates: list[Update]) -> Update:
    """Sum of updates in the order of the list."""
    sums = updates[0].sums
    for other in updates[1:]:
        sums = sums + other.sums
    objects = [u.object for u in updates if u.object is not None]
    probes = [u.probe for u in updates if u.probe is not None]
    known = [u.geometry for u in updates if u.geometry is not None]
    return Update(
        sums,
        _merge_objects(objects) if objects else None,
        _merge_probes(probes) if probes else None,
        reduce(add, known) if known else None,
    )


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


def _merge_objects(parts: list[ObjectSums]) -> ObjectSums:
    low = [min(p.corner[axis] for p in parts) for axis in (0, 1)]
    high = [max(p.corner[axis] + p.gradient.shape[1 + axis] for p in parts) for axis in (0, 1)]
    return place(parts, (low[0], low[1]), (high[0] - low[0], high[1] - low[1]))


def _merge_probes(parts: list[ProbeSums]) -> ProbeSums:
    gradient, illumination = parts[0].gradient.copy(), parts[0].illumination.copy()
    for part in parts[1:]:
        gradient += part.gradient
        illumination += part.illumination
    return ProbeSums(gradient, illumination)
