"""What the detector says about the patterns of a run on the CPU: losses, totals and the residual factors, in tiles."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..physics import fused
from ..physics.likelihood import AMPLITUDE_FLOOR, FISHER_STEP, LOG_FLOOR
from ..physics.vectors import inlined
from .events import Events
from .patterns import Counts, Patterns
from .problem import Problem
from .workspace import Workspace

_FLOOR = np.float32(AMPLITUDE_FLOOR)


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
    """Counts of a run of R patterns: those that are fitted and those that the loss is measured on, in tiles
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


def counted(patterns: Patterns, low: int, high: int, space: Workspace) -> Counted:
    """Counts of patterns low to high in the buffers of a workspace, until they are :func:`taken_back`."""
    _fill(patterns.fitted, low, high, patterns.pixels, space.counts)
    if patterns.train is not None:
        _fill(patterns.train, low, high, patterns.pixels, space.measured)
    measured = space.counts if patterns.train is None else space.measured
    start, pixel, count = np.zeros(high - low + 1, np.int64), np.zeros(0, np.uint32), np.zeros(0, np.float32)
    if patterns.held is not None:
        start, pixel, count = _events(patterns.held, low, high)
    return Counted(space.counts, measured, start, pixel, count)


def taken_back(patterns: Patterns, low: int, high: int, space: Workspace) -> None:
    """Leave zeros in the buffers."""
    for counts, buffer in ((patterns.fitted, space.counts), (patterns.train, space.measured)):
        if isinstance(counts, Events):
            fused.clear(*_events(counts, low, high)[:2], patterns.pixels, buffer)
        elif counts is not None:
            buffer.fill(0)  # the next patterns may come as events


def own_entropy(problem: Problem, patterns: Patterns, rules: Rules, low: int, high: int, space: Workspace) -> float:
    """``sum w (m + small) log(m + small)`` of the counts m that the loss is measured on, see ``fused.poisson``."""
    counts, small = patterns.fitted if patterns.train is None else patterns.train, rules.epsilon * rules.share
    weights = problem.tiles.weights
    if isinstance(counts, Events):
        _, pixel, count = _events(counts, low, high)
        used = (high - low) * problem.used_pixels
        return fused.self_entropy(pixel, count, weights, problem.pixels, small, used)
    tiles = space.counts if patterns.train is None else space.measured
    return sum(fused.dense_entropy(t, weights, np.float32(small)) for t in tiles[: high - low])


def _events(counts: Events, low: int, high: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Events of some patterns, in one type for all that are stored, so that kernels are compiled once."""
    inside = slice(counts.start[low], counts.start[high])
    start = counts.start[low : high + 1] - counts.start[low]
    return start, counts.pixel[inside].astype(np.uint32), counts.count[inside].astype(np.float32)


def _fill(counts: Counts, low: int, high: int, n: int, buffer: np.ndarray) -> None:
    if isinstance(counts, Events):
        fused.spread(*_events(counts, low, high), n, buffer)
    else:
        fused.arrange(counts[low:high], buffer)


@inlined
def measure(rules: Any, counted: Any, b: int, weights: Any, intensity: Any, rho: Any, sums: Any) -> None:
    """Add a pattern's losses (without :func:`own_entropy`) and totals to ``sums`` (in the order of :class:`Sums`), and
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
    sums[0] += electrons
    sums[1] += expected
    sums[2] += loss
    if rules.held_ratio > 0:
        low, high = counted.start[b], counted.start[b + 1]
        pixel, count = counted.pixel[low:high], counted.electrons[low:high]
        sums[3] += fused.loss_held(pixel, count, intensity, rules.pixels, rules.held_ratio, expected, LOG_FLOOR)
    if rules.background:
        epsilon = rules.epsilon if rules.poisson else AMPLITUDE_FLOOR
        numerator, denominator = fused.background_sums(counts, intensity, weights, epsilon)
        sums[4] += numerator
        sums[5] += denominator
