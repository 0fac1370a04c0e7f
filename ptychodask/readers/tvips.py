"""TVIPS ``.tvips``: frames of a camera with a header before each, in one file or in a series ``_000``, ``_001``, ..."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from .._errors import InputError
from .frames import Frames, Part, as_stored, scanned, whole_frames
from .reader import About, Asked, Reader

NAMES = ("size", "version", "nx", "ny", "bits", "left", "top", "bin_x", "bin_y", "pixel", "kv", "length", "before")
"""Words of the first file's header."""
BEFORE = {1: 12}
"""Bytes before a frame, by version; the second says it."""


def read_tvips(path: Path, asked: Asked) -> Reader:
    """The frames of all files of a series; which of them belong to the scan, the file does not say."""
    files = _series(path)
    words = np.fromfile(files[0], "<u4", len(NAMES))
    header = dict(zip(NAMES, (int(word) for word in words), strict=False))
    if len(words) < len(NAMES) or header["version"] not in (1, 2) or header["bits"] not in (8, 16) or not header["nx"]:
        raise InputError(
            f"{files[0]} has no header of TVIPS that is known (versions 1 and 2, 8 and 16 bits): copy it again"
        )
    before = BEFORE.get(header["version"], header["before"])
    stored = np.dtype((f"<u{header['bits'] // 8}", (header["ny"], header["nx"])))
    stride, rest = before + stored.itemsize, 0
    parts: list[Part] = []
    for file in files:
        if rest:
            raise InputError(f"{parts[-1].path} ends within a frame, {rest} bytes after the last: copy it again")
        first = 0 if parts else header["size"]
        number, rest = whole_frames(file, first, stride, stride)
        parts.append(Part(file, number, first))
    kv = header["kv"]
    facts = {"energy_ev": float(kv * 1e3 if kv < 1e4 else kv)} if kv else {}  # volts in newer files
    about = About(facts, ("values are those of a camera, not electrons",), "ADU")
    frames = Frames(tuple(parts), stride, before, stored, (header["ny"], header["nx"]), stored.base, as_stored,
                    about=about)  # fmt: skip
    return scanned(frames, asked, None, rest)


def _series(path: Path) -> list[Path]:
    """All files of a series, from its first."""
    match = re.fullmatch(r"(.*_)(\d{3})", path.stem)
    if not match:
        return [path]
    if int(match[2]):
        raise InputError(f"{path} is not the first of its series: give {match[1]}000{path.suffix}")
    numbers = range(1000)
    files = [path.with_name(f"{match[1]}{number:03d}{path.suffix}") for number in numbers]
    return files[: next((number for number in numbers if not files[number].is_file()), len(files))]
