"""EMPAD-G2: frames of 128 x 128 words of 32 bits, which become ADU with the tables of the sensor; or processed ones.

Bits 0 to 13 of a word are the analog value, bits 14 to 29 a digital count, bit 31 says that the gain was low. With the
tables of the pixels, for even columns of the scan (A) and odd ones (B)::

    ADU = (G1 (analog - B2) where the gain was low, else analog) + G2 digital

less the mean of a dark scan, which has to be taken the same way, times the flat field FF. Bit 30 is never set: where it
is, the file holds processed values in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from .._errors import InputError
from .._tables import counted
from .empad import named_fits, named_scan
from .frames import Frames, Part, as_stored, scanned, whole_frames
from .reader import About, Asked, Reader

SIDE = 128
STORED = np.dtype(("<u4", (SIDE, SIDE)))
ANALOG, DIGITAL, LOW_GAIN, UNUSED = 0x3FFF, 0xFFFF, 31, 1 << 30
NAMES = ("G1", "G2", "B2", "FF")
NOTE = "rows are as in the file, as py4DSTEM and phaser have them"
TOLD = "give --tables FOLDER with G1A.r32, G1B.r32, G2A, G2B, B2A, B2B, FFA and FFB of the sensor (float32, 128 x 128)"


@dataclass(frozen=True)
class Tables:
    """Of a sensor, each float32 [2, 128, 128]: for even and for odd columns of the scan.

    Parameters
    ----------
    low_gain, digital : array
        ADU per unit of the analog value where the gain was low, and of the digital count.
    offset : array
        Of the analog value where the gain was low.
    flat, dark : array
        Factor at the end, and what is subtracted before it.
    """

    low_gain: np.ndarray
    digital: np.ndarray
    offset: np.ndarray
    flat: np.ndarray
    dark: np.ndarray

    def adu(self, words: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Words [B, 128, 128] of frames in so many columns of the scan, as ADU in float32."""
        odd = columns % 2
        analog = (words & ANALOG).astype(np.float32)
        low = (words >> LOW_GAIN).astype(bool)
        values = np.where(low, self.low_gain[odd] * (analog - self.offset[odd]), analog)
        values += self.digital[odd] * ((words >> 14) & DIGITAL)
        return (values - self.dark[odd]) * self.flat[odd]


def empad_g2_sure(path: Path, begin: bytes) -> float:
    """How sure it is that a file is one: its size is that of frames without further rows."""
    size = path.stat().st_size
    if path.suffix.lower() != ".raw" or size == 0 or size % STORED.itemsize:
        return 0.0
    return 0.5 + named_fits(path, STORED.itemsize)


def read_empad_g2(path: Path, asked: Asked) -> Reader:
    """A scan, raw with the tables of the sensor, or processed."""
    frames, rest = whole_frames(path, 0, STORED.itemsize, STORED.itemsize)
    first = np.fromfile(path, "<u4", SIDE * SIDE)
    processed = bool((first & UNUSED).any())
    notes = [NOTE]
    if processed:
        notes.append("the values are processed ones in float32, not words of the sensor")
        stored, decode = np.dtype(("<f4", (SIDE, SIDE))), as_stored
    else:
        if asked.tables is None:
            raise InputError(f"{path} holds words of an EMPAD-G2, which are no ADU yet: {TOLD}")
        if asked.dark is None:
            notes.append("no dark scan is subtracted: give --dark FILE, a scan without beam")
        told = [path for path in (asked.tables, asked.dark) if path is not None]
        tables = _tables(asked.tables, asked.dark, tuple(map(_changed, told)))
        notes.append("an offset that all pixels of a frame share is not removed")
        stored, decode = STORED, partial(_decoded, tables)
    found = Frames((Part(path, frames),), STORED.itemsize, 0, stored, (SIDE, SIDE), np.dtype(np.float32), decode,
                   about=About(notes=tuple(notes), unit="ADU"))  # fmt: skip
    return scanned(found, asked, named_scan(path), rest)


def _decoded(tables: Tables, words: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return tables.adu(words, columns)


@lru_cache(maxsize=2)  # a dark scan is read once by a process, not for every part of a scan
def _tables(folder: Path, dark: Path | None, changed: tuple[int, ...]) -> Tables:
    """From the files of a folder, and a dark scan, as they are since they were ``changed``."""
    low_gain, digital, offset, flat = (
        np.stack([_table(folder, f"{name}{half}") for half in ("A", "B")]) for name in NAMES
    )
    none = np.zeros_like(flat)
    tables = Tables(low_gain, digital, offset, flat, none)
    if dark is None:
        return tables
    frames, _ = whole_frames(dark, 0, STORED.itemsize, STORED.itemsize)
    width = (named_scan(dark) or (0, 2))[1]
    total, number = none.astype(np.float64), np.zeros(2)
    raw = Tables(low_gain, digital, offset, np.ones_like(flat), none)
    with dark.open("rb") as file:
        for frame in range(frames):
            words = np.frombuffer(file.read(STORED.itemsize), "<u4").reshape(1, SIDE, SIDE)
            odd = frame % width % 2
            total[odd] += raw.adu(words, np.array([odd]))[0]
            number[odd] += 1
    if not number.all():
        raise InputError(f"{dark} holds {counted(frames, 'frame')}: give a dark scan of two columns at least")
    mean = (total / number[:, None, None]).astype(np.float32)
    return Tables(low_gain, digital, offset, flat, mean)


def _changed(path: Path) -> int:
    """When it was, or the newest file in it."""
    if not path.exists():
        raise InputError(f"{path} is not there: {TOLD}")
    return max(file.stat().st_mtime_ns for file in (path, *(path.iterdir() if path.is_dir() else ())))


def _table(folder: Path, name: str) -> np.ndarray:
    path = folder / f"{name}.r32"
    try:
        return np.fromfile(path, "<f4", SIDE * SIDE).reshape(SIDE, SIDE)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no table of 128 x 128 float32 ({type(error).__name__}): {TOLD}") from None
