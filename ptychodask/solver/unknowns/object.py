"""The object: phases of slices, on the whole canvas or a window of it. All functions take maps [S, h, w].

It needs the gradient and the illumination W of :class:`ObjectSums`, and of the whole canvas
the largest W and two sums for the pooled step. Its direction is ``d = g / sqrt(W^2 + (delta max W)^2)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...physics.constraints import Constraint
from ..problem import Problem
from .products import inner, power

DIM = 0.1
"""Of max W, see :func:`lit_weight`; a customary value, not tuned."""


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


def precondition(problem: Problem, gradient: np.ndarray, light: np.ndarray, brightest: np.ndarray) -> np.ndarray:
    """The object's direction on any window of the canvas; ``brightest`` [S, 1, 1] is max W of the whole canvas."""
    return gradient / np.sqrt(light**2 + (problem.settings.precondition * brightest) ** 2)


def lit_weight(light: np.ndarray, brightest: np.ndarray) -> np.ndarray:
    """Weight of the extrapolation, ``W^2 / (W^2 + 0.1 max W^2)``.

    It guards the edge of the scan: where few electrons were, the last move is mostly noise, and to repeat it adds that
    up. One half at W = 0.32 max W.
    """
    return light**2 / (light**2 + np.float32(DIM) * brightest**2)


def pooled_sums(move: np.ndarray, gradient: np.ndarray, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``<d, g>`` and ``sum W |d|^2`` of every slice, float64 [S]."""
    numerators = [inner(d, g) for d, g in zip(move, gradient, strict=True)]
    return np.array(numerators), np.array([power(d, w) for d, w in zip(move, light, strict=True)])


def pooled_steps(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Least-squares step of every slice; 0 where nothing is lit."""
    pairs = zip(numerators, denominators, strict=True)
    return np.array([above / below if below > 0 else 0.0 for above, below in pairs])


def stepped(object_: np.ndarray, steps: np.ndarray, move: np.ndarray) -> np.ndarray:
    """The object after its step, before the constraints."""
    return (object_ + steps.astype(move.real.dtype)[:, None, None] * move).astype(object_.dtype)


def inertia(momentum: int, ascent: float) -> tuple[np.floating | None, int]:
    """Rate ``b = (t + 1) / (t + 3)`` of the extrapolation (0 at a restart, None without any), and the next count."""
    if momentum < 0:
        return None, -1
    if ascent < 0:
        return np.float32(0), 1
    return np.float32((momentum + 1) / (momentum + 3)), momentum + 1


def extrapolate(
    anchor: np.ndarray, before: np.ndarray, rate: np.ndarray, constraints: tuple[Constraint, ...]
) -> np.ndarray:
    """Nesterov's point ``x + b w (x - x_before)``, ``rate = b w``; pointwise constraints hold."""
    ahead = anchor + rate * (anchor - before)
    for constraint in constraints:
        if constraint.pointwise:
            ahead = constraint(ahead)
    return ahead.astype(anchor.dtype)


def constrain(object_: np.ndarray, constraints: tuple[Constraint, ...]) -> np.ndarray:
    """The object after all constraints, one after the other."""
    for constraint in constraints:
        object_ = constraint(object_)
    return object_
