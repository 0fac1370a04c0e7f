"""The place of every pattern by itself, where the electrons can tell it. It needs :class:`PlaceSums`.

A pattern's place is no sum over patterns: others speak of it through the object alone. So each takes Newton's step
along y and along x, with object and probe as they are, from the descent of its own loss and its own Fisher information
(``kernels.plain.nudge``), with a prior: a normal distribution about the place that the run began with.

How wide it is, the electrons say (empirical Bayes): Newton's ends scatter by the true displacements and by their own
noise, which is known. Where they scatter by no more than noise, patterns stay. That is asked of what neighbours share
and of what they do not, each by itself: a drift is small beside the noise of one pattern, not beside that of a hundred.

Object and places explain the same residual in one update, so half of the step is taken. All places together may shift
with the object: their mean displacement stays 0. What is smooth over a probe's width is nearly such a shift, and is
found less well than the information says, which takes the object as known: it creeps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from ...model.places import PlaceRules, Places
from ...model.state import Model
from ..direction import Direction
from ..problem import Problem

GAIN, FURTHEST = 0.5, 0.5
"""Part of Newton's step that is taken, and the largest step along an axis in pixels."""
SHARED = 3.0
"""Standard deviation of the neighbourhood in positions, whose mean is a displacement that is shared."""


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
    information[its.indices] = its.sums[..., 1]
    if rules.told_by(its.sums[..., 1]):
        here = off[its.indices]
        there = likely(rules, its.sums[..., 1] * here + its.sums[..., 0], its, problem.scan_shape)
        here += np.clip(GAIN * (there - here), -FURTHEST, FURTHEST)
        off[its.indices] = np.clip(here, -rules.limit, rules.limit)
        seen = information.any(axis=1)  # the others stay where they are
        off[seen] -= off[seen].mean(axis=0)
    return replace(model, places=Places(off, information))


def likely(rules: PlaceRules, ends: np.ndarray, its: PlaceSums, scan_shape: tuple[int, int]) -> np.ndarray:
    """Where patterns are most likely [K, 2]: Newton's ends, times their information, drawn towards the start by as much
    as they show no more than noise; what neighbours share and what they do not each by itself."""
    known = np.maximum(its.sums[..., 1], 1e-30)
    ends = np.clip(ends, -known * rules.limit, known * rules.limit)

    def smooth(values: np.ndarray, width: float) -> np.ndarray:
        grid = np.zeros((math.prod(scan_shape), 2))
        grid[its.indices] = values
        found = gaussian_filter(grid.reshape(*scan_shape, 2), (width, width, 0), mode="constant")
        return found.reshape(-1, 2)[its.indices]

    total = smooth(known, SHARED)
    shared = smooth(ends, SHARED) / total
    # the noise of such a mean: the square of a normal distribution is a narrower one
    known_shared = total**2 / smooth(known, SHARED / math.sqrt(2)) * (4 * math.pi * SHARED**2)
    own = ends - known * shared
    return _drawn(rules, known_shared * shared, known_shared) + _drawn(rules, own, known)


def _drawn(rules: PlaceRules, ends: np.ndarray, information: np.ndarray) -> np.ndarray:
    variance = spread(rules, ends, information) ** 2
    its: np.ndarray = variance * ends / (1 + variance * information)
    return its


def spread(rules: PlaceRules, ends: np.ndarray, information: np.ndarray) -> float:
    """Standard deviation of true displacements, as the electrons show it, the prior's at most.

    Measured ones (``ends / information``) scatter by this and by their noise ``1 / information``: what is more than the
    noise, pooled with the weights that the prior gives, is theirs.
    """
    weight = 1 / (1 + information * rules.prior**2) ** 2
    excess, most = float((weight * (ends**2 - information)).sum()), float((weight * information**2).sum())
    return min(rules.prior, math.sqrt(max(excess, 0.0) / most)) if most else 0.0
