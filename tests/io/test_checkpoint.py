"""Checkpoints: every bit of a state, and a run folder that two runs cannot share."""

from __future__ import annotations

import json
import math
import shutil
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
from tiny_scan import BLUR, Recorder, write_scan

import ptychodask
from ptychodask import InputError
from ptychodask.io import checkpoint
from ptychodask.io.checkpoint import RunFolder, load_state, save_state
from ptychodask.model.scan import Affine
from ptychodask.model.state import Model, State


def state(kind="phase", seed=0) -> State:
    rng = np.random.default_rng(seed)
    shape = (2, 9, 11)
    object_ = rng.standard_normal(shape).astype(np.float32)
    if kind == "complex":
        object_ = (object_ + 1j * rng.standard_normal(shape)).astype(np.complex64)
    anchor = (object_ + rng.standard_normal(shape) * 1e-3).astype(object_.dtype)
    probe = (rng.standard_normal((3, 8, 8)) + 1j * rng.standard_normal((3, 8, 8))).astype(np.complex64)
    object_[0, 0, :3] = [0.0, -0.0, 1e-42]  # zeros are not stored as chunks, and subnormals must survive
    moved = Affine(rng.standard_normal((2, 2)) / 3, rng.standard_normal(2) * 1e3)
    return State(Model(object_, probe, 0.1 + 0.2, 17, moved=moved), anchor, 5, 1 / 3, loss=-1e5 / 7)


@pytest.mark.parametrize("kind", ["phase", "complex"])
def test_a_state_comes_back_bit_for_bit(tmp_path, kind):
    before = state(kind)
    path = save_state(str(tmp_path / "a.zarr"), before)
    after = load_state(path)
    for name in ("object", "probe", "moved.matrix", "moved.centre"):
        a, b = attrgetter(name)(before.model), attrgetter(name)(after.model)
        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes(), name
    assert before.anchor.tobytes() == after.anchor.tobytes() and after.anchor.dtype == before.anchor.dtype
    assert (after.model.background, after.damping) == (0.1 + 0.2, 1 / 3)
    assert (after.model.iteration, after.momentum, after.loss) == (17, 5, -1e5 / 7)
    assert all(isinstance(v, int) for v in (after.model.iteration, after.momentum))


def test_all_zero_and_large_arrays_come_back(tmp_path):
    zero = np.zeros((1, 600, 530), np.float32)
    zero[0, 599, 529] = 1
    before = State(Model(zero, np.zeros((1, 8, 8), np.complex64)), np.zeros_like(zero), -1)
    after = load_state(save_state(str(tmp_path / "a.zarr"), before))
    np.testing.assert_array_equal(after.model.object, zero)
    assert after.momentum == -1 and not after.anchor.any()


@pytest.mark.parametrize("value", [5e-324, 1e308, math.pi, 0.0, 2**-20])
def test_floats_keep_every_bit(tmp_path, value):
    before = State(Model(np.zeros((1, 2, 2), np.float32), np.zeros((1, 2, 2), np.complex64), value),
                   np.zeros((1, 2, 2), np.float32), 0, value)  # fmt: skip
    after = load_state(save_state(str(tmp_path / "a.zarr"), before))
    assert after.model.background == value and after.damping == value


def test_saving_replaces_and_leaves_nothing_beside(tmp_path):
    path = str(tmp_path / "a.zarr")
    save_state(path, state(seed=0))
    save_state(path, state(seed=1))
    assert load_state(path).model.object.tobytes() == state(seed=1).model.object.tobytes()
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("damage", ["missing", "no probe", "attributes", "chunk", "text"])
def test_a_damaged_checkpoint_is_one_line_with_the_remedy(tmp_path, damage):
    path = tmp_path / "a.zarr"
    save_state(str(path), state())
    if damage == "missing":
        shutil.rmtree(path)
    elif damage == "no probe":
        shutil.rmtree(path / "probe")
    elif damage == "attributes":
        meta = json.loads((path / "zarr.json").read_text())
        del meta["attributes"]["damping"]
        (path / "zarr.json").write_text(json.dumps(meta))
    elif damage == "chunk":
        chunk = next(p for p in (path / "object" / "c").rglob("*") if p.is_file())
        chunk.write_bytes(chunk.read_bytes()[:20])
    else:
        shutil.rmtree(path)
        path.write_text("no group")
    with pytest.raises(InputError, match="remove it to resume from an earlier one") as error:
        load_state(str(path))
    assert str(path) in str(error.value)


def test_a_lost_chunk_is_not_read_as_zeros(tmp_path):
    path = tmp_path / "a.zarr"
    save_state(str(path), state())
    next(p for p in (path / "anchor" / "c").rglob("*") if p.is_file()).unlink()
    with pytest.raises(InputError):
        load_state(str(path))


def test_a_checkpoint_that_is_removed_while_it_is_read_is_not_read_as_zeros(tmp_path, monkeypatch):
    path = save_state(str(tmp_path / "c.zarr"), state())
    opened = checkpoint.open_group

    def then_removed(store):
        group = opened(store)
        shutil.rmtree(Path(path) / "probe" / "c")
        return group

    monkeypatch.setattr(checkpoint, "open_group", then_removed)
    with pytest.raises(InputError, match="shards of probe are missing"):
        load_state(path)


def test_the_folder_is_beside_the_result(tmp_path):
    assert RunFolder.of(tmp_path / "out.zarr").path == tmp_path / "out.zarr.run"
    assert RunFolder.of(str(tmp_path / "out")).path == tmp_path / "out.run"


def test_a_folder_is_claimed_once(tmp_path):
    folder = RunFolder.of(tmp_path / "out.zarr")
    folder.claim(job("a"), overwrite=False)
    with pytest.raises(InputError, match=r"ptychodask resume out\.zarr.*--overwrite"):
        folder.claim(job("b"), overwrite=False)
    assert folder.read_json("job.json") == job("a")
    save_state(folder.checkpoint(3), state())
    folder.claim(job("c"), overwrite=True)
    assert folder.read_json("job.json") == job("c") and folder.checkpoints() == []


def job(data):
    return {"data": data, "config": "{}", "fingerprint": "0"}


STRAYS = {
    "notes": ("notes.txt", "mine"),
    "a dataset": ("counts/c/0", "mine"),
    "another job": ("job.json", '{"queue": "long"}'),
    "another log": ("log.json", "[1]"),
    "a broken job": ("job.json", "{"),
    "notes in a checkpoint": ("iteration-000003.zarr/notes.txt", "mine"),
    "another temporary file": (".scan.zarr.0123456789ab.part", "mine"),
}


@pytest.mark.parametrize("name", STRAYS)
def test_a_folder_with_other_files_is_refused_and_they_stay(tmp_path, name):
    place, text = STRAYS[name]
    named = place.removesuffix("/c/0")
    folder = RunFolder.of(tmp_path / "out.zarr")
    file = folder.path / place
    file.parent.mkdir(parents=True)
    file.write_text(text)
    for start in (folder.check, lambda: folder.claim(job("a"), overwrite=True)):
        with pytest.raises(InputError, match=rf"holds {named}, which no run of ptychodask wrote.*: move it") as caught:
            start()
        assert "\n" not in str(caught.value)
    with folder.hold():
        pass
    folder.remove()
    assert file.read_text() == text


def test_files_that_come_later_stay(tmp_path):
    folder = RunFolder.of(tmp_path / "out.zarr")
    with folder.hold():
        folder.claim(job("a"), overwrite=False)
        save_state(folder.checkpoint(3), state())
        (folder.path / "notes.txt").write_text("mine")
        folder.remove()
    assert [p.name for p in folder.path.iterdir()] == ["notes.txt"]


def test_a_link_means_the_folder_behind_it(tmp_path):
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir(), scratch.mkdir()
    (home / "out.zarr.run").symlink_to("../scratch/run")  # which is made
    folder = RunFolder.of(home / "out.zarr")
    assert folder.path == scratch / "run"
    with folder.hold():
        folder.claim(job("a"), overwrite=False)
        with pytest.raises(InputError, match=r"ptychodask resume out\.zarr"):
            folder.claim(job("a"), overwrite=False)
        folder.remove()
    assert (home / "out.zarr.run").is_symlink() and list(scratch.iterdir()) == []
    (home / "out.zarr").symlink_to("../scratch/result")
    assert RunFolder.of(home / "out.zarr").path == scratch / "result.run"


def make_checkpoints(folder, *iterations):
    for iteration in iterations:
        save_state(folder.checkpoint(iteration), state())


def test_checkpoints_are_listed_and_forgotten(tmp_path):
    folder = RunFolder.of(tmp_path / "out.zarr")
    assert folder.checkpoints() == []
    folder.claim(job("a"), overwrite=False)
    make_checkpoints(folder, 20, 5, 100000, 10)
    (folder.path / ".iteration-000030.zarr.0123456789ab.part").mkdir()
    assert folder.checkpoints() == [5, 10, 20, 100000]
    folder.forget([5, 100000, 30])
    assert folder.checkpoints() == [10, 20]
    folder.forget([10, 20])
    assert folder.checkpoints() == []
    folder.remove()
    assert not folder.path.exists()
    folder.remove()


def test_json_keeps_every_number(tmp_path):
    folder = RunFolder.of(tmp_path / "out.zarr")
    folder.claim(job("a"), overwrite=False)
    values = {"a": [0.1 + 0.2, 1e-300, math.inf], "b": None, "c": "é"}
    folder.write_json("log.json", values)
    assert folder.read_json("log.json") == values
    folder.write_json("log.json", {"nan": math.nan})
    assert math.isnan(folder.read_json("log.json")["nan"])
    assert sorted(p.name for p in folder.path.iterdir()) == ["job.json", "log.json"]


@pytest.mark.parametrize("content", [None, "{ half", ""])
def test_unreadable_json_is_one_line(tmp_path, content):
    folder = RunFolder.of(tmp_path / "out.zarr")
    folder.path.mkdir()
    if content is not None:
        (folder.path / "job.json").write_text(content)
    with pytest.raises(InputError, match="no run to resume"):
        folder.read_json("job.json")


@pytest.mark.parametrize("name", ["object", "anchor", "probe"])
def test_a_flipped_bit_is_found(tmp_path, name):
    path = save_state(str(tmp_path / "a.zarr"), state())
    for file in (p for p in (tmp_path / "a.zarr" / name / "c").rglob("*") if p.is_file()):
        content = bytearray(file.read_bytes())
        for place in range(0, len(content), max(1, len(content) // 40)):
            damaged = content.copy()
            damaged[place] ^= 1 << place % 8
            file.write_bytes(damaged)
            with pytest.raises(InputError, match="cannot be read"):
                load_state(path)
        file.write_bytes(content)
        load_state(path)
        break


def test_a_removal_that_is_killed_leaves_no_half_checkpoint(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "r.zarr.run")
    folder.claim(job("a"), overwrite=False)
    for iteration in (3, 6):
        save_state(folder.checkpoint(iteration), state())
    monkeypatch.setattr("ptychodask.io.atomic.shutil.rmtree", lambda *arguments, **options: None)  # killed here
    folder.forget([3])
    monkeypatch.undo()
    assert folder.checkpoints() == [6]
    with folder.hold():
        assert sorted(p.name for p in folder.path.iterdir()) == ["iteration-000006.zarr", "job.json", "lock"]


@pytest.mark.parametrize("name", ["job.json", "decisions.json", "log.json"])
def test_a_run_folder_says_all_or_nothing(tmp_path, name):
    """A key that is gone is named: a default in its place would give other bits, or tell of another run."""
    scan, target = write_scan(tmp_path / "s.zarr"), tmp_path / "r.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, {**BLUR, "solver": {"iterations": 6}}, output=target, progress=Recorder(3))
    file = RunFolder.of(target).path / name
    said = json.loads(file.read_text())
    for key in said:
        file.write_text(json.dumps({k: v for k, v in said.items() if k != key}))
        with pytest.raises(InputError, match=rf"{name} lacks '{key}'"):
            ptychodask.resume(target)
    file.write_text(json.dumps(said))
    assert ptychodask.resume(target).iteration >= 0
