"""Scan, canvas and blocks."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask._errors import InputError
from ptychodask.model.blocks import default_shard, make_blocks
from ptychodask.model.scan import Detector, make_canvas, raster
from ptychodask.physics.views import split_positions


@pytest.fixture
def positions():
    return np.random.default_rng(0).uniform(-30, 50, (40, 2)) + np.array([1000, -500])


def test_canvas_holds_every_view_with_its_rim(positions):
    n, pad = 32, 5
    canvas, centres = make_canvas(positions, n, 0.3, pad)
    corners, fractions = split_positions(centres, n)
    assert corners.min() == pad  # the first view begins where the rim ends
    assert (corners + n <= np.array(canvas.shape) - pad + 1).all()
    assert (np.array(canvas.shape) - (corners + n).max(axis=0) <= pad + 1).all()  # and none of it is wasted
    assert np.abs(fractions).max() <= 0.5
    assert centres.dtype == np.float64


def test_positions_and_pixels_share_a_frame(positions):
    canvas, centres = make_canvas(positions, 32, 0.3)
    for axis in (0, 1):
        coordinates = canvas.coordinates(axis)
        assert len(coordinates) == canvas.shape[axis]
        found = np.interp(centres[:, axis], np.arange(len(coordinates)), coordinates)
        np.testing.assert_allclose(found, positions[:, axis], rtol=0, atol=1e-9)


def test_canvas_errors(positions):
    with pytest.raises(InputError, match="2 scan positions are not finite"):
        make_canvas(np.array([[0, np.nan], [np.inf, 1.0], [2, 2]]), 32, 0.3)
    with pytest.raises(InputError, match="angstrom"):
        make_canvas(positions * 1e4, 32, 0.3)


@pytest.mark.parametrize(("pixels", "step"), [(7, 1.0), (6, 1.0), (33, 1.0), (32, 0.0), (32, float("nan"))])
def test_bad_detector(pixels, step):
    with pytest.raises(InputError):
        Detector(pixels, step)


def test_detector_sampling():
    detector = Detector(128, 0.5)
    assert detector.max_angle_mrad == 32.0
    assert detector.pixel_angstrom(0.02) == pytest.approx(0.02 / 0.064)


def test_raster_is_row_major_and_starts_at_zero():
    grid = raster((2, 3), (0.5, 2.0))
    assert grid.shape == (2, 3, 2)
    np.testing.assert_array_equal(grid[0, 0], [0, 0])
    np.testing.assert_array_equal(grid[1, 2], [0.5, 4.0])
    np.testing.assert_array_equal(grid.reshape(-1, 2)[3], [0.5, 0.0])


@pytest.mark.parametrize(("shape", "tile"), [((5, 7), (2, 3)), ((4, 4), (4, 4)), ((1, 9), (3, 2)), ((6, 6), (1, 6))])
def test_blocks_cover_every_position_once(shape, tile):
    blocks = make_blocks(shape, tile)
    found = np.concatenate([b.flat(shape) for b in blocks])
    np.testing.assert_array_equal(np.sort(found), np.arange(shape[0] * shape[1]))
    assert [b.index for b in blocks] == list(range(len(blocks)))
    assert all(b.size == len(b.flat(shape)) <= tile[0] * tile[1] for b in blocks)


def test_order_within_a_block_is_that_of_the_scan():
    block = make_blocks((4, 6), (2, 3))[1]
    scan = np.arange(24).reshape(4, 6)
    np.testing.assert_array_equal(block.flat((4, 6)), scan[0:2, 3:6].ravel())


@pytest.mark.parametrize(
    ("shape", "tile"),
    [((16, 16), (16, 16)), ((64, 64), (16, 16)), ((48, 40), (12, 10)), ((3, 5), (3, 5)), ((17, 33), (9, 9))],
)
def test_default_shard(shape, tile):
    assert default_shard(shape) == tile


@pytest.mark.parametrize("n", range(1, 200, 7))
def test_default_shard_gives_even_and_nearly_equal_pieces(n):
    side = default_shard((n, n))[0]
    starts = range(0, n, side)
    assert side <= 16
    assert len(starts) == 1 or len(starts) % 2 == 0
    assert side - (n - starts[-1]) < len(starts)
