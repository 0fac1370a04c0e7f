"""The door to the kernels, which are given to the solver: sums over the patterns of a block, for one problem."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .._array import Array
from ..counts.patterns import Counts, Patterns
from ..model.blocks import Block
from ..model.state import Model
from .update import Update


class Kernels(Protocol):
    """What computes. :class:`ptychodask.kernels.plain.Plain` is the reference, and says what each sum is."""

    def partial(self, block: Block, patterns: Patterns, model: Model, evaluate_only: bool = False) -> Update:
        """The partial update of one block; only its losses with ``evaluate_only``."""
        ...

    def line_search(
        self,
        block: Block,
        patterns: Patterns,
        model: Model,
        object_direction: np.ndarray,
        probe_direction: np.ndarray | None,
    ) -> Update:
        """Sums of the tangent step along a direction, on its subset of the patterns."""
        ...

    def compare(self, block: Block, counts: Counts, model: Model, chosen: np.ndarray) -> tuple[float, float, float]:
        """Loss of chosen patterns, whose counts are given, and its mean and variance under Poisson noise."""
        ...

    def nudge(self, block: Block, counts: Counts, model: Model, chosen: np.ndarray) -> np.ndarray:
        """Descent of the loss of chosen patterns, whose counts are given, along their own places, and the information
        about these: float64 [len(chosen), 2 (y, x), 2], per canvas pixel and its square."""
        ...

    def lend(self, values: np.ndarray) -> Array:
        """Values where these kernels compute, for what is made of whole maps: as they are, or on the device."""
        ...
