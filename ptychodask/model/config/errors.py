"""Errors of a job in one line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Literal, get_args, get_origin

from pydantic import ValidationError

from ..._arguments import shown
from .section import Section


def explain(error: ValidationError, sections: Mapping[str, type[Section]]) -> str:
    """The first error in one line, with the option's name and the remedy."""
    first = error.errors()[0]
    # section, option and place in a list; not which member of a union was tried
    name = ".".join(str(part) for at, part in enumerate(first["loc"]) if at < 2 or isinstance(part, int))
    if first["type"] == "extra_forbidden" and len(first["loc"]) > 2:
        return f"{name} has no {first['loc'][-1]}: 'ptychodask config' lists all options"
    if first["type"] == "extra_forbidden":
        options = names_of(sections)
        known = options if "." in name else [*options, *sections]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f": did you mean {close[0]}?" if close else ": 'ptychodask config' lists all options"
        return f"unknown option {name}{hint}"
    if first["type"] == "value_error":  # one that says itself which options it is about
        return str(first["ctx"]["error"])
    message = first["msg"][0].lower() + first["msg"][1:]
    others = "".join(f", or {word}" for word in _words(first["loc"], sections) if repr(word) not in message)
    return f"{name} = {shown(first['input'])}: {message}{others}"


def _words(location: tuple[int | str, ...], sections: Mapping[str, type[Section]]) -> list[str]:
    """What an option may be besides a number: its words, and none where it can be unset."""
    section = sections.get(str(location[0])) if len(location) > 1 else None
    field = section.model_fields.get(str(location[1])) if section is not None else None
    kinds = () if field is None or get_origin(field.annotation) is Literal else get_args(field.annotation)
    words = [str(word) for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    return words + ["none"] * (type(None) in kinds)


def names_of(sections: Mapping[str, type[Section]]) -> list[str]:
    """Every option as ``section.name``."""
    return ["preset"] + [f"{name}.{option}" for name, section in sections.items() for option in section.model_fields]
