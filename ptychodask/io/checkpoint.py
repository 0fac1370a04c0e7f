"""Checkpoints: one Zarr group each, written under a temporary name and renamed; nothing in them is ever unpickled."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from .._errors import InputError
from .._text import first_line
from ..model.places import Places
from ..model.refining import Refining
from ..model.row_drift import RowDrift
from ..model.scan import Affine
from ..model.state import Model, State, TileState
from ..model.tiles import Rect
from .address import Folder
from .atomic import check_folder, discard, heal, left_of, remove, replacing, resolved
from .described.checkpoint import AffineOf, RefiningOf, StateArrays, StateAttributes
from .described.run import JobFile, RunFile
from .described.store import GroupDocument
from .documents import MOST_BYTES, MOST_VALUES, Damage, described, parse_json
from .kinds import stray_in
from .lock import locked
from .reading import array_at, check_files, open_group
from .stores import writable

_NAME = re.compile(r"(iteration|geometry|start)-(\d{6})\.zarr")
"""Checkpoints of the reconstruction, those of the refinement of the geometry before it, and one to begin from."""
_ARRAYS = frozenset({"object", "anchor", "probe", "places"})
_FILES = {"job.json": {"config", "fingerprint"}, "decisions.json": {"mean_counts", "backend"}, "log.json": {"entries"}}
"""Files of a run, and names that are in each."""
_SELECTED = {"mask.npy", "positions.npy"}
"""What a selection has of its own, see :func:`ptychodask.io.selected.keep`."""
_OURS = re.compile("|".join([_NAME.pattern, *map(re.escape, [*_FILES, *_SELECTED])]))
_LOCK = "lock"
F = TypeVar("F", bound=RunFile)
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


def begin_anew(path: Path, momentum: int) -> None:
    """Let a copy of a state be the first of a run: iterations, at which a prior does this and that, count from there.

    ``momentum`` is that of the run's first state; of a run that accelerates, it stays as it is.
    """
    with writable(path) as store:
        attributes = zarr.open_group(store, mode="r+", zarr_format=3).attrs
        attributes["iteration"] = 0
        if momentum < 0:
            attributes["momentum"] = momentum


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
    probe = np.asarray(model.probe)
    group.create_array("probe", data=probe, chunks=_chunks(probe.shape), **_checked())
    if model.places is not None:
        values = np.stack([model.places.off, model.places.information])
        group.create_array("places", data=values, chunks=values.shape, **_checked())
    group.attrs.update(
        {
            "iteration": model.iteration,
            # floats as hexadecimal text: the resumed run must have the same bits
            "background": float(model.background).hex(),
            "damping": float(state.damping).hex(),
            "momentum": state.momentum,
            **({} if state.loss is None else {"loss": float(state.loss).hex()}),
            **_information(state),
            **_geometry(state),
            **_moved(model.moved),
            **({} if model.places is None else {"places": True}),
        }
    )


def _geometry(state: State) -> dict[str, Any]:
    at = state.geometry
    if at is None:
        return {}
    vectors = {name: _hex(getattr(at, name)) for name in ("values", "information", "gains", "last", "trail")}
    return {"geometry": {**vectors, "passes": at.passes, "free": at.free.tolist()}}


def _moved(by: Affine | None) -> dict[str, Any]:
    if by is None:
        return {}
    rows = {} if by.drift is None else {"drift": _hex(by.drift.amplitudes), "across": _hex(by.drift.across)}
    return {"moved": {"matrix": _hex(by.matrix), "centre": _hex(by.centre), **rows}}


def _affine(said: AffineOf | None) -> Affine | None:
    if said is None:
        return None
    rows = np.array([[float.fromhex(text) for text in row] for row in (*said.matrix, said.centre, said.across)])
    drift = np.array([[float.fromhex(text) for text in row] for row in said.drift])
    return Affine(rows[:2], rows[2], RowDrift(drift, rows[3]) if len(drift) else None)


def _hex(values: np.ndarray) -> list[Any]:
    return [_hex(row) for row in values] if values.ndim > 1 else [float(value).hex() for value in values]


def _refining(said: RefiningOf | None) -> Refining | None:
    if said is None:
        return None
    count = len(said.values)

    def rows(texts: tuple[tuple[str, ...], ...]) -> np.ndarray:
        return np.array([float.fromhex(text) for row in texts for text in row]).reshape(-1, count)

    values, gains, last = (rows((texts,))[0] for texts in (said.values, said.gains, said.last))
    free = np.array(said.free, bool)
    return Refining(values, rows(said.information), said.passes, gains, last, free, rows(said.trail))


def _information(state: State) -> dict[str, list[str]]:
    known = state.information
    return {} if known is None else {"information": [float(t).hex() for t in known]}


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*((1,) * (len(shape) - 2)), *(min(n, 512) for n in shape[-2:]))


def load_state(path: str) -> State:
    """Read a state back, bit for bit.

    Raises
    ------
    InputError
        If it is damaged.
    """
    with _reading(path) as stored:
        return stored.state(*(stored.values(name) for name in ("object", "anchor")))


def load_shared(path: str) -> State:
    """What tiles share of a state: all but the maps, which have no pixels."""
    with _reading(path) as stored:
        object_ = stored.arrays.object
        nothing = np.zeros((object_.shape[0], 0, 0), object_.data_type)
        return stored.state(nothing, nothing)


def load_tile(path: str, core: Rect) -> TileState:
    """A tile's maps, bit for bit."""
    with _reading(path) as stored:
        part = (slice(None), slice(core.y0, core.y1), slice(core.x0, core.x1))
        return TileState(*(stored.values(name, part) for name in ("object", "anchor")))


@dataclass(frozen=True)
class _Stored:
    """A checkpoint whose documents were checked."""

    group: zarr.Group
    attributes: StateAttributes
    arrays: StateArrays

    def values(self, name: str, part: Any = ...) -> np.ndarray:
        return np.asarray(_array(self.group, name)[part])

    def state(self, object_: np.ndarray, anchor: np.ndarray) -> State:
        said = self.attributes
        background, damping = float.fromhex(said.background), float.fromhex(said.damping)
        places = Places(*self.values("places")) if said.places else None
        moved = _affine(said.moved)
        model = Model(object_, self.values("probe"), background, said.iteration, moved=moved, places=places)
        known = None if said.information is None else np.array([float.fromhex(t) for t in said.information])
        loss = None if said.loss is None else float.fromhex(said.loss)
        return State(model, anchor, said.momentum, damping, known, _refining(said.geometry), loss)


@contextmanager
def _reading(path: str) -> Iterator[_Stored]:
    try:
        store = Folder(path)
        root = described(GroupDocument, parse_json(store.read("zarr.json"), "zarr.json"), "zarr.json")
        attributes = described(StateAttributes, root.attributes, "zarr.json")
        documents = {name: array_at(store, name) for name in StateArrays.names(attributes.places)}
        arrays = described(StateArrays, documents, "zarr.json")
        for name, document in documents.items():
            check_files(store, name, document)
        yield _Stored(open_group(store), attributes, arrays)
        # files that a run has let go of in the meantime were read as zeros; what is there now was there all the time
        for name, document in documents.items():
            check_files(Folder(path), name, document)
    except Exception as error:
        raise InputError(
            f"checkpoint {path} cannot be read ({first_line(error)}): remove it to resume from an earlier one"
        ) from error


def _array(group: zarr.Group, name: str) -> zarr.Array:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps what it needs to resume, ``<result>.run`` beside the result, until the result is written.

    ``job.json`` says what runs; ``log.json`` the history so far; ``iteration-NNNNNN.zarr`` are the checkpoints,
    ``geometry-NNNNNN.zarr`` those of the geometry before it. Nothing
    else is ever removed from it.
    """

    path: Path
    result: str = ""
    """Name of the result, where the path is not this name with ``.run``: a link led there."""
    stage: str = "iteration"
    """Whose checkpoints are meant: those of the reconstruction, or of its ``geometry``, or what it ``start``-s from."""

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

    def identity(self) -> JobFile | None:
        """What runs, as it was claimed; None where nothing was, or all that is left is the folder."""
        return self.read("job.json", JobFile) if self._content() else None

    def write_json(self, name: str, values: Any) -> None:
        """Write a JSON file atomically."""
        with replacing(self.path / name, None) as temporary:
            temporary.write_text(json.dumps(values))

    def read_json(self, name: str, most_bytes: int = MOST_BYTES, most_values: int = MOST_VALUES) -> Any:
        """Read a JSON file of the run.

        Raises
        ------
        InputError
            If there is none, or it is none.
        """
        file = self.path / name
        try:
            if not stat.S_ISREG(file.stat().st_mode):
                raise Damage("it is no file")
            with file.open("rb") as opened:
                return parse_json(opened.read(most_bytes + 1), name, most_bytes, most_values)
        except (OSError, Damage) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"{file} cannot be read ({reason}): there is no run to resume here") from None

    def read(self, name: str, model: type[F]) -> F:
        """A JSON file of the run as its description has it.

        Raises
        ------
        InputError
            If it cannot be read, or says what it cannot say.
        """
        values = self.read_json(name, model.most_bytes, model.most_values)
        try:
            return described(model, values, name)
        except Damage as error:
            raise InputError(
                f"{self.path} is damaged ({error}): start the run anew with --overwrite, or resume it with the version"
                " that started it"
            ) from None

    def checkpoint(self, iteration: int) -> str:
        """Path of the checkpoint after ``iteration`` updates."""
        return str(self.path / f"{self.stage}-{iteration:06d}.zarr")

    def checkpoints(self) -> list[int]:
        """Iterations that have a checkpoint, rising."""
        names = [p.name for p in self.path.iterdir()] if self.path.is_dir() else []
        found = (match for name in names if (match := _NAME.fullmatch(name)))
        return sorted(int(match[2]) for match in found if match[1] == self.stage)

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
    if path.name in _SELECTED and path.is_file() and not path.is_symlink():
        with path.open("rb") as file:
            return None if file.read(6) == b"\x93NUMPY" else path.name
    names = _FILES.get(path.name)
    return None if names is not None and not path.is_symlink() and _holds(path, names) else path.name


def _holds(path: Path, names: set[str]) -> bool:
    """Is this a JSON file with these names?"""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and names <= set(found)
