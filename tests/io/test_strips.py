"""A large shard is read and packed strip by strip: neither the dense shard nor a float copy of it is ever there."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from ptychodask import create_dataset
from ptychodask.counts.patterns import Events, prepare
from ptychodask.io.dataset import dataset_info
from ptychodask.io.skeleton import inner_side
from ptychodask.io.source import ZarrBlocks
from ptychodask.model.blocks import Block, make_blocks

N = 48


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One shard of 64 x 64 patterns with 50 electrons each."""
    rng = np.random.default_rng(0)
    counts = np.zeros((64 * 64, N * N), np.uint8)
    counts[np.arange(64 * 64)[:, None], rng.integers(0, N * N, (64 * 64, 50))] = 1
    path = tmp_path_factory.mktemp("data") / "shard.zarr"
    counts = counts.reshape(64, 64, N, N)
    create_dataset(
        path, counts, chunks=(64, 64), energy_ev=300e3, semi_angle_mrad=10, defocus_angstrom=300,
        angular_step_mrad=1.0, scan_step_angstrom=0.5,
    )  # fmt: skip
    return path, counts


def test_a_shard_is_never_there_whole(store):
    path, counts = store
    info = dataset_info(path)
    (block,) = make_blocks(info.scan_shape, info.shard)
    source, weights = ZarrBlocks(info.path, info.fingerprint), np.ones((N, N), np.float32)

    def pack(of: Block):
        strips = (source.read(strip) for strip in of.strips(source.rows))
        return prepare(strips, of.flat(info.scan_shape), weights, 0.9, 0)

    pack(Block(0, 0, 8, 0, 64))  # compiles
    tracemalloc.start()
    made = pack(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert info.inner_rows == source.rows == 8
    assert peak < 0.5 * counts.nbytes  # an eighth of what it takes as float32
    assert isinstance(made.fitted, Events)
    assert made.fitted.count.sum() + made.held.count.sum() == counts.sum()


@pytest.mark.parametrize("rows", [(0, 8), (3, 5), (6, 20)])
def test_reading_part_of_a_shard(store, rows):
    path, counts = store
    source = ZarrBlocks(str(path), "")
    block = Block(0, *rows, 5, 40)
    expected = np.fft.ifftshift(counts[rows[0] : rows[1], 5:40].reshape(-1, N, N), axes=(-2, -1))
    np.testing.assert_array_equal(source.dense(block), expected)
    parts = [source.dense(strip) for strip in block.strips(source.rows)]
    np.testing.assert_array_equal(np.concatenate(parts), expected)


@pytest.mark.parametrize(
    ("side", "inner"),
    [(1, 1), (2, 2), (4, 4), (8, 8), (10, 10), (11, 11), (12, 6), (15, 5), (16, 8), (32, 8), (22, 11)],
)
def test_inner_chunks_divide_the_shard_and_are_about_eight(side, inner):
    assert inner_side(side) == inner
