"""All options: their names, those that a file of another version has, and a commented file."""

from __future__ import annotations

from typing import Any

import tomli_w

from .errors import names_of
from .job import JobConfig, sections


def option_names() -> list[str]:
    """Every option as ``section.name``."""
    return names_of(sections())


def known_options(values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The options that this version has, and the names of the others: those of a file that a later version wrote."""
    known_sections = sections()
    known: dict[str, Any] = {}
    unknown: list[str] = []
    for name, value in values.items():
        if name not in JobConfig.model_fields:
            unknown.append(name)
        elif name in known_sections and isinstance(value, dict):
            fields = known_sections[name].model_fields
            known[name] = {option: v for option, v in value.items() if option in fields}
            unknown += [f"{name}.{option}" for option in value if option not in fields]
        else:
            known[name] = value
    return known, unknown


def commented_default(preset: str = "low-dose") -> str:
    """All options with their defaults and meaning as commented TOML."""
    config = JobConfig.parse({"preset": preset})
    lines = ["# ptychodask job; every option may be left out", f'preset = "{preset}"']
    for section, model in sections().items():
        lines += ["", f"# {(model.__doc__ or '').splitlines()[0]}", f"[{section}]"]
        for name, field in model.model_fields.items():
            value = getattr(getattr(config, section), name)
            dumped = tomli_w.dumps({name: value}).strip() if value is not None else f"# {name} = (unset)"
            lines += [f"# {field.description}", " ".join(dumped.split()) if value is not None else dumped]
    return "\n".join(lines) + "\n"
