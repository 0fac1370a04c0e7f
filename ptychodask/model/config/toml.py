"""Jobs as text: TOML files, and overrides of the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..._errors import InputError
from .names import with_unit


def read_toml(path: str | Path) -> dict[str, Any]:
    """A TOML file as dictionaries."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"configuration {path} cannot be read ({error.strerror}): check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"configuration {path} is not valid TOML: {error}") from None


def assign(values: dict[str, Any], text: str, known: Collection[str]) -> None:
    """Put what ``section.name=value`` says into nested dictionaries; names of ``known`` options may lack their unit."""
    name, separator, raw = text.partition("=")
    name = name.strip()
    parts = (with_unit(name, known) or name).split(".")
    if not separator or not all(parts) or len(parts) > 2:
        raise InputError(f"--set {text!r}: write section.name=value, for instance solver.iterations=20")
    try:
        value = tomllib.loads(f"value = {raw.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw.strip()  # a bare word is a string
    target = values
    for part in parts[:-1]:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            raise InputError(f"--set {text!r}: {part} is not a section")
    target[parts[-1]] = value


def texts(section: dict[str, Any]) -> dict[str, Any]:
    """Options as TOML can say them."""
    return {k: "none" if v is None else v for k, v in section.items()}
