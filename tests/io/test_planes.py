"""Events that are read from bit planes are those of the dense counts, and what is not stored so is read by Zarr."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import Blosc
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ZstdCodec

from ptychodask import InputError, create_dataset
from ptychodask.counts.events import Events
from ptychodask.counts.patterns import prepare, reunited
from ptychodask.io.planes import events_in
from ptychodask.io.source import ZarrBlocks
from ptychodask.model.blocks import Block

SCAN, N = (10, 12), 32


def some_counts(shape, dtype, mean=0.02, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(mean, shape)
    bright = rng.random(shape) < 2e-3
    return np.where(bright, rng.integers(0, np.iinfo(dtype).max + 1, shape), counts).astype(dtype)


def reference(counts) -> Events:
    """Events of patterns [B, N, N] with zero angle in the centre, in plain NumPy."""
    centred = np.fft.ifftshift(counts, axes=(1, 2)).reshape(len(counts), -1)
    pattern, pixel = np.nonzero(centred)
    start = np.concatenate([[0], np.cumsum(np.count_nonzero(centred, axis=1))])
    return Events(start, pixel, centred[pattern, pixel])


def check(found, counts):
    expected = reference(counts)
    assert isinstance(found, Events)
    for name in ("start", "pixel", "count"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.start.dtype == np.int64 and found.pixel.dtype == np.uint16
    assert found.count.dtype == np.min_scalar_type(expected.count.max(initial=0))


@settings(max_examples=60, deadline=None)
@given(
    n=st.sampled_from([16, 32, 48, 64, 80, 128]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    patterns=st.integers(1, 5),
    block=st.sampled_from([0, 512, 1024, 1536, 4096, 2**14]),
    seed=st.integers(0, 99),
)
def test_events_of_any_chunk(n, dtype, patterns, block, seed):
    """Words of 1 to 8 bytes, patterns across blocks, a smaller last block, some of the patterns in another order."""
    counts = some_counts((patterns, n, n), dtype, seed=seed)
    chunk = Blosc("zstd", 5, Blosc.BITSHUFFLE, block).encode(counts)
    rng = np.random.default_rng(seed)
    within = np.sort(rng.permutation(patterns)[: rng.integers(1, patterns + 1)])
    places = rng.permutation(len(within))
    found = events_in([(chunk, within, places)], len(within), n, np.dtype(dtype), patterns)
    check(found, counts[within[np.argsort(places)]])


def test_empty_patterns():
    counts = np.zeros((3, N, N), np.uint8)
    counts[1, 0, 0] = 255
    chunk = Blosc("zstd", 5, Blosc.BITSHUFFLE).encode(counts)
    check(events_in([(chunk, np.arange(3), np.arange(3))], 3, N, counts.dtype, 3), counts)


@pytest.mark.parametrize("shuffle", [Blosc.NOSHUFFLE, Blosc.SHUFFLE])
def test_chunks_made_otherwise_are_declined(shuffle):
    counts = some_counts((2, N, N), np.uint16)
    chunk = Blosc("zstd", 5, shuffle).encode(counts)
    assert events_in([(chunk, np.arange(2), np.arange(2))], 2, N, counts.dtype, 2) is None


def test_many_events_are_declined_and_noise_is_not_compressed():
    for counts in (np.ones((2, N, N), np.uint8), some_counts((2, N, N), np.uint8, mean=100.0)):
        chunk = Blosc("zstd", 5, Blosc.BITSHUFFLE).encode(counts)
        assert events_in([(chunk, np.arange(2), np.arange(2))], 2, N, counts.dtype, 2) is None


# -- datasets ------------------------------------------------------------------------------------------------------


def write(path, counts, chunks=(8, 8)):
    create_dataset(
        path, counts, chunks=chunks, energy_ev=300e3, semi_angle_mrad=10, defocus_angstrom=300,
        angular_step_mrad=1.0, scan_step_angstrom=0.5,
    )  # fmt: skip
    return ZarrBlocks(str(path), "key")


BLOCKS = [Block(0, 0, 8, 0, 8), Block(0, 0, 10, 0, 12), Block(0, 3, 9, 5, 11), Block(0, 9, 10, 11, 12)]


@pytest.mark.parametrize("chunks", [(8, 8), (4, 3), (10, 12)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_blocks_of_a_dataset(tmp_path, dtype, chunks):
    counts = some_counts((*SCAN, N, N), dtype)
    source = write(tmp_path / "scan.zarr", counts, chunks)
    for block in BLOCKS:
        own = counts[block.y0 : block.y1, block.x0 : block.x1].reshape(-1, N, N)
        check(source.read(block), own)
        assert source.nbytes(block) == own.nbytes == source.dense(block).nbytes


@pytest.mark.parametrize(("dtype", "mean"), [("uint8", 0.02), ("uint16", 30.0), ("float32", 30.0)])
def test_it_is_not_zarr_that_reads_our_layout(tmp_path, monkeypatch, dtype, mean):
    counts = (some_counts((*SCAN, N, N), np.uint16, mean) * 0.5).astype(dtype) if dtype == "float32" else None
    counts = some_counts((*SCAN, N, N), np.dtype(dtype), mean) if counts is None else counts
    source = write(tmp_path / "scan.zarr", counts)
    expected = [source.dense(block) for block in BLOCKS]
    monkeypatch.setattr(ZarrBlocks, "dense", None)
    for block, dense in zip(BLOCKS, expected, strict=True):
        found = source.read(block)
        assert isinstance(found, Events if mean < 1 else np.ndarray)
        if mean > 1:
            assert found.dtype == dtype
            np.testing.assert_array_equal(found, dense)


@pytest.mark.parametrize("kind", ["bright", "float32", "24 pixels", "left out"])
def test_other_counts_come_dense(tmp_path, kind):
    n = 24 if kind == "24 pixels" else N
    counts = some_counts((*SCAN, n, n), np.uint8, mean=20.0 if kind == "bright" else 0.02)
    stored = counts + np.float32(0.5) if kind == "float32" else counts
    source = write(tmp_path / "scan.zarr", stored)
    block = dataclasses.replace(BLOCKS[2], skip=(1, 5)) if kind == "left out" else BLOCKS[2]
    own = np.delete(stored[3:9, 5:11].reshape(-1, n, n), block.skip, axis=0)
    found = source.read(block)
    assert isinstance(found, np.ndarray) and found.dtype == stored.dtype
    np.testing.assert_array_equal(found, np.fft.ifftshift(own, axes=(1, 2)))


FOREIGN = {
    "no shards": {"shards": None},
    "no checksum": {"compressors": [BloscCodec(cname="zstd", shuffle="bitshuffle", typesize=2)]},
    "another codec": {"compressors": [ZstdCodec(), Crc32cCodec()]},
    "another shuffle": {"compressors": [BloscCodec(cname="zstd", shuffle="shuffle", typesize=2), Crc32cCodec()]},
    "another codec in Blosc": {
        "compressors": [BloscCodec(cname="lz4", shuffle="bitshuffle", typesize=2), Crc32cCodec()]
    },
    "big-endian": {"serializer": BytesCodec(endian="big")},
    "split patterns": {"chunks": (4, 4, N // 2, N)},
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_others_wrote_is_read_too(tmp_path, kind):
    counts = some_counts((*SCAN, N, N), np.uint16)
    ours = [BloscCodec(cname="zstd", shuffle="bitshuffle", typesize=2), Crc32cCodec()]
    options = {"chunks": (4, 4, N, N), "shards": (8, 8, N, N), "compressors": ours, **FOREIGN[kind]}
    group = zarr.create_group(str(tmp_path / "scan.zarr"))
    group.create_array("counts", shape=counts.shape, dtype="u2", **options)[...] = counts
    source = ZarrBlocks(str(tmp_path / "scan.zarr"), "key")
    for block in BLOCKS:
        own = counts[block.y0 : block.y1, block.x0 : block.x1].reshape(-1, N, N)
        found = source.read(block)
        if kind == "another codec in Blosc":
            check(found, own)
        else:
            np.testing.assert_array_equal(found, np.fft.ifftshift(own, axes=(1, 2)))


def test_chunks_that_were_not_written_are_zeros(tmp_path):
    """As Zarr has it; our own datasets store them."""
    group = zarr.create_group(str(tmp_path / "scan.zarr"))
    codecs = [BloscCodec(cname="zstd", shuffle="bitshuffle", typesize=1), Crc32cCodec()]
    options = {"chunks": (4, 4, N, N), "shards": (8, 8, N, N), "compressors": codecs}
    group.create_array("counts", shape=(8, 8, N, N), dtype="u1", **options)[0, 0, 0, 0] = 1
    found = ZarrBlocks(str(tmp_path / "scan.zarr"), "key").read(Block(0, 0, 8, 0, 8))
    assert found.sum() == 1


@pytest.mark.parametrize("where", [*np.linspace(0, 0.9999, 12)])
def test_a_flipped_bit_is_found(tmp_path, where):
    source = write(tmp_path / "scan.zarr", some_counts((8, 8, N, N), np.uint8))
    file = tmp_path / "scan.zarr/counts/c/0/0/0/0"
    content = bytearray(file.read_bytes())
    content[int(where * len(content))] ^= 4
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"counts of scan rows 0 to 7, columns 0 to 7.* counts/c/0/0/0/0"):
        source.read(Block(0, 0, 8, 0, 8))


@pytest.mark.parametrize("use_all", [False, True])
def test_the_split_of_electrons_is_that_of_dense_counts(tmp_path, use_all):
    source = write(tmp_path / "scan.zarr", some_counts((*SCAN, N, N), np.uint8))
    weights = (np.random.default_rng(1).random((N, N)) < 0.9).astype(np.float32)
    block = BLOCKS[1]
    ways = [
        prepare((read(strip) for strip in block.strips(8)), block.flat(SCAN), weights, 0.9, 3)
        for read in (source.read, source.dense)
    ]
    ways = [reunited(way) for way in ways] if use_all else ways
    for name in ("fitted", "train", "held"):
        one, two = (getattr(way, name) for way in ways)
        assert (one is None) == (two is None)
        if one is not None:
            for part in ("start", "pixel", "count"):
                np.testing.assert_array_equal(getattr(one, part), getattr(two, part))
                assert getattr(one, part).dtype == getattr(two, part).dtype
