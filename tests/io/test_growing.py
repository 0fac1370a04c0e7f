"""A dataset that grows: what a kill leaves, and what it becomes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ptychodask._errors import InputError
from ptychodask.io.content import content_digest
from ptychodask.io.dataset import dataset_info, open_dataset
from ptychodask.io.described.growing import GrowingFile
from ptychodask.io.growing import GrowingFolder, summaries
from ptychodask.io.writer import DatasetWriter
from ptychodask.io.written import write_shard
from ptychodask.model.optics import Microscope
from ptychodask.model.scan import Detector

N, SCAN, SHARD = 8, (6, 4), (2, 4)
COUNTS = np.random.default_rng(0).poisson(1.0, (*SCAN, N, N)).astype(np.uint8)


def writer_of(path, rows: int = SCAN[0]) -> DatasetWriter:
    scope, mask = Microscope.of(300e3, 8, defocus_angstrom=100), np.ones((N, N))
    mask[0, 0] = 0
    return DatasetWriter(path, (rows, SCAN[1]), scope, Detector(N, 2.5), 1.0, dtype="uint8", chunks=SHARD, mask=mask,
                         attributes={"specimen": "x"})  # fmt: skip


def grow(folder: GrowingFolder, manifest: GrowingFile, blocks: slice) -> GrowingFile:
    """Write shards as a process that may be killed after any line."""
    writer = writer_of(folder.dataset)
    known = summaries(manifest)
    writer.add(known.values())
    folder.begin(writer)
    for block in writer.blocks[blocks]:
        counts = np.where(np.arange(N * N).reshape(N, N) > 0, COUNTS[block.y0 : block.y1, block.x0 : block.x1], 0)
        known[block.index] = write_shard(folder.scan, block, counts)
    writer.add(known.values())
    writer.seal(folder.scan)
    return folder.write(manifest, known.values())


@pytest.fixture
def folder(tmp_path):
    made = GrowingFolder.of(tmp_path / "scan.zarr")
    with made.hold():
        yield made


def test_shards_come_by_and_by_and_the_end_is_the_dataset(folder, tmp_path):
    manifest = folder.write(GrowingFile(settings="{}"))
    assert folder.rows(manifest) == 0
    manifest = grow(folder, manifest, slice(0, 2))
    assert folder.rows(manifest) == 4 and folder.rows(folder.read()) == 4
    assert dataset_info(folder.scan, whole=False).scan_shape == SCAN
    with pytest.raises(InputError, match="truncated"):
        dataset_info(folder.scan)  # nobody takes it for a whole one
    first = dataset_info(folder.scan, whole=False).attributes["electrons_per_pattern"]
    assert first == pytest.approx(COUNTS[:4].reshape(16, -1)[:, 1:].sum() / 16)
    manifest = grow(folder, folder.read(), slice(2, 3))
    assert folder.rows(manifest) == 6
    folder.publish()
    folder.publish()  # as who was killed in between does
    with writer_of(tmp_path / "direct.zarr") as direct:
        for block in direct.blocks:
            direct.write(block, COUNTS[block.y0 : block.y1, block.x0 : block.x1])
    assert content_digest(tmp_path / "scan.zarr") == content_digest(tmp_path / "direct.zarr")
    assert (
        open_dataset(tmp_path / "scan.zarr").attrs["fingerprint"] == open_dataset(tmp_path / "direct.zarr").fingerprint
    )


def test_rows_that_are_there_become_a_dataset_of_their_own(folder, tmp_path):
    manifest = grow(folder, folder.write(GrowingFile(settings="{}")), slice(0, 2))
    folder.copy(folder.rows(manifest))
    with writer_of(tmp_path / "direct.zarr", 4) as direct:
        for block in direct.blocks:
            direct.write(block, COUNTS[block.y0 : block.y1, block.x0 : block.x1])
    made, wanted = open_dataset(tmp_path / "scan.zarr"), open_dataset(tmp_path / "direct.zarr")
    np.testing.assert_array_equal(made.counts.values, wanted.counts.values)
    np.testing.assert_array_equal(made.mask.values, wanted.mask.values)
    assert made.attrs["specimen"] == "x"
    assert made.attrs["electrons_per_pattern"] == wanted.attrs["electrons_per_pattern"]


def test_what_a_kill_leaves_is_cleared_up(tmp_path):
    folder = GrowingFolder.of(tmp_path / "scan.zarr")
    with folder.hold(), pytest.raises(InputError, match=r"the result scan.zarr is being written"), folder.hold():
        pass
    with folder.hold():
        folder.begin(writer_of(folder.dataset))  # and killed before the manifest
        (folder.states.path / ".growing.json.0123456789ab.part").write_text("{")
        folder.write(GrowingFile(settings="{}"))
        (folder.states.path / "growing.json").unlink()
    with folder.hold():
        assert [path.name for path in folder.states.path.iterdir()] == ["lock"] and folder.read() is None
    assert not folder.states.path.exists()


def test_a_manifest_that_is_damaged_and_a_folder_of_somebody_else(folder):
    folder.write(GrowingFile(settings="{}"))
    file = folder.states.path / "growing.json"
    said = json.loads(file.read_text())
    for wrong in ({**said, "schema": "ptychodask-growing/9"}, {**said, "shards": [[0, "d"]]}, {**said, "more": 1}):
        file.write_text(json.dumps(wrong))
        with pytest.raises(InputError, match=r"growing.json|damaged"):
            folder.read()
    folder.empty()
    (folder.states.path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds notes.txt, and the watch needs this folder: move it away"):
        folder.check()
