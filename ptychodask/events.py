"""What a run tells while it goes on: one frozen class per event.

``reconstruct(..., progress=...)`` hands them to any number of observers. An observer is a function of one argument, or
an object with methods named after the events in small letters; it ignores what it does not know:

>>> from ptychodask.events import Iterated, Warned
>>> def show(event):
...     if isinstance(event, Iterated):
...         print(event.iteration, event.loss, event.seconds_computing)
>>> class Keep:
...     def __init__(self):
...         self.texts = []
...     def warned(self, event: Warned):
...         self.texts.append(event.text)
>>> ptychodask.reconstruct("scan.zarr", progress=[show, Keep()])

This module imports nothing of the package, so that whoever tells or shows events can know them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something that happened to a run."""


@dataclass(frozen=True)
class WorkerSeconds:
    """What one worker spent on blocks in one iteration, in seconds of wall time, added up over its threads."""

    worker: str
    """Address."""
    seconds_computing: float = 0.0
    """In the kernels: partial updates and, with the tangent step, the search along the direction."""
    seconds_reading: float = 0.0
    """Reading, decoding and packing counts that were not cached, in tasks and by the thread that reads ahead."""
    seconds_waiting: float = 0.0
    """In which a task waited for a block that was being read ahead."""

    def __add__(self, other: WorkerSeconds) -> WorkerSeconds:
        """Of the same worker."""
        return WorkerSeconds(
            self.worker,
            self.seconds_computing + other.seconds_computing,
            self.seconds_reading + other.seconds_reading,
            self.seconds_waiting + other.seconds_waiting,
        )


@dataclass(frozen=True)
class Started(Event):
    """The counts are surveyed, and iterations begin: of a new run, or of one that is resumed."""

    patterns: int
    """Positions of the scan."""
    electrons_per_pattern: float
    slices: int
    modes: int
    """Of the probe."""
    iterations: int
    """At most, the finish included."""
    workers: int
    threads: int
    """Of all workers."""
    dashboard: str | None
    """Address of Dask's dashboard."""
    remarks: tuple[str, ...]
    """What the user should know of the job."""
    container: str
    """How counts are cached: ``events`` or a dense type."""
    pattern_bytes: float
    """Mean bytes of a pattern in it."""
    page: str | None = None
    """Address of the live page of this run, beside Dask's dashboard."""


@dataclass(frozen=True)
class Iterated(Event):
    """All blocks looked at one state: an entry of the history."""

    iteration: int
    """Updates that made the state; 0 is the start."""
    stage: str
    """``fit``, ``finish`` with all electrons, or before these ``geometry`` while that is refined."""
    loss: float
    """Nats per pattern (electrons for the amplitude residual)."""
    validation: float
    """Nats per pattern; NaN without held-out electrons."""
    patterns: float
    """Patterns looked at."""
    power: float
    """Modelled over measured electrons."""
    seconds: float
    """Since the entry before, or the start."""
    bytes_read: float
    """Counts read again because they are not cached."""
    bytes_merged: float
    """Updates of blocks."""
    bytes_exchanged: float
    """Frames between tiles of the object."""
    seconds_computing: float
    """Total of ``by_worker``, as the two below."""
    seconds_reading: float
    seconds_waiting: float
    by_worker: tuple[WorkerSeconds, ...] = ()
    """One entry per worker that had blocks, in the order of their addresses."""
    more: Mapping[str, float] | None = None
    """Figures that not every iteration has, by name, such as ``loss_excess`` in nats per pattern."""

    @classmethod
    def of(cls, entry: Mapping[str, Any], by_worker: tuple[WorkerSeconds, ...]) -> Iterated:
        """From an entry of a run's log."""
        known = {field.name for field in fields(cls)}
        more = {name: value for name, value in entry.items() if name not in known}
        return cls(**{n: v for n, v in entry.items() if n in known}, by_worker=by_worker, more=more)


@dataclass(frozen=True)
class Restarted(Event):
    """The run diverged and goes on from an earlier state."""

    iteration: int
    """Of that state."""
    trouble: str
    damping: float
    """Of all steps from now on, relative to those of the job."""


@dataclass(frozen=True)
class Refined(Event):
    """What is known of the geometry: what moves, once that is decided, and what was found."""

    iteration: int
    """Of the refinement, before the reconstruction."""
    values: Mapping[str, Mapping[str, Any]]
    """``{name: {"value", "sigma", "how"}}`` by the names of ``ptychodask calibrate --json``."""
    settled: bool
    """Is this what the reconstruction takes?"""


@dataclass(frozen=True)
class Stored(Event):
    """A checkpoint was stored on the way."""

    iteration: int
    stage: str
    """``fit`` or ``finish``."""


@dataclass(frozen=True)
class Pictured(Event):
    """A picture of the newest state, made because an observer has ``wants_pictures = True``; in a thread of its own."""

    iteration: int
    picture: Mapping[str, Any]
    """See :func:`ptychodask.live.picture.picture`."""


@dataclass(frozen=True)
class Arrived(Event):
    """Of a scan that still grows: what is there was iterated, and there is a picture of it."""

    rows: int
    """Of the scan that the picture shows, from the first on."""
    of: int
    """Rows of the whole scan."""
    seconds_behind: float
    """From when the last of these rows was seen whole in the file to the picture."""
    loss: float
    """Nats per pattern; NaN where none was computed."""
    iteration: int
    """Updates that made the state."""
    picture: str
    """Path of the picture; empty where none is wanted."""
    page: str | None = None
    """Address of the live page."""


@dataclass(frozen=True)
class Warned(Event):
    """Something is doubtful or went wrong, and the run goes on. Each text comes once; the result keeps them all.

    Where no observer takes it, it is a :class:`ptychodask.PtychodaskWarning`.
    """

    text: str


@dataclass(frozen=True)
class Waiting(Event):
    """What comes next takes a while: there are no workers yet, or no file, kernels are compiled, or a scan that was
    watched is finished."""

    text: str


@dataclass(frozen=True)
class Finished(Event):
    """There was nothing to resume, the result stands."""

    path: str
    """Of the result."""


@dataclass(frozen=True)
class Checkpointed(Event):
    """The run was interrupted."""

    iteration: int
    """From which it can be resumed."""
