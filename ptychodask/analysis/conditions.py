"""The conditions of a study in a line: what was said of each, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

SEEN = 0.3
"""Correlation with the truth below which nothing can be called seen."""
STATUS = ("done", "diverged", "refused")


@dataclass(frozen=True)
class Row:
    """A condition: ``index`` in the axes, ``values`` of those that vary, ``status``, and ``remark``."""

    index: tuple[int, ...]
    values: dict[str, Any]
    status: str
    remark: str


def axes_of(study: xr.Dataset) -> tuple[str, ...]:
    """Dimensions of the conditions."""
    return tuple(map(str, study.status.dims))


def rows_of(study: xr.Dataset) -> list[Row]:
    """Every condition, the last axis fastest."""
    axes, found = axes_of(study), []
    status = study.status.values
    varying = {
        str(name): (axes.index(str(values.dims[0])), values.values)
        for name, values in study.coords.items()
        if values.dims and str(values.dims[0]) in axes and len(set(values.values.tolist())) > 1
    }
    for number, index in enumerate(np.ndindex(*status.shape)):
        values = {name: of[index[axis]] for name, (axis, of) in varying.items()}
        found.append(Row(index, values, STATUS[int(status[index])], study.attrs["remarks"][number]))
    return found


def columns(study: xr.Dataset) -> list[tuple[str, list[str]]]:
    """Title and texts of every column of a table."""
    rows, small = rows_of(study), study.drop_vars(["phase", "truth"]).load()
    names = list(rows[0].values)

    def figure(name: str, form: str, row: Row) -> str:
        value = float(small[name].values[row.index])
        return format(value, form) if np.isfinite(value) else "-"

    found = [(short(name), [_text(row.values[name]) for row in rows]) for name in names]
    for at, resolution in enumerate(small.resolution.values):
        values = [float(small.correlation.values[(*row.index, at)]) for row in rows]
        found.append((f"correlation {resolution:g} A", [f"{v:.3f}" if np.isfinite(v) else "-" for v in values]))
    found.append(("FRC A", [figure("frc_resolution_angstrom", ".2f", row) for row in rows]))
    found.append(("loss", [figure("loss", ".2f", row) for row in rows]))
    found.append(("iterations", [f"{int(small.iterations.values[row.index])}" for row in rows]))
    found.append(("seconds", [figure("seconds", ".0f", row) for row in rows]))
    if any(row.status != "done" for row in rows):
        found.append(("status", [row.status for row in rows]))
    return found


def notes(study: xr.Dataset) -> list[str]:
    """What a person should know besides the table."""
    rows, found = rows_of(study), []
    for status in STATUS[1:]:
        if ended := [row for row in rows if row.status == status]:
            found.append(f"{len(ended)} of {len(rows)} conditions {status}, the first ({name_of(ended[0])}):"
                         f" {ended[0].remark}")  # fmt: skip
    for remark in sorted({row.remark for row in rows if row.status == "done" and row.remark}):
        count = sum(row.status == "done" and row.remark == remark for row in rows)
        found.append(f"{count} of {len(rows)} conditions: {remark}")
    best = study.correlation.max("resolution").values
    blind = [row for row in rows if row.status == "done" and best[row.index] < SEEN]
    if blind:
        found.append(
            f"nothing can be seen in {len(blind)} of {len(rows)} conditions (correlation with the truth below"
            f" {SEEN:g}), the first {name_of(blind[0])}"
        )
    return found


def name_of(row: Row) -> str:
    """A condition in words."""
    return ", ".join(f"{short(name)} {_text(value)}" for name, value in row.values.items())


def short(name: str) -> str:
    """The name of an option without its section and unit."""
    bare = name.rpartition(".")[2]
    for unit in ("_per_square_angstrom", "_angstrom", "_mrad", "_ev"):
        bare = bare.removesuffix(unit)
    return bare.replace("_", " ")


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float | np.number) else str(value)
