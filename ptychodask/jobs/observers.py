"""Who takes the events of a run: those that callers give as ``progress``, and the door through which they are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from .. import _arguments as arguments
from .. import events
from .._errors import InputError
from .._warnings import warn
from ..events import Event, Iterated, Pictured, Warned

Report = Callable[[Event], None]
"""Takes one event."""

METHODS = tuple(kind.__name__.lower() for kind in Event.__subclasses__())
"""What methods of observers are called."""
_NAMES: dict[type[Event], str] = {
    events.Started: "start",
    events.Iterated: "iteration",
    events.Restarted: "restart",
    events.Warned: "warning",
    events.Waiting: "waiting",
    events.Finished: "finished",
    events.Checkpointed: "checkpoint",
}
"""Events as functions of (event, values) know them; a later event has the name of its method."""
_TOLD = (
    "give a function to call with 1 argument (an event of ptychodask.events) or with 2 arguments (event, values),"
    " an object with methods such as 'iterated', a list of several, True for a bar, 'live' for pictures in a notebook,"
    " or False for nothing"
)


class Named:
    """Tells a function of (event, values) by name, with a dictionary."""

    def __init__(self, function: Callable[[str, dict[str, Any]], Any]) -> None:
        self._function = function

    def __call__(self, event: Event) -> None:
        """Hand on one event."""
        values = {field.name: getattr(event, field.name) for field in fields(event)}
        if isinstance(event, Iterated):  # plain numbers, as the history has them
            del values["by_worker"]
            values |= values.pop("more") or {}
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
        self._function(_NAMES.get(type(event), _method(event)), plain)


def observer_of(progress: Any) -> Any:
    """The observer that ``progress`` is, as its signature says.

    Raises
    ------
    InputError
        It is neither a function of one or two arguments nor an object with a method for an event.
    """
    if callable(progress):
        # two first: what takes any number of arguments was always called with a name and values
        refusal = arguments.refusal(progress, ("event", "values"))
        if refusal is None:
            return Named(progress)
        if arguments.refusal(progress, ("event",)) is None:
            return progress
        raise InputError(f"progress takes other arguments ({refusal}): {_TOLD}")
    if any(callable(getattr(progress, method, None)) for method in METHODS):
        return progress
    raise InputError(f"progress = {arguments.shown(progress)}: {_TOLD}")


class Reporter:
    """Hands each event of a run to its observers in their order, and keeps its warnings.

    What an observer raises ends the run as an error or an interrupt does, from which it can be resumed.

    Parameters
    ----------
    observers : sequence
        Of functions that take an :class:`~ptychodask.events.Event`, and of objects with methods for some of them.
        Where none takes warnings, these are Python's.
    """

    def __init__(self, observers: Sequence[Any] = ()) -> None:
        self._observers = tuple(observers)
        self._beside: tuple[Any, ...] = ()
        self._said: set[str] = set()
        self.warnings: list[str] = []
        """Those of the run so far, in order."""

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, Warned):
            if event.text not in self.warnings:
                self.warnings.append(event.text)
            if event.text in self._said:
                return
            self._said.add(event.text)
        takers = [take for observer in self._observers if (take := _taker(observer, event)) is not None]
        for take in takers:
            take(event)
        for observer in self._beside:
            if (take := _taker(observer, event)) is not None:
                take(event)
        if isinstance(event, Warned) and not takers:
            warn(event.text)

    def add(self, observer: Any) -> None:
        """One more from now on, who looks on: warnings that only it takes are Python's as well."""
        self._beside += (observer,)

    @property
    def picture_takers(self) -> tuple[Report, ...]:
        """What takes pictures of those observers that want some: an object with a true ``wants_pictures``."""
        wanting = (observer for observer in self._observers if getattr(observer, "wants_pictures", False))
        found = (_taker(observer, Pictured(0, {})) for observer in wanting)
        return tuple(take for take in found if take is not None)

    def go_on(self, known: list[str]) -> None:
        """Keep warnings in the list of a run, which may hold those from before it was interrupted."""
        known += [text for text in self.warnings if text not in known]
        self.warnings = known


def _taker(observer: Any, event: Event) -> Report | None:
    """What of an observer takes an event, if it knows it."""
    if callable(observer):
        return observer  # type: ignore[no-any-return]
    return getattr(observer, _method(event), None)


def _method(event: Event) -> str:
    return type(event).__name__.lower()
