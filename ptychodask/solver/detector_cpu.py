"""What the detector says about one pattern on the CPU: losses, totals and the residual factor, in tiles."""

from __future__ import annotations

import numpy as np

from ..physics import fused
from ..physics.likelihood import AMPLITUDE_FLOOR, FISHER_STEP, LOG_FLOOR
from .patterns import Events, Patterns
from .problem import Problem
from .workspace import Workspace


def _fill(counts: Events | np.ndarray, b: int, n: int, buffer: np.ndarray) -> np.ndarray:
    """The counts of pattern b in a buffer of tiles."""
    if isinstance(counts, np.ndarray):
        fused.arrange(counts[b], buffer)
        return buffer
    low, high = counts.start[b], counts.start[b + 1]
    fused.spread(counts.pixel[low:high], counts.count[low:high], n, buffer)
    return buffer


def _own_entropy(
    source: Events | np.ndarray, b: int, counts: np.ndarray, weights: np.ndarray, e: float, problem: Problem
) -> float:
    """``sum w (n + e) log(n + e)`` of a pattern, whose ``counts`` are also there in tiles."""
    if isinstance(source, np.ndarray):
        return fused.dense_entropy(counts, weights, np.float32(e))
    low, high = source.start[b], source.start[b + 1]
    pixels, count = source.pixel[low:high], source.count[low:high]
    return fused.self_entropy(pixels, count, weights, problem.pixels, e, problem.used_pixels)


def _empty(counts: Events | np.ndarray, b: int, n: int, buffer: np.ndarray) -> None:
    if isinstance(counts, Events):
        fused.clear(counts.pixel[counts.start[b] : counts.start[b + 1]], n, buffer)
    else:
        buffer.fill(0)  # the next pattern may come as events


def measure(
    problem: Problem,
    patterns: Patterns,
    b: int,
    space: Workspace,
    sums: np.ndarray,
) -> None:
    """Add a pattern's losses and totals to ``sums`` (in the order of :class:`Sums`) and set its residual factor."""
    settings, n, intensity, weights = problem.settings, problem.pixels, space.intensity, problem.tiles.weights
    epsilon, scale = problem.likelihood.epsilon, np.float32(1 / n**2)
    poisson = settings.residual == "poisson"
    counts = _fill(patterns.fitted, b, n, space.counts)
    share, measured, source = 1.0, counts, patterns.fitted
    if patterns.train is not None and settings.train_fraction is not None:
        share, measured, source = settings.train_fraction, _fill(patterns.train, b, n, space.measured), patterns.train
    if poisson:
        small, factor = epsilon * share, np.float32(FISHER_STEP) * scale
        electrons, expected, electrons_measured, entropy = fused.poisson(
            counts, measured, intensity, weights, np.float32(share), np.float32(small), np.float32(epsilon), factor,
            space.rho,
        )  # fmt: skip
        loss = share * expected - electrons_measured - entropy
        loss += _own_entropy(source, b, measured, weights, small, problem)
    else:
        electrons, expected = fused.totals(counts, intensity, weights)
        loss = fused.loss_amplitude(measured, intensity, weights, share)
        fused.force_amplitude(counts, intensity, weights, np.float32(AMPLITUDE_FLOOR), scale, space.rho)
    held = 0.0
    if patterns.held is not None and settings.train_fraction is not None:
        low, high = patterns.held.start[b], patterns.held.start[b + 1]
        ratio = (1 - settings.train_fraction) / settings.train_fraction
        pixels, count = patterns.held.pixel[low:high], patterns.held.count[low:high]
        held = fused.loss_held(pixels, count, intensity, n, ratio, expected, LOG_FLOOR)
    sums[:4] += (electrons, expected, loss, held)
    if settings.background:
        sums[4:] += fused.background_sums(counts, intensity, weights, epsilon if poisson else AMPLITUDE_FLOOR)
    _empty(patterns.fitted, b, n, space.counts)
    if measured is space.measured:
        _empty(source, b, n, space.measured)
