"""What the detector says about the patterns of a run on the CPU: losses, totals and the residual factors, in panels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from ...counts.events import Events
from ...counts.patterns import Counts, Patterns
from ...physics.likelihood import AMPLITUDE_FLOOR, FISHER_STEP, LOG_FLOOR
from ...solver.problem import Problem
from ..terms import BACKGROUND_DENOMINATOR, BACKGROUND_NUMERATOR, ELECTRONS, HELD_LOSS, INTENSITY, LOSS
from . import fused
from .vectors import inlined
from .workspace import Workspace

_FLOOR = np.float32(AMPLITUDE_FLOOR)
Part = Events | np.ndarray
"""Counts of some patterns: dense as they are stored, or events in one type for all, so that kernels are compiled once.
"""


class Rules(NamedTuple):
    """What problem and patterns say for every pattern of a block."""

    pixels: int
    poisson: bool
    epsilon: float
    background: bool
    share: float
    """Of the fitted electrons, those that the loss is measured on."""
    held_ratio: float
    """Held-out electrons per one that the loss is measured on; 0 where none are."""


class Counted(NamedTuple):
    """Counts of a run of R patterns: those that are fitted and those that the loss is measured on, in panels
    [R, L, 64 L] (maybe the same), and held-out events."""

    fitted: np.ndarray
    measured: np.ndarray
    start: np.ndarray
    pixel: np.ndarray
    electrons: np.ndarray


def rules_of(problem: Problem, patterns: Patterns) -> Rules:
    """Rules for the patterns of a block."""
    settings, trained = problem.settings, problem.settings.train_fraction
    return Rules(
        problem.pixels, settings.residual == "poisson", problem.likelihood.epsilon, settings.background,
        1.0 if patterns.train is None or trained is None else trained,
        0.0 if patterns.held is None or trained is None else (1 - trained) / trained,
    )  # fmt: skip


class Parts(NamedTuple):
    """Of some patterns of a block, what plays the roles of :class:`~ptychodask.counts.patterns.Patterns`."""

    fitted: Part
    train: Part | None
    held: Part | None

    @property
    def measured(self) -> Part:
        """What the loss is measured on."""
        return self.fitted if self.train is None else self.train


def parts_of(patterns: Patterns, low: int, high: int) -> Parts:
    """Patterns low to high of a block."""
    train, held = (None if c is None else _part(c, low, high) for c in (patterns.train, patterns.held))
    return Parts(_part(patterns.fitted, low, high), train, held)


def _part(counts: Counts, low: int, high: int) -> Part:
    if isinstance(counts, np.ndarray):
        return counts[low:high]
    inside = slice(counts.start[low], counts.start[high])
    start = counts.start[low : high + 1] - counts.start[low]
    return Events(start, counts.pixel[inside].astype(np.uint32), counts.count[inside].astype(np.float32))


@contextmanager
def counted(parts: Parts, patterns: int, n: int, space: Workspace) -> Iterator[Counted]:
    """Counts of so many patterns in the buffers of a workspace, which are full of zeros before and, whatever happens,
    behind it."""
    laid = [(parts.fitted, space.counts)]
    if parts.train is not None:
        laid.append((parts.train, space.measured))
    held = parts.held
    if not isinstance(held, Events):
        held = Events(np.zeros(patterns + 1, np.int64), np.zeros(0, np.uint32), np.zeros(0, np.float32))
    try:
        for part, buffer in laid:
            if isinstance(part, Events):
                fused.spread(part.start, part.pixel, part.count, n, buffer)
            else:
                fused.arrange(part, buffer)
        yield Counted(space.counts, laid[-1][1], held.start, held.pixel, held.count)
    finally:
        for part, buffer in laid:
            if isinstance(part, Events):
                fused.clear(part.start, part.pixel, n, buffer)
            else:
                buffer.fill(0)  # the next patterns may come as events


def own_entropy(problem: Problem, weights: np.ndarray, rules: Rules, part: Part, panels: np.ndarray) -> float:
    """``sum w (m + small) log(m + small)`` of the counts m that the loss is measured on, which are also there in
    panels; see ``fused.poisson``."""
    small = rules.epsilon * rules.share
    if isinstance(part, Events):
        used = (len(part.start) - 1) * problem.used_pixels
        return fused.self_entropy(part.pixel, part.count, weights, problem.pixels, small, used)
    return sum(fused.dense_entropy(t, weights, np.float32(small)) for t in panels[: len(part)])


@inlined
def measure(
    rules: Rules,
    counted: Counted,
    b: int,
    weights: np.ndarray,
    intensity: np.ndarray,
    rho: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Add a pattern's losses (without :func:`own_entropy`) and totals to ``sums`` (see ``terms``), and
    set its residual factor."""
    share, scale = np.float32(rules.share), np.float32(1 / rules.pixels**2)
    counts, measured = counted.fitted[b], counted.measured[b]
    if rules.poisson:
        electrons, expected, electrons_measured, entropy = fused.poisson(
            counts, measured, intensity, weights, share, np.float32(rules.epsilon * rules.share),
            np.float32(rules.epsilon), np.float32(FISHER_STEP) * scale, rho,
        )  # fmt: skip
        loss = rules.share * expected - electrons_measured - entropy
    else:
        electrons, expected, loss = fused.amplitude(counts, measured, intensity, weights, share, _FLOOR, scale, rho)
    sums[ELECTRONS] += electrons
    sums[INTENSITY] += expected
    sums[LOSS] += loss
    if rules.held_ratio > 0:
        low, high = counted.start[b], counted.start[b + 1]
        pixel, count = counted.pixel[low:high], counted.electrons[low:high]
        sums[HELD_LOSS] += fused.loss_held(pixel, count, intensity, rules.pixels, rules.held_ratio, expected, LOG_FLOOR)
    if rules.background:
        epsilon = rules.epsilon if rules.poisson else AMPLITUDE_FLOOR
        numerator, denominator = fused.background_sums(counts, intensity, weights, epsilon)
        sums[BACKGROUND_NUMERATOR] += numerator
        sums[BACKGROUND_DENOMINATOR] += denominator
