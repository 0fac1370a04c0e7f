"""A dataset that others may follow while it is written: what they see of it, and what a kill or an error leaves."""

from __future__ import annotations

import numpy as np
import pytest
import test_writer

from ptychodask import GrowingDataset
from ptychodask._errors import InputError
from ptychodask.io.appended import is_there, listed
from ptychodask.io.content import content_digest
from ptychodask.io.dataset import dataset_info

COUNTS = test_writer.COUNTS


def writer(path, **options):
    return test_writer.writer(path, **{"dtype": "uint8", **options})


def test_it_is_seen_row_by_row_and_goes_on_where_it_was(tmp_path):
    path = tmp_path / "scan.zarr"
    assert not is_there(path)
    with pytest.raises(RuntimeError), GrowingDataset(writer(path)) as scan:  # as of a camera that is unplugged
        assert not is_there(path)
        first, *others = scan.missing
        scan.write(first, test_writer.of(first))
        assert is_there(path) and listed(path).rows == 0  # a row of the scan has three shards
        for block in others[:3]:
            scan.write(block, test_writer.of(block))
        assert listed(path).rows == 2
        np.testing.assert_array_equal(listed(path).counts(first), test_writer.of(first))
        raise RuntimeError
    assert not path.exists() and listed(path).rows == 2
    with GrowingDataset(writer(path)) as scan:
        assert list(scan.missing) == others[3:]
        for block in scan.missing:
            scan.write(block, test_writer.of(block))
        with pytest.raises(InputError, match="is being written"):
            GrowingDataset(writer(path)).__enter__()
    with writer(tmp_path / "direct.zarr") as direct:
        for block in direct.blocks:
            direct.write(block, test_writer.of(block))
    assert content_digest(path) == content_digest(tmp_path / "direct.zarr")
    assert dataset_info(path).attributes == dataset_info(tmp_path / "direct.zarr").attributes
    assert listed(path).rows == len(COUNTS) and [p.name for p in tmp_path.glob("scan*")] == ["scan.zarr"]


def test_a_blanked_beam_at_the_beginning(tmp_path):
    """Nobody opens a dataset without electrons, and its writer goes on."""
    path = tmp_path / "scan.zarr"
    with GrowingDataset(writer(path)) as scan:
        for k, block in enumerate(scan.missing):
            scan.write(block, test_writer.of(block) * (k > 2))
            assert is_there(path) == (k > 2)
            if k == 2:
                with pytest.raises(InputError, match="lists no shard with electrons yet"):
                    listed(path)
    assert dataset_info(path).attributes["brightest_pixel"] == 4


def test_a_writer_killed_while_it_goes_to_its_place(tmp_path, monkeypatch):
    path = tmp_path / "scan.zarr"

    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("ptychodask.io.growing.GrowingFolder.publish", killed)
        with GrowingDataset(writer(path)) as scan:
            for block in scan.missing:
                scan.write(block, test_writer.of(block))
    assert not path.exists() and listed(path).rows == len(COUNTS)
    with GrowingDataset(writer(path)) as scan:
        assert scan.missing == ()
    assert path.exists() and listed(path).rows == len(COUNTS)


def test_what_cannot_be_written_so_is_one_line(tmp_path):
    path = tmp_path / "scan.zarr"
    with pytest.raises(InputError, match="give a dtype"), GrowingDataset(writer(path, dtype=None)):
        pass
    with pytest.raises(InputError, match=r"9 of 9 shards were not written"), GrowingDataset(writer(path)):
        pass
    with pytest.raises(InputError, match="holds shards of another writer"), GrowingDataset(writer(path, chunks=(5, 7))):
        pass
    with GrowingDataset(writer(path, chunks=(5, 7), overwrite=True)) as scan:
        scan.write(scan.missing[0], COUNTS)
    with pytest.raises(InputError, match="exists"), GrowingDataset(writer(path)):
        pass


@pytest.mark.parametrize("wrong", ["scan.zarr", (1, 2)], ids=str)
def test_what_is_no_writer_is_refused(wrong):
    with pytest.raises(InputError, match=r"give a ptychodask\.DatasetWriter"):
        GrowingDataset(wrong)
