"""The digest of a dataset's content changes with what a reconstruction reads, and with nothing else."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import zarr
from tiny_scan import write_scan

from ptychodask.io.content import content_digest, identified, lost_shards
from ptychodask.io.dataset import dataset_info


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr")


@pytest.fixture
def copy(scan, tmp_path):
    return shutil.copytree(scan, tmp_path / "copy.zarr")


def test_a_copy_is_the_same_dataset(scan, copy):
    for file in copy.rglob("*"):
        os.utime(file, (1, 1))
    assert content_digest(copy) == content_digest(scan)
    assert identified(dataset_info(copy)).fingerprint == content_digest(scan) != dataset_info(scan).fingerprint


def one_count(path):
    counts = zarr.open_group(str(path), mode="r+")["counts"]
    counts[3, 5, 4, 4] = counts[3, 5, 4, 4] + 1


def swapped(path):
    counts = zarr.open_group(str(path), mode="r+")["counts"]
    counts[:4, :4], counts[4:, 4:] = counts[4:, 4:], counts[:4, :4]


def a_position(path):
    zarr.open_group(str(path), mode="r+")["positions"][0, 0, 1] = 0.01


def the_mask(path):
    zarr.open_group(str(path), mode="r+")["mask"][0, 0] = 0


def the_energy(path):
    described = json.loads((path / "zarr.json").read_text())
    described["attributes"]["energy_ev"] = 200e3
    (path / "zarr.json").write_text(json.dumps(described))


def a_lost_shard(path):
    next(f for f in (path / "counts" / "c").rglob("*") if f.is_file()).unlink()


@pytest.mark.parametrize("edit", [one_count, swapped, a_position, the_mask, the_energy, a_lost_shard])
def test_an_edit_in_place_is_seen(scan, copy, edit):
    """All of them leave the attribute ``fingerprint`` as it was."""
    edit(copy)
    assert content_digest(copy) != content_digest(scan)


def test_counts_that_are_put_back_are_the_same(scan, copy):
    one_count(copy)
    counts = zarr.open_group(str(copy), mode="r+")["counts"]
    counts[3, 5, 4, 4] = counts[3, 5, 4, 4] - 1
    assert content_digest(copy) == content_digest(scan)


def test_where_it_came_from_is_no_content(scan, copy):
    zarr.open_group(str(copy), mode="r+").attrs["source"] = "somewhere"
    assert content_digest(copy) == content_digest(scan)


def test_shards_of_another_layout_are_known_by_their_files(scan, copy):
    group = zarr.open_group(str(copy), mode="r+")
    counts = np.asarray(group["counts"][...])
    del group["counts"]
    names = ("scan_y", "scan_x", "ky", "kx")
    group.create_array("counts", data=counts, chunks=(4, 4, 32, 32), dimension_names=names)
    before = content_digest(copy)
    assert before == content_digest(copy)
    one_count(copy)
    assert content_digest(copy) != before


def test_a_lost_shard_may_come_back(scan, copy):
    """A run that left it out goes on."""
    a_lost_shard(copy)
    (name,) = lost_shards(copy)
    assert content_digest(copy) == content_digest(scan, [name]) and lost_shards(scan) == []
