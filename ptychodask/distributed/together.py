"""Tasks that go to the scheduler together: a graph costs it much less than as many graphs of one task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.task_spec import List, Task, TaskRef
from distributed import Client, Future

from .inline import Later


class Together:
    """Takes tasks as a client does, and sends them as one graph.

    What stands for a task may be an argument of others, as its future might. Values that are not asked for are
    forgotten once they were used, as those of futures are that nobody keeps.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._info: Any = None
        self._tasks: dict[str, Task] = {}
        self._hints: dict[str, dict[str, Any]] = {"workers": {}, "allow_other_workers": {}, "priority": {}}

    def submit(self, function: Callable[..., Any], *arguments: Any, key: str, pure: bool = False, **hints: Any) -> Any:
        """As :meth:`distributed.Client.submit`; futures are found among the arguments and in lists of them."""
        self._tasks[key] = Task(key, function, *map(_referring, arguments))
        for name, value in hints.items():
            self._hints[name][key] = value
        return TaskRef(key)

    def send(self, name: str, wanted: Sequence[Any]) -> list[Future]:
        """Send all, as a layer of this name; the futures of those that are ``wanted``."""
        # Dask asks for every key; None is no hint
        layer = MaterializedLayer(self._tasks, annotations={hint: of.get for hint, of in self._hints.items()})
        graph = HighLevelGraph({name: layer}, {name: set()})
        # without a timeout, earlier graphs come first where priorities are equal
        return list(self._client.get(graph, [task.key for task in wanted], sync=False, fifo_timeout=0))

    def scheduler_info(self, n_workers: int) -> Any:
        """What the client said when it was asked first: all maps of a pass look at the same workers."""
        if self._info is None:
            self._info = self._client.scheduler_info(n_workers=n_workers)
        return self._info


def _referring(argument: Any) -> Any:
    if isinstance(argument, list):
        return List(*map(_referring, argument))
    if isinstance(argument, Later):
        return Task(argument.key, argument.result)
    return TaskRef(argument.key) if isinstance(argument, Future) else argument
