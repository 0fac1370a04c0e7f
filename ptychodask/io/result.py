"""Results: a Zarr group with object, probe, positions, history and the whole configuration; opened with xarray."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import dask.array as da
import numpy as np
import xarray as xr
import zarr

from .._errors import InputError
from .._text import counted
from ..model.config import JobConfig
from ..model.scan import Canvas
from ..model.state import Model
from ..model.tiles import Rect
from ..physics.constraints import phase_of
from .atomic import replacing
from .dataset import _first_line

SCHEMA = "ptychodask-result/1"


class Entry(dict[str, Any]):
    """One iteration of the history; its values by key or by attribute."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class History(Sequence[Entry]):
    """One entry per iteration: ``history[-1].loss``; a name gives the column: ``history["loss"]``.

    Entry t describes the state after t updates: ``loss`` in nats per pattern (electrons for the amplitude residual),
    ``validation`` in nats per pattern (NaN without held-out electrons), ``seconds`` since the entry before.
    """

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self._entries = [Entry(entry) for entry in entries]

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, key: int) -> Entry: ...
    @overload
    def __getitem__(self, key: slice) -> list[Entry]: ...
    @overload
    def __getitem__(self, key: str) -> np.ndarray: ...
    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return np.array([entry[key] for entry in self._entries])
        return self._entries[key]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self._entries[0]) if self._entries else []


class RowsDown(xr.DataArray.plot):  # type: ignore[name-defined,misc,valid-type]
    """Plots with row 0 on top, as in the report and as every viewer shows a TIFF; xarray's own draw y upward."""

    def __call__(self, **options: Any) -> Any:
        return super().__call__(**{"yincrease": False, **options})

    def imshow(self, *arguments: Any, **options: Any) -> Any:
        return super().imshow(*arguments, **{"yincrease": False, **options})

    def pcolormesh(self, *arguments: Any, **options: Any) -> Any:
        return super().pcolormesh(*arguments, **{"yincrease": False, **options})


class Picture(xr.DataArray):
    """A DataArray (y, x) whose plots have row 0 on top."""

    __slots__ = ()

    @property
    def plot(self) -> RowsDown:  # type: ignore[override]
        """As that of any DataArray, with ``yincrease=False``."""
        return RowsDown(self)


@dataclass(frozen=True, repr=False)
class Result:
    """A finished reconstruction; arrays are read when they are asked for.

    Parameters
    ----------
    path : str
        The Zarr group.
    """

    path: str

    def __repr__(self) -> str:
        try:
            sizes, about = self._tree.sizes, self.attributes
        except Exception as error:  # whatever became of the files, a repr must not fail
            return f"Result({self.path!r}, cannot be read: {_first_line(error)})"
        return (
            f"Result({self.path!r}, {counted(sizes['slice'], 'slice')} of {sizes['y']} x {sizes['x']} pixels,"
            f" {counted(sizes['mode'], 'mode')}, iteration {about['iteration']})"
        )

    @cached_property
    def _tree(self) -> xr.Dataset:
        return xr.open_zarr(self.path, consolidated=False, chunks=None, zarr_format=3)

    @cached_property
    def object(self) -> xr.DataArray:
        """``(slice, y, x)``: phase in rad of a pure phase object, else the complex transmission; y, x in angstrom."""
        return self._tree["object"]

    @cached_property
    def phase(self) -> xr.DataArray:
        """``(y, x)``: phase in rad summed over the slices, y and x in angstrom in the frame of the positions.

        Row 0, the first of the scan, is on top: in the report, in a TIFF, and in ``result.phase.plot()``. Other arrays
        are plain xarray, which draws y upward: ``result.object[0].plot(yincrease=False)`` looks the same.
        """
        values = phase_of(np.asarray(self.object.values)).sum(axis=0)
        coordinates = {name: self.object[name] for name in ("y", "x")}
        return Picture(values, coordinates, ("y", "x"), "phase", {"units": "rad", "long_name": "phase"})

    @cached_property
    def probe(self) -> xr.DataArray:
        """``(mode, probe_y, probe_x)`` complex at the entrance; sum of squares = electrons per pattern."""
        return self._tree["probe"]

    @cached_property
    def positions(self) -> xr.DataArray:
        """``(scan_y, scan_x, axis)`` in angstrom."""
        return self._tree["positions"]

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Versions, data path and fingerprint, chosen iteration, reason of the stop."""
        return dict(self._tree.attrs)

    @cached_property
    def config(self) -> JobConfig:
        """The whole configuration; ``reconstruct(data, result.config)`` runs again."""
        return JobConfig.parse(json.loads(self.attributes["config"]))

    @cached_property
    def history(self) -> History:
        """One entry per iteration."""
        steps = xr.open_zarr(self.path, group="history", consolidated=False, chunks=None, zarr_format=3).load()
        values = {str(name): steps[name].values.tolist() for name in steps.data_vars}
        stages = ["finish" if flag else "fit" for flag in values.pop("finish")]
        rows = zip(*values.values(), strict=True)
        return History(
            [{**dict(zip(values, row, strict=True)), "stage": s} for row, s in zip(rows, stages, strict=True)]
        )

    @property
    def iteration(self) -> int:
        """The iteration whose state this is, chosen by the stopping rule."""
        return int(self.attributes["iteration"])


def open_result(path: str | Path) -> Result:
    """Open a result lazily.

    Raises
    ------
    InputError
        If it is missing, unfinished or of another schema.
    """
    path = Path(path)
    if not path.exists():
        running = path.with_name(path.name + ".run")
        remedy = (
            f"its run was interrupted: 'ptychodask resume {path}'" if running.exists() else "give the path of a result"
        )
        raise InputError(f"{path} does not exist: {remedy}")
    try:
        group = zarr.open_group(str(path), mode="r", zarr_format=3)
    except Exception as error:
        raise InputError(f"{path} is not a Zarr group ({_first_line(error)}): give a ptychodask result") from error
    schema = group.attrs.get("schema")
    if schema != SCHEMA:
        raise InputError(
            f"{path} has schema {schema!r}, expected {SCHEMA!r}: give a result of 'ptychodask reconstruct'"
        )
    try:
        group.members()  # reads the arrays' own descriptions
    except ValueError as error:
        raise InputError(f"{path} is damaged ({_first_line(error)}): copy it again, or reconstruct again") from error
    return Result(str(path))


def write_result(
    path: str | Path,
    model: Model,
    canvas: Canvas,
    scan_shape: tuple[int, int],
    config: JobConfig,
    history: Sequence[Mapping[str, Any]],
    attributes: Mapping[str, Any],
    overwrite: bool,
) -> None:
    """Write a result atomically; the model is in full-dose units."""
    with replacing(path, overwrite) as temporary:
        _write(temporary, model, canvas, scan_shape, config, history, attributes)


def create_result(
    path: str | Path,
    model: Model,
    dtype: np.dtype,
    chunk: tuple[int, int],
    canvas: Canvas,
    scan_shape: tuple[int, int],
    config: JobConfig,
    history: Sequence[Mapping[str, Any]],
    attributes: Mapping[str, Any],
) -> None:
    """Write a result but for its object, which tiles of ``chunk`` pixels then write with :func:`write_object`.

    The model's object has no pixels, and ``dtype`` is that of the object. Nothing is renamed here: whoever waits for
    all tiles does that.
    """
    slices = model.object.shape[0]
    nothing = da.zeros((slices, *canvas.shape), dtype=dtype, chunks=(1, *chunk))
    _write(Path(path), replace(model, object=nothing), canvas, scan_shape, config, history, attributes)


def write_object(path: str | Path, core: Rect, object_: np.ndarray) -> None:
    """Write a tile's object [S, h, w]. Safe in parallel: a tile is a chunk of every slice."""
    array = zarr.open_group(str(path), mode="r+", zarr_format=3)["object"]
    assert isinstance(array, zarr.Array)
    array[:, core.y0 : core.y1, core.x0 : core.x1] = object_


def _write(
    path: Path,
    model: Model,
    canvas: Canvas,
    scan_shape: tuple[int, int],
    config: JobConfig,
    history: Sequence[Mapping[str, Any]],
    attributes: Mapping[str, Any],
) -> None:
    """The groups of a result; of an object that is lazy, only what it is, not its values."""
    n = model.probe.shape[-1]
    centred = (np.arange(n) - n // 2) * canvas.pixel
    origin = np.array([canvas.origin[0], canvas.origin[1]])
    positions = (np.asarray(model.positions) * canvas.pixel + origin).reshape(*scan_shape, 2)
    angstrom = {"units": "angstrom"}
    pure = model.object.dtype.kind == "f"
    data = xr.Dataset(
        {
            "object": (
                ("slice", "y", "x"),
                model.object,
                {"units": "rad" if pure else "1", "kind": "phase" if pure else "transmission"},
            ),
            "probe": (("mode", "probe_y", "probe_x"), model.probe, {"units": "sqrt(electron)"}),
            "positions": (("scan_y", "scan_x", "axis"), positions, {**angstrom, "axis": "y, x"}),
        },
        {
            "y": ("y", canvas.coordinates(0), angstrom),
            "x": ("x", canvas.coordinates(1), angstrom),
            "probe_y": ("probe_y", centred, angstrom),
            "probe_x": ("probe_x", centred, angstrom),
        },
        {
            "schema": SCHEMA,
            "config": config.model_dump_json(),
            **attributes,
        },
    )
    columns = {
        name: ("entry", np.array([e[name] for e in history]))
        for name in (history[0] if history else ())
        if name != "stage"
    }
    finish = np.array([e["stage"] == "finish" for e in history], dtype=bool)
    steps = xr.Dataset({**columns, "finish": ("entry", finish)})
    data.to_zarr(str(path), consolidated=False, zarr_format=3, compute=False)
    steps.to_zarr(str(path), group="history", mode="a", consolidated=False, zarr_format=3)
