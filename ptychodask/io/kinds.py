"""What our programs write at a place, and how it is known again: nothing else is ever replaced."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .._errors import InputError
from ..model.scan import MOST_SCANS


class Kind(Protocol):
    """Something that is written at one place."""

    @property
    def noun(self) -> str:
        """Its name, for messages."""
        ...

    @property
    def ending(self) -> str:
        """What its name has to end with; nothing says that any name will do."""
        ...

    def other(self, path: Path) -> str | None:
        """What stands at an existing path instead of this kind, as the end of "it is ..."; None if that is ours."""
        ...


@dataclass(frozen=True)
class Store:
    """A Zarr group of ours: it says so in its attributes, and holds nothing but what we write in it.

    Parameters
    ----------
    noun : str
    schema : str
        Start of the attribute ``schema``; its end is the version.
    arrays, groups : frozenset of str
        What may be in it. A group holds arrays of any name.
    """

    noun: str
    schema: str
    arrays: frozenset[str]
    groups: frozenset[str]
    ending: str = ""

    def other(self, path: Path) -> str | None:
        if not path.is_dir():
            return "a file"
        if not any(path.iterdir()):
            return None
        noun = noun_at(path)
        if noun is not None and noun != self.noun:
            return noun
        stray = stray_in(path, self.arrays, self.groups)
        if noun is not None:
            return None if stray is None else f"{noun} with other files in it ({stray})"
        return "a folder with other files" + ("" if stray is None else f" ({stray})")


@dataclass(frozen=True)
class Labelled(Store):
    """As a store, whose arrays depend on what is in it: it lists them in its attribute ``arrays``."""

    def other(self, path: Path) -> str | None:
        return Store(self.noun, self.schema, _listed(path), self.groups, self.ending).other(path)


def _listed(path: Path) -> frozenset[str]:
    try:
        listed = json.loads((path / "zarr.json").read_bytes())["attributes"]["arrays"]
    except (OSError, ValueError, LookupError, TypeError):
        return frozenset()
    return frozenset(map(str, listed)) if isinstance(listed, list) else frozenset()


@dataclass(frozen=True)
class Content:
    """A file that is known by how it begins; an empty one is nobody's."""

    noun: str
    ending: str
    begins: re.Pattern[bytes]

    def other(self, path: Path) -> str | None:
        if path.is_dir():
            return "a folder"
        if not path.is_file():
            return "no plain file"
        with path.open("rb") as file:
            head = file.read(4096)
        return None if not head or self.begins.match(head) else "a file with other content"


DATASET = Store(
    "a ptychodask dataset",
    "ptychodask-dataset/",
    frozenset({"counts", "positions", "mask"}),
    frozenset({"truth"}),
)
RESULT = Store(
    "a ptychodask result",
    "ptychodask-result/",
    frozenset({"object", "probe", "positions", "slice", "mode", "y", "x", "probe_y", "probe_x"})
    | {"lattice", "information", "frequency"},
    frozenset({"history", "halves", *(f"scan_{number}" for number in range(2, MOST_SCANS + 1))}),
)
PHASE = Store("an OME-Zarr image of ptychodask", "ptychodask-phase/", frozenset({"0"}), frozenset(), ".zarr")
STUDY = Labelled("a ptychodask study", "ptychodask-study/", frozenset(), frozenset())
STORES = (DATASET, RESULT, PHASE, STUDY)
TIFF = Content("a TIFF image", ".tif", re.compile(rb"II[*+]\x00|MM\x00[*+]"))
MRC = Content("an MRC image", ".mrc", re.compile(rb"(?s).{208}MAP "))
JOB = Content("a job that was tuned", ".toml", re.compile(rb"# ptychodask tune"))
HDF5 = Content("an HDF5 file", ".h5", re.compile(rb"\x89HDF\r\n\x1a\n"))

_PICTURES = {
    ".png": ("a PNG picture", rb"\x89PNG\r\n\x1a\n"),
    ".pdf": ("a PDF document", rb"%PDF-"),
    ".svg": ("an SVG drawing", rb"(?s)\s*<.*?svg"),
    ".jpg": ("a JPEG picture", rb"\xff\xd8\xff"),
    ".jpeg": ("a JPEG picture", rb"\xff\xd8\xff"),
    ".tif": (TIFF.noun, TIFF.begins.pattern),
    ".tiff": (TIFF.noun, TIFF.begins.pattern),
    ".webp": ("a WebP picture", rb"(?s)RIFF.{4}WEBP"),
    ".eps": ("an EPS document", rb"%!PS"),
}
"""Endings of pictures that matplotlib writes and other programs read."""


def picture(path: str | os.PathLike[str]) -> Content:
    """The kind of picture that the ending of a path names; without an ending that of PNG.

    Raises
    ------
    InputError
        If no picture has this ending.
    """
    ending = Path(path).suffix.lower()
    if ending not in _PICTURES and ending:
        raise InputError(f"{path}: no picture ends in {ending!r}, use {', '.join(_PICTURES)}")
    noun, begins = _PICTURES[ending or ".png"]
    return Content(noun, ending or ".png", re.compile(begins))


def noun_at(path: Path) -> str | None:
    """What of ours a folder says that it is; None for everything else."""
    try:
        described = json.loads((path / "zarr.json").read_bytes())
        schema = str(described["attributes"]["schema"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return next((store.noun for store in STORES if schema.startswith(store.schema)), None)


def stray_in(folder: Path, arrays: frozenset[str], groups: frozenset[str] = frozenset()) -> str | None:
    """The first thing in a Zarr group that Zarr does not put there for these arrays and groups, by its relative path.

    Names are looked at, not contents: a link, or a file beside the chunks, is somebody's.
    """
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        inside = folder / entry.name
        if entry.is_dir(follow_symlinks=False) and entry.name in arrays:
            stray = _stray_in_array(inside)
        elif entry.is_dir(follow_symlinks=False) and entry.name in groups:
            with os.scandir(inside) as members:
                stray = stray_in(inside, frozenset(member.name for member in members))
        else:
            stray = None if _is_description(entry) else ""
        if stray is not None:
            return f"{entry.name}/{stray}" if stray else entry.name
    return None


def _is_description(entry: os.DirEntry[str]) -> bool:
    return entry.name == "zarr.json" and entry.is_file(follow_symlinks=False)


def _stray_in_array(folder: Path) -> str | None:
    """As :func:`stray_in`, for an array: its description, and chunks below ``c`` whose names are numbers."""
    for entry in list(os.scandir(folder)):
        if not _is_description(entry) and (entry.name != "c" or entry.is_symlink()):
            return entry.name
    for parent, folders, files in os.walk(folder / "c"):
        for name in (*folders, *files):
            if not name.isdecimal() or (Path(parent) / name).is_symlink():
                return str((Path(parent) / name).relative_to(folder))
    return None
