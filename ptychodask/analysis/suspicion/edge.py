"""The bright-field disk of a summed pattern: its centre, radius and shape by its edge."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.special import expit

SMALLEST = 3.0
"""Radius in pixels below which a disk has no edge to be fitted."""


@dataclass(frozen=True)
class Disk:
    """An ellipse with a soft edge: centre (y, x) from zero angle, radius and standard errors in pixels, and the
    difference of its axes over their mean."""

    centre: tuple[float, float]
    radius: float
    ellipticity: float
    errors: tuple[float, float, float, float]
    """Of centre y and x, radius and ellipticity."""


def fit_disk(pattern: np.ndarray, used: np.ndarray, radius: float) -> Disk | None:
    """Least squares of a disk to a summed pattern [N, N] with zero angle in the centre; None where there is no disk.

    A flat top with a logistic edge over a flat background, in the pixels within 1.5 radii that are used.
    """
    n = len(pattern)
    y, x = np.meshgrid(np.arange(n) - n // 2, np.arange(n) - n // 2, indexing="ij")
    lit = used & (pattern > np.percentile(pattern[used], 99) / 3)
    start = math.sqrt(lit.sum() / math.pi)
    if start < 1 or radius < SMALLEST:
        return None
    centre = float(np.median(y[lit])), float(np.median(x[lit]))
    near = used & (np.hypot(y - centre[0], x - centre[1]) < 1.5 * max(start, radius))
    values, v, u = pattern[near], y[near], x[near]
    top = float(np.median(pattern[lit]))

    def edge(p: np.ndarray) -> np.ndarray:
        dy, dx = v - p[0], u - p[1]
        r2 = dy**2 + dx**2 + 1e-9
        ring = p[2] * (1 + p[6] * (dx**2 - dy**2) / r2 + p[7] * 2 * dy * dx / r2)
        return p[4] * expit(4 * (ring - np.sqrt(r2)) / p[3]) + p[5]

    scale = np.sqrt(np.maximum(values, 0.02 * top) + 1)
    begin = [*centre, start, 1.5, top, 0.02 * top, 0, 0]
    found = least_squares(
        lambda p: (edge(p) - values) / scale,
        begin,
        x_scale=[0.1, 0.1, 0.1, 0.3, 0.05 * top, 0.01 * top, 0.01, 0.01],
        bounds=([-n, -n, 0.5, 0.2, 0, -top, -0.5, -0.5], [n, n, n, n, np.inf, top, 0.5, 0.5]),
    )
    # where the specimen adds structure, residuals are larger than noise, and so are the errors
    spread = max(1.0, 2 * found.cost / max(len(values) - 8, 1))
    try:
        errors = np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)) * spread)
    except np.linalg.LinAlgError:
        return None
    p = found.x
    return Disk(
        (float(p[0]), float(p[1])),
        float(p[2]),
        2 * math.hypot(p[6], p[7]),
        (float(errors[0]), float(errors[1]), float(errors[2]), 2 * float(max(errors[6:]))),
    )
