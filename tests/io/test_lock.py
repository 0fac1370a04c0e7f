"""One run at a time: whoever comes second is told who is first, and the dead hold nothing."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ptychodask import InputError
from ptychodask.io import lock
from ptychodask.io.checkpoint import RunFolder
from ptychodask.io.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from ptychodask.io.lock import locked
with locked(Path(sys.argv[1]), "the result"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def elsewhere(tmp_path):
    """Another process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_lock_that_is_given_back_is_free(tmp_path):
    for _ in range(2):
        with locked(tmp_path / "lock", "the result") as note:
            assert note is None
            record = json.loads((tmp_path / "lock").read_text())
            assert (record["host"], record["pid"]) == (socket.gethostname(), os.getpid())
        assert not (tmp_path / "lock").exists()


def test_two_runs_in_one_process_exclude_each_other(tmp_path):
    with locked(tmp_path / "lock", "the result r.zarr"):
        with pytest.raises(InputError, match=rf"r\.zarr is being written by process {os.getpid()} on"):
            locked(tmp_path / "lock", "the result r.zarr").__enter__()
        assert (tmp_path / "lock").exists()


def test_another_process_is_named_and_taken_over_from_when_it_is_killed(tmp_path, elsewhere):
    with pytest.raises(InputError, match=f"process {elsewhere.pid} on .* wait for it, or stop it"):
        locked(tmp_path / "lock", "the result").__enter__()
    os.kill(elsewhere.pid, signal.SIGKILL)
    elsewhere.wait()
    with locked(tmp_path / "lock", "the result") as note:
        assert f"process {elsewhere.pid} on" in note and "which is dead, was taken over" in note
        with pytest.raises(InputError, match=f"process {os.getpid()}"):
            locked(tmp_path / "lock", "the result").__enter__()
    assert not (tmp_path / "lock").exists()


def test_a_process_number_that_lives_again_holds_nothing(tmp_path):
    """After a restart some other process has the dead run's number."""
    (tmp_path / "lock").write_text(json.dumps({"host": socket.gethostname(), "pid": os.getppid(), "since": "x"}))
    with locked(tmp_path / "lock", "the result") as note:
        assert "taken over" in note


def test_another_machine_is_not_judged_from_here(tmp_path):
    (tmp_path / "lock").write_text(json.dumps({"host": "node7", "pid": 1, "since": "2026-01-01"}))
    message = rf"process 1 on node7, since 2026-01-01.*cannot be seen from here.*then remove {tmp_path}/lock"
    for _ in range(2):
        with pytest.raises(InputError, match=message):
            locked(tmp_path / "lock", "the result").__enter__()
    (tmp_path / "lock").unlink()
    with locked(tmp_path / "lock", "the result") as note:
        assert note is None


@pytest.mark.parametrize("content", ["", "{", '{"host": "a"}', '{"host": "a", "pid": ['])
def test_a_record_that_was_not_finished_holds_nothing(tmp_path, content):
    (tmp_path / "lock").write_text(content)
    with locked(tmp_path / "lock", "the result") as note:
        assert note is None


@pytest.mark.parametrize("what", ["text", "numbers", "folder", "link", "broken link"])
def test_another_file_of_that_name_is_left_alone(tmp_path, what):
    path, mine = tmp_path / "lock", tmp_path / "mine"
    mine.write_text("mine")
    if what == "folder":
        path.mkdir()
    elif "link" in what:
        path.symlink_to("absent" if "broken" in what else mine)
    else:
        path.write_text({"text": "mine", "numbers": "[1]"}[what])
    for hold in (lambda: locked(path, "the result"), RunFolder(tmp_path).hold):
        with (
            pytest.raises(InputError, match=r"lock is in the way of a lock \(.*\): move it away"),
            hold(),
        ):
            pass
    assert path.is_symlink() or path.is_dir() or path.read_text() in ("mine", "[1]")
    assert mine.read_text() == "mine" and not (tmp_path / "absent").exists()


def test_without_file_locks_the_record_decides(tmp_path, monkeypatch):
    def none_here(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", none_here)
    with locked(tmp_path / "lock", "the result") as note:
        assert "has no file locks" in note
        with pytest.raises(InputError, match=f"process {os.getpid()} on"):
            locked(tmp_path / "lock", "the result").__enter__()
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    (tmp_path / "lock").write_text(
        json.dumps({"host": socket.gethostname(), "pid": int(done.stdout), "since": "2026-01-01"})
    )
    with locked(tmp_path / "lock", "the result") as note:
        assert "taken over" in note


def test_at_no_time_are_there_two_holders(tmp_path):
    """Takers and givers of one folder, which comes and goes with them."""
    inside, together, held = threading.Lock(), [], []

    def work(seed):
        for _ in range(60):
            try:
                with RunFolder(tmp_path / "r.zarr.run").hold():
                    together.append(inside.acquire(blocking=False))
                    held.append(seed)
                    inside.release()
            except InputError as error:
                assert re.search("being written by", str(error))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert together and all(together) and len(set(held)) > 1
    assert list(tmp_path.iterdir()) == []


JOB = {"data": "a", "config": "{}", "fingerprint": "0"}


def test_a_run_folder_keeps_what_can_be_resumed_and_clears_what_the_killed_left(tmp_path):
    folder = RunFolder(tmp_path / "r.zarr.run")
    with pytest.raises(KeyError), folder.hold():
        assert [p.name for p in folder.path.iterdir()] == ["lock"]
        raise KeyError
    assert not folder.path.exists()
    with folder.hold():
        folder.claim(JOB, overwrite=False)
        (folder.path / ".iteration-000004.zarr.0123456789ab.part").mkdir()
    assert sorted(p.name for p in folder.path.iterdir()) == [".iteration-000004.zarr.0123456789ab.part", "job.json"]
    with folder.hold():
        assert sorted(p.name for p in folder.path.iterdir()) == ["job.json", "lock"]
        with pytest.raises(InputError, match="unfinished run"):
            folder.claim({**JOB, "data": "b"}, overwrite=False)
        folder.claim({**JOB, "data": "b"}, overwrite=True)
        assert folder.read_json("job.json") == {**JOB, "data": "b"}
        folder.remove()
        assert [p.name for p in folder.path.iterdir()] == ["lock"]
    assert not folder.path.exists()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "r.zarr.run").write_text("mine")
    with pytest.raises(InputError, match="is not a folder"), RunFolder(tmp_path / "r.zarr.run").hold():
        pass
    assert (tmp_path / "r.zarr.run").read_text() == "mine"
