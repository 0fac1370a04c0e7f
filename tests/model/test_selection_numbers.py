"""What is selected of a stored scan, and the blocks of it."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from ptychodask.model.blocks import Block, make_blocks
from ptychodask.model.selection import Selection, runs

EVERY = tuple(range(12))
PARTS = [
    Selection(EVERY[2:9], EVERY[1::3]),
    Selection((0, 1, 5, 7, 11), EVERY[::-1]),
    Selection((3,), EVERY[:4]),
]


def test_runs_share_a_piece():
    assert runs(range(5), 2) == [(0, 2), (2, 4), (4, 5)]
    assert runs((1, 3, 5, 6), 4) == [(0, 2), (2, 4)]
    assert runs(np.array([9, 8, 7, 3]), 4) == [(0, 2), (2, 3), (3, 4)]
    assert runs(range(12), 4, 3, 9) == [(3, 4), (4, 8), (8, 9)] and runs((), 4) == []


@pytest.mark.parametrize("selection", PARTS)
def test_blocks_of_a_selection_cover_it_once_and_share_no_tile(selection):
    tile = selection.stored_sides((4, 2))
    blocks = make_blocks(selection.scan_shape, tile, (), selection)
    rows, columns = selection.scan_shape
    np.testing.assert_array_equal(
        np.sort(np.concatenate([b.flat(selection.scan_shape) for b in blocks])), np.arange(rows * columns)
    )
    assert [b.index for b in blocks] == list(range(len(blocks)))
    of_store = [
        {(r // tile[0], c // tile[1]) for r in selection.rows[b.y0 : b.y1] for c in selection.columns[b.x0 : b.x1]}
        for b in blocks
    ]
    assert all(len(tiles) == 1 for tiles in of_store) and len(set.union(*of_store)) == len(blocks)


def test_blocks_of_everything_are_those_of_the_scan():
    assert make_blocks((12, 12), (5, 4), (), Selection(EVERY, EVERY)) == make_blocks((12, 12), (5, 4))


def test_blocks_of_a_stride_hold_as_many_patterns_as_a_tile():
    sparse = Selection(tuple(range(0, 64, 4)), tuple(range(1, 64, 3)))
    assert sparse.stored_sides((8, 8)) == (32, 24)
    assert {b.size for b in make_blocks(sparse.scan_shape, sparse.stored_sides((8, 8)), (), sparse)} <= {8 * 8, 8 * 5}


def test_a_selection_survives_json():
    for selection in PARTS:
        assert Selection.load(json.loads(json.dumps(asdict(selection)))) == selection
    assert Selection.load(None) is None
    assert PARTS[0].described() == {
        "rows": {"start": 2, "stop": 9, "step": 1},
        "columns": {"start": 1, "stop": 11, "step": 3},
    }
    assert PARTS[1].described()["rows"] == [0, 1, 5, 7, 11]


def test_a_box_in_the_store():
    assert PARTS[1].in_store((1, 3, 2, 4)) == (1, 6, 8, 10)


def test_boxes_of_the_store_in_the_selection():
    falling = PARTS[1]  # rows 0, 1, 5, 7, 11 and columns 11 to 0
    assert falling.places([(1, 6, 0, 2), (2, 5, 0, 12), (11, 12, 11, 12)]) == ((1, 3, 10, 12), (4, 5, 0, 1))


def test_strips_of_a_selection_are_cut_where_the_store_is():
    selection = PARTS[0]  # rows 2 to 8
    strips = Block(0, 0, 7, 0, 4).strips(selection.cuts(4))
    assert [(s.y0, s.y1) for s in strips] == [(0, 2), (2, 6), (6, 7)]


def test_what_is_left_out_of_a_block_adds_up():
    once = Block(0, 0, 4, 0, 4).without([(0, 1, 0, 2)])
    twice = once.without([(1, 2, 0, 1), (0, 1, 1, 2)])
    assert twice.skip == (0, 1, 4) and twice.without([]) == twice
