"""A result: what it says of its run, its arrays and its history, which fit each other."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from ...model.scan import MOST_SCANS
from ..documents import Described, Number, Positive, Real, Text, Whole, parse_json
from .run import RefinedOf
from .store import ArrayDocument, check_array

SCHEMA = "ptychodask-result/1"
MOST_PIXELS = 2**17
MOST_ENTRIES = 2**20
Angle = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, le=1000)]


Expected = dict[str, tuple[tuple[str, ...], tuple[int | None, ...], tuple[str, ...]]]
"""Types, shape and dimensions of arrays by their names."""


def _fit_all(arrays: Described, expected: Expected) -> None:
    """Refuse arrays that are there and not as expected."""
    for name, (types, shape, dimensions) in expected.items():
        array: ArrayDocument | None = getattr(arrays, name)
        if array is None:
            continue
        try:
            check_array(array, types, shape)
        except ValueError as error:
            raise ValueError(f"{name} has {error}") from None
        if array.dimension_names != dimensions:
            raise ValueError(f"{name} has dimensions {array.dimension_names}, expected {dimensions}")


class ScanSaid(Described):
    """One of several scans of a result: its dataset, and where its frame begins in that of the first (y, x)."""

    data: Text
    data_fingerprint: Text
    offset_angstrom: Annotated[list[Number], Field(min_length=2, max_length=2)]
    electrons_per_pattern: Positive
    dose_per_square_angstrom: Positive
    defocus_angstrom: Number


class ResultAttributes(Described):
    """What programs read of a result's attributes; what else is there is kept beside them."""

    model_config = ConfigDict(extra="allow")

    config: Text
    iteration: Whole
    versions: Text = "{}"
    data: Text = ""
    data_fingerprint: Text = ""
    electrons_per_pattern: Positive | None = None
    dose_per_square_angstrom: Positive | None = None
    semi_angle_mrad: Angle | None = None
    energy_ev: Positive | None = None
    defocus_angstrom: Number | None = None
    slices: Whole | None = None
    finish: Whole | None = None
    restarts: Whole | None = None
    patterns_left_out: Whole | None = None
    initial_loss: Real | None = None
    loss_excess: Real | None = None
    loss_excess_error: Real | None = None
    loss_expected: Real | None = None
    loss_excess_bound: Real | None = None
    positions_left_out: Text = "[]"
    initial_validation: Real | None = None
    bytes_per_pattern: Real | None = None
    stopped_because: Text = ""
    container: Text = ""
    boxes_left_out: Text = "[]"
    remarks: Text = "[]"
    warnings: Text = "[]"
    selection: Text = ""
    run: Text = ""
    geometry: Text = "{}"
    prior: Literal["", "spectral"] = ""
    """With it, a lattice is stored."""
    measured: Literal["", "information"] = ""
    scans: Text = ""
    """Of several scans, what each is and where it lies; empty of one."""

    @property
    def of_scans(self) -> tuple[ScanSaid, ...]:
        """All scans, the first among them; none where there was one."""
        return tuple(map(ScanSaid.model_validate, json.loads(self.scans))) if self.scans else ()

    @property
    def adds(self) -> tuple[str, ...]:
        """Arrays besides those that every result has; with the prior, versions of 2026 kept the information unsaid."""
        lattice = ("lattice",) if self.prior else ()
        return (*lattice, *(("information", "frequency") if self.prior or self.measured else ()))

    @field_validator("scans")
    @classmethod
    def _scans(cls, value: str) -> str:
        if not value:
            return value
        found = parse_json(value.encode(), "the scans")
        if not isinstance(found, list) or not 2 <= len(found) <= MOST_SCANS:
            raise ValueError(f"a list of 2 to {MOST_SCANS} scans is expected")
        for its in found:
            ScanSaid.model_validate(its)
        return value

    @field_validator("remarks", "warnings")
    @classmethod
    def _lines(cls, value: str) -> str:
        found = parse_json(value.encode(), "a list of lines")
        if not isinstance(found, list) or not all(isinstance(v, str) for v in found):
            raise ValueError("a list of lines is expected")
        return value

    @field_validator("boxes_left_out", "positions_left_out")
    @classmethod
    def _list(cls, value: str) -> str:
        if not isinstance(parse_json(value.encode(), "the text"), list):
            raise ValueError("a list in JSON is expected")
        return value

    @field_validator("geometry")
    @classmethod
    def _found(cls, value: str) -> str:
        found = parse_json(value.encode(), "the geometry")
        if not isinstance(found, dict):
            raise ValueError("what was found of the geometry is expected, as text")
        if found:
            rows = {name: tuple(map(tuple, found.get(name, ()))) for name in ("matrix", "drift")}
            RefinedOf.model_validate({**found, **rows, "across": tuple(found.get("across", (0.0, 0.0)))})
        return value

    @field_validator("versions")
    @classmethod
    def _versions(cls, value: str) -> str:
        found = parse_json(value.encode(), "versions")
        if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
            raise ValueError("versions by name, as text, are expected")
        return value

    @property
    def writer(self) -> str:
        """Version of ptychodask that wrote it."""
        return str(json.loads(self.versions).get("ptychodask", "of unknown version"))


class ResultArrays(Described):
    """Object, probe and positions, and the coordinates of the two images; and what a result may have besides."""

    object: ArrayDocument
    probe: ArrayDocument
    positions: ArrayDocument
    y: ArrayDocument
    x: ArrayDocument
    probe_y: ArrayDocument
    probe_x: ArrayDocument
    lattice: ArrayDocument | None = None
    information: ArrayDocument | None = None
    frequency: ArrayDocument | None = None

    @classmethod
    def names(cls, adds: Collection[str]) -> list[str]:
        """Those that a result has which ``adds`` some."""
        return [name for name, field in cls.model_fields.items() if field.is_required() or name in adds]

    @model_validator(mode="after")
    def _fit(self) -> ResultArrays:
        _, height, width = (*self.object.shape, 0, 0, 0)[:3]
        _, rows, columns = (*self.probe.shape, 0, 0, 0)[:3]
        if max(height, width, rows, columns) > MOST_PIXELS:
            raise ValueError(f"images of more than {MOST_PIXELS} pixels a side")
        if min(height, width, rows, columns, *self.object.shape[:1], *self.probe.shape[:1]) < 1:
            raise ValueError("object or probe have no pixels")
        expected: Expected = {
            "object": (("float32", "float64", "complex64", "complex128"), (None, height, width), ("slice", "y", "x")),
            "probe": (("complex64", "complex128"), (None, rows, columns), ("mode", "probe_y", "probe_x")),
            "positions": (("float64",), (None, None, 2), ("scan_y", "scan_x", "axis")),
            "y": (("float64",), (height,), ("y",)),
            "x": (("float64",), (width,), ("x",)),
            "probe_y": (("float64",), (rows,), ("probe_y",)),
            "probe_x": (("float64",), (columns,), ("probe_x",)),
            "lattice": (("float32", "float64"), (height, width), ("y", "x")),
            "information": (("float64",), (None,), ("frequency",)),
            "frequency": (("float64",), self.information.shape if self.information else (None,), ("frequency",)),
        }
        _fit_all(self, expected)
        return self


class ScanArrays(Described):
    """Probe and positions of a further scan."""

    probe: ArrayDocument
    positions: ArrayDocument
    probe_y: ArrayDocument
    probe_x: ArrayDocument

    @model_validator(mode="after")
    def _fit(self) -> ScanArrays:
        modes, rows, columns = (*self.probe.shape, 0, 0, 0)[:3]
        if not 1 <= min(modes, rows, columns) <= max(rows, columns) <= MOST_PIXELS:
            raise ValueError(f"a probe of {self.probe.shape}")
        expected: Expected = {
            "probe": (("complex64", "complex128"), (None, rows, columns), ("mode", "probe_y", "probe_x")),
            "positions": (("float64",), (None, None, 2), ("scan_y", "scan_x", "axis")),
            "probe_y": (("float64",), (rows,), ("probe_y",)),
            "probe_x": (("float64",), (columns,), ("probe_x",)),
        }
        _fit_all(self, expected)
        return self


HALVES = ("first", "second", "vacuum_first", "vacuum_second", "y", "x")


class HalvesArrays(Described):
    """Phases of two halves of the electrons, and of halves of vacuum where those were made too."""

    first: ArrayDocument
    second: ArrayDocument
    y: ArrayDocument
    x: ArrayDocument
    vacuum_first: ArrayDocument | None = None
    vacuum_second: ArrayDocument | None = None

    @model_validator(mode="after")
    def _fit(self) -> HalvesArrays:
        height, width = (*self.first.shape, 0, 0)[:2]
        if not 1 <= min(height, width) <= max(height, width) <= MOST_PIXELS:
            raise ValueError(f"halves of {height} x {width} pixels")
        if (self.vacuum_first is None) != (self.vacuum_second is None):
            raise ValueError("one of the halves of vacuum is missing")
        for name in HALVES:
            array: ArrayDocument | None = getattr(self, name)
            if array is None:
                continue
            axis = {"y": (height,), "x": (width,)}.get(name)
            try:
                check_array(array, ("float32",) if axis is None else ("float64",), axis or (height, width))
            except ValueError as error:
                raise ValueError(f"{name} has {error}") from None
            if array.dimension_names != (("y", "x") if axis is None else (name,)):
                raise ValueError(f"{name} has dimensions {array.dimension_names}")
        return self


class HistoryArrays(Described):
    """The columns of the history, of one length."""

    columns: dict[Text, ArrayDocument]

    @model_validator(mode="after")
    def _fit(self) -> HistoryArrays:
        if "finish" not in self.columns or len(self.columns) > 100:
            raise ValueError("finish is missing" if "finish" not in self.columns else "more than 100 columns")
        (length,) = (*self.columns["finish"].shape, -1)[:1]
        if not 0 <= length <= MOST_ENTRIES:
            raise ValueError(f"{length} entries, at most {MOST_ENTRIES} are read")
        needed = ("iteration", "updates", "loss", "validation", "seconds") if length else ()
        if missing := [name for name in needed if name not in self.columns]:
            raise ValueError(f"{missing[0]} is missing")
        for name, array in self.columns.items():
            # xarray writes flags as int8 in some versions
            types: Any = {"finish": ("bool", "int8"), "iteration": ("int64",), "updates": ("int64",)}.get(name)
            try:
                check_array(array, types or ("float64", *(() if name in needed else ("int64",))), (length,))
            except ValueError as error:
                raise ValueError(f"{name} has {error}") from None
        return self
