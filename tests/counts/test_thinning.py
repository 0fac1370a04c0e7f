"""Electron thinning: keyed by seed and pattern alone, binomial, and lossless."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask.counts.patterns import Events, dense, prepare, reunited
from ptychodask.counts.streams import generator
from ptychodask.counts.thinning import thin

SEED, P = 11, 0.8


@pytest.fixture
def counts():
    return np.random.default_rng(0).poisson(0.7, (12, 16, 16)).astype(np.uint8)


def whole(part: Events | np.ndarray, n: int = 16) -> np.ndarray:
    length = len(part) if isinstance(part, np.ndarray) else len(part.start) - 1
    return dense(part, 0, length, n, np, np.float64)


def thinned(counts: np.ndarray, pattern: int, fraction: float = P, seed: int = SEED) -> np.ndarray:
    """One pattern's electrons that are kept."""
    return thin(counts, np.array([0, len(counts)]), np.array([pattern]), fraction, seed)


def test_reproducible_and_keyed_by_seed_and_pattern():
    counts = np.full(500, 5)
    first = thinned(counts, 3)
    np.testing.assert_array_equal(first, thinned(counts, 3))
    assert (first != thinned(counts, 4)).any()
    assert (first != thinned(counts, 3, seed=SEED + 1)).any()


def test_the_bits_of_a_split_are_fixed():
    """A split decides what validates, so a release must not change it."""
    assert thinned(np.arange(12), 5, 0.5, 1).tolist() == BITS


BITS = [0, 1, 1, 2, 3, 2, 2, 2, 7, 4, 3, 10]


def test_streams_differ():
    draws = {generator(SEED, stream, 0).random() for stream in range(4)}
    assert len(draws) == 4


def test_binomial_mean_and_variance():
    n, size = 6, 40_000
    kept = np.concatenate([thinned(np.full(size // 100, n), j) for j in range(100)]).astype(float)
    variance = n * P * (1 - P)
    assert kept.mean() == pytest.approx(n * P, abs=5 * np.sqrt(variance / size))
    assert kept.var() == pytest.approx(variance, rel=5 * np.sqrt(2 / size) + 0.01)
    assert kept.min() >= 0 and kept.max() <= n


def test_the_two_sets_of_poisson_counts_are_independent():
    counts = np.random.default_rng(1).poisson(3.0, 40_000)
    kept = thinned(counts, 0, 0.5)
    assert abs(np.corrcoef(kept, counts - kept)[0, 1]) < 5 / np.sqrt(counts.size)


def test_type_is_kept():
    assert thinned(np.array([3, 4], np.uint8), 0).dtype == np.uint8


def test_neighbouring_patterns_seeds_and_electrons_draw_independently():
    """The numbers behind the split: uniform, and not correlated along any of the three keys."""
    ones = np.ones(4000, np.uint8)
    kept = np.array([[thinned(ones, j, 0.5, s) for j in range(20)] for s in range(5)]).astype(float)
    assert kept.mean() == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(kept.size))
    for axis in range(3):
        near = np.swapaxes(kept, 0, axis)
        pair = np.corrcoef(near[:-1].ravel(), near[1:].ravel())[0, 1]
        assert abs(pair) < 5 / np.sqrt(near[1:].size)


def test_a_split_does_not_depend_on_the_container(counts):
    """Pixels without electrons draw nothing, whether they are stored or not."""
    rows = counts.reshape(12, -1)
    dense_split = thin(rows.reshape(-1), np.arange(13) * rows.shape[1], np.arange(12), P, SEED).reshape(rows.shape)
    for j, row in enumerate(rows):
        np.testing.assert_array_equal(thinned(row[row > 0], j), dense_split[j][row > 0])
    assert 0 < dense_split.sum() < rows.sum()


def test_train_and_held_make_the_counts(counts):
    made = prepare(counts, np.arange(12), np.ones((16, 16)), P, SEED)
    assert made.held is not None
    train, held = whole(made.fitted), whole(made.held)
    np.testing.assert_array_equal(train + held, counts)
    assert 0 < held.sum() < train.sum()


def test_a_split_does_not_depend_on_the_block(counts):
    weights = np.ones((16, 16))
    together = prepare(counts, np.arange(12), weights, P, SEED)
    for indices in ([7, 2, 9], [0], [11, 10, 5, 1]):
        apart = prepare(counts[indices], np.array(indices), weights, P, SEED)
        np.testing.assert_array_equal(whole(apart.fitted), whole(together.fitted)[indices])
        np.testing.assert_array_equal(whole(apart.held), whole(together.held)[indices])


def test_the_mask_comes_before_the_split(counts):
    weights = np.ones((16, 16))
    weights[:, :7] = 0
    empty = prepare((counts * weights).astype(counts.dtype), np.arange(12), np.ones((16, 16)), P, SEED)
    masked = prepare(counts, np.arange(12), weights, P, SEED)
    np.testing.assert_array_equal(whole(masked.held), whole(empty.held))
    np.testing.assert_array_equal(whole(masked.fitted), whole(empty.fitted))
    assert not (whole(masked.held) * (1 - weights)).any() and not (whole(masked.fitted) * (1 - weights)).any()


def test_the_finish_fits_all_and_still_measures_on_the_training_share(counts):
    split = prepare(counts, np.arange(12), np.ones((16, 16)), P, SEED)
    finish = reunited(split)
    np.testing.assert_array_equal(whole(finish.fitted), counts)
    np.testing.assert_array_equal(whole(finish.train), whole(split.fitted))
    assert finish.held is None


def test_nothing_is_held_out_without_a_fraction(counts):
    made = prepare(counts, np.arange(12), np.ones((16, 16)), None, SEED)
    np.testing.assert_array_equal(whole(made.fitted), counts)
    assert made.held is None and made.train is None
