"""Where a merged update points: what the unknowns take from it to their next values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._array import held_bytes
from .spectral import Filter
from .update import Update


@dataclass(frozen=True)
class Direction:
    """Preconditioned directions, the pooled steps along them, and what else the update says."""

    object: np.ndarray
    object_step: np.ndarray
    """Pooled least-squares step a_s of every slice [S]."""
    probe: np.ndarray | None
    probe_step: float | np.ndarray
    """Pooled least-squares step; one for each probe [K] where several scans have theirs."""
    weight: np.ndarray
    """How well lit every pixel is, W^2 / (W^2 + 0.1 max W^2): the weight of the extrapolation [S, Oy, Ox]."""
    ascent: float
    """<gradient, momentum>: negative where the momentum has turned against the gradient."""
    totals: Update
    """What the merged update says besides, for unknowns with steps of their own; no maps."""
    information: np.ndarray | None = None
    """t on rings, once it is measured."""
    filter: Filter | None = None
    """With the spectral prior, what every window is told."""

    __sizeof__ = held_bytes
