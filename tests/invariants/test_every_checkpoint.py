"""Every checkpoint is progress: a run that is stopped again and again comes to its end, with the same bits."""

from __future__ import annotations

import pytest
from tiny_scan import BLUR, Recorder, bits, write_scan

import ptychodask
from ptychodask.io.checkpoint import RunFolder
from ptychodask.jobs import run as running
from ptychodask.jobs.log import MOST_CHECKPOINTS
from ptychodask.jobs.run import Run
from ptychodask.solver.lsqml import LsqMl

EVERY = 2
JOB = {
    **BLUR,
    "solver": {"iterations": 22, "finish": 5, "patience": 1000},
    "engine": {"checkpoint_every": EVERY},
}
"""The best iteration is long past when the fit ends, and any later one could still be returned."""


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", electrons=300.0)


@pytest.fixture(scope="module")
def whole(scan):
    result = ptychodask.reconstruct(scan, JOB)
    assert 2 < result.iteration < 10, "the chosen state is neither the first nor one of the last"
    return result


def to_the_end(scan, job, target, entries):
    """Stop after so many entries of the history in each part; returns the result and where each part began."""
    begun = []
    while True:
        seen = Recorder(entries)
        try:
            if begun:
                result = ptychodask.resume(target, progress=seen)
            else:
                result = ptychodask.reconstruct(scan, job, output=target, progress=seen)
        except KeyboardInterrupt:
            assert len(RunFolder.of(target).checkpoints()) <= MOST_CHECKPOINTS + 2
            first = seen.named("iteration")[0]
            begun.append((first["stage"], first["iteration"]))
            assert len(begun) < 30, begun
            continue
        return result, begun


@pytest.mark.parametrize(("killed", "tiles"), [(True, None), (False, None), (True, 40)])
def test_a_run_stopped_again_and_again_comes_to_its_end(scan, whole, tmp_path, monkeypatch, killed, tiles):
    job, expected = JOB, whole
    if tiles:
        job = {**JOB, "engine": {**JOB["engine"], "tile_pixels": tiles}}
        expected = ptychodask.reconstruct(scan, job)
    if killed:  # no handler runs
        monkeypatch.setattr(Run, "interrupt", lambda self: 0)
    result, begun = to_the_end(scan, job, tmp_path / "r.zarr", EVERY + 3)
    assert bits(result) == bits(expected)
    assert result.iteration == expected.iteration
    assert result.history["validation"][:16].tobytes() == expected.history["validation"][:16].tobytes()
    assert len(begun) >= 4 and begun == sorted(set(begun)), begun  # "finish" comes after "fit"


def test_states_that_are_not_held_are_computed_again(scan, whole, monkeypatch):
    monkeypatch.setattr("ptychodask.jobs.run.MOST_STATES", 1)
    monkeypatch.setattr("ptychodask.jobs.log.MOST_CHECKPOINTS", 2)
    assert bits(ptychodask.reconstruct(scan, JOB)) == bits(whole)


def test_a_resumed_run_that_diverges_goes_back_to_a_state_from_before_the_break(scan, tmp_path, monkeypatch):
    advance, job = LsqMl.advance, {**JOB, "solver": {"iterations": 13, "finish": 1, "patience": 1000}}

    def wrong(self, state, move, line):
        after = advance(self, state, move, line)
        if state.model.iteration != 8 or state.damping < 1:
            return after
        return running.replace(after, model=running.replace(after.model, object=after.model.object * float("nan")))

    monkeypatch.setattr(LsqMl, "advance", wrong)
    seen = Recorder()
    whole = ptychodask.reconstruct(scan, job, progress=seen)
    (restart,) = seen.named("restart")
    monkeypatch.setattr(Run, "interrupt", lambda self: 0)
    target, parts = tmp_path / "r.zarr", [Recorder(8), Recorder()]
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, job, output=target, progress=parts[0])
    result = ptychodask.resume(target, progress=parts[1])
    assert bits(result) == bits(whole) and result.attributes["restarts"] == 1 and result.iteration == whole.iteration
    assert parts[1].named("restart") == [restart]
    assert parts[1].named("iteration")[0]["iteration"] > restart["iteration"]
