"""The same bits wherever it runs, however often it is interrupted, and while workers die; and it stays small."""

from __future__ import annotations

import io
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from distributed import Client, Future, LocalCluster
from tiny_scan import BLUR, Recorder, bits, write_scan

import ptychodask
from ptychodask.distributed import rounds, stream
from ptychodask.distributed.cache import BlockCache
from ptychodask.distributed.together import Together
from ptychodask.io.checkpoint import RunFolder

JOB = {
    **BLUR,
    "probe": {"modes": 2, "update_start": 2},
    "solver": {"iterations": 14, "finish": 3, "patience": 6, "background": True},
    "engine": {"checkpoint_every": 4},
}


def job(**engine):
    return {**JOB, "engine": {**JOB["engine"], **engine}}


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr")


@pytest.fixture(scope="module")
def reference(scan):
    """The bits of the run in threads of this process, which nothing disturbs; and its entries."""
    seen = Recorder()
    result = ptychodask.reconstruct(scan, JOB, progress=seen)
    entries = [(e["stage"], e["iteration"]) for e in seen.named("iteration")]
    stages = [stage for stage, _ in entries]
    assert stages.count("finish") == 3 and stages.count("fit") >= 8, entries
    return bits(result), len(stages), stages.count("fit"), result


@pytest.fixture(scope="module")
def two_workers():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as c,
    ):
        yield c


READS_AHEAD = {"cache_gib": 10e3 / 2**30}
"""Two of the four blocks fit: these are read ahead in every pass."""


@pytest.mark.parametrize(
    "engine",
    [
        {"cache_gib": 0},
        READS_AHEAD,
        {**READS_AHEAD, "threads": 1},
        {"threads": 1},
        {"threads": 5},
        {"checkpoint_every": 1},
    ],
    ids=str,
)
def test_threads_caches_and_checkpoints_change_no_bit(scan, reference, engine):
    assert bits(ptychodask.reconstruct(scan, job(**engine))) == reference[0]


@pytest.mark.distributed
@pytest.mark.parametrize("engine", [{"workers": 3}, {"workers": 2, **READS_AHEAD}], ids=str)
def test_worker_processes_change_no_bit(scan, reference, engine):
    assert bits(ptychodask.reconstruct(scan, job(**engine))) == reference[0]


def test_counts_are_read_ahead_where_they_do_not_fit(scan, monkeypatch):
    """Or the bits above prove nothing about it."""
    cache = BlockCache()
    monkeypatch.setattr(stream, "WORKER_CACHE", cache)
    history = ptychodask.reconstruct(scan, job(**READS_AHEAD)).history
    assert cache.nbytes <= 10e3
    assert (history["bytes_read"] > 0).all() and (history["seconds_reading"] > 0).all()
    assert (history["seconds_waiting"] > 0).any()  # only for what the reader has in hand


@pytest.mark.distributed
def test_a_given_client_changes_no_bit(scan, reference, two_workers):
    result = ptychodask.reconstruct(scan, JOB, two_workers)
    assert bits(result) == reference[0]
    assert two_workers.status == "running"
    np.testing.assert_array_equal(result.history["loss"], reference[3].history["loss"])


def test_the_probe_moved_or_its_bits_prove_nothing(reference):
    probe = reference[3].probe.values
    assert probe.shape[0] == 2 and abs(probe[1]).max() > 0
    weak = (abs(probe[1]) ** 2).sum() / (abs(probe) ** 2).sum()
    assert weak != pytest.approx(0.02, rel=1e-3)  # the share that the second mode starts from


def interrupted(scan, target, *stops, config=JOB):
    """Run with an interrupt at each of ``stops`` entries (counted from each resume), one resume after the other."""
    first = True
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            if first:
                ptychodask.reconstruct(scan, config, output=target, progress=Recorder(stop))
            else:
                ptychodask.resume(target, progress=Recorder(stop))
        first = False
        assert not target.exists()
        assert RunFolder.of(target).path.exists()


@pytest.mark.parametrize("stop", ["first", 2, 5, "last of the fit", "first of the finish", "last of the finish"])
def test_interrupt_and_resume_change_no_bit(scan, reference, tmp_path, stop):
    expected, entries, fit, result = reference
    named = {
        "first": 1,
        "last of the fit": fit,
        "first of the finish": fit + 1,
        "last of the finish": entries,
    }
    target = tmp_path / "result.zarr"
    interrupted(scan, target, named.get(stop, stop))
    resumed = ptychodask.resume(target)
    assert bits(resumed) == expected
    assert not RunFolder.of(target).path.exists()
    for name in ("iteration", "updates", "loss", "validation", "power"):
        np.testing.assert_array_equal(resumed.history[name], result.history[name])
    for name in ("iteration", "stopped_because", "restarts", "initial_loss"):
        assert resumed.attributes[name] == result.attributes[name]


@pytest.mark.distributed
def test_resume_in_other_processes_changes_no_bit(scan, reference, tmp_path, two_workers):
    target = tmp_path / "result.zarr"
    interrupted(scan, target, 7)
    assert bits(ptychodask.resume(target, two_workers)) == reference[0]


def test_many_interrupts_change_no_bit_and_lose_no_work(scan, reference, tmp_path):
    """Interrupted at once after every resume, a run must not fall back to an earlier checkpoint."""
    target = tmp_path / "result.zarr"
    interrupted(scan, target, 8)
    start = RunFolder.of(target).checkpoints()[0]
    assert start >= 2
    for stop in (1, 1, 2):
        with pytest.raises(KeyboardInterrupt):
            ptychodask.resume(target, progress=Recorder(stop))
        assert max(RunFolder.of(target).checkpoints()) >= start
    seen = Recorder()
    assert bits(ptychodask.resume(target, progress=seen)) == reference[0]
    assert seen.named("iteration")[0]["iteration"] >= start


def test_interrupt_right_after_a_checkpoint(scan, reference, tmp_path, monkeypatch):
    from ptychodask.jobs.run import Run

    cut = Run._cut

    def stop_after(self, iteration, state):
        out = cut(self, iteration, state)
        if iteration == 4:
            monkeypatch.setattr(Run, "_cut", cut)
            raise KeyboardInterrupt
        return out

    monkeypatch.setattr(Run, "_cut", stop_after)
    target = tmp_path / "result.zarr"
    interrupted(scan, target, 99)
    assert bits(ptychodask.resume(target)) == reference[0]


def test_a_process_that_is_killed_outright_can_be_resumed(scan, reference, tmp_path, monkeypatch):
    """No handler runs: what the last checkpoint left has to do."""
    from ptychodask.jobs.run import Run

    monkeypatch.setattr(Run, "interrupt", lambda self: 0)
    target = tmp_path / "result.zarr"
    interrupted(scan, target, 11, config=job(checkpoint_every=3))
    monkeypatch.undo()
    seen = Recorder()
    assert bits(ptychodask.resume(target, progress=seen)) == reference[0]
    assert seen.named("iteration")[0]["iteration"] >= 3


@pytest.mark.distributed
@pytest.mark.slow
def test_killed_workers_change_no_bit(scan, reference):
    """SIGKILL in the middle of iterations, of the fit and of the finish: lost results are computed again elsewhere."""
    killed = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as c,
    ):

        def kill(event, values):
            if event == "iteration" and (values["stage"], values["iteration"]) in {("fit", 3), ("fit", 6)}:
                os.kill(min(c.run(os.getpid).values()), signal.SIGKILL)
                killed.append(values["iteration"])
            elif event == "iteration" and values["stage"] == "finish" and killed[-1] != "finish":
                os.kill(max(c.run(os.getpid).values()), signal.SIGKILL)
                killed.append("finish")

        result = ptychodask.reconstruct(scan, JOB, c, progress=kill)
    assert killed == [3, 6, "finish"]
    assert bits(result) == reference[0]


SCRIPT = """
import sys, time, ptychodask
def show(event, values):
    print(event, values.get("iteration"), flush=True)
    if (event, values.get("iteration")) == ("iteration", 3):
        for _ in range(300):  # the run must not end before the signal comes, however busy the machine is
            time.sleep(0.2)  # one that comes just before a sleep does not wake it
if __name__ == "__main__":
    ptychodask.reconstruct(sys.argv[1], eval(sys.argv[2]), output=sys.argv[3], progress=show)
"""


@pytest.mark.distributed
@pytest.mark.slow
def test_control_c_reaches_the_workers_too_and_leaves_a_checkpoint(scan, reference, tmp_path):
    """A terminal sends the signal to the whole process group, so the workers must not die of it."""
    script, target = tmp_path / "script.py", tmp_path / "result.zarr"
    script.write_text(SCRIPT)
    arguments = [sys.executable, str(script), str(scan), repr(job(workers=1, threads=1)), str(target)]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        lines = []
        try:
            while "iteration 3" not in lines:
                line = process.stdout.readline()
                assert line, process.stderr.read()
                lines.append(line.strip())
            os.killpg(process.pid, signal.SIGINT)
            rest, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert "KeyboardInterrupt" in errors
    stored = [line for line in rest.splitlines() if line.startswith("checkpoint")]
    assert len(stored) == 1, (rest, errors)
    assert int(stored[0].split()[1]) in RunFolder.of(target).checkpoints()
    assert bits(ptychodask.resume(target, engine={"workers": None})) == reference[0]


def test_the_scheduler_does_not_grow_with_the_iterations(scan, monkeypatch):
    monkeypatch.setattr("ptychodask.jobs.run.stop_reason", lambda *_: None)
    config = {**BLUR, "solver": {"iterations": 32, "validation_fraction": None}, "engine": {"checkpoint_every": 4}}
    tasks = []
    with Client(processes=False, dashboard_address="127.0.0.1:0", n_workers=1, threads_per_worker=2) as client:

        def count(event, values):
            if event == "iteration":
                tasks.append(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))

        result = ptychodask.reconstruct(scan, config, client, progress=count)
        time.sleep(0.3)
        left = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
    assert len(result.history) == 32
    per_pass = 4 + 4  # four blocks; model, merge, metrics, state
    assert max(tasks[12:]) <= max(tasks[:12]) + per_pass, tasks
    assert max(tasks) < 8 * per_pass, tasks  # from one checkpoint to the next, and two in flight
    assert left < 2 * per_pass, left


class _Arrays(pickle.Pickler):
    """Finds the arrays in what is pickled; futures stand for themselves."""

    def __init__(self):
        super().__init__(io.BytesIO())
        self.found = []

    def persistent_id(self, value):
        if isinstance(value, np.ndarray) and value.size > 16:
            self.found.append(value.shape)
        return "future" if isinstance(value, Future) else None


def _arrays(value):
    pickler = _Arrays()
    pickler.dump(value)
    return pickler.found


def test_no_array_passes_through_the_client(scan, monkeypatch):
    seen = {"sent": 0, "received": 0}
    result, gather = Future.result, Client.gather

    def checked_submit(submit):
        def call(self, function, *arguments, **options):
            assert not _arrays(arguments), (function, _arrays(arguments))
            seen["sent"] += 1
            return submit(self, function, *arguments, **options)

        return call

    def checked(function):
        def call(*arguments, **options):
            value = function(*arguments, **options)
            assert not _arrays(value), _arrays(value)
            seen["received"] += 1
            return value

        return call

    for taker in (Client, Together):
        monkeypatch.setattr(taker, "submit", checked_submit(taker.submit))
    monkeypatch.setattr(Client, "gather", checked(gather))
    monkeypatch.setattr(Future, "result", checked(result))
    ptychodask.reconstruct(scan, JOB)
    assert seen["sent"] > 60 and seen["received"] > 10
    assert _arrays([{"a": np.zeros(17)}]) == [(17,)]  # the check itself finds one


def test_patterns_are_never_held_dense(tmp_path, monkeypatch):
    """100 electrons in 1024 pixels: held as events, in far less than the dense float32 that others keep."""
    path = write_scan(tmp_path / "scan.zarr", (12, 12), electrons=100.0)
    cache = BlockCache()
    monkeypatch.setattr(stream, "WORKER_CACHE", cache)
    held, largest = [], []
    read = rounds.block_data

    def watched(*arguments):
        got = read(*arguments)
        largest.append(got.bytes_read)
        held.append(cache.nbytes)
        return got

    monkeypatch.setattr(rounds, "block_data", watched)
    result = ptychodask.reconstruct(path, {**BLUR, "solver": {"iterations": 8, "finish": 2}})
    dense = 144 * 32 * 32 * 4
    assert 0 < max(held) < 0.2 * dense
    assert max(largest) <= 16 * 32 * 32 * 2  # one block of counts at a time
    # the survey has filled the cache, and the finish fits what the fit has there: nothing is prepared twice
    assert (result.history["bytes_read"] == 0).all()
    assert len({run for run, _ in cache._entries}) == 1
