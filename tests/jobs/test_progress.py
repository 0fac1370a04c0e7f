"""Warnings have one door: an observer, or Python's own, and the result."""

from __future__ import annotations

import os
import warnings

import pytest
from tiny_scan import Recorder, write_scan

import ptychodask
from ptychodask import PtychodaskWarning
from ptychodask.io.checkpoint import RunFolder
from ptychodask.jobs import tasks
from ptychodask.jobs.progress import Reporter

SHORT = {"solver": {"iterations": 4, "finish": 0, "patience": 9}, "engine": {"checkpoint_every": 2}}


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
    for observer, count in ((seen, 0), (None, 2)):
        report = Reporter(observer)
        report("start", {"workers": 1})
        for text in ("a", "b", "a"):
            report("warning", {"text": text})
        assert report.warnings == ["a", "b"] and len(ours(caught)) == count
    assert seen.events == [("start", {"workers": 1}), ("warning", {"text": "a"}), ("warning", {"text": "b"})]


def test_a_resumed_run_says_again_what_it_meets_but_keeps_it_once():
    seen, known = Recorder(), ["a", "old"]
    report = Reporter(seen)
    report("warning", {"text": "lock"})
    report.go_on(known)
    report("warning", {"text": "a"})
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
