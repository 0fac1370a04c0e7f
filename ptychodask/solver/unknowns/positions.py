"""The place of every pattern by itself, where the electrons can tell it. It needs :class:`PlaceSums`.

A pattern's place is no sum over patterns: others speak of it through the object alone. So each takes Newton's step
along y and along x, with object and probe as they are, from the descent of its own loss and its own Fisher information
(``kernels.plain.nudge``), with a prior: a normal distribution about the place that the run began with.

Object and places explain the same residual in one update, so half of the step is taken. All places together may shift
with the object: their mean displacement stays 0. What is smooth over a probe's width is nearly such a shift, and is
found less well than the information says, which takes the object as known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...model.places import PlaceRules, Places
from ...model.state import Model
from ..direction import Direction
from ..problem import Problem

GAIN, FURTHEST = 0.5, 0.5
"""Part of Newton's step that is taken, and the largest step along an axis in pixels."""


@dataclass(frozen=True)
class PlaceSums:
    """Of patterns by their numbers j in the scan [K]: descent and information along y and x, float64 [K, 2, 2]."""

    indices: np.ndarray
    sums: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.indices.nbytes + self.sums.nbytes

    @classmethod
    def merged(cls, parts: list[PlaceSums]) -> PlaceSums:
        """Those of all, one after the other."""
        return cls(np.concatenate([p.indices for p in parts]), np.concatenate([p.sums for p in parts]))


def advanced(problem: Problem, model: Model, move: Direction, step: float | np.ndarray) -> Model:
    """The model with its patterns a step on; where the electrons know no better than the prior, they stay."""
    rules, its = problem.settings.places, move.totals.find(PlaceSums)
    if rules is None or its is None:
        return model
    before = model.places or Places.begin(len(problem.centres))
    off, information = before.off.copy(), before.information.copy()
    descent, information[its.indices] = its.sums[..., 0], its.sums[..., 1]
    if np.median(its.sums[..., 1]) * rules.prior**2 > 1:
        off[its.indices] = _stepped(rules, off[its.indices], descent, information[its.indices])
        off -= off.mean(axis=0)
    return replace(model, places=Places(off, information))


def _stepped(rules: PlaceRules, off: np.ndarray, descent: np.ndarray, information: np.ndarray) -> np.ndarray:
    known = rules.prior**-2
    wanted = GAIN * (descent - known * off) / (information + known)
    there: np.ndarray = np.clip(off + np.clip(wanted, -FURTHEST, FURTHEST), -rules.limit, rules.limit)
    return there
