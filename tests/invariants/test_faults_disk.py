"""A full disk costs a checkpoint, or stops the run where it can go on; it never costs what was stored before."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys

import pytest
from fault_tools import JOB
from tiny_scan import Recorder, bits, write_scan

import ptychodask
from ptychodask import StoppedError
from ptychodask.io.checkpoint import RunFolder
from ptychodask.jobs import tasks


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr")


@pytest.fixture(scope="module")
def expected(scan):
    return bits(ptychodask.reconstruct(scan, JOB))


def full(*arguments, **options):
    raise OSError(errno.ENOSPC, "No space left on device", "iteration.zarr")


def test_a_run_goes_on_without_a_checkpoint_and_tries_the_next(scan, expected, tmp_path, monkeypatch):
    save, stored = tasks.save_state, []

    def sometimes(path, state):
        if state.model.iteration == 6:
            full()
        stored.append(state.model.iteration)
        return save(path, state)

    monkeypatch.setattr(tasks, "save_state", sometimes)
    seen = Recorder()
    result = ptychodask.reconstruct(scan, JOB, output=tmp_path / "r.zarr", progress=seen)
    (warning,) = seen.warned()
    assert "no checkpoint of iteration 6 (" in warning and "No space left on device" in warning
    assert {3, 9} <= set(stored) and 6 not in stored
    assert bits(result) == expected


def test_without_room_an_interrupted_run_resumes_from_the_checkpoint_before(scan, expected, tmp_path, monkeypatch):
    target, seen = tmp_path / "r.zarr", Recorder(8)
    save = tasks.save_state
    with monkeypatch.context() as patch:
        patch.setattr(
            tasks, "save_state", lambda path, state: save(path, state) if state.model.iteration < 4 else full()
        )
        with pytest.raises(KeyboardInterrupt):
            ptychodask.reconstruct(scan, JOB, output=target, progress=seen)
    assert seen.named("checkpoint")[0]["iteration"] == 3 and RunFolder.of(target).checkpoints() == [3]
    assert bits(ptychodask.resume(target)) == expected


def test_an_error_of_the_work_is_not_taken_for_one_of_the_disk(scan, tmp_path, monkeypatch):
    """The state to be stored comes from tasks that may fail themselves."""
    from ptychodask.solver.lsqml import LsqMl

    monkeypatch.setattr(LsqMl, "merge", full)
    seen = Recorder()
    with pytest.raises(OSError, match="No space left"):
        ptychodask.reconstruct(scan, {**JOB, "engine": {"checkpoint_every": 1}}, progress=seen)
    assert seen.warned() == []


SMALL_DISK = """
import hashlib, json, sys
from pathlib import Path
import ptychodask
from ptychodask.io.checkpoint import RunFolder

if __name__ == "__main__":
    scan, job, place = sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3])
    target, filler, told = place / "r.zarr", place / "filler", []

    def fill():
        with open(filler, "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass

    def progress(event, values):
        if event == "warning":
            told.append(values["text"])
        if event == "iteration" and values["stage"] == "fit":
            if values["iteration"] == 4:
                fill()
            if values["iteration"] == int(sys.argv[4]):
                filler.unlink()

    stopped, checkpoints = "", []
    try:
        result = ptychodask.reconstruct(scan, job, output=target, progress=progress)
    except ptychodask.StoppedError as error:
        stopped, checkpoints = str(error), RunFolder.of(target).checkpoints()
        assert not target.exists()
        filler.unlink()
        result = ptychodask.resume(target)
    names = sorted(p.name for p in place.iterdir())
    digest = hashlib.sha256(result.object.values.tobytes() + result.probe.values.tobytes()).hexdigest()
    print(json.dumps({"stopped": stopped, "told": told, "checkpoints": checkpoints, "names": names, "digest": digest}))
"""


@pytest.mark.parametrize(("room_at", "stops"), [(8, False), (99, True)])
def test_a_real_disk_that_fills_up(scan, expected, tmp_path, room_at, stops):
    """A file system of 2 MiB, filled to the last page at iteration 4; room is made at iteration 8, or never."""
    script, place = tmp_path / "script.py", tmp_path / "disk"
    script.write_text(SMALL_DISK)
    place.mkdir()
    private = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = f"mount -t tmpfs -o size=2m tmpfs {place}"
    try:
        subprocess.run([*private, "sh", "-c", mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system of one's own can be mounted here")
    command = f'{mount} && exec "$@"'
    arguments = [sys.executable, str(script), str(scan), json.dumps(JOB), str(place), str(room_at)]
    done = subprocess.run(
        [*private, "sh", "-c", command, "sh", *arguments], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["digest"] == hashlib.sha256(b"".join(expected)).hexdigest()
    assert any(f"no checkpoint of iteration {i} (" in text for text in found["told"] for i in (6, 7)), found
    assert all("No space left on device" in text for text in found["told"] if "of the probe" not in text)
    assert found["names"] == ["r.zarr"]
    assert bool(found["stopped"]) == stops
    if stops:
        assert "the result cannot be written" in found["stopped"] and "ptychodask resume" in found["stopped"]
        assert found["checkpoints"] == [3]


def test_a_stopped_run_is_one_error(scan, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "write_result", full)
    with pytest.raises(StoppedError) as stopped:
        ptychodask.reconstruct(scan, JOB, output=tmp_path / "r.zarr")
    assert "\n" not in str(stopped.value) and "No space left on device" in str(stopped.value)
