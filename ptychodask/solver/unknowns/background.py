"""A uniform background, electrons per pattern. It needs two scalars of :class:`ptychodask.solver.update.Sums`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...model.state import Model
from ..direction import Direction
from ..problem import Problem


def advanced(problem: Problem, model: Model, move: Direction, step: float | np.ndarray) -> Model:
    """The model with its background a Fisher step further, not below 0; it has a step of its own."""
    sums = move.totals.sums
    if not problem.settings.background or sums.background_denominator <= 0:
        return model
    further = model.background + sums.background_numerator / sums.background_denominator
    return replace(model, background=max(0.0, further))
