"""Workers that cannot read the dataset or write the result are found before the first iteration."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from distributed import Client, LocalCluster
from fault_tools import Cluster
from tiny_scan import BLUR, Recorder, write_scan

import ptychodask
from ptychodask import InputError
from ptychodask._processor import processor
from ptychodask.io.checkpoint import RunFolder
from ptychodask.io.dataset import dataset_info
from ptychodask.jobs import places

ADDRESS = "tcp://10.0.0.7:4321"
SHORT = {**BLUR, "solver": {"iterations": 2, "finish": 0}}


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", (4, 4))


class Far:
    """A client of one worker on another machine, where ``seen`` says which path another one is there."""

    def __init__(self, seen=None, answer=None):
        self.seen, self.answer = seen or {}, answer

    def scheduler_info(self, n_workers):
        return {"workers": {ADDRESS: {"nthreads": 1, "memory_limit": 0}}}

    def run(self, function, *arguments, on_error):
        if function is places.ask and self.answer is not None:
            return {ADDRESS: self.answer}
        answer = function(*map(self._there, arguments))
        if isinstance(answer, places.Answer):
            for here, there in self.seen.items():
                answer = replace(answer, left=tuple(path.replace(there, here) for path in answer.left))
        return {ADDRESS: answer}

    def _there(self, argument):
        if isinstance(argument, list):
            return [self._there(each) for each in argument]
        here = next((path for path in self.seen if argument.startswith(path)), None)
        return argument if here is None else self.seen[here] + argument.removeprefix(here)


def ask(client, scan, target):
    places.check_places(client, dataset_info(scan), (target, target.with_name("r.zarr.run") / "log.json"))


@pytest.fixture
def target(tmp_path):
    (tmp_path / "out" / "r.zarr.run").mkdir(parents=True)
    return tmp_path / "out" / "r.zarr"


def left(target):
    return sorted(p.name for p in target.parent.rglob("*"))


def test_a_worker_that_sees_the_same_files_leaves_nothing(scan, target):
    ask(Far(), scan, target)
    assert left(target) == ["r.zarr.run"]


def test_a_worker_that_is_lost_is_not_asked(scan, target):
    ask(Far(answer=OSError("connection broken")), scan, target)


def cases(scan, target, tmp_path):
    """What the worker sees elsewhere, and what is said of it."""
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(target.parent, elsewhere)
    other = write_scan(tmp_path / "other.zarr", (4, 4), seed=1)
    shared = "on a file system that all machines share"
    return {
        "no dataset": ({str(scan): "/absent"}, rf"cannot read the dataset \(/absent does not exist.*{shared}"),
        "another dataset": ({str(scan): str(other)}, rf"sees another dataset at {other} \(fingerprint.*{shared}"),
        "no output": ({str(target.parent): "/absent"}, rf"cannot write in /absent \(No such file.*{shared}"),
        "read-only": ({str(target.parent): "/proc"}, rf"cannot write in /proc \(.*{shared}"),
        "another output": ({str(target.parent): str(elsewhere)}, f"writes to another {target.parent} than .*{shared}"),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["no dataset", "another dataset", "no output", "read-only", "another output"])
def test_what_a_worker_sees_elsewhere_is_one_line(scan, target, tmp_path, name):
    seen, message = cases(scan, target, tmp_path)[name]
    with pytest.raises(InputError, match=f"^worker {ADDRESS} {message}") as caught:
        ask(Far(seen), scan, target)
    assert "\n" not in str(caught.value)
    assert left(target) == ["r.zarr.run"] == sorted(p.name for p in (tmp_path / "elsewhere").rglob("*"))


def test_a_dataset_whose_counts_are_locked_is_named(scan, target, monkeypatch):
    opened = Path.open

    def locked(self, *arguments, **options):
        if "counts/c" in str(self):
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", locked)
    with pytest.raises(InputError, match=r"cannot read the dataset \(.*Permission denied.*scan.zarr/counts/c"):
        ask(Far(), scan, target)


def test_a_worker_of_another_user_is_found(scan, target, monkeypatch):
    """It may write, but this process cannot remove what it wrote."""
    real = places.remove

    def refused(path):
        if sys._getframe(1).f_code.co_name == "_not_here":
            raise PermissionError(13, "Permission denied", str(path))
        real(path)

    monkeypatch.setattr(places, "remove", refused)
    with pytest.raises(InputError, match=r"cannot remove \(Permission denied\): run workers and this process as one"):
        ask(Far(), scan, target)
    assert left(target) == ["r.zarr.run"]


def test_a_worker_with_another_version_is_found(scan, target):
    with pytest.raises(InputError, match=r"cannot run ptychodask.*No module.*install the version of this process"):
        ask(Far(answer=ModuleNotFoundError("No module named 'ptychodask'")), scan, target)


def test_a_worker_with_another_processor_is_told(monkeypatch):
    def other(backend):
        return f"an odd one for {backend}"

    monkeypatch.setattr(places, "processor", other)
    text = places.other_processors(Far(), "cpu", "the usual one")
    assert text.startswith("the run was started on the usual one, and goes on on an odd one for cpu: ")
    assert not places.other_processors(Far(), "cpu", "an odd one for cpu")


def test_a_resume_on_another_processor_warns(scan, tmp_path):
    target = tmp_path / "r.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, SHORT, output=target, progress=Recorder(2))
    file = RunFolder.of(target).path / "decisions.json"
    stored = json.loads(file.read_text())
    assert stored["processor"] == processor()
    file.write_text(json.dumps({**stored, "processor": "another"}))
    with pytest.warns(ptychodask.PtychodaskWarning, match="started on another, and goes on on"):
        result = ptychodask.resume(target, progress=False)
    assert any("its bits are not those of one kind" in text for text in result.warnings)


def test_threads_of_this_process_are_not_asked(scan, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "ask", lambda *arguments: pytest.fail("they were asked"))
    ptychodask.reconstruct(scan, SHORT, output=tmp_path / "r.zarr")


def test_start_and_resume_ask_before_anything_is_computed(scan, tmp_path, monkeypatch):
    target = tmp_path / "r.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, SHORT, output=target, progress=Recorder(2))
    before = sorted(p.name for p in tmp_path.rglob("*"))
    monkeypatch.setattr(places, "_unreadable", lambda *arguments: "cannot read")
    monkeypatch.setattr("ptychodask.jobs.launch.survey_all", lambda *arguments: pytest.fail("computing started"))
    monkeypatch.setattr("ptychodask.jobs.launch.Run", lambda *arguments: pytest.fail("computing started"))
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        with pytest.raises(InputError, match=r"^worker tcp://127\.0\.0\.1:\d+ cannot read"):
            ptychodask.resume(target, client)
        assert sorted(p.name for p in tmp_path.rglob("*")) == before
        with pytest.raises(InputError, match=r"^worker tcp://127\.0\.0\.1:\d+ cannot read"):
            ptychodask.reconstruct(scan, SHORT, client, output=tmp_path / "new.zarr")
        assert sorted(p.name for p in tmp_path.rglob("*")) == before
    target.write_text("mine")
    with pytest.raises(InputError, match="is a file, not a ptychodask result"):
        ptychodask.resume(target)
    assert target.read_text() == "mine" and RunFolder.of(target).checkpoints()


PRIVATE = ["unshare", "--user", "--map-root-user", "--mount"]


class Apart(Cluster):
    """Workers with a file system of their own over a folder."""

    def __init__(self, folder, hidden):
        self.hidden = hidden
        super().__init__(folder)

    def _start(self, tool, *arguments):
        popen = subprocess.Popen

        def apart(command, **options):
            mount = f'mount -t tmpfs -o size=2m tmpfs {self.hidden} && exec "$@"'
            return popen([*PRIVATE, "sh", "-c", mount, "sh", *command], **options)

        if tool == "dask_worker":
            subprocess.Popen = apart
        try:
            return super()._start(tool, *arguments)
        finally:
            subprocess.Popen = popen


@pytest.mark.distributed
def test_workers_with_a_file_system_of_their_own(scan, tmp_path):
    """The run would compute to its end, and its result would lie on a node."""
    with tempfile.TemporaryDirectory() as hidden:
        probe = [*PRIVATE, "sh", "-c", f"mount -t tmpfs tmpfs {hidden}"]
        if shutil.which("unshare") is None or subprocess.run(probe, check=False, capture_output=True).returncode:
            pytest.skip("no file system of one's own can be mounted here")
        cluster = Apart(tmp_path, hidden)
        try:
            cluster.add_worker()
            cluster.wait_for_workers()
            with (
                Client(cluster.address, set_as_default=False) as client,
                pytest.raises(InputError, match=rf"worker tcp://.* cannot write in {hidden}/r.zarr.run \(No such file"),
            ):
                ptychodask.reconstruct(scan, SHORT, client, output=Path(hidden) / "r.zarr")
        finally:
            cluster.kill_workers()
            cluster.kill_scheduler()
        assert os.listdir(hidden) == []  # noqa: PTH208
