"""phaser's description of a scan: a JSON file that names the raw file beside it, EMPAD frames or frames of 128 rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from .empad import SIDE, STORED, image
from .frames import Frames, Part, as_stored, scanned, whole_frames
from .reader import About, Asked, Reader

METRE = 1e10
"""In angstrom."""
FLIPS = {1: [True, False, False], 2: [False, False, False]}
"""Rows, columns, transposed: what phaser does with patterns by default, by the version of the detector."""
UNUSED = {
    "scan_positions": "positions",
    "scan_correction": "a correction of the scan",
    "crop": "a region of the scan that is valid",
    "scan_rotation": "a rotation of the scan in degrees",
}
MOST = 2**24
"""Bytes of a description."""


def phaser_sure(path: Path, begin: bytes) -> float:
    """How sure it is that a file is one."""
    if path.suffix.lower() != ".json" or path.stat().st_size > MOST:
        return 0.0
    return 0.9 if b'"raw_filename"' in path.read_bytes() else 0.0


def read_phaser(path: Path, asked: Asked) -> Reader:
    """The scan that a description names, with its calibration."""
    said = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(said, dict) or not isinstance(said.get("raw_filename"), str):
        raise InputError(f"{path} names no raw_filename: give the description that phaser wrote, or the raw file")
    raw = path.parent / said["raw_filename"]
    if not raw.is_file():
        raise InputError(f"{path} names the raw file {said['raw_filename']!r}, which is not beside it: put it there")
    version = said.get("empad_version") or 1
    stored = STORED if version == 1 else np.dtype(("<f4", (SIDE, SIDE)))
    number, rest = whole_frames(raw, 0, stored.itemsize, stored.itemsize)
    about = About(_facts(path, said), tuple(_notes(said, version)), "ADU")
    decode = image if version == 1 else as_stored
    frames = Frames((Part(raw, number),), stored.itemsize, 0, stored, (SIDE, SIDE), np.dtype(np.float32), decode,
                    about=about)  # fmt: skip
    scan = _numbers(path, said, "scan_shape", 2)
    return scanned(frames, asked, (int(scan[1]), int(scan[0])) if scan else None, rest)


def _facts(path: Path, said: dict[str, Any]) -> dict[str, Any]:
    """In our units: V, mrad, angstrom; of phaser's pairs x is first, and its overfocus is positive."""
    facts: dict[str, Any] = {}
    names = {
        "voltage": "energy_ev",
        "conv_angle": "semi_angle_mrad",
        "diff_step": "angular_step_mrad",
        "adu": "gain_adu",
    }
    for theirs, ours in names.items():
        if value := _numbers(path, said, theirs, 1):
            facts[ours] = value[0]
    if step := _numbers(path, said, "scan_step", 2):
        facts["scan_step_angstrom"] = [step[1] * METRE, step[0] * METRE]
    if defocus := _numbers(path, said, "defocus", 1):
        facts["defocus_angstrom"] = 0.0 - defocus[0] * METRE
    return facts


def _notes(said: dict[str, Any], version: int) -> list[str]:
    flips = list(said.get("det_flips") or FLIPS.get(version, FLIPS[2]))
    words = {(True, False, False): "--flip", (False, False, False): "nothing", (False, False, True): "--transpose",
             (True, True, False): "--rotate180", (True, False, True): "--flip --transpose",
             (False, True, False): "--flip --rotate180", (False, True, True): "--flip --transpose --rotate180",
             (True, True, True): "--transpose --rotate180"}  # fmt: skip
    how = words.get(tuple(map(bool, flips)), "another turn")  # type: ignore[arg-type]
    notes = [f"rows are as in the file; phaser takes these patterns as {how} does (det_flips {flips})"]
    notes += [f"not used: {what} ({name})" for name, what in UNUSED.items() if said.get(name)]
    return notes


def _numbers(path: Path, said: dict[str, Any], name: str, number: int) -> list[float]:
    """So many numbers of a name, or none where nothing is said."""
    value = said.get(name)
    if value is None:
        return []
    values = value if isinstance(value, list) else [value]
    if len(values) != number or not all(
        isinstance(part, int | float) and not isinstance(part, bool) for part in values
    ):
        raise InputError(
            f"{path} says {name} = {value!r:.60}: {number} {'number is' if number == 1 else 'numbers are'} read"
        )
    return [float(part) for part in values]
