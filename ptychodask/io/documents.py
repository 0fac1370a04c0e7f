"""JSON files that programs wrote: read within limits, and held against a description.

Whatever is wrong with one is a :class:`Damage` that names file and key; who reads a dataset, a result or a run says
what it means and what to do.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from .._errors import InputError
from .._text import first_line, printable

MOST_BYTES, MOST_VALUES = 4 * 2**20, 200_000
"""Of a file; the history of a long run is allowed more, see :class:`ptychodask.io.described.run.LogFile`."""
DEEPEST = 32
"""Lists and objects within each other."""

Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e30, le=1e30)]
Positive = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, le=1e30)]
Real = Annotated[float, Field(strict=True)]
"""May be NaN: a likelihood where nothing is held out."""
Whole = Annotated[int, Field(strict=True, ge=0, le=2**53)]
Flag = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(strict=True, max_length=100_000)]
Line = Annotated[Text, AfterValidator(printable)]
"""Shown to people as it is."""


class Damage(ValueError):
    """What is wrong with a file of ours."""


class Described(BaseModel):
    """A description of what is in a file."""

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)


T = TypeVar("T", bound=BaseModel)


def parse_json(raw: bytes, name: str, most_bytes: int = MOST_BYTES, most_values: int = MOST_VALUES) -> Any:
    """The content of a JSON file; NaN and Infinity are numbers, as Python writes them.

    Raises
    ------
    Damage
        If it is too long, no JSON, not UTF-8, too deep, or gives a key twice.
    """
    if len(raw) > most_bytes:
        raise Damage(f"{name} has more than {most_bytes} bytes")
    # each value takes memory, however few bytes it has in the file
    if sum(raw.count(mark) for mark in (b",", b"[", b"{")) > most_values:
        raise Damage(f"{name} has more than {most_values} values")
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_object)
    except Damage as error:
        raise Damage(f"{name}: {error}") from None
    except RecursionError:
        raise Damage(f"{name} is nested deeper than {DEEPEST}") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise Damage(f"{name} is no JSON: {first_line(error, 100)}") from None
    _check_depth(value, name)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Damage(f"the key {shown(twice)} is given twice")
    return found


def _check_depth(value: Any, name: str) -> None:
    level = [value]
    for _ in range(DEEPEST):
        inside = [v for v in level if isinstance(v, dict | list)]
        level = [child for v in inside for child in (v.values() if isinstance(v, dict) else v)]
        if not level:
            return
    raise Damage(f"{name} is nested deeper than {DEEPEST}")


def described(model: type[T], values: Any, name: str) -> T:
    """``values`` of the file ``name``, as the description ``model`` has them.

    Raises
    ------
    Damage
        Names file, key, value and bound.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise Damage(_explained(error, name)) from None


def _explained(error: ValidationError, name: str) -> str:
    first = error.errors(include_url=False)[0]
    key = printable(".".join(str(part) for part in first["loc"]), 80)
    if not key and first["type"] != "value_error":
        return f"{name} is no JSON object"
    if first["type"] == "missing":
        return f"{name} lacks {key!r}"
    if first["type"] == "extra_forbidden":
        return f"{name}: {key} is not known"
    message = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
    message = printable(message[:1].lower() + message[1:], 250)
    if first["type"] == "value_error" and isinstance(first["input"], dict | BaseModel):
        return f"{name}: {message}"
    return f"{name}: {key} = {shown(first['input'])}: {message}"


def shown(value: Any) -> str:
    """A value from a file for an error."""
    return printable(reprlib.repr(value), 60)


@contextmanager
def told(what: str, remedy: str) -> Iterator[None]:
    """Whatever is raised inside as one line; errors that are one already stay as they are.

    Files that programs wrote, once damaged, raise errors of any kind in the libraries that read them.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{what} ({first_line(error, 500)}): {remedy}") from error
