"""The page: a Bokeh document on the scheduler. It looks at the board twice a second and draws what changed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from bokeh.events import DocumentReady
from bokeh.layouts import column, row
from bokeh.models import Div, RadioButtonGroup, Select

from . import texts
from .board import Shown, rate
from .curves import AXES, Curve, Losses, Workers
from .images import Phase, PowerSpectrum, Probe

if TYPE_CHECKING:
    from .tab import Tab

EVERY_MS = 500
SHARE = 0.004
"""Of a thread of the scheduler that an open page may take: one that takes long to draw is drawn the more seldom."""
WIDE, SQUARE, LOG = 596, 268, 150
"""Pixels of the screen: the phase, the other images, the messages."""


class View:
    """What one open page shows."""

    def __init__(self, tab: Tab, page: Any) -> None:
        self._tab, self._page = tab, page
        self._seen: tuple[Any, ...] = ()
        self._drawn: tuple[Any, ...] = (None, 0)
        self._after = 0.0
        self.head, self.log = Div(text=texts.NOTHING, width=1300), Div(text="", width=1300)
        self.phase, self.power, self.probe = Phase(WIDE), PowerSpectrum(SQUARE), Probe(SQUARE)
        self.losses = Losses(620, 250)
        self.rates = Curve("speed", 310, 200, "patterns per second", "MB merged", from_zero=True)
        self.workers = Workers(310, 200)
        self.against = RadioButtonGroup(labels=list(AXES), active=0, width=160)
        self.against.on_change("active", lambda attr, old, new: self._draw_curves())
        self.select = Select(title="run", options=[], width=300, visible=False)
        self.select.on_change("value", lambda attr, old, new: self._choose(new))

    def layout(self) -> Any:
        """All of it."""
        images = row(self.power.figure, self.probe.figure)
        right = column(images, self.against, self.losses.figure, row(self.rates.figure, self.workers.figure))
        left = column(self.phase.figure, self.phase.slider, self.log)
        self.log.width = WIDE + 60
        return column(self.head, self.select, row(left, right, spacing=24))

    def update(self) -> None:
        """Draw what changed since the last time."""
        name, shown = self._tab.board.shown(self._page)
        seen = (name, shown.version if shown else 0, len(self._tab.board.runs))
        if shown is None or seen == self._seen or time.monotonic() < self._after:
            return
        began, self._seen = time.thread_time(), seen
        self._redraw(name, shown)
        self._after = time.monotonic() + (time.thread_time() - began) / SHARE

    def _redraw(self, name: str | None, shown: Shown) -> None:
        self.head.text, self.log.text = texts.head(shown), texts.log(shown, LOG)
        self._offer()
        self._draw_curves()
        if shown.picture is not None and (name, shown.pictures) != self._drawn:
            first = name != self._drawn[0]
            self._drawn = (name, shown.pictures)
            self._draw(shown, first)

    def _draw(self, shown: Shown, first: bool) -> None:
        picture = shown.picture
        assert picture is not None
        self.phase.show(picture, first)
        self.power.show(picture, shown.about, first)
        self.probe.show(picture, first)

    def _draw_curves(self) -> None:
        _, shown = self._tab.board.shown(self._page)
        if shown is None:
            return
        rows = [{**its, "minutes": its["elapsed"] / 60} for its in shown.rows]
        against = list(AXES)[self.against.active or 0]
        self.losses.show(rows, against)
        timed = [its for its in rows if its["work"] > 0]
        self.rates.show(timed, against, rate, lambda its: its["bytes_merged"] / 1e6)
        self.workers.show(rows[-1] if rows else None, self._tab.name_of)

    def _offer(self) -> None:
        """Let a page choose among several runs."""
        runs = [(name, its.about["title"]) for name, its in self._tab.board.runs.items()]
        if len(runs) > 1:
            options = [("", "the latest"), *runs]
            if self.select.options != options:
                self.select.update(options=options, visible=True)

    def _choose(self, run: str) -> None:
        self._after = 0.0
        self._tab.opened(self._page, run or None)


def document(tab: Tab, doc: Any) -> None:
    """Fill the document of a page that was opened."""
    page = object()
    view = View(tab, page)
    doc.title = "ptychodask"
    doc.add_root(view.layout())
    view.update()
    for image in (view.phase, view.power, view.probe):
        doc.js_on_event(DocumentReady, image.bar)
    tab.opened(page)
    doc.add_periodic_callback(view.update, EVERY_MS)
    doc.on_session_destroyed(lambda _: tab.board.close(page))
