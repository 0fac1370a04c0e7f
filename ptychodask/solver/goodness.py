"""Is the loss what Poisson noise around the model gives? Compared on a subset of the patterns, for a final state.

The model has been fitted to these counts, so it has taken up some of their noise: sound data give a loss somewhat below
its expectation, by half the number of unknowns that are really free, over the patterns.
"""

from __future__ import annotations

from ..counts.patterns import Patterns
from ..counts.subset import subset, taken
from ..model.blocks import Block
from ..model.state import Model
from .door import Kernels
from .problem import Problem
from .update import Sums

TESTED = 2048
"""Patterns of a scan that are compared, about."""


def goodness(problem: Problem, kernels: Kernels, block: Block, patterns: Patterns, model: Model) -> Sums:
    """Loss of the fitted counts, its expectation and variance, and the number of patterns compared.

    The patterns are one in n of the scan (see :func:`ptychodask.counts.subset.subset`), with n such that about
    :data:`TESTED` are taken.
    """
    stride = max(1, -(-problem.scan_shape[0] * problem.scan_shape[1] // TESTED))
    chosen = subset(block.flat(problem.scan_shape), stride, 0)
    if not len(chosen):
        return Sums()
    loss, expected, variance = kernels.compare(block, taken(patterns.fitted, chosen), model, chosen)
    return Sums(tested=float(len(chosen)), tested_loss=loss, expected_loss=expected, expected_variance=variance)
