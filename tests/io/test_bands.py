"""Every chunk of a source is read once, whatever its chunks and the shards, and few are held."""

from __future__ import annotations

from collections import Counter
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from ptychodask._errors import InputError
from ptychodask.io import bands
from ptychodask.io.bands import Source, fitting_shard, shards_in
from ptychodask.io.create import create_dataset
from ptychodask.io.dataset import dataset_info, open_dataset, read_mask
from ptychodask.io.source import ZarrBlocks
from ptychodask.model.blocks import default_shard, make_blocks

N = 8
OPTICS = dict(
    energy_ev=300e3, semi_angle_mrad=8.0, defocus_angstrom=20.0, angular_step_mrad=3.0, scan_step_angstrom=1.5
)  # fmt: skip


def some_counts(shape: tuple[int, int], dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 200, (*shape, N, N)).astype(dtype)


class Stored:
    """An array on a disk, as HDF5 has them: counts how often every chunk is read, and the most that is read at once."""

    def __init__(self, array: np.ndarray, chunks: tuple[int, int] | None) -> None:
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim
        self.chunks = None if chunks is None else (*chunks, N, N)
        self.reads: Counter[tuple[int, int]] = Counter()
        self.most = 0

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        y, x = (range(n)[part] for part, n in zip(key[:2], self.shape, strict=False))
        height, width = (self.chunks or (1, self.shape[1]))[:2]
        touched = {(j // height, i // width) for j in y for i in x}
        self.reads.update(touched)
        self.most = max(self.most, len(y) * len(x))
        return self.array[key]


CHUNKS = [(1, 37), (1, 1), (3, 5), (10, 37), (40, 3), (16, 16), (40, 37), (7, 37), (40, 10)]


@pytest.mark.parametrize(
    ("chunks", "tile", "lazy"),
    [(chunks, tile, False) for chunks in CHUNKS for tile in ((16, 16), (5, 7), (1, 1))]
    + [(chunks, (16, 16), True) for chunks in ((1, 37), (10, 37), (40, 10))],
)
def test_every_chunk_is_read_once(chunks, tile, lazy):
    counts = some_counts((40, 37))
    stored = Stored(counts, chunks)
    with dask.config.set(scheduler="sync"):
        array = da.from_array(stored, chunks=(*chunks, N, N), meta=counts[:0, :0]) if lazy else stored
        found = {block.index: (block, part.copy()) for block, part in shards_in(Source.of(array), tile)}
    assert set(stored.reads.values()) == {1}
    assert len(stored.reads) == -(-40 // chunks[0]) * -(-37 // chunks[1])
    assert [found[i][0] for i in sorted(found)] == list(make_blocks((40, 37), tile))
    for block, part in found.values():
        np.testing.assert_array_equal(part, counts[block.y0 : block.y1, block.x0 : block.x1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float64])
@pytest.mark.parametrize("chunks", [(1, 20), None, (20, 1)], ids=str)
def test_a_dataset_is_written_in_one_pass(tmp_path, dtype, chunks):
    """Also where the smallest type that holds the counts is not known before all are seen."""
    counts = some_counts((20, 20), dtype)
    counts[19, 19, 0, 0] = 255 if dtype == np.uint8 else 60_000  # the largest comes last
    stored = Stored(counts, chunks)
    path = create_dataset(tmp_path / "scan.zarr", stored, **OPTICS)
    assert set(stored.reads.values()) == {1} and len(stored.reads) == 20
    data = open_dataset(path)
    assert data.counts.dtype == (np.uint8 if dtype == np.uint8 else np.uint16)
    np.testing.assert_array_equal(data.counts.values, counts)
    plain = create_dataset(tmp_path / "plain.zarr", counts, **OPTICS)
    assert dataset_info(plain).fingerprint == dataset_info(path).fingerprint
    assert {p.name for p in path.iterdir()} == {"counts", "mask", "positions", "zarr.json"}


def test_a_fraction_at_the_end_makes_all_counts_floats(tmp_path):
    counts = some_counts((20, 20), np.float32)
    counts[0, 0, 0, 0], counts[19, 19, 0, 0] = 300, 0.5
    data = open_dataset(create_dataset(tmp_path / "scan.zarr", counts, chunks=(5, 5), **OPTICS))
    assert data.counts.dtype == np.float32
    np.testing.assert_array_equal(data.counts.values, counts)


def test_nothing_but_the_row_of_tiles_is_held():
    stored = Stored(some_counts((64, 64)), (1, 64))
    for _ in shards_in(Source.of(stored), (16, 16)):
        pass
    assert stored.most == 16 * 64
    aligned = Stored(some_counts((64, 64)), (8, 16))
    for _ in shards_in(Source.of(aligned), (16, 16)):
        pass
    assert aligned.most == 16 * 16


def test_what_cannot_be_held_is_read_in_strips(monkeypatch):
    counts = some_counts((32, 64))
    monkeypatch.setattr(bands, "BAND_BYTES", 16 * 32 * N * N)  # half a row of shards
    stored = Stored(counts, (1, 64))
    tiles = list(shards_in(Source.of(stored), (16, 16)))
    assert len(tiles) == 8 and stored.most == 16 * 32 and set(stored.reads.values()) == {2}
    for block, part in tiles:
        np.testing.assert_array_equal(part, counts[block.y0 : block.y1, block.x0 : block.x1])
    # shards that nobody asked for are made lower instead
    assert fitting_shard(Source.of(stored)) == (8, 16)
    assert fitting_shard(Source.of(counts)) == default_shard((32, 64)) == (16, 16)


@pytest.mark.parametrize("make", [
    lambda part: part.astype(np.float64), lambda part: part[:1], lambda part: np.ma.masked_greater(part, 3),
])  # fmt: skip
def test_a_source_that_is_not_what_it_says(tmp_path, make):
    array = da.from_array(some_counts((8, 8)), chunks=(4, 8, N, N)).map_blocks(
        make, dtype=np.uint8, meta=np.empty((0,) * 4, "u1")
    )
    with (
        pytest.raises(InputError, match="counts of scan rows 0 to 7, columns 0 to 7 are"),
        dask.config.set(scheduler="sync"),
    ):
        create_dataset(tmp_path / "scan.zarr", array, **OPTICS)
    assert list(tmp_path.iterdir()) == []


# -- pixels that are not used --------------------------------------------------------------------------------------

MASK = np.ones((N, N), bool)
MASK[2, 3:6] = MASK[5] = False
JUNK = [
    (np.nan, np.float32),
    (np.inf, np.float64),
    (-1, np.int16),
    (65535, np.uint16),
    (4294967295, np.uint32),
    (-1, np.float32),
]


@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize(("junk", "dtype"), JUNK, ids=str)
def test_masked_pixels_are_no_counts(tmp_path, junk, dtype, lazy):
    clean = np.where(MASK, some_counts((6, 6)), 0).astype(dtype)
    dirty = np.where(MASK, clean, np.array(junk, dtype))
    given = da.from_array(dirty, chunks=(1, 6, N, N)) if lazy else dirty
    expected = dataset_info(create_dataset(tmp_path / "clean.zarr", clean, mask=MASK, **OPTICS))
    path = create_dataset(tmp_path / "dirty.zarr", given, mask=MASK, **OPTICS)
    found = dataset_info(path)
    assert found.fingerprint == expected.fingerprint and found.dtype == expected.dtype
    assert found.attributes == expected.attributes
    assert found.attributes["brightest_pixel"] == clean.max()
    assert found.attributes["electrons_per_pattern"] == pytest.approx(clean.sum() / 36)
    np.testing.assert_array_equal(open_dataset(path).counts.values, clean)
    (block,) = make_blocks((6, 6), (6, 6))
    assert ZarrBlocks(str(path), "").dense(block).sum() == clean.sum()


def test_counts_that_are_a_masked_array(tmp_path):
    counts = some_counts((6, 6))
    masked = np.ma.MaskedArray(counts, np.broadcast_to(~MASK, counts.shape))
    both = MASK.copy()
    both[0, 0] = False
    for name, given, mask, used in (("own", masked, None, MASK), ("both", masked, both, both)):
        path = create_dataset(tmp_path / f"{name}.zarr", given, mask=mask, **OPTICS)
        np.testing.assert_array_equal(np.fft.fftshift(read_mask(path)), used)
        np.testing.assert_array_equal(open_dataset(path).counts.values, np.where(used, counts, 0))
    free = create_dataset(tmp_path / "free.zarr", np.ma.MaskedArray(counts), **OPTICS)
    assert read_mask(free).all()
    labelled = xr.DataArray(counts, dims=("scan_y", "scan_x", "ky", "kx"))
    assert dataset_info(
        create_dataset(tmp_path / "x.zarr", labelled, mask=xr.DataArray(MASK), **OPTICS)
    ).scan_shape == (6, 6)


def test_a_mask_that_changes_is_refused(tmp_path):
    counts = np.ma.MaskedArray(some_counts((6, 6)), False)
    counts[3, 4, 1, 1] = np.ma.masked
    with pytest.raises(InputError, match=r"at scan position \(3, 4\) than at \(0, 0\).*mask ="):
        create_dataset(tmp_path / "scan.zarr", counts, **OPTICS)
    with pytest.raises(InputError, match=r"counts are a Dask array of masked arrays.*mask ="):
        create_dataset(tmp_path / "scan.zarr", da.from_array(counts, chunks=(3, 6, N, N)), **OPTICS)
    assert list(tmp_path.iterdir()) == []
