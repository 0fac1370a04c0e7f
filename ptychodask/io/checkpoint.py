"""Checkpoints: one Zarr group each, written under a temporary name and renamed; nothing in them is ever unpickled."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from .._errors import InputError
from ..model.state import Model, State
from .atomic import discard, heal, remove, replacing
from .lock import locked

_NAME = re.compile(r"iteration-(\d{6})\.zarr")
_LOCK = "lock"
_ARRAYS = ("object", "anchor", "probe", "positions")


def save_state(path: str, state: State) -> str:
    """Write a state; returns the path."""
    model = state.model
    arrays = {
        "object": model.object,
        "anchor": state.anchor,
        "probe": model.probe,
        "positions": model.positions,
    }
    with replacing(path, overwrite=True) as temporary:
        group = zarr.create_group(str(temporary))
        for name, array in arrays.items():
            # zeros are written too, so that a missing file means lost data; checksums find flipped bits
            group.create_array(
                name,
                data=np.asarray(array),
                chunks=_chunks(array.shape),
                compressors=[ZstdCodec(), Crc32cCodec()],
                config={"write_empty_chunks": True},
            )
        group.attrs.update(
            {
                "iteration": model.iteration,
                # floats as hexadecimal text: the resumed run must have the same bits
                "background": float(model.background).hex(),
                "damping": float(state.damping).hex(),
                "momentum": state.momentum,
            }
        )
    return path


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*((1,) * (len(shape) - 2)), *(min(n, 512) for n in shape[-2:]))


def load_state(path: str) -> State:
    """Read a state back, bit for bit."""
    try:
        group = zarr.open_group(path, mode="r", zarr_format=3)
        object_, anchor, probe, positions = (_read(group[name]) for name in _ARRAYS)
        attributes = dict(group.attrs)
        model = Model(
            object_,
            probe,
            positions,
            float.fromhex(str(attributes["background"])),
            int(attributes["iteration"]),  # type: ignore[arg-type]
        )
        return State(model, anchor, int(attributes["momentum"]), float.fromhex(str(attributes["damping"])))  # type: ignore[arg-type]
    except Exception as error:
        raise InputError(
            f"checkpoint {path} cannot be read ({type(error).__name__}): remove it to resume from an earlier one"
        ) from error


def _read(array: Any) -> np.ndarray:
    if array.nchunks_initialized < array.nchunks:
        raise OSError(f"{array.nchunks - array.nchunks_initialized} chunks of {array.name} are missing")
    return np.asarray(array[...])


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
            heal(self.path)
            yield note

    def claim(self, job: dict[str, Any], overwrite: bool) -> None:
        """Start a run; there must be no unfinished one, or it is dropped."""
        self.path.mkdir(exist_ok=True)
        if self._content() and not overwrite:
            raise InputError(
                f"{self.path} holds an unfinished run: continue it with 'ptychodask resume {self._result}', or"
                " use --overwrite to drop it"
            )
        for path in self._content():
            remove(path)
        self.write_json("job.json", job)

    @property
    def _result(self) -> str:
        return self.path.name.removesuffix(".run")

    def _content(self) -> list[Path]:
        return [path for path in self.path.iterdir() if path.name != _LOCK] if self.path.is_dir() else []

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
                discard(Path(self.checkpoint(iteration)))

    def remove(self) -> None:
        """Remove the folder when the result stands; a lock stays until its holder gives it back."""
        for path in self._content():
            with suppress(OSError):
                remove(path)
        self._drop_if_empty()

    def _drop_if_empty(self) -> None:
        with suppress(OSError):  # something is in it: a lock, or what can be resumed
            self.path.rmdir()
