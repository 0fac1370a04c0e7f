"""Which program wrote a file, and what is in it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._errors import InputError
from ..._text import first_line
from . import phaser, ptyrad, py4dstem
from .found import Found

MARK = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Kind:
    """A kind of file: what it is called, how it is known and read."""

    name: str
    knows: Callable[[Any], bool]
    read: Callable[[Any], Found]


KINDS = (
    Kind("a model*.hdf5 of PtyRAD", ptyrad.knows, ptyrad.read),
    Kind("a reconstruction that py4DSTEM saved (.h5)", py4dstem.knows, py4dstem.read),
    Kind("an iter*.h5 of phaser", phaser.knows, phaser.read),
)
TAKEN = f"a result of ptychodask, {', '.join(kind.name for kind in KINDS[:-1])}, or {KINDS[-1].name}"


def is_hdf5(path: Path) -> bool:
    """Does a file begin like HDF5?"""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MARK)) == MARK


def _is_ours(file: Any) -> bool:
    """Is it what ``ptychodask export`` writes, in our layout or in py4DSTEM's? One in PtyRAD's is taken."""
    return any(str(file.attrs.get(name, "")).startswith("ptychodask") for name in ("schema", "authoring_program"))


def read_foreign(path: Path) -> Found:
    """Object and probe of an HDF5 file of another program.

    Raises
    ------
    InputError
        If h5py is missing, the file is of no kind that is known, or it lacks something.
    """
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise InputError("HDF5 is read by h5py: pip install 'ptychodask[formats]'") from error
    try:
        with h5py.File(path, "r") as file:
            kind = next((kind for kind in KINDS if kind.knows(file)), None)
            if kind is None and _is_ours(file):
                raise InputError("it is an export of ptychodask for other programs: give the result itself (.zarr)")
            if kind is None:
                names = ", ".join(map(repr, sorted(file)[:5])) or "nothing"
                raise InputError(f"it is HDF5 with {names} in it: give {TAKEN}")
            return kind.read(file)
    except InputError:
        raise
    except Exception as error:  # of a damaged file h5py raises errors of every kind
        raise InputError(f"it cannot be read ({first_line(error)}): write or copy it again, or give {TAKEN}") from None
