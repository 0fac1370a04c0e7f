"""TIA ``.ser``: images in a series, each with its calibration before it; ``.emi`` files only describe them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .._errors import InputError
from .frames import Frames, Part, as_stored, scanned, whole_frames
from .reader import About, Asked, Reader

HEADER = np.dtype([("order", "<u2"), ("series", "<u2"), ("version", "<u2"), ("kind", "<u4"), ("tag", "<u4"),
                   ("total", "<u4"), ("valid", "<u4")])  # fmt: skip
MAGIC = b"II\x97\x01"
OLD = 0x210
"""The last version whose offsets take 4 bytes."""
IMAGES = 0x4122
BEFORE = 50
"""Bytes before the values of an image: calibration of both axes, type and sides."""
TYPES = {1: "<u1", 2: "<u2", 3: "<u4", 4: "<i1", 5: "<i2", 6: "<i4", 7: "<f4", 8: "<f8"}
NOTE = "rows are as in the file; rosettasciio flips them: --flip does that"


def read_tia(path: Path, asked: Asked) -> Reader:
    """The images of a ``.ser`` file, or of the one that belongs to an ``.emi`` file."""
    path = _series(path)
    with path.open("rb") as file:
        content = file.read(HEADER.itemsize)
        if len(content) < HEADER.itemsize or not content.startswith(MAGIC):
            raise InputError(f"{path} does not begin as a series of TIA: copy it again")
        header = np.frombuffer(content, HEADER, 1)[0]
        word = np.dtype("<u4" if header["version"] <= OLD else "<u8")
        table = int(np.frombuffer(file.read(word.itemsize), word)[0])
        (dimensions,) = np.frombuffer(file.read(4), "<u4")
        said = [_dimension(file) for _ in range(min(int(dimensions), 8))]
        file.seek(table)
        offsets = np.frombuffer(file.read(word.itemsize * int(header["valid"])), word).astype(np.int64)
        if header["kind"] != IMAGES or len(offsets) < max(1, int(header["valid"])):
            raise InputError(f"{path} holds no series of images, or ends before the table of them: copy it again")
        file.seek(int(offsets[0]) + BEFORE - 10)
        (kind,) = np.frombuffer(file.read(2), "<u2")
        nx, ny = (int(side) for side in np.frombuffer(file.read(8), "<u4"))
    if int(kind) not in TYPES or not nx or not ny:
        raise InputError(f"{path} holds values of type {kind}, {ny} x {nx}: real numbers are read")
    stored = np.dtype((TYPES[int(kind)], (ny, nx)))
    steps = np.unique(np.diff(offsets))
    if len(steps) > 1:
        raise InputError(
            f"{path} holds images at unequal distances ({steps[0]} to {steps[-1]} bytes): write it as .npy"
        )
    stride = int(steps[0]) if len(steps) else BEFORE + stored.itemsize
    there, _ = whole_frames(path, int(offsets[0]), stride, BEFORE + stored.itemsize)
    part = Part(path, min(there, len(offsets)), int(offsets[0]))
    frames = Frames((part,), stride, BEFORE, stored, (ny, nx), stored.base.newbyteorder("="), as_stored,
                    about=About({}, (NOTE,), "ADU"))  # fmt: skip
    return scanned(frames, asked, (said[1], said[0]) if len(said) == 2 else None)


def _dimension(file) -> int:  # type: ignore[no-untyped-def]
    """Length of a dimension of the series, x first; what is said of it is passed over."""
    (size,) = np.frombuffer(file.read(4), "<u4")
    file.read(20)
    for _ in range(2):  # description and units
        (length,) = np.frombuffer(file.read(4), "<u4")
        file.read(int(length))
    return int(size)


def _series(path: Path) -> Path:
    if path.suffix.lower() != ".emi":
        return path
    found = sorted(path.parent.glob(f"{path.stem}_*.ser"))
    if len(found) != 1:
        raise InputError(f"{path} describes {len(found)} series {path.stem}_*.ser beside it: give one of them")
    return found[0]
