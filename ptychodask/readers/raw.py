"""Raw frames: values of one type without a description, with bytes before the first and between two of them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from .._errors import InputError
from .frames import plain_frames, scanned
from .reader import About, Asked, Reader


def read_raw(path: Path, asked: Asked) -> Reader:
    """Frames of the type, offset and gap that a person gives; their side from the scan, where it is not given.

    Raises
    ------
    InputError
        If there is no such type, the offset is beyond the end of the file, or its size fits no square frames.
    """
    dtype = type_of(path, asked)
    size = path.stat().st_size
    if 0 < size <= asked.offset and asked.growing is None:
        raise InputError(f"--offset {asked.offset} is beyond the end of {path}, which has {size} bytes: give less")
    shape = asked.detector or _square(path, asked, dtype)
    frames, rest = plain_frames(path, asked.offset, asked.gap, dtype, shape, About())
    return scanned(frames, asked, None, rest)


def type_of(path: Path, asked: Asked) -> np.dtype:
    """The type of the values; the file need not be there yet.

    Raises
    ------
    InputError
        If there is no such type, or less is said than a file that grows needs.
    """
    if asked.dtype is None:
        raise InputError(f"{path} is raw: give --dtype (<u2, float32, ...), and --scan Y X")
    try:
        dtype = np.dtype(asked.dtype)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "biuf":
        raise InputError(f"--dtype {asked.dtype}: give a type of real numbers as NumPy writes it, <u2 or float32")
    if asked.growing is not None and asked.detector is None:
        raise InputError(f"{path} is raw and still grows: give the pixels of a frame with --detector KY KX")
    return dtype


def _square(path: Path, asked: Asked, dtype: np.dtype) -> tuple[int, int]:
    """The side of square frames, such that the scan fills the file."""
    if asked.scan is None:
        raise InputError(f"{path} is raw: give --scan Y X, or the pixels of a frame with --detector KY KX")
    room = path.stat().st_size - asked.offset
    frames = math.prod(asked.scan)
    for last in (asked.gap, 0):  # a gap after the last frame may be there or not
        pixels, over = divmod(room + asked.gap - last, frames)
        side = math.isqrt(max(0, pixels - asked.gap) // dtype.itemsize)
        if not over and side and side * side * dtype.itemsize + asked.gap == pixels:
            return side, side
    raise InputError(
        f"{path} has {room} bytes after the offset, which are not {frames} square frames of {dtype} with gaps of"
        f" {asked.gap}: check --scan, --dtype, --offset and --gap, or give the pixels of a frame with --detector KY KX;"
        " where the file ends too early copy it again, or take what is there with --detector and --allow-partial"
    )
