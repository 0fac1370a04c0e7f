"""What is reconstructed, one file each: which sums over patterns it needs, where they point, and its next value.

The object lies on the canvas, in tiles. The others are shared by all tiles: what they need adds up in an ``Update``,
and each has a function in :data:`SHARED` that takes the model a step on. The geometry moves the object too; it is
refined in a stage of its own, in which the object is whole.
"""

from __future__ import annotations

from collections.abc import Callable

from ...model.state import Model
from ..direction import Direction
from ..problem import Problem
from . import background, probe

SHARED: tuple[Callable[[Problem, Model, Direction, float], Model], ...] = (probe.advanced, background.advanced)
"""(problem, model, direction, step along the direction) to the model, one after the other."""
