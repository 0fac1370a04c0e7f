"""Where data may be: folders, zip files and addresses; what is not read is said in one line."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from tiny_scan import BLUR, bits, write_scan

import ptychodask
from ptychodask import InputError
from ptychodask.io.address import as_given, is_address, located
from ptychodask.io.dataset import dataset_info, read_mask, read_positions
from ptychodask.io.source import ZarrBlocks
from ptychodask.jobs.checks import check
from ptychodask.jobs.experiment import Experiment
from ptychodask.model.blocks import Block
from ptychodask.model.config import JobConfig

JOB = JobConfig.parse({"object": {**BLUR["object"], "slices": 1}, "solver": {"iterations": 2, "finish": 0}})


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", (6, 6), chunks=(3, 3))


def zipped(scan: Path, folder: Path) -> str:
    return shutil.make_archive(str(folder / "scan.zarr"), "zip", scan)


def zipped_with_its_folder(scan: Path, folder: Path) -> str:
    return shutil.make_archive(str(folder / "scan.zarr"), "zip", scan.parent, scan.name)


def in_memory(scan: Path, folder: Path) -> str:
    import fsspec

    files = fsspec.filesystem("memory")
    files.put(str(scan), f"/{folder.name}/scan.zarr", recursive=True)
    return f"memory://{folder.name}/scan.zarr"


def by_file_address(scan: Path, folder: Path) -> str:
    return f"file://{scan}"


PLACES = [zipped, zipped_with_its_folder, in_memory, by_file_address]


@pytest.mark.parametrize("place", PLACES)
def test_a_dataset_elsewhere_is_that_of_the_folder(place, scan, tmp_path):
    address, here = place(scan, tmp_path), dataset_info(scan)
    info = dataset_info(address)
    assert (info.fingerprint, info.scan_shape, info.shard) == (here.fingerprint, here.scan_shape, here.shard)
    np.testing.assert_array_equal(read_positions(address), read_positions(scan))
    np.testing.assert_array_equal(read_mask(address), read_mask(scan))
    np.testing.assert_array_equal(
        ptychodask.open_dataset(address).counts.values, ptychodask.open_dataset(scan).counts.values
    )
    block = Block(1, 1, 4, 0, 5)
    travelled = pickle.loads(pickle.dumps(ZarrBlocks(info.path, info.fingerprint)))
    np.testing.assert_array_equal(travelled.dense(block), ZarrBlocks(str(scan), "").dense(block))


@pytest.mark.parametrize("place", [zipped, in_memory])
def test_a_reconstruction_of_it_has_the_same_bits_and_says_that_it_takes_longer(place, scan, tmp_path):
    address = place(scan, tmp_path)
    made = ptychodask.reconstruct(address, JOB)
    assert bits(made) == bits(ptychodask.reconstruct(scan, JOB))
    assert made.attributes["data"] == located(address)
    assert any("another layout" in remark for remark in check(Experiment(dataset_info(address), JOB)))
    assert not any("another layout" in remark for remark in check(Experiment(dataset_info(scan), JOB)))


def test_a_missing_shard_is_found_in_a_listing_too(scan, tmp_path):
    import fsspec

    address = in_memory(scan, tmp_path)
    fsspec.filesystem("memory").rm(f"/{tmp_path.name}/scan.zarr/counts/c/1/0/0/0")
    with pytest.raises(InputError, match=rf"{address}: 1 of 4 shards of counts are missing, c/1/0/0/0 is the first"):
        dataset_info(address)


def test_an_address_is_shown_as_it_was_given():
    for text in ("s3://bucket/a.zarr", "https://host/a.zarr", "memory://a", "/data/a.zarr", "a.zarr", "C:/a.zarr"):
        assert as_given(text) == text
        assert as_given(Path(text)) == text
    assert is_address("s3://bucket/a.zarr") and not is_address("file:///data/a.zarr") and not is_address("C:/a.zarr")
    assert located("file:///data/a%20b.zarr") == "/data/a b.zarr"


def version_2(folder: Path) -> Path:
    zarr.open_group(str(folder / "old.zarr"), mode="w", zarr_format=2).create_array("counts", shape=(2, 2), dtype="u1")
    return folder / "old.zarr"


def single_array(folder: Path) -> Path:
    zarr.create_array(str(folder / "array.zarr"), shape=(2, 2), dtype="u1")
    return folder / "array.zarr"


def no_zip(folder: Path) -> Path:
    (folder / "scan.zarr.zip").write_bytes(b"PK\3\4 cut off")
    return folder / "scan.zarr.zip"


REFUSED = {
    "Zarr 2": (version_2, "is a store of Zarr 2, .*: convert it with 'zarr migrate v3', or write its counts again"),
    "an array": (single_array, r"is a single Zarr array, not a dataset: write one with create_dataset"),
    "no zip file": (no_zip, "is not a Zarr group"),
    "no such scheme": (
        lambda _: "nonsense://bucket/x.zarr",
        "nonsense://bucket/x.zarr cannot be opened .*: give a",
    ),
    "as a path": (lambda _: Path("nonsense://bucket/x.zarr"), "nonsense://bucket/x.zarr cannot be opened"),
    "nothing there": (lambda _: "memory://nothing/x.zarr", "memory://nothing/x.zarr is not a Zarr group"),
    "an open group": (
        lambda f: zarr.create_group(str(f / "g.zarr")),
        "an object of type Group: give the path or",
    ),
    "a mapping": (lambda _: {"a": b""}, "give the path or address of a dataset as text"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_one_line(name, tmp_path):
    make, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as caught:
        ptychodask.plan(make(tmp_path))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("output", ["s3://bucket/out.zarr", Path("s3://bucket/out.zarr")])
def test_outputs_are_local(output, scan):
    with pytest.raises(InputError, match=r"output s3://bucket/out.zarr is an address, outputs are local"):
        ptychodask.reconstruct(scan, JOB, output=output)
    with pytest.raises(InputError, match=r"output s3://bucket/out.zarr is an address"):
        ptychodask.resume(output)


def test_counts_in_another_layout_are_read_by_zarr(scan, tmp_path):
    other = tmp_path / "scan.zarr"
    shutil.copytree(scan, other)
    counts = zarr.open_group(str(scan), mode="r")["counts"][...]
    shutil.rmtree(other / "counts")
    group = zarr.open_group(str(other), mode="r+")
    group.create_array(
        "counts", data=counts, chunks=(2, 3, 16, 32), dimension_names=("scan_y", "scan_x", "ky", "kx"),
        config={"write_empty_chunks": True},
    )  # fmt: skip
    assert json.loads((other / "counts" / "zarr.json").read_text())["codecs"][-1]["name"] == "zstd"
    info = dataset_info(other)
    assert any("another layout" in remark for remark in check(Experiment(info, JOB)))
    block = Block(0, 0, 6, 0, 6)
    np.testing.assert_array_equal(ZarrBlocks(info.path, "a").read(block), ZarrBlocks(str(scan), "b").dense(block))
