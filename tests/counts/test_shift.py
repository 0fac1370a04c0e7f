"""Patterns move by whole pixels, as events and as arrays; what comes round is masked."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask.counts.events import Events, to_events, write_dense
from ptychodask.counts.shift import moved
from ptychodask.io.centre import moved_mask

RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(0.3, (6, 8, 8)).astype(np.uint8)
BY = np.array([[0, 0], [1, -2], [0, 3], [-4, 1], [1, -2], [8, 0]])


@pytest.mark.parametrize("sparse", [False, True])
def test_each_pattern_moves_by_its_own_pixels(sparse):
    found = moved(to_events(COUNTS) if sparse else COUNTS, BY, 8)
    if sparse:
        assert isinstance(found, Events) and found.count.dtype == COUNTS.dtype
        for b in range(6):  # containers rely on it
            assert (np.diff(found.pixel[found.start[b] : found.start[b + 1]].astype(int)) > 0).all()
        dense = np.empty_like(COUNTS)
        write_dense(found, dense)
        found = dense
    for pattern, before, by in zip(found, COUNTS, BY, strict=True):
        np.testing.assert_array_equal(pattern, np.roll(before, tuple(by), (0, 1)))


def test_what_does_not_move_is_not_touched():
    still = np.zeros((6, 2), int)
    assert moved(COUNTS, still, 8) is COUNTS


def test_a_mask_holds_what_is_seen_in_every_pattern():
    mask = np.ones((8, 8), np.uint8)
    mask[3, 3] = 0
    used = moved_mask(mask, np.array([[0, 0], [1, -2]]))
    assert not used[3, 3] and not used[4, 1] and used[4, 4]
    assert not used[0].any() and not used[:, 6:].any() and used.sum() == 7 * 6 - 2
