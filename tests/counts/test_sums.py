"""Sums of events against NumPy's of dense patterns."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask.counts.events import to_events
from ptychodask.counts.sums import Rays, lay_down, weighted_sums

N = 8


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(0).poisson(0.7, (5, N, N)).astype(np.float32)


def test_weighted_sums(counts):
    rng = np.random.default_rng(1)
    used, weights = rng.random(N * N) > 0.2, rng.random((N * N, 3))
    flat = counts.reshape(5, -1) * used
    counts.reshape(5, -1)[:, np.flatnonzero(~used)[0]] = np.nan  # a dead pixel is never looked at
    pattern = np.ones(N * N)
    found = weighted_sums(to_events(counts), used, weights, pattern)
    np.testing.assert_allclose(found, flat.astype(float) @ weights, rtol=1e-12)
    np.testing.assert_array_equal(pattern, 1 + flat.sum(axis=0))


def test_electrons_are_laid_down_bilinearly(counts):
    pixel = np.array([3, 10, 20])
    shift = np.array([[-1.25, 0.5], [0.0, 0.0], [2.0, -0.75]])
    rays = Rays.towards(pixel, shift)
    assert rays.reach == (2, 3, 1, 1)
    used = np.ones(N * N, bool)
    used[10] = False
    places = np.array([[4, 3], [4, 3], [5, 6], [6, 4], [2, 2]])
    canvas = np.zeros((12, 9))
    lay_down(to_events(counts), used, rays, places, canvas)
    expected = np.zeros_like(canvas)
    y, x = np.indices(canvas.shape)
    for pattern, (py, px) in zip(counts.reshape(5, -1), places, strict=True):
        for p, (sy, sx) in zip(pixel, shift, strict=True):
            tent = np.clip(1 - abs(y - py - sy), 0, None) * np.clip(1 - abs(x - px - sx), 0, None)
            expected += pattern[p] * used[p] * tent
    np.testing.assert_allclose(canvas, expected, rtol=1e-12, atol=1e-12)
    assert canvas.sum() == pytest.approx(counts.reshape(5, -1)[:, [3, 20]].sum())


def test_places_that_leave_the_canvas_are_refused(counts):
    rays = Rays.towards(np.array([3]), np.array([[-1.25, 0.5]]))
    with pytest.raises(AssertionError):
        lay_down(to_events(counts), np.ones(N * N, bool), rays, np.full((5, 2), 1), np.zeros((8, 8)))
