"""Events come to any number of observers; warnings have one door: an observer, or Python's own, and the result."""

from __future__ import annotations

import dataclasses
import json
import os
import warnings

import numpy as np
import pytest
from tiny_scan import BLUR, Recorder, bits, write_scan

import ptychodask
from ptychodask import PtychodaskWarning, events
from ptychodask.events import Event, Finished, Iterated, Started, Stored, Warned
from ptychodask.io.checkpoint import RunFolder
from ptychodask.jobs import compiling, tasks
from ptychodask.jobs.observers import METHODS, Reporter, observer_of

SHORT = {**BLUR, "solver": {"iterations": 4, "finish": 0, "patience": 9}, "engine": {"checkpoint_every": 2}}


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """Counts that are not whole, about which there is a warning."""
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", electrons=300.0, noise=False)


@pytest.fixture
def caught():
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield found


def ours(caught):
    return [w for w in caught if issubclass(w.category, PtychodaskWarning)]


def test_each_text_comes_once_and_is_kept_in_order(caught):
    seen = Recorder()
    for observers, count in (([observer_of(seen)], 0), ([], 2)):
        report = Reporter(observers)
        report(Finished("r.zarr"))
        for text in ("a", "b", "a"):
            report(Warned(text))
        assert report.warnings == ["a", "b"] and len(ours(caught)) == count
    assert seen.events == [("finished", {"path": "r.zarr"}), ("warning", {"text": "a"}), ("warning", {"text": "b"})]


def test_a_resumed_run_says_again_what_it_meets_but_keeps_it_once():
    seen, known = Recorder(), ["a", "old"]
    report = Reporter([observer_of(seen)])
    report(Warned("lock"))
    report.go_on(known)
    report(Warned("a"))
    assert known == ["a", "old", "lock"] and [v["text"] for v in seen.named("warning")] == ["lock", "a"]


def test_without_an_observer_it_is_a_warning_of_python_at_the_line_that_called(scan, tmp_path, caught, monkeypatch):
    def full(path, state):
        raise OSError("disk full")

    monkeypatch.setattr(tasks, "save_state", full)
    found = ptychodask.reconstruct(scan, SHORT, output=tmp_path / "r.zarr")
    texts = [str(w.message) for w in ours(caught)]
    assert any("nothing is held out" in text for text in texts)
    assert any("no checkpoint of iteration 2 (disk full)" in text for text in texts)
    assert texts == found.warnings == ptychodask.open_result(found.path).warnings
    assert {w.filename for w in ours(caught)} == {__file__}


def test_before_kernels_are_compiled_it_is_said(scan, monkeypatch):
    warm, cold = Recorder(), Recorder()
    with monkeypatch.context() as patched:
        patched.setattr(compiling, "compiles", lambda: True)
        ptychodask.reconstruct(scan, SHORT, progress=cold)
    ptychodask.reconstruct(scan, SHORT, progress=warm)
    assert not compiling.compiles() and not warm.named("waiting")
    names = [name for name, _ in cold.events]
    assert [v["text"] for v in cold.named("waiting")] == [compiling.COMPILES]
    assert names.index("start") < names.index("waiting") < names.index("iteration")


def test_an_observer_gets_them_instead(scan, caught):
    seen = Recorder()
    found = ptychodask.reconstruct(scan, SHORT, progress=seen)
    assert [v["text"] for v in seen.named("warning")] == found.warnings and len(seen.warned()) == 1
    assert not ours(caught)


def test_the_result_keeps_the_warnings_of_all_parts_of_a_run(scan, tmp_path, monkeypatch):
    target = tmp_path / "r.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, SHORT, output=target, progress=Recorder(3))
    (RunFolder.of(target).path / "lock").write_text(
        f'{{"host": "{os.uname().nodename}", "pid": 999999999, "since": "then"}}'
    )
    seen = Recorder()
    found = ptychodask.resume(target, progress=seen)
    lock, doubt = seen.warned()
    assert "taken over" in lock and "nothing is held out" in doubt
    assert [text for text in found.warnings if text in (doubt, lock)] == [doubt, lock]


class Methods:
    """Knows iterations and the end of nothing to do, and nothing else."""

    def __init__(self):
        self.seen = []

    def iterated(self, event):
        self.seen.append(event)

    finished = iterated


@dataclasses.dataclass(frozen=True)
class Later(Event):
    """An event of a later version."""

    text: str


def test_all_kinds_of_observers_see_one_run(scan, caught):
    """A function of an event, one of (event, values), and an object with methods; in their order."""
    typed, named, methods, order = [], Recorder(), Methods(), []
    found = ptychodask.reconstruct(
        scan, SHORT, progress=[lambda event: (typed.append(event), order.append(1)), methods, named, order.append]
    )
    assert not ours(caught) and order[:2] == [1, typed[0]]
    assert [type(e) for e in typed if not isinstance(e, Warned | Stored)] == [Started, *[Iterated] * 5]
    assert {(e.iteration, e.stage) for e in typed if isinstance(e, Stored)} >= {(2, "fit"), (4, "fit")}
    assert [e.text for e in typed if isinstance(e, Warned)] == found.warnings
    entries = [event for event in typed if isinstance(event, Iterated)]
    assert methods.seen == entries
    for event, values, column in zip(entries[1:], named.named("iteration")[1:], found.history, strict=True):
        assert event.loss == values["loss"] == column.loss
        assert {type(value) for value in values.values()} <= {int, float, str}
        for name in ("seconds_computing", "seconds_reading", "seconds_waiting"):
            total = sum(getattr(worker, name) for worker in event.by_worker)
            assert total == getattr(event, name) == values[name] == column[name]
    assert all(event.seconds_computing > 0 for event in entries)
    assert "loss_excess" in {*entries[-1].more} & {*named.named("iteration")[-1]}
    (start,), (started,) = named.named("start"), [event for event in typed if isinstance(event, Started)]
    assert start == {**dataclasses.asdict(started), "remarks": list(started.remarks)} and start["patterns"] == 64


def test_an_observer_ignores_what_it_does_not_know(caught):
    methods, named = Methods(), Recorder()
    report = Reporter([methods, observer_of(named)])
    report(Later("new"))
    report(Finished("r.zarr"))
    assert methods.seen == [Finished("r.zarr")] and named.events[0] == ("later", {"text": "new"})


def test_warnings_that_no_observer_takes_are_those_of_python(caught):
    for observers, count in (([Methods()], 1), ([Methods(), lambda event: None], 1), ([], 2)):
        Reporter(observers)(Warned("doubtful"))
        assert len(ours(caught)) == count


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_an_observer_raises_ends_a_run_that_can_be_resumed(scan, tmp_path, error):
    class Stop(Methods):
        def iterated(self, event):
            if event.iteration == 3:
                raise error

    with pytest.raises(error):
        ptychodask.reconstruct(scan, SHORT, output=tmp_path / "r.zarr", progress=[Methods(), Stop()])
    after = Methods()
    assert bits(ptychodask.resume(tmp_path / "r.zarr", progress=after)) == bits(ptychodask.reconstruct(scan, SHORT))
    assert 0 < after.seen[0].iteration <= 3
    ptychodask.resume(tmp_path / "r.zarr", progress=after)
    assert isinstance(after.seen[-1], Finished)


def test_events_are_frozen_and_their_methods_are_known():
    kinds = [kind for kind in Event.__subclasses__() if kind.__module__ == events.__name__]
    assert [kind.__name__.lower() for kind in kinds] == [*METHODS]
    for kind in (*kinds, events.WorkerSeconds):
        assert kind.__dataclass_params__.frozen and kind.__doc__


def test_a_run_of_an_earlier_version_has_no_seconds_and_is_resumed(scan, tmp_path):
    target = tmp_path / "r.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, SHORT, output=target, progress=Recorder(4))
    path = RunFolder.of(target).path / "log.json"
    log = json.loads(path.read_text())
    for entry in log["entries"]:
        for name in ("seconds_computing", "seconds_reading", "seconds_waiting"):
            del entry[name]
    path.write_text(json.dumps(log))
    seconds = ptychodask.resume(target).history["seconds_computing"]
    assert np.isnan(seconds[0]) and seconds[-1] > 0
