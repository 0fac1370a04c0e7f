"""MRC stacks, and the movies of Direct Electron's detectors with the text file that describes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from .frames import Laid, plain_frames, scanned
from .reader import About, Asked, Reader

HEADER = 1024
TYPES = {0: "<i1", 1: "<i2", 2: "<f4", 6: "<u2", 12: "<f2"}
"""Of the values, by mode."""
EXTENDED, STAMP, FLAGS = 23, 38, 39
"""Words of the header: bytes between it and the values; a stamp, and flags that say whether bytes have a sign."""
IMOD = 1146047817
COORDINATES = "scan_coordinates.csv"
"""Of a scan that is not row by row: x and y of every frame."""


def mrc_sure(path: Path, begin: bytes) -> float:
    """How sure it is that a file is one: the letters MAP, or a sensible size and mode."""
    if path.suffix.lower() not in (".mrc", ".mrcs"):
        return 0.0
    return 0.9 if begin[208:211] == b"MAP" else 0.6


def read_mrc(path: Path, asked: Asked) -> Reader:
    """The frames of a stack; what they were taken with is in ``<name>_info.txt`` beside ``<name>_movie.mrc``."""
    words = np.fromfile(path, "<i4", HEADER // 4)
    if len(words) < HEADER // 4 or min(words[:3]) < 1 or words[3] not in TYPES or words[EXTENDED] < 0:
        raise InputError(f"{path} has no header of an MRC stack that is known (modes {', '.join(map(str, TYPES))})")
    nx, ny, nz, mode = (int(word) for word in words[:4])
    signed = words[STAMP] != IMOD or words[FLAGS] & 1
    dtype = np.dtype(TYPES[mode]) if mode or signed else np.dtype("u1")
    info = _info(path)
    about, said = _said(info)
    frames, rest = plain_frames(path, HEADER + int(words[EXTENDED]), 0, dtype, (ny, nx), about)
    held = frames.files[0].frames
    if (order := info.get("Scan - Type", "Raster")) != "Raster":
        number = None if asked.scan is not None else _raster_of(path, held)
        if number is None and asked.scan is None:
            raise InputError(
                f"{path} is a scan in the order {order!r}, not row by row, and no {_beside(path, COORDINATES).name}"
                f" beside it names every position of a raster once: --scan Y X takes its {nz} frames as rows"
                " nevertheless"
            )
        how = "its frames are taken as rows" if number is None else f"frames are where {COORDINATES} says"
        about = replace(about, notes=(*about.notes, f"the scan was in the order {order!r}, {how}"))
        if number is not None:
            return Laid(frames, number, about)
        frames = replace(frames, about=about)
    if held < nz and said is None and asked.scan is None:
        said = (nz, 1)
    return scanned(frames, asked, said, rest if held < nz else 0)


def _beside(path: Path, name: str) -> Path:
    return path.with_name(f"{path.stem.removesuffix('_movie')}_{name}")


def _raster_of(path: Path, frames: int) -> np.ndarray | None:
    """Number of the frame [Y, X] of every position, where a list (x, y for each frame) names all of a raster once."""
    beside = _beside(path, COORDINATES)
    if not beside.is_file():
        return None
    try:
        listed = np.loadtxt(beside, dtype=np.int64, delimiter=",", ndmin=2, max_rows=frames + 1)
    except ValueError:
        return None
    if listed.shape != (frames, 2):
        return None
    listed = listed - listed.min(axis=0)
    width, height = (int(n) + 1 for n in listed.max(axis=0))
    if width * height != frames:
        return None
    number = np.full((height, width), -1, np.int64)
    number[listed[:, 1], listed[:, 0]] = np.arange(frames)
    return None if (number < 0).any() else number


def _info(path: Path) -> dict[str, str]:
    """Names and values of the text file, if there is one."""
    beside = _beside(path, "info.txt")
    if not beside.is_file():
        return {}
    lines = beside.read_text(encoding="utf-8", errors="replace").splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}


def _said(info: dict[str, str]) -> tuple[About, tuple[int, int] | None]:
    """What the text says of the experiment, and the scan (y, x)."""
    facts: dict[str, Any] = {}
    notes = []
    if energy := _number(info, "Instrument Accelerating Voltage (V)"):
        facts["energy_ev"] = energy
    y, x = (_number(info, f"Specimen Pixel Size {axis} (nanometers)") for axis in "YX")
    if y and x:
        facts["scan_step_angstrom"] = [10 * y, 10 * x]
    if pixel := _number(info, "Diffraction Pixel Size X"):
        facts["reciprocal_step_per_angstrom"] = pixel / 10
        notes.append(
            f"a diffraction pixel of {pixel:g} without a unit is taken as 1/nm: --angular-step comes before it"
        )
    counting = info.get("Image Processing - Mode", "").lower().startswith("count")
    if info and not counting and (adu := _number(info, "ADUs Per Electron")):
        notes.append(f"the detector's own calibration is {adu:g} ADU per electron: --gain {adu:g}")
    kind = "ROI " if info.get("Scan - ROI Enable") == "Enable" else ""
    rows, columns = (int(_number(info, f"Scan - {kind}Size {axis}")) for axis in "YX")
    unit = "electron" if counting else "ADU" if info else ""
    return About(facts, tuple(notes), unit), (rows, columns) if rows and columns else None  # type: ignore[arg-type]


def _number(info: dict[str, str], name: str) -> float:
    """The positive number of that name, or 0; -1 stands for what the software does not know."""
    try:
        return max(0.0, float(info.get(name, "")))
    except ValueError:
        return 0.0
