"""The loss beside that of Poisson noise, by array code."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from ..._array import to_host
from ...counts.patterns import Counts, dense
from ...model.blocks import Block
from ...model.state import Model
from ...physics.expected_loss import expected_loss
from ...physics.likelihood import loss
from ...physics.multislice import forward, intensity
from ...physics.views import gather
from ...solver.problem import Problem, shifted_probes
from .local import batches, localise


def compare(
    problem: Problem, xp: ModuleType, block: Block, counts: Counts, model: Model, chosen: np.ndarray
) -> tuple[float, float, float]:
    """Loss of the patterns at the ``chosen`` places of a block, whose counts are given, and what Poisson noise around
    the model gives: its mean and its variance."""
    local = localise(problem, xp, block, model)
    weights = problem.weights.astype(np.float64)
    found = expected = variance = 0.0
    for part in batches(len(chosen), problem.settings.batch):
        views = gather(local.transmission, local.corners[chosen[part]], problem.pixels)
        probes, _ = shifted_probes(local.spectra, local.fractions[chosen[part]])
        _, psi = forward(views, probes, local.propagators)
        predicted = intensity(psi) + local.weights.dtype.type(model.background)
        measured = dense(counts, part.start, part.stop, problem.pixels, xp, local.weights.dtype)
        mean, spread = expected_loss(problem.likelihood, to_host(predicted))
        found += loss(problem.likelihood, measured, predicted, local.weights)
        expected += float((weights * mean).sum())
        variance += float((weights * spread).sum())
    return found, expected, variance
