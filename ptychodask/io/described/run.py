"""The files of a run folder: what runs, what it has seen, what it decided, and who holds the lock."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from ..documents import Described, Flag, Line, Number, Positive, Real, Text, Whole

SCHEMA = "ptychodask-run/2"
Edge = Annotated[int, Field(strict=True, ge=0, le=2**31)]


class RunFile(Described):
    """A file that only the program that wrote it reads: all of it must be there, and what is not known is refused."""

    model_config = ConfigDict(extra="forbid")

    most_bytes: ClassVar[int] = 4 * 2**20
    most_values: ClassVar[int] = 200_000

    def content(self) -> dict[str, Any]:
        """What the file says, every number with the bits that it had."""
        return self.model_dump(exclude_unset=True, by_alias=True)


class SelectionOf(RunFile):
    """What is used of the dataset, see :class:`ptychodask.model.selection.Selection`."""

    rows: Annotated[tuple[Edge, ...], Field(min_length=1)]
    columns: Annotated[tuple[Edge, ...], Field(min_length=1)]
    mask: Text = ""
    positions: Text = ""

    @field_validator("rows", "columns")
    @classmethod
    def _in_order(cls, value: Any) -> Any:
        rises = value[-1] > value[0]
        if any((b > a) != rises or a == b for a, b in pairwise(value)):
            raise ValueError("numbers that neither rise nor fall throughout")
        return value


class ScanOf(RunFile):
    """A further scan of the same area."""

    data: Text
    fingerprint: Text
    lost: list[Text]


class JobFile(RunFile):
    """``job.json``: the data and the configuration."""

    schema_: str = Field(alias="schema", max_length=100)
    version: Text
    data: Text
    config: Text
    fingerprint: Text
    run: Text
    selection: SelectionOf | None
    lost: list[Text]
    further: tuple[ScanOf, ...] = ()

    @field_validator("schema_")
    @classmethod
    def _known(cls, value: str) -> str:
        if value != SCHEMA:
            raise ValueError(f"{SCHEMA!r} is expected, another version of ptychodask wrote it")
        return value


class LogEntry(Described):
    """One iteration; what else was measured is kept beside it."""

    model_config = ConfigDict(extra="allow")

    iteration: Annotated[int, Field(strict=True, ge=0, le=10**6)]
    stage: Literal["fit", "finish"]
    loss: Real
    validation: Real
    patterns: Real
    power: Real
    seconds: Real
    bytes_read: Real
    bytes_merged: Real
    bytes_exchanged: Real
    seconds_computing: Real = math.nan
    seconds_reading: Real = math.nan
    seconds_waiting: Real = math.nan

    @model_validator(mode="after")
    def _numbers(self) -> LogEntry:
        for name, value in (self.model_extra or {}).items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name!r:.40} is no number")
        return self


class LogFile(RunFile):
    """``log.json``: the history so far."""

    # 100 000 iterations of sixteen numbers
    most_bytes: ClassVar[int] = 80 * 2**20
    most_values: ClassVar[int] = 1_800_000

    entries: list[LogEntry]
    restarts: Annotated[int, Field(strict=True, ge=0, le=100)]
    chosen: Whole | None
    reason: Line
    floor: Whole
    warnings: list[Line]

    @model_validator(mode="after")
    def _in_order(self) -> LogFile:
        fitted = [entry.iteration for entry in self.entries if entry.stage == "fit"]
        if fitted != list(range(len(fitted))):
            raise ValueError("entries of the fit are not those of iterations 0, 1, 2, ...")
        if self.floor > len(fitted):
            raise ValueError(f"floor = {self.floor} is beyond the {len(fitted)} entries of the fit")
        return self


Row = tuple[Number, Number]


class FoundOf(RunFile):
    """A number of the geometry."""

    value: Number
    sigma: Number
    how: Line


class RefinedOf(RunFile):
    """What was found of the geometry."""

    matrix: tuple[Row, Row]
    aberrations: dict[Annotated[str, Field(max_length=10)], Number]
    values: dict[Annotated[str, Field(max_length=40)], FoundOf]
    drift: Annotated[tuple[Row, ...], Field(max_length=100)] = ()
    across: Row = (0.0, 0.0)


class DecisionsFile(RunFile):
    """``decisions.json``: what the survey found and a worker chose."""

    mean_counts: Positive
    backend: Literal["cpu", "numpy", "cupy"]
    processor: Text
    chains: Flag
    device_batch: Annotated[int, Field(strict=True, ge=0, le=2**31)]
    damaged: tuple[tuple[Edge, Edge, Edge, Edge], ...]
    excluded: tuple[tuple[Edge, Edge, Edge, Edge], ...]
    suspicions: tuple[Line, ...]
    container: Annotated[str, Field(strict=True, max_length=1000)]
    pattern_bytes: Positive
    geometry: RefinedOf | None
    begun: Flag
    told: tuple[Line, ...] = ()
    further: tuple[DecisionsFile, ...] = ()
    offsets: tuple[Row, ...] = ()
    offset_errors: tuple[Row, ...] = ()

    @field_validator("damaged", "excluded")
    @classmethod
    def _boxes(cls, value: Any) -> Any:
        for y0, y1, x0, x1 in value:
            if not (y0 < y1 and x0 < x1):
                raise ValueError(f"the box {(y0, y1, x0, x1)} holds no positions")
        return value


class HolderFile(Described):
    """The lock: who holds it."""

    host: Annotated[str, Field(strict=True, max_length=255)]
    pid: Annotated[int, Field(strict=True, ge=1, le=2**31)]
    since: Annotated[str, Field(strict=True, max_length=64)]
