"""A dataset: its attributes, and arrays that fit each other."""

from __future__ import annotations

import itertools
from typing import Annotated, Any

from pydantic import ConfigDict, Field, field_validator, model_validator

from ..documents import Described, Number, Positive, Text
from .store import ArrayDocument, check_array

DIMS = ("scan_y", "scan_x", "ky", "kx")
SCHEMA = "ptychodask-dataset/1"
MOST_POSITIONS, MOST_PIXELS = 2**31, 8192
PLACE = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e9, le=1e9)]
PIXEL = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-MOST_PIXELS, le=MOST_PIXELS)]
CALIBRATION = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, le=1e9)]


class DatasetAttributes(Described):
    """What programs read of a dataset's attributes; a user's own are kept beside them."""

    model_config = ConfigDict(extra="allow")

    energy_ev: Positive
    semi_angle_mrad: Positive
    aberrations: dict[Text, Number]
    angular_step_mrad: CALIBRATION
    scan_step_angstrom: tuple[CALIBRATION, CALIBRATION]
    electrons_per_pattern: Positive
    dose_per_square_angstrom: Positive
    fingerprint: Annotated[str, Field(strict=True, min_length=1, max_length=200)]
    thickness_angstrom: Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, le=1e6)] | None = None
    scan_affine: tuple[tuple[PLACE, PLACE, PLACE], tuple[PLACE, PLACE, PLACE]] | None = None
    """From recorded positions (y, x, 1) to those in the axes of the detector, see :mod:`ptychodask.io.geometry`."""
    row_drift: list[tuple[PLACE, PLACE]] | None = None
    """Of every row of the scan (y, x), angstrom, added after the map."""
    disk_centre: tuple[tuple[PIXEL, PIXEL, PIXEL], tuple[PIXEL, PIXEL, PIXEL]] | None = None
    """Where zero angle stands in stored patterns, see :class:`ptychodask.io.centre.Centre`."""
    calibration: dict[Text, Any] | None = None
    """How that and the aberrations were found, and what was recorded."""

    @field_validator("aberrations")
    @classmethod
    def _few(cls, value: dict[str, float]) -> dict[str, float]:
        if len(value) > 100:
            raise ValueError(f"{len(value)} coefficients, at most 100 are read")
        return value

    @field_validator("scan_affine")
    @classmethod
    def _no_collapse(cls, value: tuple[tuple[float, ...], ...] | None) -> tuple[tuple[float, ...], ...] | None:
        if value is not None and not 1e-4 < abs(value[0][0] * value[1][1] - value[0][1] * value[1][0]) < 1e4:
            raise ValueError("its area factor is not between 1e-4 and 1e4")
        return value


class DatasetArrays(Described):
    """Counts, positions and mask."""

    counts: ArrayDocument
    positions: ArrayDocument
    mask: ArrayDocument

    @model_validator(mode="after")
    def _fit(self) -> DatasetArrays:
        counts, (rows, columns, *_) = self.counts, (*self.counts.shape, 0, 0)
        if (names := counts.dimension_names or ()) != DIMS:
            raise ValueError(f"counts have dimensions {names}, expected {DIMS}: transpose them")
        pixels = counts.shape[2]
        if pixels != counts.shape[3]:
            raise ValueError(f"patterns are {pixels} x {counts.shape[3]} pixels, they must be square")
        if pixels > MOST_PIXELS:
            raise ValueError(f"patterns of {pixels} pixels, at most {MOST_PIXELS} are read")
        if not 1 <= rows * columns <= MOST_POSITIONS:
            raise ValueError(f"a scan of {rows} x {columns} positions, 1 to {MOST_POSITIONS} are read")
        for name, types, shape in (
            ("counts", ("uint8", "uint16", "float32"), counts.shape),
            ("positions", ("float64", "float32"), (rows, columns, 2)),
            ("mask", ("uint8", "bool"), (pixels, pixels)),
        ):
            try:
                check_array(getattr(self, name), types, shape)
            except ValueError as error:
                raise ValueError(f"{name} have {error}" if name != "mask" else f"the mask has {error}") from None
        return self


TRUTH_TYPES = ("float32", "float64")
"""Of the phase."""
TRUTH_AXES = ("float64", "float32", "int64", "int32")
"""Types of its coordinates."""


class TruthArrays(Described):
    """The ground truth of a simulation: ``phase (y, x)`` with its coordinates, and whatever else was known."""

    arrays: dict[Text, ArrayDocument]

    @model_validator(mode="after")
    def _fit(self) -> TruthArrays:
        if len(self.arrays) > 100:
            raise ValueError(f"{len(self.arrays)} arrays, at most 100 are read")
        lengths: dict[Any, tuple[int, str]] = {}
        for name, array in self.arrays.items():
            for dimension, length in zip(array.dimension_names or (), array.shape, strict=False):
                known, where = lengths.setdefault(dimension, (length, name))
                if known != length:
                    raise ValueError(f"{dimension!r:.40} has {length} values in {name} and {known} in {where}")
        for name, names in (("phase", ("y", "x")), ("y", ("y",)), ("x", ("x",))):
            if name not in self.arrays:
                raise ValueError(f"{name} is missing")
            if self.arrays[name].dimension_names != names:
                raise ValueError(f"{name} has dimensions {self.arrays[name].dimension_names}, expected {names}")
        check_array(self.arrays["phase"], TRUTH_TYPES, (None, None))
        for name in ("y", "x"):
            check_array(self.arrays[name], TRUTH_AXES, (None,))
        return self


def missing_files(array: ArrayDocument, size: Any, most: int = 1000) -> tuple[int, str]:
    """How many files of an array are missing or empty, up to ``most``, and the first of them.

    Zarr would read them as zeros. A claimed shape may have more files than anybody could look for.
    """
    absent = (key for key in array.keys() if size(key) == 0)  # noqa: SIM118  # a method, not a mapping's
    first = list(itertools.islice(absent, most))
    return len(first), first[0] if first else ""
