"""Arguments of an import, checked before the file is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ... import _arguments as arguments
from ..._errors import InputError
from ...readers.counted import Frame
from ...readers.reader import Asked


def asked_of(
    scan: Any,
    dataset: Any,
    dtype: Any,
    offset: Any,
    gap: Any,
    detector: Any,
    tables: Any,
    dark: Any,
    dwell: Any,
    partial: Any,
) -> Asked:
    """What is asked of the file, checked."""
    return Asked(
        scan=None if scan is None else arguments.whole_pair(scan, "scan_shape", "positions (y, x)"),
        inside="" if dataset is None else arguments.text(dataset, "dataset", "the name of an array in the file"),
        dtype=None if dtype is None else arguments.text(str(dtype), "dtype", "a type, as <u2"),
        offset=arguments.whole(offset, "offset", "bytes before the first frame", 0),
        gap=arguments.whole(gap, "gap", "bytes between two frames", 0),
        detector=None if detector is None else arguments.whole_pair(detector, "detector_shape", "pixels (ky, kx)"),
        tables=None if tables is None else arguments.path(tables, "tables").absolute(),
        dark=None if dark is None else arguments.path(dark, "dark").absolute(),
        dwell_us=None if dwell is None else arguments.number(dwell, "dwell_us", "microseconds per position", above=0),
        allow_partial=arguments.switch(partial, "allow_partial"),
    )


def frame_asked(crop: Any, bin: Any, pad: Any, longest: int) -> Frame:
    """What is kept of a detector whose longer side is ``longest``, checked."""
    if crop is not None:
        crop = arguments.whole(crop, "crop", "the side in pixels of what is kept of the detector", 8, longest)
    joined = arguments.whole(bin, "bin", "pixels along each axis that become one", 1, max(1, longest // 8))
    frame = Frame(crop, joined)
    if pad is None:
        return frame
    least = frame.side(longest)
    padded = arguments.whole(pad, "pad", "the side of the patterns, even", least, 8192)
    if padded % 2:
        raise InputError(f"pad = {padded}: the side of the patterns must be even, give {padded + 1}")
    return Frame(crop, joined, padded)


def frame_of(given: Any, name: str, shape: tuple[int, int]) -> np.ndarray | None:
    """A frame (ky, kx), the mean of frames (..., ky, kx), or that of what the .npy file of that path holds."""
    if given is None:
        return None
    told = f"give a .npy file or an array of frames (..., {shape[0]}, {shape[1]}), whose mean is taken"
    if isinstance(given, str | Path):
        try:
            values = np.load(arguments.path(given, name), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{name} = {arguments.shown(str(given))} cannot be read ({error}): {told}") from None
    else:
        values = np.asarray(given)
    if values.dtype.kind not in "biuf" or values.shape[-2:] != shape or values.size == 0:
        raise InputError(f"{name} holds {values.dtype} of shape {values.shape}: {told}")
    return values.mean(axis=tuple(range(values.ndim - 2)), dtype=np.float64) if values.ndim > 2 else values.astype("f8")


def mask_of(given: Any) -> Any:
    """A mask, or what the .npy file of that path holds."""
    if not isinstance(given, str | Path):
        return given
    try:
        return np.load(given, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"mask {given} cannot be read ({error}): give a .npy file of (ky, kx), non-zero for use"
        ) from None
