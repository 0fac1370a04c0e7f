"""Whole numbers that are no counts are told, and counts are not; bad pixels by their neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask.counts.badpixels import bad_pixels
from ptychodask.counts.unit import no_counts

RNG = np.random.default_rng(0)
DISK = np.hypot(*(np.indices((40, 40)) - 20)) < 9


def patterns(mean):
    return RNG.poisson(np.where(DISK, mean, mean / 200), (16, 40, 40)).reshape(16, -1)


@pytest.mark.parametrize("mean", [0.02, 0.3, 5.0, 400.0, 30_000.0])
def test_counts_may_be_counts(mean):
    assert no_counts(patterns(mean)) == ""


def test_so_may_bright_ones_with_electrons_everywhere_and_the_same_frame_again():
    assert no_counts(RNG.poisson(60.0, (16, 1600))) == ""
    assert no_counts(np.repeat(patterns(300.0)[:1] + 3, 16, axis=0)) == ""
    assert no_counts(np.full((16, 1600), 2)) == ""


def test_a_gain_a_pedestal_and_what_nobody_counts_are_told():
    assert "multiples of 150: give --gain 150" in no_counts(150 * patterns(5.0))
    noisy = np.rint(100 + 8 * patterns(2.0) + RNG.normal(0, 3, (16, 1600))).astype(np.uint16)
    assert "this is a pedestal" in no_counts(noisy)
    assert "more than any detector counts" in no_counts(RNG.poisson(30_000.0, (4, 900)))


def scan_sum(per_pixel):
    rng = np.random.default_rng(1)
    y, x = np.indices((64, 64)) - 32.3
    edge = np.clip(16.4 - np.hypot(y, x), 0, 1)
    far = 0.004 * np.exp(-np.hypot(y, x) / 12)
    bragg = sum(0.05 * np.exp(-((y - a) ** 2 + (x - b) ** 2) / 2) for a, b in ((20, 5), (-22, 3), (5, -24)))
    return rng.poisson(per_pixel * (edge + far + bragg)).astype(float)


@pytest.mark.parametrize("per_pixel", [5, 60, 400, 1e4, 1e6])
def test_neither_the_edge_of_the_disk_nor_spots_are_bad(per_pixel):
    hot, dead = bad_pixels(scan_sum(per_pixel), np.ones((64, 64), bool))
    assert not hot.any() and not dead.any()


def test_planted_pixels_are_found_also_in_pairs_and_on_the_edge():
    electrons, used = scan_sum(400), np.ones((64, 64), bool)
    for place in ((3, 3), (3, 4), (0, 63), (32, 48), (50, 10)):
        electrons[place] = 3000
    for place in ((32, 32), (33, 32), (25, 30)):
        electrons[place] = 0
    electrons[40, 40] = 1e9
    used[40, 40] = False
    hot, dead = bad_pixels(electrons, used)
    assert sorted(map(tuple, np.argwhere(hot))) == [(0, 63), (3, 3), (3, 4), (32, 48), (50, 10)]
    assert sorted(map(tuple, np.argwhere(dead))) == [(25, 30), (32, 32), (33, 32)]
