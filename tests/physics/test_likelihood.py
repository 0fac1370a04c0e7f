"""Likelihoods: the residual is the gradient, it is unbiased, and masked pixels exert no force."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import slope
from scipy.special import xlogy
from scipy.stats import poisson

from ptychodask._array import to_host
from ptychodask.physics.likelihood import (
    Likelihood,
    fisher_weight,
    gradient_scale,
    held_out_loss,
    loss,
    residual_factor,
)

KINDS = [Likelihood("poisson", 0.1), Likelihood("poisson", 0.003), Likelihood("amplitude", 0.1)]


@pytest.fixture
def data():
    rng = np.random.default_rng(3)
    predicted = rng.uniform(0.3, 8.0, (3, 8, 8))
    counts = rng.poisson(predicted).astype(float)
    assert (counts == 0).any()
    weights = (rng.random((8, 8)) > 0.2).astype(float)
    assert 0 < weights.sum() < 64
    return counts, predicted, weights


@pytest.mark.parametrize("likelihood", KINDS, ids=str)
def test_residual_is_the_scaled_gradient(likelihood, data, xp):
    """d loss / dI = -rho / c in every pixel."""
    counts, predicted, weights = (xp.asarray(a) for a in data)
    rho = to_host(residual_factor(likelihood, counts, predicted, weights))
    for index in np.ndindex(1, 8, 8):
        unit = np.zeros(predicted.shape)
        unit[index] = 1.0
        unit = xp.asarray(unit)
        derivative = slope(lambda t, u=unit: loss(likelihood, counts, predicted + t * u, weights))
        assert -rho[index] / gradient_scale(likelihood) == pytest.approx(derivative, rel=1e-5, abs=2e-6)


@pytest.mark.parametrize("likelihood", KINDS, ids=str)
def test_masked_pixels_exert_no_force(likelihood, data):
    counts, predicted, weights = data
    masked = weights == 0
    assert (residual_factor(likelihood, counts, predicted, weights)[:, masked] == 0).all()
    assert (fisher_weight(likelihood, predicted, weights)[:, masked] == 0).all()
    other = counts + 100 * masked
    assert loss(likelihood, other, predicted, weights) == loss(likelihood, counts, predicted, weights)


@pytest.mark.parametrize("likelihood", KINDS, ids=str)
def test_loss_is_zero_at_a_perfect_fit_and_positive_elsewhere(likelihood, data):
    counts, predicted, weights = data
    assert loss(likelihood, counts, counts.copy(), weights) == pytest.approx(0, abs=1e-12)
    assert loss(likelihood, counts, predicted, weights) > 1


def test_poisson_loss_is_half_the_deviance_without_shift(data):
    counts, predicted, weights = data
    found = loss(Likelihood("poisson", 1e-12), counts, predicted, weights)
    expected = (weights * (predicted - counts + xlogy(counts, counts / predicted))).sum()
    assert found == pytest.approx(expected, rel=1e-9)


def expected_residual(likelihood: Likelihood, intensity: float, mean: float) -> float:
    n = np.arange(0, 200)
    rho = residual_factor(likelihood, n.astype(float), np.full(n.shape, intensity), np.ones(n.shape))
    return float((poisson.pmf(n, mean) * rho).sum())


@pytest.mark.parametrize("mean", [0.001, 0.05, 1.0, 20.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_poisson_residual_is_unbiased(mean, epsilon):
    likelihood = Likelihood("poisson", epsilon)
    assert expected_residual(likelihood, mean, mean) == pytest.approx(0, abs=1e-12)
    # and it pushes towards the mean from both sides
    assert expected_residual(likelihood, 0.9 * mean, mean) > 1e-5
    assert expected_residual(likelihood, 1.1 * mean, mean) < -1e-5


@pytest.mark.parametrize(("mean", "ratio"), [(0.01, 0.0099), (0.2, 0.178), (1.0, 0.598), (5.0, 0.943), (20.0, 0.987)])
def test_amplitude_residual_is_biased(mean, ratio):
    """Its fixed point is (E sqrt n)^2, far below the mean of low counts."""
    likelihood = Likelihood("amplitude", 0.1)
    fixed = (poisson.pmf(np.arange(200), mean) * np.sqrt(np.arange(200))).sum() ** 2
    assert fixed / mean == pytest.approx(ratio, rel=6e-3)
    assert expected_residual(likelihood, fixed, mean) == pytest.approx(0, abs=2e-4)
    assert expected_residual(likelihood, mean, mean) < -5e-3


@pytest.mark.parametrize("likelihood", KINDS, ids=str)
def test_fisher_weight_is_the_curvature_at_the_counts(likelihood):
    counts = np.array([[[1.0, 4.0], [9.0, 25.0]]])
    weights = np.array([[1.0, 1.0], [1.0, 0.0]])
    found = fisher_weight(likelihood, counts, weights)
    for index in np.ndindex(counts.shape):
        unit = np.zeros(counts.shape)
        unit[index] = 1.0
        curvature = slope(
            lambda t, u=unit: slope(lambda s: loss(likelihood, counts, counts + (t + s) * u, weights), 1e-2),
            1e-2,
        )
        assert found[index] == pytest.approx(curvature, rel=1e-5, abs=1e-6)


def test_held_out_loss_is_the_dense_formula(data, xp):
    _, predicted, weights = data
    held = np.random.default_rng(4).poisson(0.1 * predicted).astype(float) * weights
    pattern, pixel = np.nonzero(held.reshape(3, -1))
    count = held.reshape(3, -1)[pattern, pixel]
    scaled = predicted / 9
    expected = float((weights * scaled).sum())
    dense = (weights * (scaled - held + xlogy(held, held / scaled))).sum()
    arrays = (xp.asarray(a) for a in (pixel, count, pattern, scaled))
    assert held_out_loss(*arrays, expected) == pytest.approx(dense, rel=1e-7)


def test_loss_sums_in_double_precision():
    counts, predicted = np.zeros((64, 64, 64), np.float32), np.full((64, 64, 64), 0.1, np.float32)
    weights = np.ones((64, 64), np.float32)
    found = loss(Likelihood("amplitude", 0.1), counts, predicted, weights)
    assert found == pytest.approx(64**3 * 0.2, rel=1e-6)
