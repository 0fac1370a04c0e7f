"""The object in tiles: the answer of the whole object, the same bits on any workers and after a resume, kept apart."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import zarr
from distributed import Client, Future, LocalCluster
from tiny_scan import Recorder, bits, write_scan

import ptychodask
from ptychodask import InputError
from ptychodask.distributed.together import Together
from ptychodask.io.checkpoint import RunFolder, load_state
from ptychodask.jobs import tasks

JOB = {
    "object": {"slices": 2, "thickness_angstrom": 40.0, "coupling": "gaussian", "coupling_sigma_angstrom": 15.0},
    "probe": {"modes": 2, "update_start": 2},
    "solver": {"iterations": 7, "finish": 2, "patience": 4, "background": True},
    "engine": {"checkpoint_every": 4},
}
TILED = {**JOB, "engine": {"checkpoint_every": 4, "tile_pixels": 40}}
TANGENT = {"solver": {**JOB["solver"], "step_rule": "tangent", "tangent_stride": 3}}
ROUNDS = {"solver": {**JOB["solver"], "rounds_per_iteration": 3}}
BOTH = {"solver": {**ROUNDS["solver"], **TANGENT["solver"]}}


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    peaks = ((2.0, 3.0, 0.9), (9.0, 5.5, 0.9), (5.0, 11.0, 0.9))
    folder = tmp_path_factory.mktemp("scan")
    return write_scan(folder / "scan.zarr", (14, 14), electrons=400.0, chunks=(5, 5), peaks=peaks)


@pytest.fixture(scope="module")
def reference(scan):
    """The run in tiles in threads of this process, which nothing disturbs; its bits and its entries."""
    seen = Recorder()
    result = ptychodask.reconstruct(scan, TILED, progress=seen)
    return result, bits(result), [(e["stage"], e["iteration"]) for e in seen.named("iteration")]


@pytest.fixture(scope="module")
def longest_way(scan):
    """A job in tiles that searches along its direction in every round, and its bits in threads of this process."""
    job = {**TILED, "solver": {**BOTH["solver"], "iterations": 4, "finish": 1}}
    return job, bits(ptychodask.reconstruct(scan, job))


@pytest.fixture(scope="module")
def three_workers():
    with (
        LocalCluster(n_workers=3, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def near(found, expected, bound=1e-5):
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound * abs(expected).max())


OTHERS = {
    "as above": {},
    "both": BOTH,  # each alone: tests/solver/test_tiled.py
    "complex": {"object": {"kind": "complex", "slices": 1, "positivity": False}},
}


@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS)
def test_the_answer_is_that_of_the_whole_object(scan, reference, changes):
    whole = ptychodask.reconstruct(scan, {**JOB, **changes})
    tiled = reference[0] if not changes else ptychodask.reconstruct(scan, {**TILED, **changes})
    assert tiled.iteration == whole.iteration >= 1
    assert bits(tiled) != bits(whole)  # sums are taken in another order: this really was another way
    near(tiled.object.values, whole.object.values)
    near(tiled.probe.values, whole.probe.values)
    for name in ("loss", "validation", "power"):
        np.testing.assert_allclose(tiled.history[name], whole.history[name], rtol=1e-6)
    for name in ("y", "x"):
        np.testing.assert_array_equal(tiled.object[name], whole.object[name])
    assert tiled.object.attrs == whole.object.attrs
    assert (tiled.history["bytes_exchanged"] > 0).all() and not whole.history["bytes_exchanged"].any()


@pytest.mark.distributed
def test_rounds_and_line_searches_do_not_depend_on_workers_or_on_one_that_is_killed(
    scan, reference, longest_way, three_workers
):
    job, expected = longest_way
    assert expected != reference[1]
    killed = []

    def kill(event, values):
        if event == "iteration" and values["iteration"] == 2 and not killed:
            killed.append(min(three_workers.run(os.getpid).values()))
            os.kill(killed[0], signal.SIGKILL)

    assert bits(ptychodask.reconstruct(scan, job, three_workers, progress=kill)) == expected
    assert killed


@pytest.mark.distributed
def test_rounds_and_line_searches_do_not_depend_on_an_interrupt(scan, longest_way, three_workers, tmp_path):
    target = tmp_path / "result.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, longest_way[0], output=target, progress=Recorder(3))
    assert bits(ptychodask.resume(target, three_workers)) == longest_way[1]


@pytest.mark.distributed
def test_worker_processes_change_no_bit(scan, reference, three_workers):
    found = ptychodask.reconstruct(scan, TILED, three_workers)
    assert bits(found) == reference[1]
    np.testing.assert_array_equal(found.history["bytes_exchanged"], reference[0].history["bytes_exchanged"])


@pytest.mark.distributed
def test_counts_are_surveyed_where_their_tiles_are(three_workers, tmp_path):
    """The first iteration finds them in the caches."""
    fresh = write_scan(tmp_path / "scan.zarr", (14, 14), chunks=(5, 5), seed=5)
    seen = Recorder()
    job = {**TILED, "solver": {"iterations": 2, "finish": 0}}
    ptychodask.reconstruct(fresh, job, three_workers, progress=seen)
    assert [entry["bytes_read"] for entry in seen.named("iteration")] == [0, 0, 0]


@pytest.mark.distributed
def test_a_killed_worker_changes_no_bit(scan, reference, three_workers):
    killed = []

    def kill(event, values):
        if event == "iteration" and values["iteration"] == 2 and not killed:
            killed.append(min(three_workers.run(os.getpid).values()))
            os.kill(killed[0], signal.SIGKILL)

    assert bits(ptychodask.reconstruct(scan, TILED, three_workers, progress=kill)) == reference[1]
    assert killed


def test_threads_and_caches_change_no_bit(scan, reference):
    engine = {**TILED["engine"], "cache_gib": 0, "threads": 3}
    assert bits(ptychodask.reconstruct(scan, {**TILED, "engine": engine})) == reference[1]


@pytest.mark.distributed
@pytest.mark.parametrize("stop", [1, 5, "finish"])
def test_interrupt_and_resume_on_other_workers_change_no_bit(scan, reference, three_workers, tmp_path, stop):
    target = tmp_path / "result.zarr"
    entries = reference[2]
    stop = next(i for i, e in enumerate(entries, 1) if e[0] == "finish") if stop == "finish" else stop
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, TILED, output=target, progress=Recorder(stop))
    assert RunFolder.of(target).path.exists() and not target.exists()
    resumed = ptychodask.resume(target, three_workers if stop == 5 else None)
    assert bits(resumed) == reference[1]
    np.testing.assert_array_equal(resumed.history["loss"], reference[0].history["loss"])
    assert not RunFolder.of(target).path.exists()


def test_a_run_that_diverges_goes_on_with_half_the_steps(scan, monkeypatch):
    from ptychodask.jobs import run

    divergence = run.divergence

    def once(records):
        return "it is told to" if records[-1].iteration == 2 and len(restarts) == 0 else divergence(records)

    found = []
    for job in (JOB, TILED):
        restarts = []

        def note(event, values, restarts=restarts):
            if event == "restart":
                restarts.append(values["iteration"])

        monkeypatch.setattr(run, "divergence", once)
        found.append(ptychodask.reconstruct(scan, job, progress=note))
        assert len(restarts) == 1 and found[-1].attributes["restarts"] == 1
    near(found[1].object.values, found[0].object.values)


def test_checkpoints_are_whole_or_absent_and_have_the_form_of_any_other(scan, tmp_path, monkeypatch):
    target = tmp_path / "result.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, TILED, output=target, progress=Recorder(5))
    folder = RunFolder.of(target)
    path = folder.checkpoint(folder.checkpoints()[-1])
    state = load_state(path)  # that of a whole object
    group = zarr.open_group(path, mode="r")
    assert group["object"].chunks == (1, 37, 37) and state.model.object.shape == group["object"].shape
    assert np.isfinite(state.anchor).all() and abs(state.model.object).max() > 0

    def broken(path, core, state):
        raise OSError("the disk is full")

    monkeypatch.setattr(tasks, "save_tile", broken)
    before, seen = folder.checkpoints(), Recorder(2)
    with pytest.raises(KeyboardInterrupt):
        ptychodask.resume(target, engine={"checkpoint_every": 1}, progress=seen)
    assert all("the disk is full" in warning for warning in seen.warned())
    assert seen.warned() and folder.checkpoints() == before
    assert not [p.name for p in folder.path.iterdir() if p.name.endswith(".part")]


def test_a_lost_file_of_a_checkpoint_is_noticed(scan, tmp_path):
    target = tmp_path / "result.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, TILED, output=target, progress=Recorder(5))
    folder = RunFolder.of(target)
    for iteration in folder.checkpoints():
        (
            next(p for p in (folder.path / folder.checkpoint(iteration) / "object" / "c").rglob("*") if p.is_file())
        ).unlink()
    with pytest.raises(InputError, match="cannot be read"):
        ptychodask.resume(target)


def test_the_size_of_tiles_cannot_change_in_a_resumed_run(scan, tmp_path):
    target = tmp_path / "result.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, TILED, output=target, progress=Recorder(3))
    with pytest.raises(InputError, match="tile_pixels cannot change"):
        ptychodask.resume(target, engine={"tile_pixels": 30})


SHAPES: list[tuple[int, ...]] = []


def watch(value):
    """Remember the shapes of all maps in a value; positions are no map, and problems are in no task's way."""
    if isinstance(value, np.ndarray):
        SHAPES.append(value.shape)
    elif hasattr(value, "__dataclass_fields__"):
        for name in set(value.__dataclass_fields__) - {"problem", "solver", "plan", "positions"}:
            watch(getattr(value, name))
    elif isinstance(value, list | tuple):
        for part in value:
            watch(part)


class Watched:
    """A task that shows what it gets and what it returns."""

    def __init__(self, function):
        self.function = function

    def __call__(self, *arguments, **options):
        watch(arguments)
        value = self.function(*arguments, **options)
        watch(value)
        return value


@pytest.mark.parametrize("changes", [{}, BOTH], ids=["as above", "both"])
def test_nobody_ever_holds_the_object(scan, reference, changes, monkeypatch):
    """No task gets or returns a map of the canvas, and the client gets none at all."""
    canvas = reference[0].object.shape[1:]
    received = []
    result = Future.result

    def watching(submit):
        return lambda self, function, *arguments, **options: submit(self, Watched(function), *arguments, **options)

    def checked(self, *arguments, **options):
        value = result(self, *arguments, **options)
        received.append(value)
        before = len(SHAPES)
        watch(value)
        assert len(SHAPES) == before, value
        return value

    SHAPES.clear()
    for taker in (Client, Together):
        monkeypatch.setattr(taker, "submit", watching(taker.submit))
    monkeypatch.setattr(Future, "result", checked)
    found = ptychodask.reconstruct(scan, {**TILED, **changes})
    assert (bits(found) == reference[1]) == (not changes) and received
    maps = [shape for shape in SHAPES if len(shape) == 3 and shape[0] == 2 and shape[1] > 1]
    assert len(maps) > 500
    # reach of a tile: 37 pixels of its own, and half a window on the inner sides
    assert 37 < max(shape[1] for shape in maps) < canvas[0] - 4
    assert 37 < max(shape[2] for shape in maps) < canvas[1] - 4
