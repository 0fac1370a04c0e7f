"""Bins and Fourier coefficients, against sums over pixels."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask.calibration.bright_field import binned, coarser, make_bins, make_spectrum, misfires
from ptychodask.counts.patterns import to_events

N, SCAN = 24, (12, 10)
USED = np.ones((N, N), bool)
USED[11, 12] = False


def counts(rate=0.4, seed=0):
    y, x = np.indices((N, N))
    disk = np.hypot(y - 12.2, x - 11.7) < 8
    return np.random.default_rng(seed).poisson(rate * disk, (120, N, N)).astype(np.uint8)


@pytest.mark.parametrize("across", [40, 8])
def test_bins_hold_the_electrons_of_their_pixels(across):
    patterns, bins = counts(), make_bins(USED, (12.2, 11.7), 8.0, across)
    stored = np.fft.ifftshift(patterns, axes=(-2, -1))
    label = np.fft.fftshift(bins.label)
    found, total, electrons = binned(stored, bins)
    sparse = binned(to_events(stored), bins)
    for one, other in zip((found, total, electrons), sparse, strict=True):
        np.testing.assert_array_equal(one, other)
    for k in (0, bins.number // 2, bins.number - 1):
        np.testing.assert_array_equal(found[:, k], patterns[:, label == k].sum(axis=1))
        assert bins.pixels[k] == (label == k).sum()
        np.testing.assert_allclose(bins.place[k], np.argwhere(label == k).mean(axis=0))
    assert label[11, 12] == bins.number
    np.testing.assert_array_equal(total, stored.sum(axis=0))


def spectrum(patterns, bins):
    electrons, _, totals = binned(np.fft.ifftshift(patterns, axes=(-2, -1)), bins)
    return make_spectrum(electrons, SCAN, (1.0, 1.2), bins, (12.2, 11.7), 0.4, 0.03, 0.24, misfires(totals))


def test_coefficients_of_noise_have_variance_one():
    found = spectrum(counts(), make_bins(USED, (12.2, 11.7), 8.0))
    assert (np.abs(found.values) ** 2).mean() == pytest.approx(1.0, abs=0.05)
    assert (np.hypot(*found.q.T) < 2.2 * 0.24).all() and len(np.unique(found.q, axis=0)) == len(found.q)
    mirrored = {tuple(q) for q in -found.q}
    assert not mirrored & {tuple(q) for q in found.q}


def test_joined_bins_are_bins_of_joined_pixels():
    """By way of the coefficients, or of the electrons."""
    used = np.ones((N, N), bool)
    fine = spectrum(counts(4.0), make_bins(used, (12.5, 12.5), 7.0, 60))
    joined = coarser(fine, 0.06)
    assert len(joined.k) < 0.4 * len(fine.k)
    assert joined.mean.sum() == pytest.approx(fine.mean.sum())
    noise = np.abs(coarser(fine, 0.06).values) ** 2
    assert noise.mean() == pytest.approx((np.abs(fine.values) ** 2).mean(), abs=0.1)
    # a signal that is the same in all pixels of a bin is seen as well with either
    phi = np.ones(len(fine.q), complex)
    signal = coarser(type(fine)(fine.q, fine.k, phi[:, None] * fine.gain, fine.gain, fine.mean), 0.06)
    np.testing.assert_allclose(signal.values, np.broadcast_to(signal.gain, signal.values.shape), rtol=1e-5)


def test_misfires_count_as_the_mean():
    patterns = counts()
    patterns[7] = 30
    patterns[50] = 0
    totals = patterns.sum(axis=(1, 2)).astype(float)
    totals[3] = np.nan
    assert np.flatnonzero(misfires(totals)).tolist() == [3, 7, 50]
    found = spectrum(patterns, make_bins(USED, (12.2, 11.7), 8.0))
    assert (np.abs(found.values) ** 2).mean() == pytest.approx(1.0, abs=0.06)
