"""Checkpoints: one Zarr group each, written under a temporary name and renamed; nothing in them is ever unpickled."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from .._errors import InputError
from ..model.state import Model, State, TileState
from ..model.tiles import Rect
from .atomic import check_folder, discard, heal, left_of, remove, replacing, resolved
from .kinds import stray_in
from .lock import locked
from .stores import writable

_NAME = re.compile(r"iteration-(\d{6})\.zarr")
_ARRAYS = frozenset({"object", "anchor", "probe", "positions"})
_FILES = {"job.json": {"config", "fingerprint"}, "recipe.json": {"config"}, "log.json": {"entries"}}
"""Files of a run, and names that are in each."""
_OURS = re.compile("|".join([_NAME.pattern, *map(re.escape, _FILES)]))
_LOCK = "lock"
_WRITE_ALL: Any = {"write_empty_chunks": True}
"""Zeros are written too, so that a missing file means lost data."""


def _checked() -> Any:
    """Checksums find flipped bits."""
    return {"compressors": [ZstdCodec(), Crc32cCodec()], "config": _WRITE_ALL}


def save_state(path: str, state: State) -> str:
    """Write a state; returns the path."""
    with replacing(path, None) as temporary, writable(temporary, new=True) as store:
        group = zarr.create_group(store)
        for name, array in (("object", state.model.object), ("anchor", state.anchor)):
            group.create_array(name, data=np.asarray(array), chunks=_chunks(array.shape), **_checked())
        _write_shared(group, state)
    return path


def create_state(path: str, shared: State, shape: tuple[int, int, int], dtype: np.dtype, chunk: tuple[int, int]) -> str:
    """Make a checkpoint without its maps, which tiles of ``chunk`` pixels then write with :func:`save_tile`.

    It has the form of :func:`save_state`. Nothing is renamed here: whoever waits for all tiles does that.
    """
    with writable(path, new=True) as store:
        group = zarr.create_group(store)
        for name in ("object", "anchor"):
            group.create_array(name, shape=shape, dtype=dtype, chunks=(1, *chunk), **_checked())
        _write_shared(group, shared)
    return path


def save_tile(path: str, core: Rect, state: TileState) -> str:
    """Write a tile's maps. Safe in parallel: a tile is a chunk of every slice."""
    with writable(path) as store:
        group = zarr.open_group(store, mode="r+", zarr_format=3)
        for name, values in (("object", state.object), ("anchor", state.anchor)):
            _array(group, name).with_config(_WRITE_ALL)[:, core.y0 : core.y1, core.x0 : core.x1] = values
    return path


def _write_shared(group: zarr.Group, state: State) -> None:
    model = state.model
    for name, array in (("probe", model.probe), ("positions", model.positions)):
        group.create_array(name, data=np.asarray(array), chunks=_chunks(array.shape), **_checked())
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
        yield zarr.open_group(path, mode="r", zarr_format=3)
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

    ``job.json`` says what runs; ``log.json`` the history so far; ``iteration-NNNNNN.zarr`` are the checkpoints. Nothing
    else is ever removed from it.
    """

    path: Path
    result: str = ""
    """Name of the result, where the path is not this name with ``.run``: a link led there."""

    @classmethod
    def of(cls, result: str | Path) -> RunFolder:
        """The run folder of a result; a link means the folder that it leads to."""
        result = resolved(result)
        return cls(resolved(result.with_name(result.name + ".run")), result.name)

    @contextmanager
    def hold(self) -> Iterator[str | None]:
        """Make the folder and lock it inside the block, so two runs cannot write one result.

        What killed writers left is cleared up. An empty folder is removed at the end.

        Yields
        ------
        str or None
            A line for the user, see :func:`ptychodask.io.lock.locked`.

        Raises
        ------
        InputError
            If another run has it.
        """
        with ExitStack() as stack:
            stack.callback(self._drop_if_empty)
            while True:
                with suppress(FileExistsError):
                    self.path.mkdir()
                try:
                    note = stack.enter_context(locked(self.path / _LOCK, f"the result {self._result}"))
                    break
                except FileNotFoundError:
                    continue  # the run before has just removed its folder
                except NotADirectoryError:
                    raise InputError(f"{self.path} is not a folder, and the run needs one: move it away") from None
            heal(self.path, _OURS)
            yield note

    def check(self) -> None:
        """Refuse a folder in which somebody keeps other files: a new run would mix with them.

        Raises
        ------
        InputError
            If something in it was not written by a run.
        """
        check_folder(self.path.parent)
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is not a folder, and the run needs one: move it away")
        for path in self._content():
            stray = _stray(path)
            if stray is not None:
                raise InputError(
                    f"{self.path} holds {stray}, which no run of ptychodask wrote, and the run needs this folder: move"
                    " it away, or choose another output"
                )

    def claim(self, job: dict[str, Any], overwrite: bool) -> None:
        """Start a run; there must be no unfinished one, or it is dropped."""
        self.check()
        self.path.mkdir(exist_ok=True)
        if self._content() and not overwrite:
            raise InputError(
                f"{self.path} holds an unfinished run: continue it with 'ptychodask resume {self._result}', or"
                " use --overwrite to drop it"
            )
        self._empty()
        self.write_json("job.json", job)

    @property
    def _result(self) -> str:
        return self.result or self.path.name.removesuffix(".run")

    def _content(self) -> list[Path]:
        return sorted(path for path in self.path.iterdir() if path.name != _LOCK) if self.path.is_dir() else []

    def _empty(self) -> None:
        """Remove all but ``job.json``, so that whoever is killed meanwhile leaves a run without anything, not half."""
        for path in self._content():
            if path.name != "job.json" and _stray(path) is None:
                remove(path)

    def identity(self) -> dict[str, Any] | None:
        """What runs, as it was claimed; None where nothing was, or all that is left is the folder."""
        return self.read_json("job.json") if self._content() else None

    def write_json(self, name: str, values: Any) -> None:
        """Write a JSON file atomically."""
        with replacing(self.path / name, None) as temporary:
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

    def forget(self, iterations: Iterable[int]) -> None:
        """Remove these checkpoints."""
        for iteration in iterations:
            discard(Path(self.checkpoint(iteration)))

    def remove(self) -> None:
        """Remove the folder when the result stands; a lock stays until its holder gives it back."""
        with suppress(OSError):
            self._empty()
            job = self.path / "job.json"
            if not job.exists() or _stray(job) is None:
                remove(job)
        self._drop_if_empty()

    def _drop_if_empty(self) -> None:
        with suppress(OSError):  # something is in it: a lock, or what can be resumed
            self.path.rmdir()


def _stray(path: Path) -> str | None:
    """The name of something in a run's folder that no run wrote; None if one did."""
    left = left_of(path)
    if left is not None:  # what a killed writer left may be in any state
        return None if _OURS.fullmatch(left) else path.name
    if _NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
        stray = stray_in(path, _ARRAYS)
        return None if stray is None else f"{path.name}/{stray}"
    names = _FILES.get(path.name)
    return None if names is not None and not path.is_symlink() and _holds(path, names) else path.name


def _holds(path: Path, names: set[str]) -> bool:
    """Is this a JSON file with these names?"""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and names <= set(found)
