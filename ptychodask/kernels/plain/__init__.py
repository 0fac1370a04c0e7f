"""The plain kernels, which read like the equations of LSQ-ML and are the reference of all others.

The partial update of one block: forward model, residual, back-propagation, sums. Mini-batches of fixed size run through
in the order of the block, so the bits depend on the block alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..._array import Array, backend_module
from ...counts.patterns import Counts, Patterns
from ...model.blocks import Block
from ...model.state import Model
from ...solver.problem import Problem
from ...solver.update import Update
from .block import partial
from .fit import compare
from .line import line_search, nudge

__all__ = ["Plain", "compare", "line_search", "nudge", "partial"]


@dataclass(frozen=True)
class Plain:
    """Array code for a problem, on NumPy arrays or on those of CuPy (``library``)."""

    problem: Problem
    library: str = "numpy"

    def partial(self, block: Block, patterns: Patterns, model: Model, evaluate_only: bool = False) -> Update:
        """See :func:`partial`."""
        return partial(self.problem, self.xp, block, patterns, model, evaluate_only)

    def line_search(
        self,
        block: Block,
        patterns: Patterns,
        model: Model,
        object_direction: np.ndarray,
        probe_direction: np.ndarray | None,
    ) -> Update:
        """See :func:`line_search`."""
        return line_search(self.problem, self.xp, block, patterns, model, object_direction, probe_direction)

    def compare(self, block: Block, counts: Counts, model: Model, chosen: np.ndarray) -> tuple[float, float, float]:
        """See :func:`compare`."""
        return compare(self.problem, self.xp, block, counts, model, chosen)

    def nudge(self, block: Block, counts: Counts, model: Model, chosen: np.ndarray) -> np.ndarray:
        """See :func:`nudge`."""
        return nudge(self.problem, self.xp, block, counts, model, chosen)

    def lend(self, values: np.ndarray) -> Array:
        """See :class:`ptychodask.solver.door.Kernels`."""
        return self.xp.asarray(values)

    @property
    def xp(self) -> ModuleType:
        """The array library."""
        return backend_module(self.library)
