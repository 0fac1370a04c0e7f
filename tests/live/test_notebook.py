"""In a notebook a run is seen: a bar by default, pictures that change with "live"; both drawn over in place."""

from __future__ import annotations

import io

import numpy as np
import pytest
from tiny_scan import BLUR, bits, write_scan

import ptychodask
from ptychodask.events import Iterated
from ptychodask.live import notebook
from ptychodask.live import page as page_module
from ptychodask.viz import live

display = pytest.importorskip("IPython.display")
JOB = {**BLUR, "solver": {"iterations": 5, "finish": 1, "patience": 9}}


class Screen:
    """Takes what would be displayed: what was shown first, and each time that it was drawn over."""

    def __init__(self) -> None:
        self.shown, self.updated = [], []

    def display(self, what, *, raw=False, display_id=None, **_):
        self.shown.append(what)
        return self

    def update(self, what, *, raw=False, **_):
        self.updated.append(what)


@pytest.fixture
def screen(monkeypatch):
    made = Screen()
    monkeypatch.setattr(display, "display", made.display)
    monkeypatch.setattr(live.console, "is_jupyter", True)
    monkeypatch.setattr(live.console, "print", lambda *texts, **_: None)
    return made


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("notebook") / "scan.zarr", electrons=300.0)


def test_a_bar_is_drawn_over_in_one_place_and_ends_with_the_last_step(screen):
    with live.steps("work") as step:
        for done in range(101):
            step("<counts>", done, 100)
    (first,) = screen.shown
    last = screen.updated[-1]
    assert "work: <counts>" in first["text/plain"] and "100/100" in last["text/plain"]
    assert "█" * 30 in last["text/plain"] and "&lt;counts&gt;" in last["text/html"] and "\x1b" not in last["text/plain"]
    assert len(screen.updated) < 50


def test_live_shows_pictures_that_change_and_no_bit_does(screen, scan, monkeypatch):
    for module in (page_module, notebook):
        monkeypatch.setattr(module, "LEAST_SECONDS", 0.0)
        monkeypatch.setattr(module, "SHARE", 1e6)
    page = {"engine": {"live_page": False}}  # the notebook needs no dashboard

    def wait_for_a_picture(event):
        if isinstance(event, Iterated):
            figures = [o for o in watching if isinstance(o, notebook.Figures)]
            until = notebook.time.monotonic() + 30
            while figures[0]._picture is None and notebook.time.monotonic() < until and event.iteration in (2, 4):
                notebook.time.sleep(0.02)

    watching = [notebook.Figures()]
    watched = ptychodask.reconstruct(scan, JOB | page, progress=[wait_for_a_picture, *watching])
    images = [its.data for its in [*screen.shown, *screen.updated]]
    assert len(screen.shown) == 1 and len(set(images)) >= 2
    assert all(image.startswith(b"\x89PNG") for image in images)
    assert bits(watched) == bits(ptychodask.reconstruct(scan, JOB | page, progress=False))


def test_live_is_a_word_that_reconstruct_knows(screen, scan):
    ptychodask.reconstruct(scan, {**BLUR, "solver": {"iterations": 2, "finish": 0}}, progress="live")
    assert any("reconstruct" in its["text/plain"] for its in screen.shown if isinstance(its, dict))


def test_the_figure_has_row_0_on_top():
    phase = np.zeros((20, 20), np.float32)
    phase[:4] = 1.0  # the first rows of the scan
    picture = {
        "phase": phase, "edges": (0.0, 10.0, 10.0, 0.0), "scan": (0.0, 10.0, 10.0, 0.0), "limits": (0.0, 1.0),
        "power": np.ones((8, 8)), "reach": (1.0, 1.0), "modes": [np.zeros((4, 4, 4), np.uint8)], "iteration": 1,
    }  # fmt: skip
    figure = notebook.draw_live(picture, [(1, 3.0, 1.0), (2, 2.0, 0.9)])
    drawn = io.BytesIO()
    figure.savefig(drawn, format="rgba")
    ax = next(ax for ax in figure.axes if ax.get_title(loc="left") == "phase")
    width, height = figure.canvas.get_width_height()
    pixels = np.frombuffer(drawn.getvalue(), np.uint8).reshape(height, width, 4)
    box = ax.get_window_extent()
    x = int((box.x0 + box.x1) / 2)
    top, bottom = height - int(box.y1) + 8, height - int(box.y0) - 60
    assert pixels[top, x, 0] > 200 and pixels[bottom, x, 0] < 60
