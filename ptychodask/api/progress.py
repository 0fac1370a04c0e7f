"""Who is told how far things are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from .. import _arguments as arguments
from .._errors import InputError
from .._warnings import warn

if TYPE_CHECKING:
    from ..simulation.run import Steps


def wants_bar(progress: Any) -> bool:
    """Is a bar wanted: in a notebook and at a terminal by default?"""
    if not (progress is None or isinstance(progress, bool)):
        told = "give a function to call, True for a bar, or False for nothing"
        raise InputError(f"progress = {arguments.shown(progress)}: {told}")
    if progress is not None:
        return progress
    return "ipykernel" in sys.modules or (sys.stdout is not None and sys.stdout.isatty())


@contextmanager
def counting(progress: Any, title: str) -> Iterator[Steps | None]:
    """Who is told the number of finished steps and of all: the caller's function, or a bar where one is wanted."""
    if callable(progress):
        yield arguments.function(progress, "progress", ("label", "done", "of"))
    elif wants_bar(progress):
        from ..viz import live  # rich takes its time to import

        with live.steps(title) as shown:
            yield shown
    else:
        yield None


@contextmanager
def observing(progress: Any) -> Iterator[list[Any]]:
    """Who takes the events of a run, see :func:`reconstruct`."""
    from ..jobs.observers import observer_of

    with ExitStack() as stack:
        found: list[Any] = []
        for one in progress if isinstance(progress, list | tuple) else [progress]:
            if one == "live" and isinstance(one, str):
                from ..viz import live

                if live.console.is_jupyter:
                    from ..live.notebook import Figures

                    found.append(figures := Figures())
                    stack.callback(figures.close)
                found.append(stack.enter_context(live.reconstruction(warn)))
            elif not (one is None or isinstance(one, bool)):
                found.append(observer_of(one))
            elif wants_bar(one):
                from ..viz import live  # rich takes its time to import

                found.append(stack.enter_context(live.reconstruction(warn)))
        yield found
