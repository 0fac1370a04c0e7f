"""A page of ours on the dashboard of a running scheduler, beside Dask's own; what it shows is not known here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

from distributed import SchedulerPlugin
from tornado.ioloop import IOLoop


class WorkersSeen(SchedulerPlugin):
    """Tells a function, on the scheduler, that a worker came or was lost; closes with the scheduler.

    Parameters
    ----------
    name : str
    say : callable
        Given a line of text.
    """

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self.name, self._say = name, say

    def add_worker(self, scheduler: Any, worker: str) -> None:
        self._say(f"worker {worker} joined")

    def remove_worker(self, scheduler: Any, worker: str, **details: Any) -> None:
        self._say(f"worker {worker} is gone: its blocks go to others")


def add_page(scheduler: Any, name: str, document: Callable[[Any], None]) -> None:
    """Serve a Bokeh document at ``/name``, and name it among the tabs of Dask's pages. To be called on the scheduler.

    As Dask's own: it is another Bokeh application on the same port, with the same prefix, origins and relative
    addresses, so it is reached wherever they are, behind a proxy too. BokehJS comes from this very server.

    Parameters
    ----------
    scheduler : distributed.Scheduler
    name : str
    document : callable
        Given the empty Bokeh document of every page that is opened; the frame with the tabs is that of Dask's own.

    Raises
    ------
    ImportError
        There is no Bokeh, or one that Dask cannot use.
    LookupError
        The scheduler has no dashboard.
    """
    from distributed.dashboard.components.scheduler import env
    from distributed.dashboard.core import BokehApplication
    from distributed.dashboard.scheduler import template_variables

    served = getattr(getattr(scheduler, "http_application", None), "applications", [])
    own = next((app for app in served if "/status" in {path[-7:] for path in getattr(app, "app_paths", ())}), None)
    if own is None:
        raise LookupError("the scheduler has no dashboard")
    variables = template_variables(scheduler)

    def opened(_: Any, extra: dict[str, Any], doc: Any) -> None:
        doc.template = env.get_template("simple.html")
        doc.template_variables.update(extra)
        document(doc)

    page = BokehApplication({f"/{name}": opened}, scheduler, prefix=own.prefix, template_variables=variables)
    scheduler.http_application.add_application(page)
    page.initialize(IOLoop.current())
    page.start()  # the scheduler stops it with its own
    if name not in variables["pages"]:
        variables["pages"].append(name)


def page_link(status: str | None, name: str) -> str | None:
    """Address of a page from that of Dask's status page, None where there is none."""
    return None if status is None else urljoin(status, name)
