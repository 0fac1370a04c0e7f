"""Checkpoints: one Zarr group each, written under a temporary name and renamed; nothing in them is ever unpickled."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from .._errors import InputError
from ..model.state import Model, State, TileState
from ..model.tiles import Rect
from .atomic import replacing

_NAME = re.compile(r"iteration-(\d{6})\.zarr")
# zeros are written too, so that a missing file means lost data
_WRITE_ALL: Any = {"write_empty_chunks": True}


def save_state(path: str, state: State) -> str:
    """Write a state; returns the path."""
    with replacing(path, overwrite=True) as temporary:
        group = zarr.create_group(str(temporary))
        for name, array in (("object", state.model.object), ("anchor", state.anchor)):
            group.create_array(name, data=np.asarray(array), chunks=_chunks(array.shape), config=_WRITE_ALL)
        _write_shared(group, state)
    return path


def create_state(path: str, shared: State, shape: tuple[int, int, int], dtype: np.dtype, chunk: tuple[int, int]) -> str:
    """Make a checkpoint without its maps, which tiles of ``chunk`` pixels then write with :func:`save_tile`.

    It has the form of :func:`save_state`. Nothing is renamed here: whoever waits for all tiles does that.
    """
    group = zarr.create_group(path)
    for name in ("object", "anchor"):
        group.create_array(name, shape=shape, dtype=dtype, chunks=(1, *chunk), config=_WRITE_ALL)
    _write_shared(group, shared)
    return path


def save_tile(path: str, core: Rect, state: TileState) -> str:
    """Write a tile's maps. Safe in parallel: a tile is a chunk of every slice."""
    group = zarr.open_group(path, mode="r+")
    for name, values in (("object", state.object), ("anchor", state.anchor)):
        _array(group, name).with_config(_WRITE_ALL)[:, core.y0 : core.y1, core.x0 : core.x1] = values
    return path


def _write_shared(group: zarr.Group, state: State) -> None:
    model = state.model
    for name, array in (("probe", model.probe), ("positions", model.positions)):
        group.create_array(name, data=np.asarray(array), chunks=_chunks(array.shape), config=_WRITE_ALL)
    group.attrs.update(
        {
            "iteration": model.iteration,
            # floats as hexadecimal text: the resumed run must have the same bits
            "background": float(model.background).hex(),
            "damping": float(state.damping).hex(),
            "momentum": state.momentum,
        }
    )


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*((1,) * (len(shape) - 2)), *(min(n, 512) for n in shape[-2:]))


def load_state(path: str) -> State:
    """Read a state back, bit for bit."""
    with _reading(path) as group:
        return _with_object(group, *(_read(_array(group, name)) for name in ("object", "anchor")))


def load_shared(path: str) -> State:
    """What tiles share of a state: all but the maps, which have no pixels."""
    with _reading(path) as group:
        shape, dtype = _array(group, "object").shape, _array(group, "object").dtype
        nothing = np.zeros((shape[0], 0, 0), dtype)
        return _with_object(group, nothing, nothing)


def load_tile(path: str, core: Rect) -> TileState:
    """A tile's maps, bit for bit."""
    with _reading(path) as group:
        part = (slice(None), slice(core.y0, core.y1), slice(core.x0, core.x1))
        return TileState(*(_read(_array(group, name), part) for name in ("object", "anchor")))


@contextmanager
def _reading(path: str) -> Iterator[zarr.Group]:
    try:
        yield zarr.open_group(path, mode="r")
    except Exception as error:
        raise InputError(
            f"checkpoint {path} cannot be read ({type(error).__name__}): remove it to resume from an earlier one"
        ) from error


def _with_object(group: zarr.Group, object_: np.ndarray, anchor: np.ndarray) -> State:
    probe, positions = (_read(_array(group, name)) for name in ("probe", "positions"))
    attributes: dict[str, Any] = dict(group.attrs)
    background, damping = (float.fromhex(attributes[name]) for name in ("background", "damping"))
    model = Model(object_, probe, positions, background, int(attributes["iteration"]))
    return State(model, anchor, int(attributes["momentum"]), damping)


def _array(group: zarr.Group, name: str) -> zarr.Array:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def _read(array: zarr.Array, part: Any = ...) -> np.ndarray:
    if array.nchunks_initialized < array.nchunks:
        raise OSError(f"{array.nchunks - array.nchunks_initialized} chunks of {array.name} are missing")
    return np.asarray(array[part])


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps what it needs to resume, ``<result>.run`` beside the result, until the result is written.

    ``job.json`` says what runs; ``log.json`` the history so far; ``iteration-NNNNNN.zarr`` are the checkpoints.
    """

    path: Path

    @classmethod
    def of(cls, result: str | Path) -> RunFolder:
        """The run folder of a result."""
        result = Path(result)
        return cls(result.with_name(result.name + ".run"))

    def claim(self, job: dict[str, Any], overwrite: bool) -> None:
        """Make the folder; it must not exist, so two runs cannot write one result."""
        if overwrite:
            shutil.rmtree(self.path, ignore_errors=True)
        try:
            self.path.mkdir()
        except FileExistsError:
            result = self.path.name.removesuffix(".run")
            raise InputError(
                f"{self.path} holds an unfinished run: continue it with 'ptychodask resume {result}', or"
                " use --overwrite to drop it"
            ) from None
        self.write_json("job.json", job)

    def write_json(self, name: str, values: Any) -> None:
        """Write a JSON file atomically."""
        with replacing(self.path / name, overwrite=True) as temporary:
            temporary.write_text(json.dumps(values))

    def read_json(self, name: str) -> Any:
        """Read a JSON file of the run."""
        try:
            return json.loads((self.path / name).read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(
                f"{self.path / name} cannot be read ({type(error).__name__}): there is no run to resume here"
            ) from None

    def checkpoint(self, iteration: int) -> str:
        """Path of the checkpoint after ``iteration`` updates."""
        return str(self.path / f"iteration-{iteration:06d}.zarr")

    def checkpoints(self) -> list[int]:
        """Iterations that have a checkpoint, rising."""
        names = [p.name for p in self.path.iterdir()] if self.path.is_dir() else []
        return sorted(int(m[1]) for name in names if (m := _NAME.fullmatch(name)))

    def forget(self, *, before: int = 0, after: int | None = None) -> None:
        """Remove checkpoints of fewer than ``before`` and of more than ``after`` updates."""
        for iteration in self.checkpoints():
            if iteration < before or (after is not None and iteration > after):
                shutil.rmtree(self.checkpoint(iteration), ignore_errors=True)

    def remove(self) -> None:
        """Remove the folder when the result stands."""
        shutil.rmtree(self.path, ignore_errors=True)
