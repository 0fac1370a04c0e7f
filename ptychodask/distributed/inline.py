"""What takes the part of a client inside a task: everything is computed by the thread that asks for it.

A study is many small reconstructions. Each is one task of the cluster, and all that it would send to workers of its own
runs where it is, in the order of a single worker: the same functions and the same fixed sums, hence the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import Any, cast

import dask
from distributed import Client, Status, get_worker

from .spent import HERE


class Later:
    """What stands for a value, as a future does: computed when it is first asked for, and kept."""

    def __init__(self, key: str, compute: Callable[[], Any]) -> None:
        self.key = key
        self._compute: Callable[[], Any] | None = compute
        self._value: Any = None
        self._error: BaseException | None = None

    def result(self) -> Any:
        """The value; what went wrong is raised again."""
        if self._compute is not None:
            _refuse_to_linger()
            compute, self._compute = self._compute, None  # and with it all that the value was made from
            try:
                self._value = compute()
            except Exception as error:
                self._error = error
        if self._error is not None:
            raise self._error
        return self._value

    def exception(self) -> BaseException | None:
        """What went wrong, or None."""
        try:
            self.result()
        except Exception as error:
            return error
        return None


class Inline:
    """The methods of :class:`distributed.Client` that a run uses; hints of place and priority mean nothing here."""

    def submit(self, function: Callable[..., Any], *arguments: Any, key: str = "", **hints: Any) -> Later:
        """A call that is made when its value is wanted."""
        return Later(key, lambda: function(*map(valued, arguments)))

    def get(self, graph: Any, keys: Sequence[str], **hints: Any) -> list[Later]:
        """Values of a graph, all of which are computed when one is asked for."""
        whole = Later("", lambda: dask.get(dict(graph), list(keys)))
        return [Later(key, lambda at=at: whole.result()[at]) for at, key in enumerate(keys)]  # type: ignore[misc]

    def scheduler_info(self, n_workers: int = -1) -> dict[str, Any]:
        """One worker of one thread, which is this one."""
        return {"address": HERE, "workers": {HERE: {"nthreads": 1, "memory_limit": 0}}, "services": {}}


def _refuse_to_linger() -> None:
    """A worker that closes waits for its tasks, and nobody for this one."""
    try:
        status = get_worker().status
    except ValueError:  # this is no task
        return
    if status in (Status.closing, Status.closed):
        raise CancelledError("the worker closes")


def inline() -> Client:
    """For who asks for a client."""
    return cast(Client, Inline())


def valued(argument: Any) -> Any:
    """An argument with the values of what stands for them, also in lists."""
    if isinstance(argument, list):
        return [valued(each) for each in argument]
    return argument.result() if isinstance(argument, Later) else argument
