"""NanoMegas blockfile ``.blo``: frames of bytes, six further bytes before each, after a header and an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from .frames import Frames, Part, as_stored, scanned, whole_frames
from .reader import About, Asked, Reader

HEADER = np.dtype(
    [
        ("id", "S6"), ("magic", "<u2"), ("image", "<u4"), ("frames", "<u4"), ("unknown", "<u4"), ("side", "<u2"),
        ("rotation", "<u2"), ("nx", "<u2"), ("ny", "<u2"), ("scan_rotation", "<u2"), ("sx", "<f8"), ("sy", "<f8"),
        ("volt", "<u4"),
    ]
)  # fmt: skip
BEFORE = 6
"""Bytes before every frame: AA 55, and its number."""
MARK = b"\xaa\x55"


def read_blockfile(path: Path, asked: Asked) -> Reader:
    """The frames of a blockfile, bytes of a camera."""
    with path.open("rb") as file:
        content = file.read(HEADER.itemsize)
        if len(content) < HEADER.itemsize or not content.startswith(b"IMGBLO"):
            raise InputError(f"{path} does not begin as a blockfile: copy it again")
        header = np.frombuffer(content, HEADER, 1)[0]
        side, first = int(header["side"]), int(header["frames"])
        file.seek(first)
        if file.read(len(MARK)) not in (MARK, b""):
            raise InputError(f"{path} has no frame at byte {first}, where its header says: copy it again")
    if not side:
        raise InputError(f"{path} says that its frames have no pixels: copy it again")
    facts: dict[str, Any] = {}
    if header["volt"]:
        facts["energy_ev"] = float(header["volt"])
    if header["sx"] > 0 and header["sy"] > 0:  # nanometres
        facts["scan_step_angstrom"] = [float(header["sy"]) * 10, float(header["sx"]) * 10]
    stored = np.dtype((np.uint8, (side, side)))
    stride = BEFORE + stored.itemsize
    number, rest = whole_frames(path, first, stride, stride)
    about = About(facts, ("values are bytes of a camera, not electrons",), "ADU")
    frames = Frames((Part(path, number, first),), stride, BEFORE, stored, (side, side), np.dtype(np.uint8), as_stored,
                    about=about)  # fmt: skip
    return scanned(frames, asked, (int(header["ny"]), int(header["nx"])), rest)
