"""Tiles of the canvas: who owns a pixel, who lends it and who gives to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychodask import InputError
from ptychodask.model.tiles import Rect, core_sides, deal, hull, make_tiles


def covered(canvas, rects):
    count = np.zeros(canvas, int)
    for rect in rects:
        count[rect.inside((0, 0))] += 1
    return count


@st.composite
def scans(draw):
    canvas = draw(st.tuples(st.integers(8, 60), st.integers(8, 60)))
    windows = []
    for _ in range(draw(st.integers(1, 12))):
        y0, x0 = draw(st.integers(0, canvas[0] - 4)), draw(st.integers(0, canvas[1] - 4))
        y1, x1 = draw(st.integers(y0 + 1, canvas[0])), draw(st.integers(x0 + 1, canvas[1]))
        windows.append(Rect(y0, y1, x0, x1))
    return canvas, draw(st.integers(5, 70)), windows, draw(st.integers(0, 9))


@settings(max_examples=30, deadline=None)
@given(scans())
def test_every_tile_can_get_what_it_needs_and_no_pixel_has_two_owners(scan):
    canvas, side, windows, margin = scan
    tiles = make_tiles(canvas, side, windows, margin)
    assert (covered(canvas, [t.core for t in tiles]) == 1).all()
    assert sorted(b for t in tiles for b in t.blocks) == list(range(len(windows)))
    whole = Rect(0, canvas[0], 0, canvas[1])
    for index, tile in enumerate(tiles):
        assert tile.index == index and max(tile.core.shape) <= side
        assert hull([tile.reach, whole]) == whole
        assert tile.work == tile.core.grown(margin, canvas)
        needed = [tile.work, *(windows[b] for b in tile.blocks)]
        assert hull(needed) == tile.reach
        # cores of the lenders and its own fill the reach
        lent = [tiles[u].core.common(tile.reach) for u in (index, *tile.lenders)]
        assert sum(part.area for part in lent) == tile.reach.area
        assert index not in tile.lenders
        # every block that touches the work area is in a tile that gives
        for block, window in enumerate(windows):
            owner = next(t.index for t in tiles if block in t.blocks)
            assert window.common(tile.work) is None or owner in tile.givers
        # and nobody is asked who has nothing
        assert tile.givers == tuple(u.index for u in tiles if u.lit is not None and u.lit.common(tile.work))
        assert tile.lenders == tuple(u.index for u in tiles if u is not tile and u.core.common(tile.reach))


@settings(max_examples=30, deadline=None)
@given(scans(), st.integers(1, 4))
def test_shares_of_the_blocks_are_dealt_to_the_same_tiles(scan, rounds):
    canvas, side, windows, margin = scan
    tiles = make_tiles(canvas, side, windows, margin)
    shares = [range(turn, len(windows), rounds) for turn in range(rounds)]
    dealt = [deal(tiles, numbers) for numbers in shares]
    assert sorted(b for its in dealt for t in its for b in t.blocks) == list(range(len(windows)))
    assert deal(tiles, range(len(windows))) == tiles
    for its, numbers in zip(dealt, shares, strict=True):
        for tile, full in zip(its, tiles, strict=True):
            assert (tile.core, tile.work, tile.reach, tile.lenders) == (full.core, full.work, full.reach, full.lenders)
            assert set(tile.blocks) == set(full.blocks) & set(numbers)
            assert tile.windows == tuple(windows[b] for b in tile.blocks)
            assert tile.lit == (hull(tile.windows) if tile.blocks else None)
            # no tile is asked for what it does not have
            assert tile.givers == tuple(u.index for u in its if u.lit is not None and u.lit.common(tile.work))


def test_a_block_belongs_to_the_tile_that_holds_its_centre():
    windows = [Rect(0, 9, 0, 9), Rect(0, 10, 0, 10), Rect(9, 12, 2, 20)]
    tiles = make_tiles((20, 20), 5, windows, 0)
    assert [t.index for t in tiles for _ in t.blocks] == [0, 5, 10]
    assert tiles[10].blocks == (2,) and tiles[10].lit == windows[2]
    assert tiles[3].lit is None and tiles[3].reach == tiles[3].core and tiles[3].givers == ()


def test_a_margin_is_cut_off_where_the_canvas_ends():
    tiles = make_tiles((10, 20), 10, [Rect(0, 10, 0, 20)], 3)
    assert [t.work for t in tiles] == [Rect(0, 10, 0, 13), Rect(0, 10, 7, 20)]


@pytest.mark.parametrize(("canvas", "side", "expected"), [((100, 30), 64, (50, 30)), ((65, 64), 64, (33, 64))])
def test_cores_are_of_nearly_equal_size(canvas, side, expected):
    assert core_sides(canvas, side) == expected


def test_tiles_without_pixels_are_refused():
    with pytest.raises(InputError, match="at least 1"):
        core_sides((10, 10), 0)
