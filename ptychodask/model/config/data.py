"""Options of the data."""

from __future__ import annotations

import operator
import reprlib
from typing import Any, Literal

from pydantic import Field, field_validator

from .section import Section


class DataConfig(Section):
    """The counts."""

    on_damage: Literal["stop", "mask"] = Field(
        "stop",
        description="damaged or missing chunks of counts: stop with an error, or leave their positions out and say so",
    )
    exclude: Literal["misfired"] | tuple[tuple[int, int], ...] | None = Field(
        None,
        description='positions to leave out: "misfired" for frames with far too many electrons or none, or a list of'
        " (scan_y, scan_x) such as [[3, 14], [15, 9]]; unset: none",
    )

    offsets: tuple[tuple[float, float], ...] | None = Field(
        None,
        description="several scans: where the frame of each further one begins in that of the first, (y, x) in"
        " angstrom, such as [[3.2, -0.8]]; unset: found from the counts",
    )

    half: Literal["first", "second"] | None = Field(
        None,
        description="one of two halves of the electrons, by lot, instead of all: what halves reconstructs, each on its"
        " own; unset: all",
    )

    @field_validator("exclude", mode="before")
    @classmethod
    def _positions(cls, value: Any) -> Any:
        """Pairs of whole numbers from whatever holds them."""
        if value is None or (isinstance(value, str) and value == "misfired"):
            return value
        try:
            if any(isinstance(number, bool) for pair in value for number in pair):
                raise TypeError("a mask, not positions")
            pairs = tuple((operator.index(y), operator.index(x)) for y, x in value)
        except (TypeError, ValueError):
            raise ValueError(
                f'data.exclude = {reprlib.repr(value)}: give "misfired", or a list of positions (scan_y, scan_x)'
                " such as [[3, 14]]"
            ) from None
        if any(min(pair) < 0 for pair in pairs):
            raise ValueError(f"data.exclude = {min(pairs)}: positions are counted from (0, 0)")
        return pairs or None
