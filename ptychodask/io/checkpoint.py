"""Checkpoints: one Zarr group each, written under a temporary name and renamed; nothing in them is ever unpickled."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from .._errors import InputError
from ..model.state import Model, State
from .atomic import replacing

_NAME = re.compile(r"iteration-(\d{6})\.zarr")
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
            # zeros are written too, so that a missing file means lost data
            group.create_array(
                name, data=np.asarray(array), chunks=_chunks(array.shape), config={"write_empty_chunks": True}
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
        group = zarr.open_group(path, mode="r")
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
