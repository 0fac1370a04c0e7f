"""The records of all conditions as one labelled dataset over the axes of the study."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from ...io.study import Parts, read_record, write_study
from ...model.study import CONDITION
from .outline import Outline

STATUS = ("done", "diverged", "refused")
FIGURES = {
    "frc_resolution_angstrom": ("angstrom", "resolution by ring correlation with the truth"),
    "loss": ("nat", "loss per pattern"),
    "validation": ("nat", "loss of held-out electrons per pattern"),
    "loss_excess": ("nat", "loss per pattern above that of Poisson noise"),
    "electrons_per_pattern": ("electron", "electrons per pattern"),
    "sharper_from": ("1", "first iteration whose loss is measured with a smaller epsilon"),
    "seconds": ("s", "time of the reconstruction"),
}


def gathered(plan: Outline, parts: Parts, target: Path, overwrite: bool) -> None:
    """Write the store; images go from record to store one by one."""
    dims, count = plan.study.dims, len(plan.works)
    names, shape = tuple(dims), tuple(dims.values())
    said, curves = [], []
    for work in plan.works:
        record = read_record(parts.record(work.name))
        said.append(json.loads(record.attrs["figures"]))
        curves.append({name: record[name].values for name in ("loss_curve", "validation_curve")})
    longest = max(len(curve["loss_curve"]) for curve in curves)
    scans = list(plan.scans(plan.works).values())
    number = {scan.name: i for i, scan in enumerate(scans)}

    def over(values: Any, dtype: Any = float) -> np.ndarray:
        return np.array(values, dtype=dtype).reshape(shape)

    variables: dict[str, Any] = {
        name: (names, over([s.get(name, math.nan) for s in said]), {"units": unit, "long_name": text})
        for name, (unit, text) in FIGURES.items()
    }
    missing = [math.nan] * len(plan.study.resolutions_angstrom)
    variables["correlation"] = (
        (*names, "resolution"),
        np.array([s.get("correlation", missing) for s in said]).reshape(*shape, -1),
        {"long_name": "correlation with the truth"},
    )
    variables["iterations"] = (names, over([s.get("iterations", 0) for s in said], np.int32), {})
    variables["defocus_angstrom_used"] = (
        names,
        over([work.scan.options["defocus_angstrom"] for work in plan.works]),
        {"units": "angstrom", "long_name": "defocus"},
    )
    flags = {"flag_values": list(range(len(STATUS))), "flag_meanings": " ".join(STATUS)}
    variables["status"] = (names, over([STATUS.index(s["status"]) for s in said], np.int8), flags)
    variables["simulation_of"] = (names, over([number.get(w.scan.name, -1) for w in plan.works], np.int32), {})
    for name in ("loss_curve", "validation_curve"):
        table = np.full((count, longest), math.nan)
        for row, curve in zip(table, curves, strict=True):
            row[: len(curve[name])] = curve[name]
        variables[name] = ((*names, "iteration"), table.reshape(*shape, longest), {"units": "nat"})
    size = plan.grid.shape
    for name, leading in (("phase", shape), ("truth", (len(scans),))):
        first = names if name == "phase" else ("simulation",)
        empty = da.full((*leading, *size), np.nan, dtype=np.float32, chunks=(*(1,) * len(leading), *size))
        variables[name] = ((*first, "y", "x"), empty, {"units": "rad"})
    attributes = {
        "name": plan.name,
        "study": plan.study.model_dump_json(),
        "conditions": [str(condition) for condition in plan.conditions],
        "remarks": [s["remark"] for s in said],
        "warnings": [s["warnings"] for s in said],
    }
    study = xr.Dataset(variables, _coordinates(plan), attributes)

    def phases() -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
        for i, work in enumerate(plan.works):
            record = read_record(parts.record(work.name))
            if "phase" in record:
                yield tuple(map(int, np.unravel_index(i, shape))), plan.grid.of(record["phase"])

    def truths() -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
        for i, scan in enumerate(scans):
            yield (i,), plan.grid.of(read_record(parts.truth(scan.name))["phase"])

    write_study(target, study, {"phase": phases(), "truth": truths()}, overwrite)


def _coordinates(plan: Outline) -> dict[str, Any]:
    angstrom = {"units": "angstrom"}
    found: dict[str, Any] = {
        "resolution": ("resolution", list(plan.study.resolutions_angstrom), angstrom),
        "y": ("y", plan.grid.coordinates(0), angstrom),
        "x": ("x", plan.grid.coordinates(1), angstrom),
    }
    for name, values in plan.study.axes.items():
        found[name] = (name, _labels(values))
    if plan.study.conditions:
        for name in sorted({n for one in plan.study.conditions for n in one}):
            found[name] = (CONDITION, _labels(tuple(one.get(name) for one in plan.study.conditions)))
    return found


def _labels(values: tuple[Any, ...]) -> np.ndarray:
    """Numbers as they are, all else as text."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return np.array(values, dtype=float if any(isinstance(v, float) for v in values) else np.int64)
    return np.array([value if isinstance(value, str) else json.dumps(value) for value in values], dtype=object)
