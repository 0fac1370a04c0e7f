"""Whole jobs: what a result holds, when a run stops, and what is left behind when it fails."""

from __future__ import annotations

import json

import numpy as np
import pytest
from distributed import Client, LocalCluster
from tiny_scan import BLUR, PEAKS, Recorder, bits, expected_counts, write_scan

import ptychodask
from ptychodask import DivergenceError, InputError, JobConfig, StoppedError
from ptychodask.io import checkpoint
from ptychodask.io.checkpoint import RunFolder, load_state
from ptychodask.jobs import run as running
from ptychodask.jobs import tasks
from ptychodask.jobs.log import Log
from ptychodask.solver.lsqml import LsqMl
from ptychodask.solver.stopping import chosen


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", electrons=300.0)


@pytest.fixture(scope="module")
def result(scan):
    return ptychodask.reconstruct(scan, BLUR)


SHORT = {**BLUR, "solver": {"iterations": 6, "finish": 1}}


def test_default_mode_gives_object_probe_and_history(result, scan):
    assert result.phase.dims == ("y", "x") and result.phase.attrs["units"] == "rad"
    assert result.object.dims == ("slice", "y", "x") and result.object.sizes["slice"] == 1
    assert result.probe.sizes == {"mode": 1, "probe_y": 32, "probe_x": 32}
    history = result.history
    assert len(history) >= 5
    assert {"iteration", "seconds", "loss", "validation", "stage"} <= set(history.columns)
    np.testing.assert_array_equal(history["iteration"], np.arange(1, len(history) + 1))
    assert history[0].loss > history[3].loss and (history["seconds"] > 0).all()
    assert result.attributes["initial_loss"] > history[0].loss
    # sum |probe|^2 is all electrons of a pattern, not those of the training share
    counts = ptychodask.open_dataset(scan).counts.values.sum() / 64
    assert result.attributes["electrons_per_pattern"] == pytest.approx(counts, rel=0.01)
    assert (abs(result.probe.values) ** 2).sum() == pytest.approx(counts, rel=0.01)


def peak(phase):
    y, x = np.unravel_index(phase.values.argmax(), phase.shape)
    return float(phase.y[y]), float(phase.x[x])


@pytest.mark.parametrize("origin", [(0.0, 0.0), (100.3, -57.0)])
def test_a_peak_is_found_at_its_place_in_the_frame_of_the_positions(tmp_path, origin):
    place = (origin[0] + 2.3, origin[1] + 4.9)
    path = write_scan(tmp_path / "s.zarr", electrons=3000.0, peaks=[(*place, 1.0)], origin=origin)
    found = ptychodask.reconstruct(path, SHORT)
    np.testing.assert_allclose(peak(found.phase), place, atol=0.4)
    np.testing.assert_allclose(found.positions.values[0, 0], origin, atol=1e-9)
    np.testing.assert_allclose(found.positions.values[1, 2] - found.positions.values[0, 0], [1.0, 2.0], atol=1e-9)


def test_all_peaks_are_seen(result):
    for y, x, height in PEAKS:
        near = result.phase.sel(y=y, x=x, method="nearest")
        assert float(near) > 0.25 * height
    assert abs(float(result.phase.sel(y=2.0, x=7.0, method="nearest"))) < 0.2


def test_the_configuration_runs_again_to_the_same_bits(result, scan):
    assert bits(ptychodask.reconstruct(scan, result.config)) == bits(result)


def test_a_dict_a_file_an_object_and_an_open_dataset_are_the_same_job(scan, tmp_path):
    config = JobConfig.parse(SHORT)
    (tmp_path / "job.toml").write_text(config.to_toml())
    expected = bits(ptychodask.reconstruct(scan, config))
    assert bits(ptychodask.reconstruct(str(scan), SHORT)) == expected
    assert bits(ptychodask.reconstruct(scan, tmp_path / "job.toml")) == expected
    assert bits(ptychodask.reconstruct(ptychodask.open_dataset(scan), str(tmp_path / "job.toml"))) == expected


def test_an_xarray_that_has_no_file_is_refused(scan):
    data = ptychodask.open_dataset(scan)
    del data.attrs["path"]
    with pytest.raises(InputError, match="create_dataset"):
        ptychodask.reconstruct(data)


def test_events_tell_the_run(scan):
    seen = Recorder()
    ptychodask.reconstruct(scan, SHORT, progress=seen)
    assert seen.events[0][0] == "start"
    start = seen.named("start")[0]
    assert start["patterns"] == 64 and start["modes"] == 1 and start["iterations"] == 6 and start["slices"] == 1
    assert start["dashboard"].startswith("http://127.0.0.1") and start["remarks"]
    entries = seen.named("iteration")
    assert [(e["stage"], e["iteration"]) for e in entries] == [("fit", i) for i in range(6)] + [
        ("finish", result_of(entries) + 1)
    ]


def result_of(entries):
    fit = [e for e in entries if e["stage"] == "fit"]
    return fit[chosen(Log(fit).records)]["iteration"]


def test_validation_stops_the_run_and_picks_the_iteration(scan, tmp_path):
    config = {**BLUR, "solver": {"iterations": 60, "patience": 4, "finish": 0}}
    seen = Recorder()
    stopped = ptychodask.reconstruct(scan, config, progress=seen)
    entries = seen.named("iteration")
    totals = np.array([e["validation"] * e["patterns"] for e in entries])
    best = int(np.argmax(totals <= totals.min() + 2))
    assert 0 < best == stopped.iteration == len(entries) - 1 - 4
    assert "no significant gain" in stopped.attributes["stopped_because"]
    # the state is really that of the chosen iteration: stop a run there
    only = ptychodask.reconstruct(scan, {**BLUR, "solver": {**config["solver"], "iterations": best, "patience": 50}})
    assert only.iteration == best and bits(only) == bits(stopped)


def test_the_finish_fits_the_held_out_electrons_too(scan):
    seen = Recorder()
    config = {**BLUR, "solver": {"iterations": 10, "finish": 4, "patience": 20}}
    finished = ptychodask.reconstruct(scan, config, progress=seen)
    last = [e for e in seen.named("iteration") if e["stage"] == "finish"]
    assert [e["iteration"] - finished.iteration for e in last] == [1, 2, 3, 4]
    assert np.isnan([e["validation"] for e in last]).all()
    assert finished.attributes["finish"] == 4 and finished.history["stage"].tolist()[-4:] == ["finish"] * 4
    electrons = {e["stage"]: e["power"] for e in seen.named("iteration")}
    assert electrons["finish"] == pytest.approx(1, abs=0.02)
    without = ptychodask.reconstruct(scan, {**BLUR, "solver": {"iterations": 6, "finish": 0, "patience": 20}})
    assert bits(without) != bits(finished)


def test_float_counts_are_reconstructed_without_validation(tmp_path):
    path = write_scan(tmp_path / "s.zarr", electrons=500.0, noise=False)
    seen = Recorder()
    found = ptychodask.reconstruct(path, {**BLUR, "solver": {"iterations": 8}}, progress=seen)
    (warning,) = seen.warned()
    assert "not whole electrons" in warning and warning in found.warnings
    assert np.isnan(found.history["validation"]).all() and found.iteration == 8
    assert set(found.history["stage"]) == {"fit"} and found.attributes["finish"] == 0
    assert found.history[-1].loss < 0.5 * found.attributes["initial_loss"]
    for y, x, height in PEAKS:
        assert float(found.phase.sel(y=y, x=x, method="nearest")) > 0.3 * height


@pytest.mark.parametrize("preset", ["medium", "high-dose"])
def test_presets_with_modes_probe_updates_background_and_tangent_steps(tmp_path, preset):
    path = write_scan(tmp_path / "s.zarr", electrons=20_000.0)
    config = {
        "preset": preset,
        "object": {"slices": 6, "thickness_angstrom": 30.0},
        "probe": {"update_start": 2},
        "solver": {"iterations": 8, "background": True, "step_rule": "tangent"},
    }
    found = ptychodask.reconstruct(path, config)
    modes = 2 if preset == "medium" else 4
    assert found.config.preset == preset and found.attributes["restarts"] <= 1
    assert found.probe.sizes["mode"] == modes and found.object.sizes["slice"] == 6
    assert found.object.dtype == (np.float32 if preset == "medium" else np.complex64)
    assert found.history[-1].loss < 0.7 * found.attributes["initial_loss"]
    assert np.isfinite(found.object.values).all() and np.isfinite(found.probe.values).all()
    powers = (abs(found.probe.values) ** 2).sum(axis=(1, 2))
    assert (np.diff(powers) <= 0).all() and powers.sum() == pytest.approx(20_000, rel=0.15)
    place = peak(found.phase)
    assert min(np.hypot(place[0] - y, place[1] - x) for y, x, _ in PEAKS) < 0.9


# -- divergence
# -----------------------------------------------------------------------------------------------------------


def nan_at(monkeypatch, at, times):
    """The update after ``at`` updates gives NaN, the first ``times`` times that it is made."""
    advance, dampings = LsqMl.advance, []

    def wrong(self, state, move, line):
        after = advance(self, state, move, line)
        if state.model.iteration != at or len(dampings) >= times:
            return after
        dampings.append(state.damping)
        return running.replace(after, model=running.replace(after.model, object=after.model.object * np.nan))

    monkeypatch.setattr(LsqMl, "advance", wrong)
    return dampings


@pytest.mark.parametrize("validation", [0.1, None])
@pytest.mark.parametrize("at", [0, 3])
def test_a_run_that_diverges_goes_on_with_half_the_steps(scan, monkeypatch, at, validation):
    dampings = nan_at(monkeypatch, at, 2)
    seen = Recorder()
    config = {**BLUR, "solver": {"iterations": 12, "validation_fraction": validation}}
    found = ptychodask.reconstruct(scan, config, progress=seen)
    assert dampings == [1.0, 0.5] and found.attributes["restarts"] == 2
    restarts = seen.named("restart")
    assert [e["damping"] for e in restarts] == [0.5, 0.25] and "loss is nan" in restarts[0]["trouble"]
    assert all(e["iteration"] <= at for e in restarts)
    assert np.isfinite(found.object.values).all() and np.isfinite(found.history["loss"]).all()
    np.testing.assert_array_equal(found.history["iteration"], np.arange(1, len(found.history) + 1))
    fit = [e.updates for e in found.history if e.stage == "fit"]
    assert fit == list(range(1, len(fit) + 1))
    assert found.history["loss"][len(fit) - 1] < found.attributes["initial_loss"]


def test_a_restart_leaves_no_checkpoint_of_the_states_that_led_astray(scan, monkeypatch):
    nan_at(monkeypatch, 3, 1)
    restore, seen = running.Run._restore, []

    def watched(self, job, trouble):
        out = restore(self, job, trouble)
        seen.append((out[0], self.folder.checkpoints(), self.folder.read_json("log.json")["restarts"]))
        return out

    monkeypatch.setattr(running.Run, "_restore", watched)
    ptychodask.reconstruct(scan, {**SHORT, "engine": {"checkpoint_every": 1}})
    ((best, checkpoints, restarts),) = seen
    assert best <= 3 and checkpoints == [best] and restarts == 1


def test_three_restarts_are_enough_and_a_fourth_is_an_error(scan, monkeypatch, tmp_path):
    dampings = nan_at(monkeypatch, 2, 99)
    target = tmp_path / "r.zarr"
    message = r"diverges \(the loss is nan\) even with steps / 8: lower solver\.object_step"
    with pytest.raises(DivergenceError, match=message):
        ptychodask.reconstruct(scan, SHORT, output=target)
    assert dampings[:4] == [1.0, 0.5, 0.25, 0.125]
    assert list(tmp_path.iterdir()) == []  # no result, and nothing that pretends to be resumable


def test_a_bad_start_is_an_error_at_once(scan, monkeypatch):
    initial = tasks.initial_tile

    def bad(algorithm, index):
        tile = initial(algorithm, index)
        return running.replace(tile, object=tile.object * np.nan)

    monkeypatch.setattr(tasks, "initial_tile", bad)
    with pytest.raises(DivergenceError, match="steps / 1"):
        ptychodask.reconstruct(scan, SHORT)


@pytest.mark.parametrize("totals", [[100.0, 13.5, 12.0, 10.5, None, 13.0, 12.5, 12.4, 12.3]])
def test_after_a_restart_no_state_is_chosen_that_was_given_up(scan, monkeypatch, totals):
    """The best iterations are lost with the restart; an earlier one comes within reach again, but its state is gone."""
    metrics, calls = LsqMl.metrics, []

    def scripted(self, update):
        out = metrics(self, update)
        if self.problem.settings.use_all:
            return out
        index = len(calls)
        calls.append(index)
        total = totals[index] if index < len(totals) else 12.3
        if total is None:
            return {**out, "loss": float("nan")}
        return {**out, "loss": 1.0, "validation": total / out["patterns"]}

    monkeypatch.setattr(LsqMl, "metrics", scripted)
    monkeypatch.setattr("ptychodask.distributed.iterate.IN_FLIGHT", 1)  # so metrics come in the order of the script
    found = ptychodask.reconstruct(scan, {**BLUR, "solver": {"iterations": 10, "finish": 1, "patience": 3}})
    assert found.attributes["restarts"] == 1 and found.iteration >= 2


@pytest.mark.slow
def test_a_restarted_run_resumes_to_the_same_bits(scan, monkeypatch, tmp_path):
    config = {**BLUR, "solver": {"iterations": 12, "patience": 9}, "engine": {"checkpoint_every": 3}}

    def once(advance=LsqMl.advance):
        def wrong(self, state, move, line):
            after = advance(self, state, move, line)
            if state.model.iteration != 6 or state.damping < 1:
                return after
            return running.replace(after, model=running.replace(after.model, object=after.model.object * np.nan))

        return wrong

    monkeypatch.setattr(LsqMl, "advance", once())
    seen = Recorder()
    whole = ptychodask.reconstruct(scan, config, progress=seen)
    assert whole.attributes["restarts"] == 1
    entries = len(seen.named("iteration"))
    restart = [name for name, _ in seen.events].index("restart")
    before = len([1 for name, _ in seen.events[:restart] if name == "iteration"])
    # around the restart: the entry that diverged, the first one after it, a later one, and the finish
    for stop in (before, before + 1, entries):
        target = tmp_path / f"{stop}.zarr"
        with pytest.raises(KeyboardInterrupt):
            ptychodask.reconstruct(scan, config, output=target, progress=Recorder(stop))
        resumed = ptychodask.resume(target)
        assert bits(resumed) == bits(whole), stop
        assert resumed.attributes["restarts"] == 1, stop
        assert resumed.iteration == whole.iteration
    # killed outright after the restart, with no handler: the restart must not be counted, or made, twice
    monkeypatch.setattr(running.Run, "interrupt", lambda self: 0)
    for stop in (before + 2, before + 5):
        target = tmp_path / f"killed-{stop}.zarr"
        with pytest.raises(KeyboardInterrupt):
            ptychodask.reconstruct(scan, config, output=target, progress=Recorder(stop))
        resumed = ptychodask.resume(target)
        assert bits(resumed) == bits(whole) and resumed.attributes["restarts"] == 1, stop


# -- outputs
# --------------------------------------------------------------------------------------------------------------


def no_computing(monkeypatch):
    def forbidden(*arguments, **options):
        raise AssertionError("computing started")

    monkeypatch.setattr("ptychodask.jobs.launch.survey_all", forbidden)


def test_an_existing_output_is_refused_before_computing(scan, tmp_path, monkeypatch):
    target = tmp_path / "r.zarr"
    ptychodask.reconstruct(scan, SHORT, output=target)
    before = bits(ptychodask.open_result(target))
    with monkeypatch.context() as patch:
        no_computing(patch)
        with pytest.raises(InputError, match="exists: use overwrite=True"):
            ptychodask.reconstruct(scan, SHORT, output=target)
        with pytest.raises(InputError, match="does not exist: create it"):
            ptychodask.reconstruct(scan, SHORT, output=tmp_path / "none" / "r.zarr")
    again = ptychodask.reconstruct(scan, {**BLUR, "solver": {"iterations": 2}}, output=target, overwrite=True)
    assert bits(again) != before and not RunFolder.of(target).path.exists()


def test_an_unfinished_run_is_refused_before_computing(scan, tmp_path, monkeypatch):
    target = tmp_path / "r.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, SHORT, output=target, progress=Recorder(3))
    left = sorted(p.name for p in RunFolder.of(target).path.iterdir())
    with monkeypatch.context() as patch:
        no_computing(patch)
        with pytest.raises(InputError, match=r"unfinished run.*ptychodask resume r\.zarr"):
            ptychodask.reconstruct(scan, SHORT, output=target)
    assert sorted(p.name for p in RunFolder.of(target).path.iterdir()) == left
    with pytest.raises(InputError, match="ptychodask resume"):
        ptychodask.open_result(target)
    ptychodask.reconstruct(scan, SHORT, output=target, overwrite=True)
    assert not RunFolder.of(target).path.exists() and ptychodask.open_result(target).iteration >= 0


def test_an_interrupt_tells_the_checkpoint_that_it_left(scan, tmp_path):
    target, seen = tmp_path / "r.zarr", Recorder(5)
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, SHORT, output=target, progress=seen)
    iteration = seen.named("checkpoint")[0]["iteration"]
    folder = RunFolder.of(target)
    assert iteration in folder.checkpoints() and iteration >= 1
    assert load_state(folder.checkpoint(iteration)).model.iteration == iteration
    log = folder.read_json("log.json")
    assert [e["iteration"] for e in log["entries"]] == list(range(iteration))
    after = Recorder()
    ptychodask.resume(target, progress=after)
    assert after.named("iteration")[0]["iteration"] == iteration


def test_a_result_that_cannot_be_written_leaves_a_run_that_can_be_resumed(scan, tmp_path, monkeypatch):
    target = tmp_path / "r.zarr"
    expected = bits(ptychodask.reconstruct(scan, SHORT))

    def full(*arguments, **options):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "write_result", full)
        with pytest.raises(StoppedError, match=r"cannot be written \(disk full\).*'ptychodask resume .*r\.zarr'"):
            ptychodask.reconstruct(scan, SHORT, output=target)
    assert [p.name for p in tmp_path.iterdir()] == ["r.zarr.run"]
    seen = Recorder()
    assert bits(ptychodask.resume(target, progress=seen)) == expected
    assert {e["stage"] for e in seen.named("iteration")} == {"finish"}  # the fit is not done again
    assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]


def test_what_cannot_start_leaves_nothing(tmp_path):
    mask = np.ones((32, 32), np.uint8)
    mask[4:-4, 4:-4] = 0
    hidden = write_scan(tmp_path / "h.zarr", (4, 4), mask=mask)
    with pytest.raises(InputError):
        ptychodask.reconstruct(hidden, output=tmp_path / "r.zarr")
    assert not (tmp_path / "r.zarr").exists() and not (tmp_path / "r.zarr.run").exists()


# -- resume
# ---------------------------------------------------------------------------------------------------------------


def test_nothing_to_resume_is_one_line(scan, tmp_path):
    with pytest.raises(InputError, match="no run was started"):
        ptychodask.resume(tmp_path / "r.zarr")


def test_a_finished_run_is_opened(scan, tmp_path, monkeypatch):
    """What a requeued job does."""
    target, seen = tmp_path / "r.zarr", Recorder()
    finished = ptychodask.reconstruct(scan, SHORT, output=target)
    no_computing(monkeypatch)
    assert bits(ptychodask.resume(target, progress=seen)) == bits(finished)
    assert seen.events == [("finished", {"path": str(target)})]


@pytest.mark.parametrize("killed_after", [0, 1, 3, 99])
def test_a_run_killed_while_it_cleans_up_is_finished(scan, tmp_path, monkeypatch, killed_after):
    target, removed = tmp_path / "r.zarr", []

    def remove(path):
        if len(removed) == killed_after:
            raise KeyboardInterrupt
        removed.append(path)
        real(path)

    real = checkpoint.remove
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "remove", remove)
        patch.setattr(RunFolder, "_drop_if_empty", lambda self: None)
        if killed_after < 99:
            with pytest.raises(KeyboardInterrupt):
                ptychodask.reconstruct(scan, {**SHORT, "engine": {"checkpoint_every": 1}}, output=target)
        else:
            ptychodask.reconstruct(scan, SHORT, output=target)
    assert RunFolder.of(target).path.exists() and (killed_after == 99 or len(removed) == killed_after)
    no_computing(monkeypatch)
    seen = Recorder()
    assert ptychodask.resume(target, progress=seen).iteration >= 0
    assert [name for name, _ in seen.events] == ["finished"] and [p.name for p in tmp_path.iterdir()] == ["r.zarr"]


def test_a_run_that_was_to_replace_another_result_is_not_finished(scan, tmp_path):
    target = tmp_path / "r.zarr"
    other = ptychodask.reconstruct(scan, {**BLUR, "solver": {"iterations": 2}}, output=target)
    before = bits(other)
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, SHORT, output=target, overwrite=True, progress=Recorder(3))
    assert bits(ptychodask.open_result(target)) == before
    resumed = ptychodask.resume(target)
    assert bits(resumed) != before and resumed.config.solver.iterations == 6


def test_a_dataset_that_was_moved_is_found_where_it_is_said_to_be(tmp_path):
    scan, target, moved = (tmp_path / name for name in ("s.zarr", "r.zarr", "moved.zarr"))
    other = write_scan(tmp_path / "other.zarr", (6, 6))
    write_scan(scan, electrons=300.0)
    expected = bits(ptychodask.reconstruct(scan, SHORT))
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, SHORT, output=target, progress=Recorder(3))
    scan.rename(moved)
    with pytest.raises(InputError, match=r"s\.zarr does not exist: .* --data"):
        ptychodask.resume(target)
    with pytest.raises(InputError, match=r"other\.zarr is not the dataset of the run"):
        ptychodask.resume(target, data=other)
    with pytest.raises(KeyboardInterrupt):
        ptychodask.resume(target, data=moved, progress=Recorder(1))
    resumed = ptychodask.resume(target)  # it is known now
    assert bits(resumed) == expected and resumed.attributes["data"] == str(moved)


def test_a_resumed_run_may_go_on_in_another_place(scan, tmp_path):
    """Of workers, GPUs and scheduler a job says one; what is said at the resume replaces it."""
    target, expected = tmp_path / "r.zarr", bits(ptychodask.reconstruct(scan, SHORT))
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None
    ) as cluster:
        with Client(cluster, set_as_default=False) as client, pytest.raises(KeyboardInterrupt):
            ptychodask.reconstruct(
                scan, {**SHORT, "engine": {"workers": 7}}, client, output=target, progress=Recorder(3)
            )
        resumed = ptychodask.resume(target, engine={"scheduler": cluster.scheduler_address})
    assert bits(resumed) == expected
    assert resumed.config.engine.scheduler == cluster.scheduler_address and resumed.config.engine.workers is None


def test_what_would_change_the_bits_cannot_change_in_a_resumed_run(scan, tmp_path):
    target = tmp_path / "r.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, SHORT, output=target, progress=Recorder(3))
    for change in ({"block": [2, 2]}, {"backend": "numpy"}):
        with pytest.raises(InputError, match="cannot change in a resumed run"):
            ptychodask.resume(target, engine=change)
    with pytest.raises(InputError, match="unknown option"):
        ptychodask.resume(target, engine={"wokers": 2})
    job = json.loads((RunFolder.of(target).path / "job.json").read_text())
    (RunFolder.of(target).path / "job.json").write_text(json.dumps({**job, "fingerprint": "other"}))
    with pytest.raises(InputError, match="has changed since"):
        ptychodask.resume(target)


def test_a_damaged_checkpoint_is_named(scan, tmp_path):
    target = tmp_path / "r.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, SHORT, output=target, progress=Recorder(4))
    folder = RunFolder.of(target)
    for iteration in folder.checkpoints():
        meta = folder.path / f"iteration-{iteration:06d}.zarr" / "zarr.json"
        meta.write_text("{}")
    with pytest.raises(InputError, match="remove it to resume from an earlier one"):
        ptychodask.resume(target)


def test_the_synthetic_scan_is_what_it_says():
    """Power and centre of the patterns, so the tests above test what they mean to."""
    counts, positions = expected_counts((2, 2), 1.0, 70.0, PEAKS, (5.0, 6.0))
    np.testing.assert_allclose(counts.sum(axis=(2, 3)), 70.0, rtol=1e-5)
    np.testing.assert_allclose(positions[1, 1], [6.0, 7.0])
    assert counts[0, 0, 16, 16] > 10 * counts[0, 0, 0, 0]
