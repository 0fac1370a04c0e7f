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


def _poisson_loss(
    source: Events | np.ndarray,
    b: int,
    counts: np.ndarray,
    space: Workspace,
    problem: Problem,
    weights: np.ndarray,
    share: float,
) -> float:
    """Shifted Poisson loss of a pattern against ``share`` of the intensity, see ``likelihood.loss``."""
    e = problem.likelihood.epsilon * share
    small = np.float32(e)
    electrons, expected = fused.totals(counts, space.intensity, weights)
    # rho is not set yet: its buffer serves as scratch
    fused.logarithm(space.intensity, np.float32(share), small, space.rho, space.rho.view(np.int32), space.logs)
    value = share * expected - electrons - fused.cross_entropy(counts, space.logs, weights, small)
    if isinstance(source, Events):
        low, high = source.start[b], source.start[b + 1]
        pixels, count = source.pixel[low:high], source.count[low:high]
        return value + fused.self_entropy(pixels, count, weights, problem.pixels, e, problem.used_pixels)
    fused.logarithm(counts, np.float32(1), small, space.rho, space.rho.view(np.int32), space.logs)
    return value + fused.cross_entropy(counts, space.logs, weights, small)


def _empty(counts: Events | np.ndarray, b: int, n: int, buffer: np.ndarray) -> None:
    if isinstance(counts, Events):
        fused.clear(counts.pixel[counts.start[b] : counts.start[b + 1]], n, buffer)
    else:
        buffer.fill(0)  # the next pattern may come as events


def measure(
    problem: Problem,
    weights: np.ndarray,
    patterns: Patterns,
    b: int,
    space: Workspace,
    sums: np.ndarray,
    evaluate_only: bool,
) -> None:
    """Add a pattern's losses and totals to ``sums`` (in the order of :class:`Sums`) and set its residual factor."""
    settings, n, intensity = problem.settings, problem.pixels, space.intensity
    epsilon = problem.likelihood.epsilon
    poisson = settings.residual == "poisson"
    counts = _fill(patterns.fitted, b, n, space.counts)
    electrons, expected = fused.totals(counts, intensity, weights)
    share, measured = 1.0, counts
    if patterns.train is not None and settings.train_fraction is not None:
        share, measured = settings.train_fraction, _fill(patterns.train, b, n, space.measured)
    if poisson:
        source = patterns.fitted if patterns.train is None else patterns.train
        loss = _poisson_loss(source, b, measured, space, problem, weights, share)
    else:
        loss = fused.loss_amplitude(measured, intensity, weights, share)
    held = 0.0
    if patterns.held is not None and settings.train_fraction is not None:
        low, high = patterns.held.start[b], patterns.held.start[b + 1]
        ratio = (1 - settings.train_fraction) / settings.train_fraction
        pixels, count = patterns.held.pixel[low:high], patterns.held.count[low:high]
        held = fused.loss_held(pixels, count, intensity, n, ratio, expected, LOG_FLOOR)
    sums[:4] += (electrons, expected, loss, held)
    if settings.background:
        sums[4:] += fused.background_sums(counts, intensity, weights, epsilon if poisson else AMPLITUDE_FLOOR)
    if not evaluate_only:
        factor = np.float32(FISHER_STEP if poisson else 1.0) / np.float32(n * n)
        force = fused.force_poisson if poisson else fused.force_amplitude
        force(counts, intensity, weights, np.float32(epsilon if poisson else AMPLITUDE_FLOOR), factor, space.rho)
    _empty(patterns.fitted, b, n, space.counts)
    if measured is space.measured:
        _empty(patterns.train, b, n, space.measured)  # type: ignore[arg-type]
