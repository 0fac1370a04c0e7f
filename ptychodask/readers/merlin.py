"""Merlin ``.mib``: frames of a Medipix detector, a text header before each; a ``.hdr`` file beside them, or none.

The words of a header are separated by commas: frame number, length of the header, chips, width, height, type of the
values, layout of the chips; the last ones hold the depth of the counter in bits. Values are big-endian counts, or raw
(R64): words of 64 bits as the chips send them, see :mod:`ptychodask.readers.medipix`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from .frames import Frames, Part, as_stored, scanned, whole_frames
from .medipix import CHIP, Raw
from .reader import About, Asked, Reader

BEGIN = 768
TYPES = {"U01": ">u1", "U08": ">u1", "U8": ">u1", "U16": ">u2", "U32": ">u4", "U64": ">u8"}
BITS = (1, 6, 12, 24)
NOTE = "rows are as in the file, as LiberTEM and py4DSTEM have them; rosettasciio flips them: --flip does that"


@dataclass(frozen=True)
class Header:
    """Of a frame."""

    number: int
    length: int
    chips: int
    width: int
    height: int
    kind: str
    layout: str
    bits: int | None
    """Depth of the counter."""

    @classmethod
    def of(cls, path: Path) -> Header:
        """That of a file's first frame."""
        with path.open("rb") as file:
            text = file.read(BEGIN).decode("latin1")
        words = [word.strip() for word in text.split("\0")[0].split(",")]
        try:
            number, length, chips, width, height = (int(word) for word in words[1:6])
            kind, layout = words[6].upper(), words[7].lower()
        except (ValueError, IndexError):
            raise InputError(f"{path} does not begin with the header of a Merlin frame: copy it again") from None
        if not text.startswith("MQ1") or min(length, chips, width, height) < 1 or kind not in (*TYPES, "R64"):
            raise InputError(
                f"{path} has a Merlin header that is not known ({text[:60]!r}): give MQ1 and {', '.join(TYPES)}, R64"
            )
        # MQ1A, a time, nanoseconds, bits
        after = words[words.index("MQ1A") + 1 :] if "MQ1A" in words else []
        bits = next((int(word) for word in after if word.isdigit() and int(word) in BITS), None)
        return cls(number, length, chips, width, height, kind, layout, bits)


def merlin_sure(path: Path, begin: bytes) -> float:
    """How sure it is that a file is one, or the ``.hdr`` of one."""
    if path.suffix.lower() == ".hdr":
        return 0.9 if begin.startswith(b"HDR,") else 0.0
    return 0.9 if begin.startswith(b"MQ1,") else 0.3 * (path.suffix.lower() == ".mib")


def read_merlin(path: Path, asked: Asked) -> Reader:
    """The frames of a ``.mib`` file, or of the series of files that a ``.hdr`` file describes."""
    described = _described(path)
    files = _files(path, described)
    header = Header.of(files[0])
    depth = header.bits or _number(described, "Counter Depth")
    layout = _layout(files[0], header, depth)
    used = header.length + layout.stored.itemsize
    counted: list[Part] = []
    rest = 0
    for file in files:
        if rest:  # of the file before: what follows would be at other positions
            raise InputError(f"{counted[-1].path} ends within a frame, {rest} bytes after the last: copy it again")
        number, rest = whole_frames(file, 0, used, used)
        counted.append(Part(file, number))
    most = None if depth in (None, 1) else float(2**depth - 1)
    facts: dict[str, Any] = {}
    about = About(facts, (NOTE,), "electron", most)
    frames = Frames(tuple(counted), used, header.length, layout.stored, layout.pattern, layout.dtype,
                    layout.decode, about=about)  # fmt: skip
    x, y = _number(described, "ScanX"), _number(described, "ScanY")
    return scanned(frames, asked, (y, x) if x and y else None, rest)


@dataclass(frozen=True)
class _Stored:
    stored: np.dtype
    pattern: tuple[int, int]
    dtype: np.dtype
    decode: Any


def _layout(path: Path, header: Header, depth: int | None) -> _Stored:
    """How the values of a frame lie, and what they become."""
    if header.kind != "R64":
        kind, shape = np.dtype(TYPES[header.kind]), (header.height, header.width)
        return _Stored(np.dtype((kind, shape)), shape, kind.newbyteorder("="), as_stored)
    if depth not in BITS:
        raise InputError(f"{path} is raw with a counter of {depth} bits: {', '.join(map(str, BITS))} are read")
    if header.chips not in (1, 4) or header.width != CHIP * header.chips:
        raise InputError(
            f"{path} is raw of {header.chips} chips, {header.width} x {header.height}: one chip of {CHIP} columns or"
            " four are read"
        )
    raw = Raw(depth, header.chips, header.height)
    return _Stored(np.dtype((np.uint8, (raw.bytes,))), raw.pattern, raw.dtype, partial(_decoded, raw))


def _decoded(raw: Raw, values: np.ndarray, _: np.ndarray) -> np.ndarray:
    return raw.decode(values)


def _described(path: Path) -> dict[str, str]:
    """Names and values of the ``.hdr`` file, if there is one."""
    hdr = path if path.suffix.lower() == ".hdr" else path.with_suffix(".hdr")
    if not hdr.is_file():
        hdr = path.with_name(f"{re.sub(r'_?[0-9]+$', '', path.stem)}.hdr")
    if not hdr.is_file():
        return {}
    lines = hdr.read_text(encoding="latin1").splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _number(described: dict[str, str], name: str) -> int:
    """The whole number of that name, or 0."""
    found = next((value for key, value in described.items() if key.startswith(name)), "")
    return int(found) if found.isdigit() else 0


def _files(path: Path, described: dict[str, str]) -> list[Path]:
    """The file, or all files of its series in their order: numbered ones that share a ``.hdr`` without a number."""
    single = path.with_suffix(".mib") if path.suffix.lower() == ".hdr" else path
    ends = re.fullmatch(r"(.*?)_?\d+", single.stem)
    if single.is_file() and (not described or not ends or single.with_suffix(".hdr").is_file()):
        return [single]
    series = ends[1] if single.is_file() and ends else path.stem
    numbered = re.compile(re.escape(series) + r"_?(\d+)\.mib", re.IGNORECASE)
    found = [(int(match[1]), file) for file in path.parent.iterdir() if (match := numbered.fullmatch(file.name))]
    if not found:
        raise InputError(f"{path} describes frames that are not beside it: put {path.stem}.mib or its series there")
    return [file for _, file in sorted(found)]
