"""Progress is seen: a bar where it can move, lines in a pipe, nothing where nobody looks on."""

from __future__ import annotations

import io
import re
import sys
from types import ModuleType

import pytest
from tiny_scan import BLUR, write_scan

import ptychodask
from ptychodask import PtychodaskWarning
from ptychodask.api.progress import wants_bar
from ptychodask.events import Arrived, Checkpointed, Event, Iterated, Restarted, Warned
from ptychodask.jobs.observers import Reporter
from ptychodask.viz import live


class OfALaterVersion(Event):
    pass


SHORT = {**BLUR, "solver": {"iterations": 6, "finish": 1}}


class Stream(io.StringIO):
    """Text that went out, as far as it was flushed."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal, self.seen = terminal, ""

    def isatty(self):
        return self.terminal

    def flush(self):
        self.seen = self.getvalue()


@pytest.fixture
def attached(monkeypatch):
    """Replaces standard output, in the test itself: pytest has its own between fixtures and test."""
    for name in ("TERM", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)

    def attach(terminal: bool) -> Stream:
        out = Stream(terminal)
        monkeypatch.setattr(sys, "stdout", out)
        return out

    return attach


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", electrons=300.0)


@pytest.mark.parametrize(("of", "stops"), [(6, 6), (40, 40), (1000, 1000), (1000, 333), (7, 3), (25, 24)])
def test_a_pipe_gets_some_lines_at_once_and_the_last(attached, of, stops):
    stream = attached(False)
    with live.steps("work") as step:
        for done in range(stops + 1):
            step("count", done, of)
            if done == of // 2:
                assert re.search(rf"work: count \d+/{of}  \d+ s\n", stream.seen)
    lines = stream.seen.splitlines()
    assert min(of, stops, 3) <= len(lines) <= live.LINES + 1
    assert f"count {stops}/{of}" in lines[-1] and len(set(lines)) == len(lines)


@pytest.mark.parametrize(
    ("terminal", "progress", "shown"),
    [
        (True, None, "━"),
        (True, False, None),
        (False, None, None),
        (False, True, "reconstruct 3/6  loss"),
    ],
)
def test_python_shows_a_bar_where_somebody_looks_on(scan, attached, terminal, progress, shown):
    stream = attached(terminal)
    ptychodask.reconstruct(scan, SHORT, progress=progress)
    text = stream.getvalue()
    assert "64 patterns of" in text and shown in text if shown else text == ""


@pytest.mark.parametrize("kernel", [True, False])
def test_a_bar_is_wanted_in_a_notebook_whose_output_is_no_terminal(attached, monkeypatch, kernel):
    attached(False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    if kernel:
        monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    assert wants_bar(None) is kernel


def test_a_terminal_that_cannot_move_back_gets_lines(attached, monkeypatch):
    stream = attached(True)
    monkeypatch.setenv("TERM", "dumb")
    with live.steps("work") as step:
        step("count", 1, 1)
    assert stream.seen == "work: count 1/1  0 s\n"


def test_warnings_stay_those_of_python_beside_a_bar(tmp_path, attached):
    attached(True)
    floats = write_scan(tmp_path / "s.zarr", (4, 4), noise=False)
    with pytest.warns(PtychodaskWarning, match="not whole") as caught:
        ptychodask.reconstruct(floats, SHORT)
    assert caught[0].filename == __file__


def test_all_events_of_a_run_can_be_shown_and_others_are_ignored(attached):
    stream = attached(False)
    warned = []
    with live.reconstruction(warned.append) as show:
        report = Reporter([show])
        for event in (Restarted(3, "the loss is nan", 0.5), Checkpointed(3), Warned("doubtful"), OfALaterVersion()):
            report(event)
    for text in ("diverged (the loss is nan): back to iteration 3", "checkpoint at iteration 3"):
        assert text in stream.seen
    assert warned == ["doubtful"]


def test_rounds_of_a_scan_that_grows_are_lines(attached):
    """The address of the page once; iterations of a round have no bar of their own."""
    stream = attached(False)
    seconds = dict.fromkeys(("seconds_computing", "seconds_reading", "seconds_waiting"), 0.0)
    figures = {"validation": 2.0, "patterns": 9.0, "power": 1.0, "seconds": 1.0, "bytes_read": 0.0, "bytes_merged": 0.0}
    with live.reconstruction(print) as show:
        report = Reporter([show])
        for rows in (16, 32):
            report(Iterated(rows, "fit", 3.5, bytes_exchanged=0.0, **figures, **seconds))
            report(Arrived(rows, 64, 4.25, 3.5, rows // 4, "live.png", "http://127.0.0.1:1/ptychodask"))
    assert stream.seen.splitlines() == [
        "live page: http://127.0.0.1:1/ptychodask",
        "16 of 64 rows, 4.2 s behind: iteration 4, loss 3.5000  live.png",
        "32 of 64 rows, 4.2 s behind: iteration 8, loss 3.5000  live.png",
    ]
