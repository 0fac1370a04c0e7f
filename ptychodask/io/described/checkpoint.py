"""A checkpoint: the few numbers of a state, and maps that fit each other."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from ..documents import Described, Whole
from .store import ArrayDocument, check_array

MOST_SLICES = 10_000
MOST_PIXELS = 2**17
Hexadecimal = Annotated[str, Field(strict=True, max_length=40)]
Numbers = Annotated[tuple[Hexadecimal, ...], Field(max_length=100)]


Pair = Annotated[tuple[Hexadecimal, ...], Field(min_length=2, max_length=2)]


class AffineOf(Described):
    """A map of the plane about a point, with a drift of rows."""

    matrix: Annotated[tuple[Pair, ...], Field(min_length=2, max_length=2)]
    centre: Pair
    drift: Annotated[tuple[Pair, ...], Field(max_length=100)] = ()
    across: Pair = ("0x0p+0", "0x0p+0")

    @field_validator("matrix", "centre", "drift", "across")
    @classmethod
    def _finite(cls, values: Any) -> Any:
        return finite(values)


def finite(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Hexadecimal text of finite numbers, however deep."""
    for value in values:
        if not isinstance(value, str):
            finite(value)
        elif not math.isfinite(float.fromhex(value)):
            raise ValueError("a finite number is expected")
    return values


class RefiningOf(Described):
    """How far a refinement of the geometry has come: P numbers."""

    values: Numbers
    information: Annotated[tuple[Numbers, ...], Field(max_length=100)]
    passes: Whole
    gains: Numbers
    last: Numbers
    free: Annotated[tuple[Annotated[bool, Field(strict=True)], ...], Field(max_length=100)]
    trail: Annotated[tuple[Numbers, ...], Field(max_length=100)]

    @model_validator(mode="after")
    def _fit(self) -> RefiningOf:
        count = len(self.values)
        rows = (*self.information, *self.trail, self.gains, self.last, self.free)
        if len(self.information) != count or any(len(row) != count for row in rows):
            raise ValueError("numbers of the geometry do not fit each other")
        return self

    @field_validator("values", "gains", "last", "information", "trail")
    @classmethod
    def _finite(cls, values: Any) -> Any:
        return finite(values)


class StateAttributes(Described):
    """Floats are hexadecimal text: a resumed run must have the same bits."""

    iteration: Whole
    background: Hexadecimal
    damping: Hexadecimal
    momentum: Annotated[int, Field(strict=True, ge=-1, le=2**31)]
    information: Annotated[tuple[Hexadecimal, ...], Field(min_length=1, max_length=10_000)] | None = None
    geometry: RefiningOf | None = None
    moved: AffineOf | None = None
    loss: Hexadecimal | None = None
    places: Annotated[bool, Field(strict=True)] = False
    """Is there an array of where patterns moved, each on its own?"""

    @model_validator(mode="after")
    def _whole(self) -> StateAttributes:
        if self.geometry is not None and self.geometry.passes and self.moved is None:
            raise ValueError("positions do not follow the geometry")
        return self

    @field_validator("information")
    @classmethod
    def _numbers(cls, values: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return values and tuple(map(cls._number, values))

    @field_validator("loss")
    @classmethod
    def _finite(cls, value: str | None) -> str | None:
        if value is not None and not math.isfinite(float.fromhex(value)):
            raise ValueError("a finite number is expected")
        return value

    @field_validator("background", "damping")
    @classmethod
    def _number(cls, value: str) -> str:
        if not (math.isfinite(number := float.fromhex(value)) and number >= 0):
            raise ValueError("a finite number from 0 is expected")
        return value


class StateArrays(Described):
    """Object, anchor and probe; and where patterns moved each on its own, how far."""

    object: ArrayDocument
    anchor: ArrayDocument
    probe: ArrayDocument
    places: ArrayDocument | None = None

    @classmethod
    def names(cls, places: bool) -> list[str]:
        """Arrays that a checkpoint has."""
        return [name for name, field in cls.model_fields.items() if field.is_required() or places]

    @model_validator(mode="after")
    def _fit(self) -> StateArrays:
        shape = self.object.shape
        if len(shape) == 3 and (shape[0] > MOST_SLICES or max(shape[1:]) > MOST_PIXELS):
            raise ValueError(f"an object of {shape}, at most {MOST_SLICES} slices of {MOST_PIXELS} pixels a side")
        maps = ("float32", "float64", "complex64", "complex128")
        for name, types, expected in (
            ("object", maps, (None, None, None)),
            ("anchor", (str(self.object.data_type),), shape),
            ("probe", ("complex64", "complex128"), (None, None, None)),
            ("places", ("float64",), (2, None, 2)),
        ):
            if getattr(self, name) is None:
                continue
            try:
                check_array(getattr(self, name), types, expected)
            except ValueError as error:
                raise ValueError(f"{name} has {error}") from None
        return self
