"""Files of a study: a record for every finished condition under the name of its content, and the store of them all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from .._errors import InputError
from .atomic import discard, heal, remove, replacing
from .documents import told
from .kinds import STUDY
from .lock import locked
from .stored import checked_encoding
from .stores import writable

SCHEMA = "ptychodask-study/1"
SCRATCH = ".running-"
"""How folders begin that conditions in flight work in."""
_HOW: dict[str, Any] = {"consolidated": False, "zarr_format": 3}
_RECORD = re.compile(r"[0-9a-f]{32}(\.zarr)?")
_REMEDY = "remove it, and start the study again: it is made anew"


@dataclass(frozen=True)
class Parts:
    """What a study keeps beside its store, so that nothing is done twice.

    Parameters
    ----------
    path : Path
        A folder: ``scans`` has simulations without noise while they are wanted, ``truths`` and ``records`` stay.
    """

    path: Path

    @classmethod
    def of(cls, target: Path) -> Parts:
        """Of the study whose store is ``target``."""
        return cls(target.with_name(target.name + ".parts"))

    def scan(self, name: str) -> Path:
        return self.path / "scans" / f"{name}.zarr"

    def truth(self, name: str) -> Path:
        return self.path / "truths" / f"{name}.zarr"

    def record(self, name: str) -> Path:
        return self.path / "records" / f"{name}.zarr"

    def keeps(self, name: str) -> bool:
        """Is there a record of a condition? One that was refused is tried again: there may be more memory now."""
        try:
            told = json.loads((self.record(name) / "zarr.json").read_bytes())["attributes"]["figures"]
            return bool(json.loads(told)["status"] != "refused")
        except (OSError, ValueError, LookupError, TypeError):
            return False

    def forget(self, name: str) -> None:
        """Let go of a record that is not kept."""
        discard(self.record(name))

    @contextmanager
    def held(self) -> Iterator[str | None]:
        """Make the folder, hold its lock, and clear up after killed processes; gives a note for the user, or None.

        Raises
        ------
        InputError
            If another process holds it, or the folder is somebody else's.
        """
        mark = self.path / "study.json"
        if self.path.exists() and any(self.path.iterdir()) and not mark.exists():
            raise InputError(f"{self.path} is in the way of what the study keeps: move it away")
        for name in ("scans", "truths", "records"):
            (self.path / name).mkdir(parents=True, exist_ok=True)
        mark.write_text(json.dumps({"schema": SCHEMA}))
        with locked(self.path / "lock", str(self.path)) as note:
            for name in ("scans", "truths", "records"):
                heal(self.path / name, _RECORD)
            for left in self.path.glob(f"{SCRATCH}*"):
                remove(left)
            yield note


def write_record(path: Path, record: xr.Dataset) -> None:
    """Keep what came of a condition, whole or not at all."""
    with replacing(path, None) as part, writable(part, new=True) as store:
        record.to_zarr(store, encoding=checked_encoding(record), **_HOW)


def read_record(path: Path) -> xr.Dataset:
    """What came of a condition.

    Raises
    ------
    InputError
        If it is damaged.
    """
    with told(f"{path} is damaged", _REMEDY):
        return xr.open_zarr(path, consolidated=False, chunks=None, zarr_format=3).load()


def write_study(
    path: Path, study: xr.Dataset, images: dict[str, Iterable[tuple[tuple[int, ...], np.ndarray]]], overwrite: bool
) -> None:
    """Write the store of a study.

    Parameters
    ----------
    path : Path
    study : xarray.Dataset
        Whose ``images`` are lazy, one chunk an image.
    images : dict of iterables of (index, array [y, x])
        What is in these.
    overwrite : bool
        Replace an existing study.
    """
    attributes = {**study.attrs, "schema": SCHEMA, "arrays": [str(name) for name in study.variables]}
    study = study.assign_attrs(attributes)
    with replacing(path, STUDY, overwrite) as part, writable(part, new=True) as store:
        study.to_zarr(store, compute=False, encoding=checked_encoding(study), **_HOW)
        group = zarr.open_group(store, mode="r+", zarr_format=3)
        for name, found in images.items():
            array = group[name]
            assert isinstance(array, zarr.Array)
            for index, image in found:
                array[index] = image


def open_study(path: str | Path) -> xr.Dataset:
    """The store of a study; its images are read when they are asked for.

    Raises
    ------
    InputError
        If it is none, or damaged.
    """
    with told(f"{path} is no study, or damaged", "give the store of a study, or make it again"):
        found = xr.open_zarr(path, consolidated=False, chunks={}, zarr_format=3)
        if found.attrs.get("schema") != SCHEMA:
            raise InputError(f"{path} has the schema {found.attrs.get('schema')!r}, not {SCHEMA!r}: is it a study?")
        return found
