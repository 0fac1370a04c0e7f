"""What runs on the scheduler: it gets the page and the board once, then takes what runs say. Sent there by name."""

from __future__ import annotations

from typing import Any

from ..distributed.dashboard import WorkersSeen, add_page
from .board import Board, Message
from .packed import pack, unpack

NAME = "ptychodask"
"""Of the tab, and of its address."""
TAKE = f"{NAME}_take"
"""What the scheduler does with what runs say. Not through ``run_on_scheduler``, which logs a line each time."""
TOPIC = "ptychodask-page-opened"
"""Of the events by which a scheduler tells runs that a page was opened."""


class Tab(WorkersSeen):
    """The board, beside the scheduler."""

    def __init__(self, scheduler: Any) -> None:
        self.board = Board()
        super().__init__(f"{NAME}-page", self.board.say)
        self._scheduler = scheduler

    def take(self, run: str, messages: str) -> bool:
        """What a run says, packed; does an open page show it?"""
        return self.board.take(run, unpack(messages))

    def name_of(self, worker: str) -> str:
        """What a worker is called by who started it, or else its address."""
        known = self._scheduler.workers.get(worker)
        return worker if known is None or str(known.name) == worker else f"worker {known.name}"

    def opened(self, page: Any, run: str | None = None) -> None:
        """A page shows this run, or the latest; runs are told, so that nobody waits a whole iteration for a picture."""
        self.board.open(page, run)
        self._scheduler.log_event(TOPIC, self.board.pages)


def tab_of(scheduler: Any) -> Tab | None:
    """The tab of a scheduler, if it has one."""
    found = scheduler.plugins.get(f"{NAME}-page")
    return found if isinstance(found, Tab) else None


def begin(run: str, about: dict[str, Any], dask_scheduler: Any) -> str:
    """Let a run begin on the board, with the page added if this is the first; why that cannot be, or nothing."""
    tab = tab_of(dask_scheduler)
    if tab is None:
        tab = Tab(dask_scheduler)
        try:
            from .document import document

            add_page(dask_scheduler, NAME, lambda doc: document(tab, doc))
        except (ImportError, LookupError) as error:
            return str(error)
        dask_scheduler.add_plugin(tab)
        dask_scheduler.handlers[TAKE] = tab.take
    tab.board.begin(run, about)
    return ""


def tell(client: Any, run: str, messages: list[Message]) -> bool:
    """From a run: let the board take what it says; does an open page show it?"""
    return bool(client.sync(getattr(client.scheduler, TAKE), run=run, messages=pack(messages)))
