"""Blocks and their strips."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask.model.blocks import FEW_BLOCKS, Block, default_shard, joined_shards, make_blocks


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


@pytest.mark.parametrize(
    ("scan", "shard", "block"),
    [
        ((64, 64), (1, 1), (16, 16)),
        ((20, 20), (1, 1), (10, 10)),
        ((64, 64), (3, 5), (15, 15)),
        ((64, 64), (1, 64), (4, 64)),
        ((64, 64), (64, 1), (64, 4)),
        ((64, 1000), (1, 1000), (1, 1000)),  # more than enough each
        ((1, 500), (1, 1), (1, 16)),
        ((16, 16), (4, 4), (4, 4)),  # few
        ((66, 66), (8, 8), (8, 8)),  # the default tile is 11 x 11
        ((64, 64), (32, 16), (32, 16)),
    ],
)
def test_small_shards_are_joined_to_blocks(scan, shard, block):
    assert joined_shards(scan, shard) == block
    assert block[0] % shard[0] == block[1] % shard[1] == 0


@pytest.mark.parametrize(
    ("scan", "shard", "least", "block"),
    [
        ((256, 256), (16, 16), 1, (32, 32)),
        ((96, 96), (16, 16), 1, (32, 32)),
        ((96, 96), (16, 16), 12, (16, 16)),  # as many rounds want as many blocks
        ((48, 48), (12, 12), 1, (12, 12)),  # too few would be left
        ((256, 256), (64, 64), 1, (64, 64)),
    ],
)
def test_a_device_is_given_larger_blocks(scan, shard, least, block):
    assert joined_shards(scan, shard, least) == block


@pytest.mark.parametrize("scan", [(n, m) for n in range(1, 140, 9) for m in (1, 16, 17, 66, 130)])
def test_shards_of_the_default_shard_stay_blocks(scan):
    tile = default_shard(scan)
    assert joined_shards(scan, tile) == tile
    if scan[0] * scan[1] > FEW_BLOCKS:
        assert joined_shards(scan, (1, 1)) == tile
