"""The bright-field disk of a mean pattern: least squares of an ellipse with a soft edge.

The edge is that of :func:`ptychodask.physics.probe.aperture`, squared: a reconstruction makes its probe with that
aperture, so the radius is the one that it needs, ``alpha / lambda`` in pixels. (An aperture whose amplitude falls
linearly over one pixel holds 1/6 of a pixel less intensity than a sharp one of the same radius; read as the place of
half intensity, such a disk would be 0.8 % small at 21 pixels.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from .._errors import InputError
from ..physics.probe import aperture

SMALLEST = 3.0
"""Radius in pixels below which a disk has no edge to be fitted."""
CONTRAST = 3.0
"""Disk over background, at least."""
ROUND = 0.25
"""Difference of the axes over their mean above which it is no disk."""


@dataclass(frozen=True)
class Disk:
    """An ellipse, in pixels.

    Parameters
    ----------
    centre : (float, float)
        (y, x) in pixels of the stored pattern; zero angle should be at N // 2.
    radius : float
        Root of the product of both axes.
    ellipticity : (float, float)
        Difference of the axes over their mean: along x against y, and along the diagonals.
    level, background : float
        Electrons per pixel inside, and added everywhere.
    width : float
        Of the edge.
    errors : (float, float, float, float)
        Standard errors of centre y and x, radius and ellipticity.
    """

    centre: tuple[float, float]
    radius: float
    ellipticity: tuple[float, float]
    level: float
    background: float
    width: float
    errors: tuple[float, float, float, float]

    @property
    def elongation(self) -> float:
        """Difference of the axes over their mean."""
        return math.hypot(*self.ellipticity)

    def outline(self, points: int = 181) -> np.ndarray:
        """Points (y, x) [P, 2] of the edge in pixels, closed."""
        angle = np.linspace(0, 2 * math.pi, points)
        reach = self.radius * (1 + _ripple(np.sin(angle), np.cos(angle), *self.ellipticity) / 2)
        return np.stack([self.centre[0] + reach * np.sin(angle), self.centre[1] + reach * np.cos(angle)], axis=1)


def fit_disk(pattern: np.ndarray, used: np.ndarray, patterns: int = 1, smear: np.ndarray | None = None) -> Disk:
    """Find the disk.

    Parameters
    ----------
    pattern : array [N, N]
        Sum of patterns, zero angle in the centre.
    used : bool array [N, N]
        Pixels to use.
    patterns : int
        How many, for the level per pattern.
    smear : array [S, 3], optional
        Places (y, x) of the disk from its mean in pixels, and their weights, over which the patterns were added: taken
        for a softer edge, these would make the disk too large.

    Raises
    ------
    InputError
        There is no disk, or it touches the edge of the pattern.
    """
    y, x, lit = _lit(pattern, used)
    start = math.sqrt(lit.sum() / math.pi)
    centre = float(np.median(y[lit])), float(np.median(x[lit]))
    if start < SMALLEST:
        raise InputError(
            f"the bright-field disk has a radius of {start:.1f} pixels, at least {SMALLEST:g} are needed to find its"
            " edge: use a longer camera length, or do not bin the patterns"
        )
    _refuse_edge(centre, start, len(pattern))
    near = used & (np.hypot(y - centre[0], x - centre[1]) < 1.4 * start)
    values, v, u = pattern[near].astype(np.float64), y[near].astype(np.float64), x[near].astype(np.float64)
    top = float(np.median(pattern[lit]))

    places = np.array([[0.0, 0.0, 1.0]]) if smear is None else smear

    def model(p: np.ndarray) -> np.ndarray:
        return p[4] * sum(w * lit_part(p, v - y - p[0], u - x - p[1]) for y, x, w in places) + p[5]

    def lit_part(p: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
        away = np.hypot(dy, dx)
        ring = p[2] * (1 + _ripple(dy / np.maximum(away, 1e-9), dx / np.maximum(away, 1e-9), p[6], p[7]))
        return np.asarray(aperture(away - ring + p[2], np.zeros(1), p[2], p[3]) ** 2)

    noise = np.sqrt(np.maximum(values, 0.02 * top) + 1)
    low, high = (
        [-1, -1, 1, 0.3, 0, -top, -0.5, -0.5],
        [*pattern.shape, len(pattern), 0.5 * start, np.inf, top, 0.5, 0.5],
    )
    found = None
    for width in (1.0, 0.25 * start):  # of a linear edge the fit sees only what it covers
        begin = [*centre, start + width / 6, min(width, 0.4 * start), top, 0.01 * top, 0, 0]
        scale = [0.1, 0.1, 0.1, 0.3, 0.05 * top, 0.01 * top, 0.01, 0.01]
        tried = least_squares(
            lambda p: (model(p) - values) / noise, begin, x_scale=scale, bounds=(low, high), diff_step=1e-4
        )
        found = tried if found is None or tried.cost < found.cost else found
    assert found is not None
    p = found.x
    apart = 2 * math.hypot(p[6], p[7])
    if not p[4] > CONTRAST * max(p[5], 0) or apart > ROUND:
        raise InputError(
            f"no bright-field disk is found: the best ellipse has axes that differ by {apart:.0%} (at"
            f" most {ROUND:.0%}) and {p[4]:.3g} electrons per pixel on {p[5]:.3g} around it (at least {CONTRAST:g}"
            " times as many): is zero angle in the centre of the patterns, and all of the disk on the detector?"
        )
    _refuse_edge((p[0], p[1]), float(p[2]), len(pattern))
    spread = max(1.0, 2 * found.cost / max(len(values) - 8, 1))  # a specimen adds structure, and errors with it
    errors = np.sqrt(np.abs(np.diag(np.linalg.pinv(found.jac.T @ found.jac))) * spread)
    return Disk(
        (float(p[0]), float(p[1])),
        float(p[2]),
        (2 * float(p[6]), 2 * float(p[7])),
        float(p[4]) / patterns,
        float(p[5]) / patterns,
        float(p[3]),
        (float(errors[0]), float(errors[1]), float(errors[2]), 2 * float(errors[6:].max())),
    )


def _ripple(dy: np.ndarray, dx: np.ndarray, along: float, across: float) -> np.ndarray:
    """Relative change of an ellipse's radius towards unit vectors."""
    return along * (dx**2 - dy**2) + across * 2 * dy * dx


def _lit(pattern: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns, and pixels brighter than a third of the disk."""
    if not (pattern[used] > 0).any():
        raise InputError("the patterns hold no electrons in pixels that the mask uses: there is nothing to calibrate")
    y, x = np.mgrid[: len(pattern), : len(pattern)]
    # pixels that hold most of the electrons: their median is the disk's level, whatever its share of the detector
    falling = np.sort(pattern[used])[::-1]
    enough = int(np.searchsorted(np.cumsum(falling), 0.5 * falling.sum())) + 1
    return y, x, used & (pattern > np.median(falling[:enough]) / 3)


def _refuse_edge(centre: tuple[float, float], radius: float, n: int) -> None:
    room = min(*(c + 0.5 for c in centre), *(n - 0.5 - c for c in centre))
    if radius + 1 > room:
        raise InputError(
            f"the bright-field disk touches the edge of the pattern: centre ({centre[0]:.1f}, {centre[1]:.1f}), radius"
            f" {radius:.1f} pixels, and {room:.1f} pixels of room (radius + 1 is needed): use a shorter camera length,"
            " or patterns that are not cropped"
        )
