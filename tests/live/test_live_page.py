"""The live page: served by a real scheduler, follows a run, changes no bit of it, and costs nothing while closed."""

from __future__ import annotations

import threading
import time
import urllib.request
from queue import SimpleQueue
from types import SimpleNamespace
from urllib.parse import urljoin

import dask
import numpy as np
import pytest
from browser import CHROMIUM, DRIVER, browser
from distributed import Client, LocalCluster
from tiny_scan import BLUR, bits, write_scan

import ptychodask
from ptychodask.events import Iterated, Refined, Started, Stored
from ptychodask.live import document as document_module
from ptychodask.live import page as page_module
from ptychodask.live import tab
from ptychodask.live.board import Board

pytest.importorskip("bokeh")
JOB = {**BLUR, "solver": {"iterations": 5, "finish": 1, "patience": 9}, "engine": {"checkpoint_every": 2}}

ABOUT = {
    "title": "a <scan>", "patterns": 64, "electrons_per_pattern": 100.0, "dose_per_square_angstrom": 100.0, "slices": 1,
    "modes": 1, "iterations": 5, "pixel_angstrom": 0.4, "cutoff_per_angstrom": 0.5, "workers": 2, "threads": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("live") / "scan.zarr", electrons=300.0)


@pytest.fixture
def cluster():
    """Threads of this process, and a dashboard on a free port that forgets a closed page in half a second, not 15."""
    soon = {"distributed.scheduler.dashboard.bokeh-application.unused_session_lifetime_milliseconds": 500}
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "silence_logs": 50}
    with dask.config.set(soon), LocalCluster(dashboard_address="127.0.0.1:0", **options) as made:
        yield made


@pytest.fixture
def pictures(monkeypatch):
    """Counts pictures that are asked for, and lets them come as often as they like."""
    monkeypatch.setattr(page_module, "LEAST_SECONDS", 0.0)
    for its in (page_module, document_module):
        monkeypatch.setattr(its, "SHARE", 1e6)
    made = []
    real = page_module.Page._picture_of

    def counted(self, state):
        made.append(real(self, state))
        return made[-1]

    monkeypatch.setattr(page_module.Page, "_picture_of", counted)
    return made


class Watching:
    """An observer that opens the page when the run starts, in another thread, and lets the run go on as that sees it.

    ``look(url, go_on)`` is called there; the run waits at its start, and at two later iterations, for one ``go_on()``.
    """

    AT = (3, 6)

    def __init__(self, look) -> None:
        self._look, self._thread, self._count = look, None, 0
        self._go, self.error = threading.Semaphore(0), None

    def __call__(self, event) -> None:
        if isinstance(event, Started):
            self._thread = threading.Thread(target=self._watch, args=(event.page,))
            self._thread.start()
        self._count += isinstance(event, Iterated)
        if isinstance(event, Started) or (isinstance(event, Iterated) and self._count in self.AT):
            assert self._go.acquire(timeout=120), "the page saw nothing"

    def _watch(self, url: str) -> None:
        try:
            self._look(url, self._go.release)
        except BaseException as error:
            self.error = error
        finally:
            self._go.release(len(self.AT) + 1)

    def done(self) -> None:
        self._thread.join(120)
        if self.error is not None:
            raise self.error


def waited(value, seconds: float = 100):
    """The first value of a function that is not None."""
    until = time.monotonic() + seconds
    while (found := value()) is None:
        assert time.monotonic() < until, "nothing came"
        time.sleep(0.05)
    return found


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()


def test_a_page_nobody_opens_makes_no_picture_and_changes_no_bit(scan, pictures):
    seen = []
    with_page = ptychodask.reconstruct(scan, JOB, progress=seen.append)
    without = ptychodask.reconstruct(
        scan, {**JOB, "engine": {**JOB["engine"], "live_page": False}}, progress=seen.append
    )
    started = [event for event in seen if isinstance(event, Started)]
    assert started[0].page.endswith("/ptychodask") and started[1].page is None
    assert not pictures
    assert bits(with_page) == bits(without)
    stored = [event for event in seen if isinstance(event, Stored)]
    assert (2, "fit") in {(event.iteration, event.stage) for event in stored}


def test_a_session_follows_the_run_to_the_same_bits(scan, pictures, cluster):
    from bokeh.client import pull_session

    def models():
        """Of the session's document, as the server keeps it in step with the browser's, in no order."""
        served = cluster.scheduler.http_application.applications[-1].get_sessions("/ptychodask")
        looked_at = [session for session in served if session.connection_count]  # others are about to be thrown away
        return [model for session in looked_at for model in session.document.models]

    def losses_of(iterations):
        """Of the curve that is called so: that of the rates has the same columns."""
        figures = [its for its in models() if getattr(getattr(its, "title", None), "text", "").startswith("loss")]
        found = figures[0].renderers[0].data_source.data
        return found if len(found["work"]) >= iterations else None

    def another(than):
        found = next(its.data for its in models() if "phase" in getattr(its, "data", ()))["phase"]
        return np.array(found[0]) if len(found) and not np.array_equal(found[0], than) else None

    def look(url, go_on):
        html = fetched(url)
        assert ">Ptychodask</a>" in html and ">Ptychodask</a>" in fetched(urljoin(url, "status"))
        scripts = [part.split('"')[0] for part in html.split('<script src="')[1:]]
        # relative, so that a proxy's prefix goes before them; and from this very server
        assert scripts and all(script.startswith("static/js/bokeh") for script in scripts)
        assert "Bokeh" in fetched(urljoin(url, scripts[0]))
        with pull_session(url=url):
            go_on()
            first = waited(lambda: another(np.zeros_like(another(None))) if another(None) is not None else None)
            go_on()
            assert waited(lambda: another(first)).shape == first.shape
            losses = waited(lambda: losses_of(4))
            assert losses["left"][0] > losses["left"][2]  # of the fit: the finish sees more electrons, and loses more
            board = tab.tab_of(cluster.scheduler).board
            assert board.pages
        waited(lambda: None if board.pages else True)

    watching = Watching(look)
    with Client(cluster) as client:
        result = ptychodask.reconstruct(scan, JOB, client, progress=watching)
        watching.done()
        assert len(pictures) >= 2
        made = len(pictures)
        unwatched = ptychodask.reconstruct(scan, JOB, client, progress=False)
        assert len(pictures) == made
    assert bits(result) == bits(unwatched)


def test_behind_a_prefix_it_is_beside_dasks_pages_and_a_lost_worker_is_told():
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "silence_logs": 50}
    with (
        LocalCluster(dashboard_address="127.0.0.1:0", scheduler_kwargs={"http_prefix": "/hub/me"}, **options) as made,
        Client(made) as client,
    ):
        for run in ("a run", "another"):
            assert client.run_on_scheduler(tab.begin, run, ABOUT) == ""
        base = f"http://127.0.0.1:{made.scheduler.http_server.port}/hub/me/"
        page, status = fetched(base + "ptychodask"), fetched(base + "status")
        assert page.count(">Ptychodask</a>") == status.count(">Ptychodask</a>") == 1
        script = page.split('<script src="')[1].split('"')[0]
        assert script.startswith("/hub/me/static/js/bokeh") and "Bokeh" in fetched(urljoin(base, script))
        board = tab.tab_of(made.scheduler).board
        assert not tab.tell(client, "a run", [{"kind": "end", "text": "finished"}])
        made.scale(1)
        waited(lambda: True if any("is gone" in text for _, text in board.runs["another"].messages) else None)
        assert [text for _, text in board.runs["a run"].messages] == ["finished"]


def test_without_bokeh_there_is_one_remark_and_a_result(scan, monkeypatch):
    def absent(*_):
        raise ImportError("no bokeh here")

    monkeypatch.setattr(tab, "add_page", absent)
    seen = []
    ptychodask.reconstruct(scan, JOB, progress=seen.append)
    started = next(event for event in seen if isinstance(event, Started))
    assert started.page is None
    assert [text for text in started.remarks if "no live page" in text and "no bokeh here" in text]


@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium with chromedriver here")
@pytest.mark.slow
def test_in_a_browser_the_picture_changes_and_the_console_is_silent(scan, pictures, tmp_path):
    ready = "return document.readyState == 'complete' && window.Bokeh && Bokeh.documents.length > 0"
    drawn = """
        const models = Bokeh.documents[0].roots().flatMap((root) => [...root.references()])
        const source = models.find((model) => model.data && model.data.phase !== undefined)
        return source && source.data.phase.length ? Array.from(source.data.phase[0]).join() : ''
    """
    shots = []

    def look(url, go_on):
        with browser(tmp_path / "profile") as window:
            window.open(url)
            window.wait(ready)
            go_on()
            first = window.wait(drawn)
            shots.append(window.picture())
            go_on()
            waited(lambda: True if window.run(drawn) != first else None)
            time.sleep(0.2)  # until it is painted
            shots.append(window.picture())
            assert not window.errors()

    watching = Watching(look)
    ptychodask.reconstruct(scan, JOB, progress=watching)
    watching.done()
    assert shots[0] != shots[1]


def test_the_board_forgets_what_a_restart_takes_back_and_runs_that_are_old():
    board = Board()
    for n in range(6):
        board.begin(f"run {n}", {})
    assert list(board.runs) == [f"run {n}" for n in range(2, 6)]
    board.open("page")
    assert board.watched("run 5") and not board.watched("run 4")
    board.open("page", "run 4")
    assert board.watched("run 4") and not board.watched("run 5")
    rows = [{"kind": "row", "row": {"stage": "fit", "iteration": n}} for n in range(4)]
    assert board.take("run 4", [*rows, {"kind": "back", "stage": "fit", "to": 2}])
    assert [row["iteration"] for row in board.runs["run 4"].rows] == [0, 1]
    board.say("worker x is gone")
    assert [text for _, text in board.runs["run 4"].messages] == ["worker x is gone"]
    board.close("page")
    assert not board.watched("run 4") and not board.take("run 0", rows)


def test_a_picture_that_is_asked_for_between_the_stages_comes_with_the_next_state(monkeypatch):
    """Also where no further iteration is told: the finish may be long at its first one."""
    state: list[SimpleNamespace] = []
    asked, taken = threading.Event(), SimpleQueue()

    def newest():
        found = state[0] if state else None
        asked.set()
        return found

    monkeypatch.setattr(page_module, "BETWEEN_SECONDS", 0.02)
    monkeypatch.setattr(page_module.Page, "_picture_of", lambda its, state: {"seconds": 0.0})
    client = SimpleNamespace(nthreads=dict, status="running")
    page = page_module.Page(client, {}, lambda: None, newest, takers=[taken.put], tells=False)
    try:
        figures = dict.fromkeys(("loss", "validation", "patterns", "power", "bytes_read", "bytes_merged"), 1.0)
        figures |= dict.fromkeys(("bytes_exchanged", "seconds_computing", "seconds_reading", "seconds_waiting"), 1.0)
        page.iterated(Iterated(4, "fit", seconds=2.0, **figures))
        assert asked.wait(20)
        state.append(SimpleNamespace(iteration=5, state=None))
        assert taken.get(timeout=20).iteration == 5
    finally:
        page.close("finished")


def test_a_geometry_that_is_refined_first_is_no_work_on_the_image():
    page = page_module.Page(None, {}, lambda: None, lambda: None, tells=False)
    figures = dict.fromkeys(("loss", "validation", "patterns", "power", "bytes_read", "bytes_merged"), 1.0)
    figures |= dict.fromkeys(("bytes_exchanged", "seconds_computing", "seconds_reading", "seconds_waiting"), 1.0)
    for stage in ("geometry", "geometry", "fit"):
        page.iterated(Iterated(0, stage, seconds=2.0, **figures))
    page.refined(Refined(16, {"shear": {"value": 0.01, "sigma": 0.004, "how": "refined with the image"}}, True))
    told = [page._queue.get_nowait() for _ in range(page._queue.qsize())]
    assert [message["kind"] for message in told] == ["row", "text"]
    assert told[0]["row"]["work"] == 0 and told[0]["row"]["elapsed"] == 6
    assert told[1]["text"] == "geometry: shear 0.0100 ± 0.0040: refined with the image"
