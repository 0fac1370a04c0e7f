"""Damaged counts: which chunk, and a run that stops, or goes on without those positions to the same bits everywhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_scan import BLUR, Recorder, bits, write_scan

import ptychodask
from ptychodask import InputError
from ptychodask.io.checkpoint import RunFolder
from ptychodask.io.dataset import dataset_info
from ptychodask.io.source import ZarrBlocks
from ptychodask.jobs.recipe import Decisions
from ptychodask.jobs.tasks import Surveyed
from ptychodask.model.blocks import Block, make_blocks

JOB = {
    **BLUR,
    "data": {"on_damage": "mask"},
    "probe": {"modes": 2, "update_start": 2},
    "solver": {"iterations": 8, "finish": 2, "background": True},
    "engine": {"checkpoint_every": 3},
}


def job(**engine):
    return {**JOB, "engine": {**JOB["engine"], **engine}}


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 4
    file.write_bytes(content)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


HARM = {"flipped bit": flip, "truncated": truncate, "empty": lambda f: f.write_bytes(b""), "missing": Path.unlink}
LOST = (4, 8, 4, 8)


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("intact") / "scan.zarr", (8, 12), chunks=(4, 4))


def shard(path, y, x):
    return path / "counts" / "c" / str(y) / str(x) / "0" / "0"


@pytest.fixture
def damaged(intact, tmp_path):
    def make(harm="flipped bit"):
        path = tmp_path / "damaged.zarr"
        shutil.copytree(intact, path)
        HARM[harm](shard(path, 1, 1))
        return path

    return make


@pytest.fixture(scope="module")
def expected(intact):
    """The bits of the intact scan with those positions left out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "ptychodask.jobs.run.tasks.survey_block",
            _survey_without(ptychodask.jobs.run.tasks.survey_block),
        )
        return bits(ptychodask.reconstruct(intact, JOB))


@pytest.fixture(scope="module")
def nothing_left_out(intact):
    return bits(ptychodask.reconstruct(intact, JOB))


def _survey_without(survey):
    def surveyed(algorithm, source, block, *others):
        if (block.y0, block.y1, block.x0, block.x1) == LOST:
            return Surveyed(0.0, 0, "", 0, (LOST,))
        return survey(algorithm, source, block, *others)

    return surveyed


@pytest.mark.parametrize("harm", HARM)
def test_the_run_stops_and_names_the_chunk(damaged, harm, tmp_path):
    path = damaged(harm)
    with pytest.raises(InputError, match=r"c/1/1/0/0|shards of counts are missing \(c/1/1") as stopped:
        ptychodask.reconstruct(path, output=tmp_path / "r.zarr")
    assert "--mask-damaged (data.on_damage = mask)" in str(stopped.value) and "\n" not in str(stopped.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["damaged.zarr"]


@pytest.mark.parametrize("harm", HARM)
def test_masked_it_is_the_run_without_those_positions(damaged, expected, nothing_left_out, harm):
    seen = Recorder()
    result = ptychodask.reconstruct(damaged(harm), JOB, progress=seen)
    assert bits(result) == expected
    assert bits(result) != nothing_left_out
    (warning,) = seen.warned()
    assert "16 of 96 patterns are left out, those of scan rows 4 to 7, columns 4 to 7" in warning
    assert result.attributes["patterns_left_out"] == 16
    assert json.loads(result.attributes["boxes_left_out"]) == [list(LOST)]
    assert {e["patterns"] for e in seen.named("iteration")} == {80.0}
    assert np.isfinite(result.object.values).all()


@pytest.mark.distributed
def test_any_number_of_workers_and_a_resume_give_the_same_bits(damaged, expected, tmp_path, intact):
    path, target = damaged("missing"), tmp_path / "r.zarr"
    assert bits(ptychodask.reconstruct(path, job(workers=2, threads=1))) == expected
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(path, JOB, output=target, progress=Recorder(5))
    assert Decisions.load(RunFolder.of(target).read_json("decisions.json")).damaged == (LOST,)
    # even where somebody has repaired the data meanwhile: what was left out stays so
    shutil.copy(shard(intact, 1, 1), shard(path, 1, 1))
    resumed = ptychodask.resume(target)
    assert bits(resumed) == expected and resumed.attributes["patterns_left_out"] == 16


def test_of_a_large_shard_only_the_damaged_chunk_is_left_out(tmp_path):
    """Chunks of 8 x 8 positions in one shard of 16 x 24, in blocks of another shape."""
    path = write_scan(tmp_path / "scan.zarr", (16, 24), chunks=(16, 24))
    flip(shard(path, 0, 0))
    info = dataset_info(path)
    source = ZarrBlocks(info.path, info.fingerprint)
    ((y0, y1, x0, x1),) = source.damaged(Block(0, 0, 16, 0, 24))
    assert (y1 - y0, x1 - x0) == (8, 8) and y0 % 8 == 0 and x0 % 8 == 0
    seen = Recorder()
    found = ptychodask.reconstruct(path, job(block=[6, 5]), progress=seen)
    assert found.attributes["patterns_left_out"] == 64
    boxes = json.loads(found.attributes["boxes_left_out"])
    inside = np.zeros((16, 24), int)
    for a, b, c, d in boxes:
        inside[a:b, c:d] += 1
    assert (inside[y0:y1, x0:x1] == 1).all() and inside.sum() == 64


def test_what_is_read_around_a_damaged_chunk_is_what_was_written(tmp_path):
    path = write_scan(tmp_path / "scan.zarr", (8, 12), chunks=(8, 12))
    info = dataset_info(path)
    source = ZarrBlocks(info.path, info.fingerprint)
    whole, block = source.dense(Block(0, 0, 8, 0, 12)), Block(0, 1, 7, 3, 12)
    flip(shard(path, 0, 0))
    boxes = source.damaged(block)
    partial = block.without(boxes)
    assert 0 < partial.size < block.size == 54
    np.testing.assert_array_equal(source.dense(partial), whole[partial.flat((8, 12))])


def test_blocks_leave_out_what_is_damaged():
    blocks = make_blocks((4, 6), (2, 3), [(0, 2, 0, 3), (1, 3, 2, 5)])
    assert [b.index for b in blocks] == [1, 2, 3]  # nothing is left of the first
    assert [b.size for b in blocks] == [4, 5, 4]
    assert blocks[0].flat((4, 6)).tolist() == [3, 4, 5, 11]
    assert sorted(np.concatenate([b.flat((4, 6)) for b in blocks]).tolist()) == sorted(
        set(range(24)) - {0, 1, 2, 6, 7, 8} - {8, 9, 10, 14, 15, 16}
    )


def test_nothing_left_and_small_arrays_stop_even_so(damaged, intact, tmp_path):
    path = damaged("missing")
    for file in (path / "counts" / "c").rglob("0"):
        if file.is_file():
            flip(file)
    with pytest.raises(InputError, match="no electrons"):
        ptychodask.reconstruct(path, JOB)
    other = tmp_path / "positions.zarr"
    shutil.copytree(intact, other)
    flip(next(p for p in (other / "positions" / "c").rglob("*") if p.is_file()))
    with pytest.raises(InputError, match="positions cannot be read"):
        ptychodask.reconstruct(other, JOB)


def test_a_file_system_that_fails_is_no_damage(intact, monkeypatch):
    """An error that may pass must not decide which positions are left out."""
    box = ZarrBlocks._box

    def failing(self, where):
        if where == LOST:
            raise OSError(5, "Input/output error")
        return box(self, where)

    monkeypatch.setattr(ZarrBlocks, "_box", failing)
    with pytest.raises(InputError, match=r"rows 4 to 7.*Input/output error.*check the file system"):
        ptychodask.reconstruct(intact, JOB)
