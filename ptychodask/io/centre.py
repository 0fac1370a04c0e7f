"""Where zero angle stands in stored patterns, and by how many whole pixels each is moved when it is read.

A beam that is not brought back exactly as it scans (descan) moves the disk over the detector. A calibration stores its
centre as a plane over the scan; patterns are stored as they were recorded.

A pattern that is off by a fraction of a pixel is the pattern of a wave with a phase ramp. Where all patterns are off
alike, the probe takes it. Where the fraction changes over the scan, every pattern has its own ramp, in the model (see
:mod:`ptychodask.kernels.ramped`): an object that had to take it would bend by radians, half a pixel over 20 angstrom
being one. What has no model, the search of a calibration, moves neighbours by turns by one pixel more or less, in a
fixed order whose mean is right everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

NAME = "disk_centre"
"""Of the attribute."""
BY_TURNS = "disk_centre_by_turns"
"""Of one that a calibration sets while it reads, and never stores."""
SPREAD = (0.7548776662466927, 0.5698402909980532)
"""1/g and 1/g^2 of g^3 = g + 1: multiples of these, modulo 1, fill squares evenly (Roberts' R2 sequence)."""


@dataclass(frozen=True)
class Centre:
    """Centre (y, x) of the disk in pixels of stored patterns.

    Parameters
    ----------
    plane : two rows of three numbers
        At the first position, and its change per row and per column of the stored scan.
    pixels : int
        Side N of the patterns; zero angle belongs to N // 2.
    by_turns : bool
        Where the disk moves, patterns are moved so that the mean of neighbours is right, and not to the nearest pixel.
    """

    plane: tuple[tuple[float, float, float], tuple[float, float, float]]
    pixels: int
    by_turns: bool = False

    @property
    def is_still(self) -> bool:
        """Are all patterns off alike?"""
        return not any(slope for _, *slopes in self.plane for slope in slopes)

    def at(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Centre [R, C, 2] at rows [R] and columns [C] of the stored scan."""
        y, x = (c + dy * rows[:, None] + dx * columns[None, :] for c, dy, dx in self.plane)
        return np.stack([y, x], axis=-1)

    def moves(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Whole pixels int [R, C, 2] by which patterns are moved: their disk is nearest to N // 2, or, by turns, on the
        average of neighbours there."""
        place, threshold = self.at(rows, columns), np.full((len(rows), len(columns), 2), 0.5)
        for axis, (_, *slopes) in enumerate(self.plane):
            if self.by_turns and any(slopes):
                grid = rows[:, None] * SPREAD[axis] + columns[None, :] * SPREAD[1 - axis]
                threshold[..., axis] = grid % 1.0
        return self.pixels // 2 - np.floor(place + threshold).astype(np.int64)

    def left(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Distance [R, C, 2] of the disk from N // 2 in pixels after that."""
        return self.at(rows, columns) + self.moves(rows, columns) - self.pixels // 2


def centre_of(attributes: Mapping[str, Any], pixels: int) -> Centre | None:
    """The centre that a calibration stored, None where there is none."""
    stored = attributes.get(NAME)
    if stored is None:
        return None
    first, second = (tuple(float(value) for value in row) for row in stored)
    return Centre((first, second), pixels, bool(attributes.get(BY_TURNS)))  # type: ignore[arg-type]


def moved_mask(mask: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Pixels that can be used in every pattern, after it was moved.

    Parameters
    ----------
    mask : array [N, N]
        Zero angle in the centre, 0 leaves out.
    by : int array [B, 2]
        Pixels (y, x).
    """
    n, used = len(mask), mask != 0
    found = np.ones_like(used)
    for y, x in np.unique(by.reshape(-1, 2), axis=0).tolist():
        its = np.zeros_like(used)
        here, there = (
            tuple(slice(max(0, sign * s), n + min(0, sign * s)) for s in (y, x)) for sign in (1, -1)
        )  # what came round is no part of the pattern
        its[here] = used[there]
        found &= its
    return found
