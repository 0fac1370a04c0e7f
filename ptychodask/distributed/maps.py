"""Independent tasks on a cluster, with a count of the finished ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from distributed import Client, Future, as_completed

from .inline import Inline


def shared(client: Client, value: Any) -> Future:
    """A value that all workers hold from now on, as an argument of :func:`run_all`.

    It goes to the scheduler once, whatever the number of tasks; where one worker alone had it, Dask would send most of
    them there. One that is lost, or joins later, costs another copy.
    """
    future = client.submit(_itself, value, pure=False)
    client.replicate([future])
    return future


def _itself(value: Any) -> Any:
    return value


def run_all(
    client: Client | Inline,
    calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]],
    progress: Callable[[int, int], None],
) -> list[Any]:
    """Results of ``function(*arguments)`` in the order of the calls; ``progress(done, all)`` is called as they finish.

    Arguments and results go through the client, so they are small.
    """
    progress(0, len(calls))
    if isinstance(client, Inline):
        found = []
        for function, arguments in calls:
            found.append(function(*arguments))
            progress(len(found), len(calls))
        return found
    futures = [client.submit(function, *arguments, pure=False) for function, arguments in calls]
    for done, future in enumerate(as_completed(futures, loop=client.loop), start=1):
        if future.status == "error":
            try:
                future.result()
            finally:  # only then: a cancelled future has forgotten its error
                client.cancel(futures)
        progress(done, len(futures))
    return client.gather(futures)
