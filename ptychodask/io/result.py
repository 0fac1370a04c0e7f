"""Results: a Zarr group with object, probe, positions, history and the whole configuration; opened with xarray."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import dask.array as da
import numpy as np
import xarray as xr
import zarr

from .. import _arguments as arguments
from .._errors import InputError
from .._tables import counted
from .._text import first_line
from ..model.config import JobConfig
from ..model.scan import Canvas
from ..model.state import Model
from ..model.tiles import Rect
from ..physics.constraints import phase_of
from .address import Store, as_given, is_address, local_path, store_at
from .atomic import replacing, resolved
from .described.result import SCHEMA, HistoryArrays, ResultArrays, ResultAttributes
from .described.store import GroupDocument
from .documents import Damage, described, told
from .halves import read_halves
from .kinds import RESULT
from .lazy import lazy
from .reading import array_at, arrays_in, check_files, check_size, group_at, open_group, read_values, root_of
from .result_scans import NAMES, FurtherScan, read_scan, write_scans
from .stored import checked_encoding, stored_config
from .stores import writable

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    ``seconds_computing``, ``seconds_reading`` and ``seconds_waiting`` (for blocks that were read ahead) are added up
    over the threads of all workers; results of early versions have no such columns.

    A list of rows, because that is what a run is told in and asked for, in plain numbers: of an xarray table the last
    loss would be ``history["loss"][-1].item()``. :meth:`to_xarray` makes that table.
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

    def __repr__(self) -> str:
        return f"History({counted(len(self), 'entry', 'entries')} of {', '.join(self.columns)})"

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self._entries[0]) if self._entries else []

    def to_xarray(self) -> xr.Dataset:
        """The columns as variables over ``iteration``.

        Examples
        --------
        >>> result.history.to_xarray().to_dataframe()
        """
        return xr.Dataset({name: ("iteration", self[name]) for name in self.columns})


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
            about, shapes = self.described, {n: getattr(self._documents.arrays, n).shape for n in ("object", "probe")}
        except Exception as error:  # whatever became of the files, a repr must not fail
            return f"Result({self.path!r}, cannot be read: {first_line(error)})"
        slices, height, width = shapes["object"]
        return (
            f"Result({self.path!r}, {counted(slices, 'slice')} of {height} x {width} pixels,"
            f" {counted(shapes['probe'][0], 'mode')}, iteration {about.iteration})"
        )

    @cached_property
    def _documents(self) -> _Documents:
        return _documents(self.path)

    @cached_property
    def _group(self) -> zarr.Group:
        with _told(self.path):
            return open_group(self._documents.store)

    def _array(self, name: str) -> xr.DataArray:
        """An array with its coordinates; its values are read when they are asked for."""
        arrays = self._documents.arrays
        with _told(self.path):
            variable = self._variable(name)
            coordinates = {str(d): self._variable(str(d)) for d in variable.dims if str(d) in ResultArrays.model_fields}
            for axis, values in coordinates.items():
                _check_coordinate(axis, values.values)
            check_files(self._documents.store, name, getattr(arrays, name))
            return xr.DataArray(variable, coordinates, name=name)

    def _variable(self, name: str) -> xr.Variable:
        return lazy(self._group, name, getattr(self._documents.arrays, name), self.path, _REMEDY)

    @cached_property
    def object(self) -> xr.DataArray:
        """``(slice, y, x)``: phase phi in rad, transmission ``exp(i phi)``; y and x in angstrom.

        Real for a pure phase object. Complex where the modulus was free: it is ``exp(-Im phi)``.
        """
        stored = self._array("object")
        if stored.attrs.get("kind") == "transmission":  # that of a complex object was stored until November 2026
            return stored.copy(data=-1j * np.log(stored.values))
        return stored

    @cached_property
    def phase(self) -> xr.DataArray:
        """``(y, x)``: phase in rad summed over the slices, y and x in angstrom in the frame of the positions.

        Row 0, the first of the scan, is on top: in the report, in a TIFF, in :meth:`plot` and ``phase.plot()``. Other
        arrays are plain xarray, which draws y upward: ``result.object[0].plot(yincrease=False)`` looks the same.

        Of the spectral prior: lattice and residual, at or above 0 where the job says so (``object.positivity``).
        """
        values = phase_of(np.asarray(self.object.values)).sum(axis=0)
        if self.described.prior and self.config.object.positivity:  # the residual, which has any sign, is fitted last
            values = np.maximum(values, 0)
        coordinates = {name: self.object[name] for name in ("y", "x")}
        return Picture(values, coordinates, ("y", "x"), "phase", {"units": "rad", "long_name": "phase"})

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the phase in grey, row 0 on top, both axes in angstrom and to one scale.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where; a new figure by default.
        options
            As for :meth:`xarray.DataArray.plot.imshow`, such as ``vmin`` and ``vmax`` in rad; by default the range of
            the scanned area but for its half percent at either end.

        Returns
        -------
        Axes

        Examples
        --------
        >>> result.plot().figure.savefig("phase.pdf")
        """
        low, high = self.positions.values.reshape(-1, 2).min(axis=0), self.positions.values.reshape(-1, 2).max(axis=0)
        scanned = self.phase.sel(y=slice(low[0], high[0]), x=slice(low[1], high[1])).values
        shown = scanned if scanned.size else self.phase.values
        limits = dict(zip(("vmin", "vmax"), np.percentile(shown, (0.5, 99.5)).tolist(), strict=True))
        drawn = self.phase.plot.imshow(ax=ax, **{"cmap": "gray", **limits, **options})
        drawn.axes.set_aspect("equal")
        return drawn.axes

    @cached_property
    def lattice(self) -> xr.DataArray | None:
        """``(y, x)``: the part of the phase that the spectral prior made, in rad; None for other runs.

        It is averaged over what repeats, so it is not evidence of any single place.
        """
        if not self.described.prior:
            return None
        return Picture(self._array("lattice").assign_attrs(units="rad", long_name="lattice"))

    @cached_property
    def residual(self) -> xr.DataArray | None:
        """``(y, x)``: sum of the object's slices less the lattice, where defects are, in rad; None for other runs."""
        if self.lattice is None:
            return None
        values = self.object.sum("slice") - self.lattice
        return Picture(values.rename("residual").assign_attrs(units="rad", long_name="residual"))

    @cached_property
    def information(self) -> xr.DataArray | None:
        """``(frequency,)``: share of the quantum limit that the electrons carry, by spatial frequency in 1/angstrom.

        Measured from the counts, which are split by lot; None where they were no whole electrons, where an update took
        a part of them, and for a blur without a finish.
        """
        return self._array("information") if "information" in self.described.adds else None

    @property
    def halves(self) -> xr.Dataset | None:
        """``first``, ``second`` (y, x): phases in rad of two halves of the electrons, each reconstructed on its own.

        What :func:`ptychodask.halves` made, and ``vacuum_first``, ``vacuum_second`` with ``vacuum=True``; None before.
        """
        return read_halves(store_at(self.path), self.path, _REMEDY)

    @cached_property
    def probe(self) -> xr.DataArray:
        """``(mode, probe_y, probe_x)`` complex at the entrance; sum of squares = electrons per pattern."""
        return self._array("probe")

    @cached_property
    def positions(self) -> xr.DataArray:
        """``(scan_y, scan_x, axis)`` in angstrom."""
        return self._array("positions")

    @cached_property
    def scans(self) -> list[xr.Dataset]:
        """Of every scan that saw the object ``probe`` and ``positions``, in the frame of the first; mostly of one.

        Of several, ``attrs`` say which dataset each is (``data``), its ``offset_angstrom`` (y, x), dose and defocus.
        """
        first, said = xr.Dataset({name: getattr(self, name) for name in NAMES}), self.described.of_scans
        store = self._documents.store
        found = [first, *(read_scan(store, self.path, s, _REMEDY) for s in range(2, len(said) + 1))]
        return [its.assign_attrs(about.model_dump()) for its, about in zip(found, said, strict=True)] or [first]

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Versions, data path and fingerprint, chosen iteration, reason of the stop."""
        return dict(self._documents.root.attributes)

    @property
    def described(self) -> ResultAttributes:
        """The attributes that programs read, checked."""
        return self._documents.attributes

    @cached_property
    def warnings(self) -> list[str]:
        """What was doubtful or went wrong while the run went on."""
        return list(json.loads(self.described.warnings))

    @cached_property
    def config(self) -> JobConfig:
        """The whole configuration; ``reconstruct(data, result.config)`` runs again.

        Options that this version does not know, because a later one wrote them, are left out with a warning.
        """
        return stored_config(self.described.config, self.path, self.described.writer)

    @cached_property
    def geometry(self) -> dict[str, dict[str, Any]]:
        """``{name: {"value", "sigma", "how"}}`` by the names of ``ptychodask calibrate --json``.

        What was refined with the image; empty where nothing was.
        """
        return dict(json.loads(self.described.geometry).get("values", {}))

    @cached_property
    def history(self) -> History:
        """One entry per iteration."""
        store = self._documents.store
        with _told(self.path):
            documents = arrays_in(store, "history")
            described(HistoryArrays, {"columns": documents}, "history")
            for name, document in documents.items():
                # what is missing reads as NaN, which is honest, or as another number, which is not
                check = check_size if document.fill_value == "NaN" else check_files
                check(store, f"history/{name}", document)
            values = {name: self._column(name).tolist() for name in documents}
        stages = ["finish" if flag else "fit" for flag in values.pop("finish")]
        rows = zip(*values.values(), strict=True)
        return History(
            [{**dict(zip(values, row, strict=True)), "stage": s} for row, s in zip(rows, stages, strict=True)]
        )

    def _column(self, name: str) -> np.ndarray:
        array = self._group[f"history/{name}"]
        assert isinstance(array, zarr.Array)
        return read_values(array, ..., f"{self.path}: history/{name}", _REMEDY)

    @property
    def iteration(self) -> int:
        """The iteration whose state this is, chosen by the stopping rule."""
        return self.described.iteration


def open_result(path: str | Path) -> Result:
    """Open a result lazily.

    Raises
    ------
    InputError
        If it is missing, unfinished or of another schema.
    """
    path = arguments.path(path, "path")
    if not is_address(path) and not os.path.lexists(local := local_path(path)):
        place = resolved(local)
        running = place.with_name(place.name + ".run")
        remedy = (
            f"its run was interrupted: 'ptychodask resume {local}'" if running.exists() else "give the path of a result"
        )
        raise InputError(f"{path} does not exist: {remedy}")
    path = as_given(path) if is_address(path) else local_path(path)
    result = Result(str(path))
    _ = result._documents
    return result


@dataclass(frozen=True)
class _Documents:
    """What the documents of a result say."""

    store: Store
    root: GroupDocument
    attributes: ResultAttributes
    arrays: ResultArrays


_REMEDY = "copy it again, or reconstruct again"


def _told(path: str) -> AbstractContextManager[None]:
    return told(f"{path} is damaged", _REMEDY)


def _documents(path: str) -> _Documents:
    store = store_at(path)
    root = root_of(store, SCHEMA, "result", _REMEDY)
    with _told(path):
        attributes = described(ResultAttributes, root.attributes, "zarr.json")
        arrays = {name: array_at(store, name) for name in ResultArrays.names(attributes.adds)}
        group_at(store, "history")
        return _Documents(store, root, attributes, described(ResultArrays, arrays, "zarr.json"))


def _check_coordinate(name: str, values: np.ndarray) -> None:
    step = np.diff(values)
    if not np.isfinite(values).all() or np.any(step <= 0) or np.ptp(values) > 1e9:
        raise Damage(f"{name} is not a rising coordinate in angstrom")


@dataclass(frozen=True)
class Besides:
    """What a run may store besides.

    Parameters
    ----------
    information : array [R]
        Share of the quantum limit on rings of ``ring`` 1/angstrom.
    ring : float
    lattice : array [y, x], optional
        Of the spectral prior, rad; the whole phase where no residual was fitted.
    """

    information: np.ndarray
    ring: float
    lattice: Any = None

    @property
    def variables(self) -> dict[str, Any]:
        """As those of a dataset."""
        frequency = np.arange(len(self.information)) * self.ring
        return {
            **({} if self.lattice is None else {"lattice": (("y", "x"), self.lattice, {"units": "rad"})}),
            "information": ("frequency", self.information, {"units": "1", "long_name": "share of the quantum limit"}),
            "frequency": ("frequency", frequency, {"units": "1/angstrom"}),
        }


def write_result(
    path: str | Path,
    model: Model,
    positions: np.ndarray,
    canvas: Canvas,
    scan_shape: tuple[int, int],
    config: JobConfig,
    history: Sequence[Mapping[str, Any]],
    attributes: Mapping[str, Any],
    overwrite: bool,
    besides: Besides | None = None,
    further: Sequence[FurtherScan] = (),
) -> None:
    """Write a result atomically; the model is in full-dose units, positions [J, 2] are in canvas pixels.

    Of several scans they are those of the first, and ``further`` are the others.
    """
    with replacing(path, RESULT, overwrite) as temporary:
        _write(temporary, model, positions, canvas, scan_shape, config, history, attributes, besides, further)


def create_result(
    path: str | Path,
    model: Model,
    positions: np.ndarray,
    dtype: np.dtype,
    chunk: tuple[int, int],
    canvas: Canvas,
    scan_shape: tuple[int, int],
    config: JobConfig,
    history: Sequence[Mapping[str, Any]],
    attributes: Mapping[str, Any],
    besides: Besides | None = None,
    further: Sequence[FurtherScan] = (),
) -> None:
    """Write a result but for its object, which tiles of ``chunk`` pixels then write with :func:`write_object`.

    The model's object has no pixels, and ``dtype`` is that of the object. Nothing is renamed here: whoever waits for
    all tiles does that.
    """
    slices = model.object.shape[0]
    nothing = da.zeros((slices, *canvas.shape), dtype=dtype, chunks=(1, *chunk))
    if besides is not None and besides.lattice is not None:
        besides = replace(besides, lattice=da.zeros(canvas.shape, dtype=dtype, chunks=chunk))
    bare = replace(model, object=nothing)
    _write(Path(path), bare, positions, canvas, scan_shape, config, history, attributes, besides, further)


def write_object(path: str | Path, core: Rect, object_: np.ndarray, lattice: np.ndarray | None = None) -> None:
    """Write a tile's object [S, h, w], and its lattice [h, w]. Safe in parallel: a tile is a chunk of every slice."""
    with writable(path) as store:
        group = zarr.open_group(store, mode="r+", zarr_format=3)
        for name, values in {"object": object_, "lattice": lattice}.items():
            if values is None or name not in group:  # there is a lattice where there is a spectral prior
                continue
            array = group[name]
            assert isinstance(array, zarr.Array)
            # zeros are written too, so that a missing file means lost data
            array.with_config({"write_empty_chunks": True})[..., core.y0 : core.y1, core.x0 : core.x1] = values


def _write(
    path: Path,
    model: Model,
    positions: np.ndarray,
    canvas: Canvas,
    scan_shape: tuple[int, int],
    config: JobConfig,
    history: Sequence[Mapping[str, Any]],
    attributes: Mapping[str, Any],
    besides: Besides | None,
    further: Sequence[FurtherScan],
) -> None:
    """The groups of a result; of an object that is lazy, only what it is, not its values."""
    n = model.probe.shape[-1]
    centred = (np.arange(n) - n // 2) * canvas.pixel
    origin = np.array([canvas.origin[0], canvas.origin[1]])
    positions = (positions * canvas.pixel + origin).reshape(*scan_shape, 2)
    angstrom = {"units": "angstrom"}
    pure = model.object.dtype.kind == "f"
    data = xr.Dataset(
        {
            "object": (
                ("slice", "y", "x"),
                model.object,
                {"units": "rad", "kind": "phase" if pure else "complex phase", "transmission": "exp(1j * object)"},
            ),
            "probe": (("mode", "probe_y", "probe_x"), model.probe, {"units": "sqrt(electron)"}),
            "positions": (("scan_y", "scan_x", "axis"), positions, {**angstrom, "axis": "y, x"}),
            **(besides.variables if besides is not None else {}),
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
            **({} if besides is None else {"measured": "information"}),
            **({} if besides is None or besides.lattice is None else {"prior": "spectral"}),
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
    how: Any = {"consolidated": False, "zarr_format": 3, "write_empty_chunks": True}
    with writable(path, new=True) as store:
        data.to_zarr(store, compute=False, encoding=checked_encoding(data), **how)
        steps.to_zarr(store, group="history", mode="a", encoding=checked_encoding(steps), **how)
        write_scans(store, further, canvas)
