"""Levels of electrons in planted ADU: gain, noise, threshold, and the rate that is predicted."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask._errors import InputError
from ptychodask.counts.electrons import Levels, fit_levels

GAIN = 580.0


def planted(separation, zero=15.0, gain=GAIN, frames=60, mean=0.01, seed=0):
    """Numbers of electrons, a disk of which is brighter, and their ADU."""
    rng = np.random.default_rng(seed)
    expected = np.full((96, 96), mean / 10)
    expected[36:60, 36:60] = 10 * mean
    n = rng.poisson(expected, (frames, 96, 96))
    adu = zero + gain * n + gain / separation * rng.standard_normal(n.shape)
    return n, (adu + 0.1 * gain * np.sqrt(n) * rng.standard_normal(n.shape)).astype(np.float32)


def wrong(found, true):
    return np.abs(found.astype(int) - true).sum() / true.sum(), found.sum() / true.sum() - 1


@pytest.mark.parametrize(("separation", "most"), [(20.0, 2e-4), (8.0, 5e-3), (6.0, 0.05)])
def test_electrons_are_counted_and_the_rate_is_predicted(separation, most):
    _, adu = planted(separation)
    levels = fit_levels(adu)
    assert levels.gain == pytest.approx(GAIN, rel=0.01) and levels.zero == pytest.approx(15.0, abs=0.5)
    assert levels.noise == pytest.approx(GAIN / separation, rel=0.01)
    assert levels.spread == pytest.approx(0.1 * GAIN, rel=0.15)
    true, other = planted(separation, frames=120, seed=1)  # frames that the fit has not seen
    rate, total = wrong(levels.count(other), true)
    assert rate < most and abs(total) < (0.005 if separation >= 8 else 0.02)
    assert rate == pytest.approx(levels.miscounted, rel=0.25, abs=1e-4)
    assert total == pytest.approx(levels.excess, abs=0.002 if separation >= 8 else 0.01)
    rounded = np.maximum(np.rint((other - levels.zero) / levels.gain), 0)
    assert rate <= wrong(rounded, true)[0] + 1e-4


def test_whole_numbers_of_a_small_gain():
    true, adu = planted(8.0, zero=100.0, gain=30.0)
    levels = fit_levels(np.rint(adu).astype(np.uint16))
    assert levels.gain == pytest.approx(30, rel=0.02) and levels.zero == pytest.approx(100, abs=0.2)
    assert wrong(levels.count(np.rint(adu)), true)[0] < 0.006


def test_any_number_is_counted():
    levels = Levels(10.0, 2.0, 100.0, 5.0, (0.9, 0.08, 0.02), 10_000)
    assert 35 < levels.thresholds[0] < 40 and 150 < levels.thresholds[1] < 170
    values = np.array([[np.nan, -1e9, 10, 36.0], [112, 209, 1012, 1e5 + 10]])
    np.testing.assert_array_equal(levels.count(values), [[0, 0, 0, 0], [1, 2, 10, 1000]])
    assert levels.count(values).dtype == np.uint32


def test_thresholds_are_where_the_posterior_changes():
    levels = Levels(0.0, 10.0, 80.0, 8.0, (0.99, 0.009, 0.001), 1_000_000)
    width = np.sqrt(10.0**2 + np.arange(3) * 8.0**2)

    def posterior(x, k):
        return levels.weights[k] / width[k] * np.exp(-0.5 * ((x - 80 * k) / width[k]) ** 2)

    for k, at in enumerate(levels.thresholds, start=1):
        assert posterior(at + 0.1, k) > posterior(at + 0.1, k - 1)
        assert posterior(at - 0.1, k) < posterior(at - 0.1, k - 1)


def test_a_cosmic_ray_does_not_move_the_fit():
    _, adu = planted(8.0)
    before = fit_levels(adu)
    adu[3, 4, :40] = 3e7
    after = fit_levels(adu)
    assert after.gain == pytest.approx(before.gain, rel=0.003)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.random.default_rng(0).normal(10, 3, (20, 64, 64)), "values looked at stand out"),
        (planted(2.5)[1], "mis-counted.*give --gain"),
        (np.random.default_rng(0).normal(580, 400, (5, 64, 64)), "stand out of the noise"),
        (planted(10.0, mean=0.6)[1][:, 36:60, 36:60], "no peak of single electrons"),
    ],
)
def test_values_without_peaks_are_refused(values, told):
    with pytest.raises(InputError, match=told):
        fit_levels(values)
