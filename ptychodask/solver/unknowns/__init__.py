"""What is reconstructed, one file each: which sums over patterns it needs, where they point, and its next value.

What an unknown needs is a :class:`ptychodask.solver.update.Term` in its file, which adds up, merges and travels by
itself. The object lies on the canvas, in tiles. The others are shared by all tiles, and are :data:`SHARED`: modules
that take the model a step on. The geometry moves the object too; it is refined in a stage of its own, in which the
object is whole.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ...model.state import Model
from ..direction import Direction
from ..problem import Problem
from . import background, positions, probe


class Unknown(Protocol):
    """A module of this folder."""

    def advanced(self, problem: Problem, model: Model, move: Direction, step: float | np.ndarray, /) -> Model:
        """The model with this unknown a step on, from what the merged update says in ``move``."""
        ...


SHARED: tuple[Unknown, ...] = (probe, background, positions)
"""One after the other."""
