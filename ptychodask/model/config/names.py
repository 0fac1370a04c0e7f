"""Names of options, which may lack their unit."""

from __future__ import annotations

from collections.abc import Collection

UNITS = ("_per_square_angstrom", "_angstrom", "_mrad", "_ev")


def with_unit(name: str, known: Collection[str]) -> str | None:
    """An option's whole name: ``object.thickness`` is ``object.thickness_angstrom``; None where none is meant."""
    return next((name + unit for unit in ("", *UNITS) if name + unit in known), None)


def without_unit(name: str) -> str:
    """The shorter name."""
    return next((name.removesuffix(unit) for unit in UNITS if name.endswith(unit)), name)
