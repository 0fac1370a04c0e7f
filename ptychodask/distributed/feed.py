"""Long tasks of one thread each, given to a cluster one by one as its threads become free.

Each is minutes of work, so that a client round trip between two costs nothing, no worker waits for another's queue, and
whoever dies loses only what is in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from distributed import Client, Future, as_completed

from .iterate import new_name, workers_of

T = TypeVar("T")


def feed(
    client: Client, next_call: Callable[[], tuple[T, Callable[..., Any], tuple[Any, ...]] | None]
) -> Iterator[tuple[T, Any]]:
    """Results as they come.

    Parameters
    ----------
    client : distributed.Client
    next_call : callable
        Gives a label, a function and its arguments; or None, where nothing can be started until another result is
        there. It ends when there are neither calls nor results to wait for.

    Yields
    ------
    label, result
        An error of a task is raised here, and what is in flight is let go.
    """
    name, flying, count = new_name(), dict[Future, T](), 0
    landing = as_completed(loop=client.loop)
    try:
        while True:
            while len(flying) < max(1, sum(workers_of(client).values())) and (call := next_call()) is not None:
                label, function, arguments = call
                # one that dies with its worker is made again elsewhere
                future = client.submit(function, *arguments, key=f"{name}-{count}", pure=False)
                flying[future], count = label, count + 1
                landing.add(future)
            if not flying:
                return
            future = next(landing)
            yield flying.pop(future), future.result()
    finally:
        client.cancel(list(flying))
