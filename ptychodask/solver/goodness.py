"""Is the loss what Poisson noise around the model gives? Compared on a subset of the patterns, for a final state.

The model has been fitted to these counts, so it has taken up some of their noise: sound data give a loss somewhat below
its expectation, by half the number of unknowns that are really free, over the patterns.
"""

from __future__ import annotations

import numpy as np

from .._array import backend_module, to_host
from ..counts.patterns import Patterns, dense
from ..counts.subset import subset, taken
from ..model.blocks import Block
from ..model.state import Model
from ..physics.expected_loss import expected_loss
from ..physics.likelihood import loss
from ..physics.multislice import forward, intensity
from ..physics.views import gather
from .partial import batches, localise
from .problem import Problem, shifted_probes
from .update import Sums

TESTED = 2048
"""Patterns of a scan that are compared, about."""


def goodness(problem: Problem, block: Block, patterns: Patterns, model: Model) -> Sums:
    """Loss of the fitted counts, its expectation and variance, and the number of patterns compared.

    The patterns are one in n of the scan (see :func:`ptychodask.counts.subset.subset`), with n such that about
    :data:`TESTED` are taken.
    """
    stride = max(1, -(-problem.scan_shape[0] * problem.scan_shape[1] // TESTED))
    chosen = subset(block.flat(problem.scan_shape), stride, 0)
    if not len(chosen):
        return Sums()
    xp = backend_module(problem.backend)
    local = localise(problem, block, model)
    likelihood, weights = problem.likelihood, problem.weights.astype(np.float64)
    counted = taken(patterns.fitted, chosen)
    corners, fractions = local.corners[chosen], local.fractions[chosen]
    found = expected = variance = 0.0
    batch = problem.line_batch if problem.device_batch else problem.settings.batch
    for part in batches(len(corners), batch):
        counts = dense(counted, part.start, part.stop, problem.pixels, xp, local.weights.dtype)
        views = gather(local.transmission, corners[part], problem.pixels)
        _, psi = forward(views, shifted_probes(local.spectra, fractions[part])[0], local.propagators)
        predicted = intensity(psi) + local.weights.dtype.type(model.background)
        mean, spread = expected_loss(likelihood, to_host(predicted))
        found += loss(likelihood, counts, predicted, local.weights)
        expected += float((weights * mean).sum())
        variance += float((weights * spread).sum())
    return Sums(tested=float(len(corners)), tested_loss=found, expected_loss=expected, expected_variance=variance)
