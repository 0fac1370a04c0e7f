"""Mean and variance of the loss under Poisson noise, against its definition and against drawn counts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import poisson

from ptychodask.physics.expected_loss import expected_loss
from ptychodask.physics.likelihood import Likelihood, loss

LIKELIHOODS = [Likelihood("poisson", 0.005), Likelihood("poisson", 2.0), Likelihood("amplitude", 0.0)]


def by_sum(likelihood, mean):
    counts = np.arange(int(mean + 20 * np.sqrt(mean) + 60), dtype=float)
    losses = np.array([loss(likelihood, np.array([c]), np.array([mean]), np.ones(1)) for c in counts])
    share = poisson.pmf(counts, mean)
    first = (share * losses).sum()
    return first, (share * (losses - first) ** 2).sum()


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=str)
@pytest.mark.parametrize("mean", [3.3e-6, 0.0021, 0.07, 0.9, 4.4, 61.0, 296.0, 311.0, 1500.0])
def test_it_is_the_sum_over_all_counts(likelihood, mean):
    found, variance = expected_loss(likelihood, np.array([mean]))
    expected, spread = by_sum(likelihood, mean)
    assert found[0] == pytest.approx(expected, rel=2e-5)
    assert variance[0] == pytest.approx(spread, rel=1e-2)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=str)
def test_without_intensity_there_is_no_loss(likelihood):
    found, variance = expected_loss(likelihood, np.array([0.0, 1e-12]))
    assert found[0] == variance[0] == 0 and 0 < found[1] < 1e-11


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=str)
def test_drawn_counts_have_it_within_the_stated_error(likelihood):
    rng = np.random.default_rng(3)
    intensity = np.exp(rng.uniform(-6, 4, 20_000))
    mean, variance = expected_loss(likelihood, intensity)
    drawn = loss(likelihood, rng.poisson(intensity).astype(float), intensity, np.ones(20_000))
    assert abs(drawn - mean.sum()) < 4 * np.sqrt(variance.sum())
