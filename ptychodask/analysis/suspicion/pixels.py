"""Detector pixels that are hot or dead, by the sum of all patterns."""

from __future__ import annotations

import numpy as np

from .survey import Survey

HOT = 4.0
"""Times its third brightest neighbour: the edge of a disk has three neighbours inside, lone pixels have none."""
NOTICED = 0.1
"""Of the disk's level, below which a hot pixel does no harm."""
DEAD = 0.03
"""Of the disk's level."""
ENOUGH = 25
"""Electrons that a pixel should hold before its emptiness says something."""
SURE = 8
"""Standard deviations of Poisson noise."""
NAMED = 5


def pixel_warnings(survey: Survey) -> list[str]:
    """Hot pixels anywhere, dead ones inside the disk; named (ky, kx) as they are stored."""
    pattern, used = survey.pattern, survey.used
    disk = survey.disk
    if disk is None:
        return []
    n = len(pattern)
    k = np.arange(n) - n // 2
    inside = np.hypot(k[:, None] - disk.centre[0], k[None, :] - disk.centre[1]) < disk.radius - 1.5
    if not (inside & used).any():
        return []
    level = float(np.median(pattern[inside & used]))
    found = []
    near = _third_brightest(np.where(used, pattern, 0.0))
    hot = used & (pattern > HOT * near + SURE * np.sqrt(near + 1)) & (pattern > NOTICED * level + SURE)
    if hot.any():
        brightest = float((pattern[hot] / np.maximum(near[hot], 1)).max())
        found.append(
            f"{_named(hot, 'hot pixel')} (up to {brightest:.0f} times their neighbours, {HOT:g} is the bound): set the"
            " mask to 0 there"
        )
    dead = inside & used & (pattern < DEAD * level)
    if level >= ENOUGH and dead.any() and dead.sum() < 0.5 * inside.sum():
        found.append(
            f"{_named(dead, 'dead pixel')} inside the bright-field disk (less than {DEAD:.0%} of its level): set the"
            " mask to 0 there"
        )
    return found


def _third_brightest(pattern: np.ndarray) -> np.ndarray:
    """Third brightest of the eight neighbours of every pixel."""
    n = len(pattern)
    wide = np.pad(pattern, 1)
    offsets = [(y, x) for y in range(3) for x in range(3) if (y, x) != (1, 1)]
    return np.sort([wide[y : y + n, x : x + n] for y, x in offsets], axis=0)[-3]


def _named(which: np.ndarray, what: str) -> str:
    places = [f"({y}, {x})" for y, x in np.argwhere(which)]
    more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
    return f"{len(places)} {what}{'s' if len(places) > 1 else ''} at (ky, kx) = {', '.join(places[:NAMED])}{more}"
