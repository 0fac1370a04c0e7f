"""Blocks and their strips."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask.model.blocks import Block, make_blocks


@pytest.mark.parametrize("rows", [1, 3, 4, 8, 100])
@pytest.mark.parametrize("block", [Block(2, 0, 8, 0, 5), Block(0, 5, 14, 3, 4), Block(1, 7, 8, 0, 2)])
def test_strips_follow_each_other_and_are_cut_where_the_chunks_are(block, rows):
    strips = block.strips(rows)
    np.testing.assert_array_equal(np.concatenate([s.flat((20, 20)) for s in strips]), block.flat((20, 20)))
    assert all(s.index == block.index for s in strips)
    assert all(s.y0 // rows == (s.y1 - 1) // rows for s in strips)
    assert all(s.y0 % rows == 0 for s in strips[1:])


def test_blocks_cover_the_scan_once():
    blocks = make_blocks((7, 5), (3, 2))
    assert sorted(np.concatenate([b.flat((7, 5)) for b in blocks])) == list(range(35))
