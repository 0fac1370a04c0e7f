"""``growing.json``: what is there of a dataset that is not whole yet, see :mod:`ptychodask.io.growing`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from ..documents import Flag, Line, Real, Text, Whole
from .run import RefinedOf, RunFile

SCHEMA = "ptychodask-growing/1"


class GrowingFile(RunFile):
    """What was asked for, the file that is followed, and the shards that are whole."""

    most_bytes: ClassVar[int] = 64 * 2**20
    most_values: ClassVar[int] = 4_000_000

    schema_: str = Field(SCHEMA, alias="schema", max_length=100)
    settings: Text
    """As JSON; a watch goes on with the same ones only."""
    file: Line = ""
    """By what the file is known again."""
    shards: tuple[tuple[Whole, Line, Real, Real], ...] = ()
    """Index, digest, electrons and brightest count of each."""
    geometry: RefinedOf | None = None
    """What a calibration of the first rows found, which the rounds go by."""
    ended: Line = ""
    """How the scan ended, once the dataset is what it will be."""
    publishes: Flag = False
    """Is the dataset that grew the one, which then goes to its place?"""

    @field_validator("schema_")
    @classmethod
    def _known(cls, value: str) -> str:
        if value != SCHEMA:
            raise ValueError(f"{SCHEMA!r} is expected, another version of ptychodask wrote it")
        return value
