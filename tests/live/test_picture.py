"""What a page shows is what the object is: means on one grid, the same however the object is cut into tiles."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask.live import picture as module
from ptychodask.live.picture import Frame, picture, piece
from ptychodask.model.scan import Canvas
from ptychodask.model.state import Model, State, TileState
from ptychodask.model.tiles import Rect

HEIGHT, WIDTH, PIXEL = 61, 47, 0.4
CANVAS = Canvas((HEIGHT, WIDTH), PIXEL, (-3.0, 5.0))
SCAN = Rect(8, 50, 6, 40)
WHOLE = (Rect(0, HEIGHT, 0, WIDTH),)
CUT = tuple(Rect(y0, y1, x0, x1) for y0, y1 in ((0, 30), (30, 61)) for x0, x1 in ((0, 25), (25, 47)))


@pytest.fixture
def coarse(monkeypatch):
    """Three pixels of the object in one of the picture, and a spectrum that any tile holds."""
    monkeypatch.setattr(module, "SIDE", 21)
    monkeypatch.setattr(module, "SPECTRUM", 16)


def shown(object_, tiles, scan=SCAN):
    frame = Frame(CANVAS, scan, tiles)
    probe = np.zeros((6, 32, 32), np.complex64)
    probe[:, 16, 16] = np.sqrt([50, 25, 15, 5, 3, 2])
    shared = State(Model(object_[:, :0, :0], probe), object_[:, :0, :0])
    pieces = []
    for index, tile in enumerate(tiles):
        part = object_[(slice(None), *tile.inside((0, 0)))]
        pieces.append(piece(TileState(part, part), frame, index))
    return picture(pieces, shared, frame)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_means_on_the_grid_whole_or_in_tiles(coarse, dtype):
    object_ = np.random.default_rng(0).normal(size=(2, HEIGHT, WIDTH)).astype(dtype)
    phase = object_.real.sum(axis=0)
    expected = np.array([[phase[y : y + 3, x : x + 3].mean() for x in range(0, WIDTH, 3)] for y in range(0, HEIGHT, 3)])
    whole, cut = shown(object_, WHOLE), shown(object_, CUT)
    np.testing.assert_allclose(whole["phase"], expected, atol=1e-6)
    np.testing.assert_allclose(cut["phase"], expected, atol=1e-6)
    assert whole["shares"] == pytest.approx([0.5, 0.25, 0.15, 0.05, 0.03, 0.02])
    assert len(whole["modes"]) == 4 and whole["modes"][0].shape == (32, 32, 4)


def test_edges_are_those_of_pixels_with_y_downward(coarse):
    left, right, bottom, top = shown(np.zeros((1, HEIGHT, WIDTH), np.float32), WHOLE)["scan"]
    assert (left, right) == pytest.approx((5.0 + 5.5 * PIXEL, 5.0 + 39.5 * PIXEL))
    assert (top, bottom) == pytest.approx((-3.0 + 7.5 * PIXEL, -3.0 + 49.5 * PIXEL)) and bottom > top


def test_a_lattice_has_its_peaks_where_they_belong():
    """Fringes along y of 2 angstrom: peaks at 0.5 per angstrom above and below the middle."""
    y = CANVAS.coordinates(0)[:, None]
    object_ = np.broadcast_to(0.1 * np.cos(2 * np.pi * y / 2.0), (1, HEIGHT, WIDTH)).astype(np.float32)
    made = shown(object_, WHOLE)
    power, (qy, qx) = made["power"], made["reach"]
    rows, columns = power.shape
    row, column = np.unravel_index(power.argmax(), power.shape)
    assert abs((row - rows // 2) / rows * 2 * qy) == pytest.approx(0.5, abs=1.2 / (rows * PIXEL))
    assert abs((column - columns // 2) / columns * 2 * qx) <= 1.2 / (columns * PIXEL)


def test_the_grey_is_that_of_the_scanned_area():
    object_ = np.zeros((1, HEIGHT, WIDTH), np.float32)
    object_[0, :5] = 100.0  # the rim, which hardly any electron saw
    object_[0, 8:50, 6:40] = np.linspace(0, 1, 42)[:, None]
    low, high = shown(object_, WHOLE)["limits"]
    assert low < 0.05 and 0.9 < high <= 1.0
