"""Where patterns are that move each on its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._array import held_bytes


@dataclass(frozen=True)
class PlaceRules:
    """How patterns move each on its own; lengths along an axis, in canvas pixels.

    Parameters
    ----------
    begins : int
        The first iteration after which they do.
    prior : float
        Standard deviation of their places about those at the start.
    limit : float
        How far they go at most.
    """

    begins: int
    prior: float
    limit: float

    def told_by(self, information: np.ndarray) -> bool:
        """Do electrons of this information [K, 2], per square pixel, know places better than the prior does?"""
        return bool(len(information)) and float(np.median(information)) * self.prior**2 > 1


@dataclass(frozen=True)
class Places:
    """How far patterns have come.

    Parameters
    ----------
    off : float64 array [J, 2]
        From where they would be otherwise (y, x), canvas pixels.
    information : float64 array [J, 2]
        Fisher information about it with object and probe as they were in the last pass, per square pixel; 0 for
        patterns that no pass has seen.
    """

    off: np.ndarray
    information: np.ndarray

    __sizeof__ = held_bytes

    @classmethod
    def begin(cls, patterns: int) -> Places:
        """Before anything is known."""
        nothing = np.zeros((patterns, 2))
        return cls(nothing, nothing)

    def errors(self, prior: float) -> np.ndarray:
        """Standard errors [J, 2] by information and prior, canvas pixels."""
        found: np.ndarray = 1 / np.sqrt(self.information + prior**-2)
        return found
