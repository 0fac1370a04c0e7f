"""Shards that are written without Zarr are those that Zarr reads and would have written."""

from __future__ import annotations

import errno
from dataclasses import replace

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from ptychodask import InputError
from ptychodask.io import atomic, written
from ptychodask.io.shards import shards_of, stored_chunks
from ptychodask.io.skeleton import Layout, create_skeleton
from ptychodask.io.written import write_shard
from ptychodask.model.optics import Microscope
from ptychodask.model.scan import Detector, raster

N = 16


def empty(folder, scan, shard, dtype):
    layout = Layout(scan, Detector(N, 1.0), Microscope(3e5, 10.0, {}), (1.0, 1.0), dtype, shard)
    create_skeleton(folder, layout, raster(scan, (1.0, 1.0)).reshape(-1, 2), None)
    return layout


def some(scan, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return rng.poisson(0.3, (*scan, N, N)).astype(dtype) * (0.5 if dtype == "float32" else 1)


@settings(max_examples=8, deadline=None)
@given(
    scan=st.tuples(st.integers(1, 21), st.integers(1, 21)),
    shard=st.tuples(st.integers(1, 16), st.integers(1, 16)),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
)
def test_zarr_reads_what_is_written(tmp_path_factory, scan, shard, dtype):
    """Also shards and chunks that reach beyond the scan; and chunk for chunk the bytes that Zarr's codecs make."""
    folder = tmp_path_factory.mktemp("whole")
    counts = some(scan, dtype).astype(dtype)
    layout = empty(folder / "ours.zarr", scan, shard, dtype)
    empty(folder / "zarrs.zarr", scan, shard, dtype)
    for block in layout.blocks():
        box = counts[block.y0 : block.y1, block.x0 : block.x1]
        found = write_shard(folder / "ours.zarr", block, box)
        written._write_box(folder / "zarrs.zarr", block, box)
        assert (found.electrons, found.brightest) == (box.sum(dtype=np.float64), box.max())
    np.testing.assert_array_equal(zarr.open_array(folder / "ours.zarr" / "counts", mode="r")[...], counts)
    files = [sorted((folder / name / "counts" / "c").rglob("0")) for name in ("ours.zarr", "zarrs.zarr")]
    ours, zarrs = ([file for file in of if file.is_file()] for of in files)
    assert len(ours) == len(zarrs) == len(layout.blocks())
    shards = shards_of(folder / "ours.zarr" / "counts")
    for mine, other in zip(ours, zarrs, strict=True):
        assert stored_chunks(mine, shards, [(0, 0)]) == stored_chunks(other, shards, [(0, 0)])
        assert mine.stat().st_size == other.stat().st_size


def test_a_part_of_a_shard_is_written_too(tmp_path):
    counts = some((8, 8), "uint8")
    layout = empty(tmp_path / "s.zarr", (8, 8), (8, 8), "uint8")
    (block,) = layout.blocks()
    for half in (replace(block, y1=3), replace(block, y0=3)):
        write_shard(tmp_path / "s.zarr", half, counts[half.y0 : half.y1])
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "s.zarr" / "counts", mode="r")[...], counts)


def test_a_full_disk_leaves_nothing_and_a_cleared_folder_stays_cleared(tmp_path, monkeypatch):
    counts = some((4, 4), "uint8")
    (block,) = empty(tmp_path / "s.zarr", (4, 4), (4, 4), "uint8").blocks()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(atomic, "_rename", full)
        with pytest.raises(OSError, match="No space"):
            write_shard(tmp_path / "s.zarr", block, counts)
    assert not [file for file in (tmp_path / "s.zarr" / "counts" / "c").rglob("*") if file.is_file()]
    (tmp_path / "s.zarr" / "counts").rename(tmp_path / "gone")
    with monkeypatch.context() as patched:  # cleared away after the array was looked at
        patched.setattr(written, "array_at", lambda *_: array_at(tmp_path / "gone"))
        patched.setattr(written, "shards_of", lambda _: shards_of(tmp_path / "gone"))
        with pytest.raises(FileNotFoundError):
            write_shard(tmp_path / "s.zarr", block, counts)
    assert not (tmp_path / "s.zarr" / "counts").exists()


def array_at(folder):
    from ptychodask.io.address import Folder
    from ptychodask.io.reading import array_at

    return array_at(Folder(str(folder.parent)), folder.name)


def test_an_edit_of_one_electron_changes_what_names_a_shard(tmp_path):
    counts = some((4, 4), "uint8")
    (block,) = empty(tmp_path / "s.zarr", (4, 4), (4, 4), "uint8").blocks()
    first = write_shard(tmp_path / "s.zarr", block, counts)
    assert write_shard(tmp_path / "s.zarr", block, counts) == first
    counts[2, 1, 3, 3] += 1
    assert write_shard(tmp_path / "s.zarr", block, counts).digest != first.digest


def test_fractions_are_not_cut_off(tmp_path):
    (block,) = empty(tmp_path / "s.zarr", (4, 4), (4, 4), "uint8").blocks()
    with pytest.raises(InputError, match="in scan rows 0 to 3, columns 0 to 3 are no whole numbers"):
        write_shard(tmp_path / "s.zarr", block, some((4, 4), "uint8") + 0.7)
    whole = some((4, 4), "uint8")
    write_shard(tmp_path / "s.zarr", block, whole.astype(float))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "s.zarr" / "counts", mode="r")[...], whole)
