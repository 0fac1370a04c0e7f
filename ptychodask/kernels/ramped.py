"""Patterns whose disk is off zero angle by a fraction of a pixel that changes over the scan (descan).

A shift of a pattern by f pixels is a factor ``exp(2 pi i f.r / N)`` of the wave behind the specimen, and that of the
wave before it, as far as the beam is not tilted by so little: 0.2 mrad over 50 angstrom are 0.01 angstrom. So each
pattern has the probe times its own ramp. Patterns of nearly the same ramp are computed together, by any kernels, as
blocks of their own; gradients of the probe are turned back and added in a fixed order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..counts.patterns import Counts, Patterns
from ..counts.subset import taken
from ..model.blocks import Block
from ..model.state import Model
from ..solver.door import Kernels
from ..solver.problem import Problem
from ..solver.unknowns.probe import ProbeSums
from ..solver.update import Update

LEVELS = 6
"""Ramps per pixel and axis: 0.05 pixels (RMS) are left, and a block of 16 x 16 patterns falls into some ten parts."""


@dataclass(frozen=True)
class Ramped:
    """Kernels that see every pattern with its ramp.

    Parameters
    ----------
    problem : Problem
        With ``off``.
    kernels : Kernels
        Which compute.
    """

    problem: Problem
    kernels: Kernels

    def partial(self, block: Block, patterns: Patterns, model: Model, evaluate_only: bool = False) -> Update:
        """See :func:`ptychodask.kernels.plain.partial`."""
        updates = []
        for places, ramp in self._parts(block):
            part, its = _within(block, places), _some(patterns, places)
            update = self.kernels.partial(part, its, _seen_by(model, ramp), evaluate_only)
            if (probe := update.find(ProbeSums)) is not None:
                turned = (probe.gradient * ramp.conj()).astype(probe.gradient.dtype)
                update = update.put(replace(probe, gradient=turned))
            updates.append(update)
        return Update.merged(updates)

    def line_search(
        self,
        block: Block,
        patterns: Patterns,
        model: Model,
        object_direction: np.ndarray,
        probe_direction: np.ndarray | None,
    ) -> Update:
        """See :func:`ptychodask.kernels.plain.line_search`."""
        updates = []
        for places, ramp in self._parts(block):
            along = None if probe_direction is None else (probe_direction * ramp).astype(probe_direction.dtype)
            part, its = _within(block, places), _some(patterns, places)
            updates.append(self.kernels.line_search(part, its, _seen_by(model, ramp), object_direction, along))
        return Update.merged(updates)

    def compare(self, block: Block, counts: Counts, model: Model, chosen: np.ndarray) -> tuple[float, float, float]:
        """See :func:`ptychodask.kernels.plain.compare`."""
        found = np.zeros(3)
        levels = self._levels(block)[chosen]
        for places, ramp in self._by(levels):
            found += self.kernels.compare(block, taken(counts, places), _seen_by(model, ramp), chosen[places])
        loss, mean, variance = found.tolist()
        return loss, mean, variance

    def _levels(self, block: Block) -> np.ndarray:
        """Nearest ramp int [B, 2] of every pattern."""
        assert self.problem.off is not None
        off = np.asarray(self.problem.off)[block.flat(self.problem.scan_shape)]
        return np.rint(off * LEVELS).astype(np.int64)

    def _parts(self, block: Block) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return self._by(self._levels(block))

    def _by(self, levels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Places of the patterns of one ramp, and the ramp [N, N], by rising levels."""
        each, which = np.unique(levels, axis=0, return_inverse=True)
        for number, (y, x) in enumerate(each.tolist()):
            yield np.flatnonzero(which.ravel() == number), ramp_of((y / LEVELS, x / LEVELS), self.problem.pixels)


def ramp_of(off: tuple[float, float], n: int) -> np.ndarray:
    """Factor complex [n, n] of a wave that moves its pattern by ``off`` (y, x) pixels."""
    r = (np.arange(n) - n // 2) / n
    y, x = (np.exp(2j * math.pi * f * r) for f in off)
    return y[:, None] * x[None, :]


def _seen_by(model: Model, ramp: np.ndarray) -> Model:
    return replace(model, probe=(model.probe * ramp).astype(model.probe.dtype))


def _within(block: Block, places: np.ndarray) -> Block:
    """The patterns of a block at the given places as a block."""
    if len(places) == block.size:
        return block
    everything = np.arange((block.y1 - block.y0) * (block.x1 - block.x0))
    kept = np.delete(everything, block.skip)[places]
    return replace(block, skip=tuple(np.setdiff1d(everything, kept, assume_unique=True).tolist()))


def _some(patterns: Patterns, places: np.ndarray) -> Patterns:
    def its(counts: Any) -> Any:
        return None if counts is None else taken(counts, places)

    return Patterns(its(patterns.fitted), its(patterns.train), its(patterns.held), patterns.pixels)
