"""Schedulers and workers die, come late, or are many: the run goes on, or stops with a checkpoint and one line."""

from __future__ import annotations

import os
import re
import signal
import threading

import pytest
from distributed import Client, LocalCluster
from fault_tools import JOB, command_line, dask_processes, wait_for
from tiny_scan import Recorder, bits, write_scan

import ptychodask
from ptychodask import InputError, StoppedError
from ptychodask.distributed import cluster as cluster_module
from ptychodask.distributed import rounds
from ptychodask.io.checkpoint import RunFolder

pytestmark = pytest.mark.distributed


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", (12, 12))


@pytest.fixture(scope="module")
def expected(scan):
    return bits(ptychodask.reconstruct(scan, JOB))


def at(iteration, act):
    """A progress callback that acts once, when that iteration was looked at and the next two are in flight."""
    done = []

    def progress(event, values):
        if event == "iteration" and values["iteration"] == iteration and not done:
            done.append(act())

    return progress


def job(**engine):
    return {**JOB, "engine": {**JOB["engine"], **engine}}


@pytest.mark.slow
def test_the_scheduler_dies(scan, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 2)  # for so long the client tries to come back
    target = tmp_path / "r.zarr"
    with dask_processes(tmp_path, 2) as cluster, pytest.raises(StoppedError) as stopped:
        cluster.wait_for_workers()
        ptychodask.reconstruct(
            scan, job(scheduler=cluster.address), output=target, progress=at(5, cluster.kill_scheduler)
        )
    line = str(stopped.value)
    told = re.search(rf"scheduler is gone.*from iteration (\d+) with 'ptychodask resume {target}'$", line)
    assert told and int(told[1]) >= 3 and int(told[1]) in RunFolder.of(target).checkpoints(), line
    assert not target.exists()
    seen = Recorder()
    assert bits(ptychodask.resume(target, engine={"scheduler": None}, progress=seen)) == expected
    assert seen.named("iteration")[0]["iteration"] == int(told[1])


@pytest.mark.slow
def test_all_workers_are_lost_for_a_while(scan, expected, tmp_path):
    with dask_processes(tmp_path, 2) as cluster:

        def lose():
            cluster.kill_workers()
            threading.Timer(0.5, cluster.add_worker).start()

        result = ptychodask.reconstruct(scan, job(scheduler=cluster.address), progress=at(4, lose))
        assert len(cluster.workers) == 1
    assert bits(result) == expected


@pytest.mark.slow
def test_new_workers_are_used_from_the_next_iteration_on(scan, expected, monkeypatch):
    places, placement = [], rounds.placement

    def watched(blocks, workers):
        places.append(placement(blocks, workers))
        return places[-1]

    monkeypatch.setattr(rounds, "placement", watched)
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        joined = []

        def join():
            cluster.scale(3)
            client.wait_for_workers(3, timeout=60)
            joined.append(len(places))

        result = ptychodask.reconstruct(scan, JOB, client, progress=at(3, join))
    workers = [len(set(p)) for p in places]
    assert workers == [1] * joined[0] + [3] * (len(workers) - joined[0]) and len(workers) > joined[0] > 1
    assert bits(result) == expected


@pytest.mark.slow
def test_a_signal_to_all_processes_leaves_a_checkpoint_and_one_line(scan, expected, tmp_path):
    """What a batch system sends to the whole job before it kills it (of a terminal that is closed: cli/test_cli)."""
    target = tmp_path / "r.zarr"
    settings = [
        f"--set={name}={value}"
        for name, value in {
            "solver.iterations": 12,
            "solver.finish": 2,
            "solver.patience": 20,
            "object.regularisation": "blur",
        }.items()
    ]
    arguments = ("reconstruct", scan, "-o", target, "--workers", 2, "--set=engine.checkpoint_every=3", *settings)
    with command_line(*arguments) as process:
        wait_for(RunFolder.of(target).path, process, "iteration-*.zarr")
        os.killpg(process.pid, signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    told = f"terminated: {target} resumes with: ptychodask resume {target}\n"
    assert (process.returncode, err) == (143, told), f"{out}{err}"
    (stored,) = re.findall(r"interrupted; checkpoint at iteration (\d+)", out)
    assert int(stored) in RunFolder.of(target).checkpoints()
    assert not (RunFolder.of(target).path / "lock").exists()
    assert bits(ptychodask.resume(target, engine={"workers": None})) == expected


def test_two_runs_cannot_write_one_result(scan, expected, tmp_path):
    target = tmp_path / "r.zarr"
    settings = ["--set=solver.finish=2", "--set=solver.patience=20", "--set=engine.checkpoint_every=1",
                "--set=object.regularisation=blur"]  # fmt: skip
    with command_line("reconstruct", scan, "-o", target, "--set=solver.iterations=12", *settings) as process:
        wait_for(RunFolder.of(target).path, process, "iteration-*.zarr")
        process.send_signal(signal.SIGSTOP)  # it lives, and does not come to its end meanwhile
        for attempt in (
            lambda: ptychodask.reconstruct(scan, JOB, output=target),
            lambda: ptychodask.reconstruct(scan, JOB, output=target, overwrite=True),
            lambda: ptychodask.resume(target),
        ):
            with pytest.raises(InputError, match=rf"r\.zarr is being written by process {process.pid} on .*: wait"):
                attempt()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (RunFolder.of(target).path / "lock").exists()
    seen = Recorder()
    assert bits(ptychodask.resume(target, progress=seen)) == expected
    assert f"the lock of process {process.pid} on" in seen.named("warning")[0]["text"]
    assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]
