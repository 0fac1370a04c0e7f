"""Words of Timepix3, written from the description of the format."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def hit(tick: int, y: int, x: int) -> int:
    """The word of a hit."""
    arrival, fine = -(-tick // 16), -tick % 16
    address = (x // 2) << 9 | (y // 4) << 3 | (x % 2) << 2 | y % 4
    return 0xB << 60 | address << 44 | (arrival & 0x3FFF) << 30 | 5 << 20 | fine << 16 | arrival >> 14 & 0xFFFF


def edge(tick: int) -> int:
    return 0x6F << 56 | (tick // 2 & 0x7FFFFFFFF) << 9


def write(path: Path, chunks: list[tuple[int, list[int]]]) -> Path:
    words = [word for chip, body in chunks
             for word in (len(body) * 8 << 48 | chip << 32 | int.from_bytes(b"TPX3", "little"), *body)]  # fmt: skip
    np.array(words, "<u8").tofile(path)
    return path
