"""AdvaPIX TPX3 ``.t3p``: hits of one Timepix3 chip as records of 16 bytes, without marks of a scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .._errors import InputError
from .hits import CHIP, NOTE, WORDS, Block, Events
from .reader import About, Asked, Reader
from .timepix3 import timing

RECORD = np.dtype([("index", "<u4"), ("toa", "<u8"), ("overflow", "u1"), ("ftoa", "u1"), ("tot", "<u2")])
"""Pixel, time of arrival in 25 ns, whether it was lost, fine time in 1.5625 ns that is subtracted, time over threshold
in 25 ns; packed."""


def read_advapix(path: Path, asked: Asked) -> Reader:
    """The hits of a scan, by the dwell time alone."""
    size = path.stat().st_size
    if size == 0:
        raise InputError(f"{path} is empty: copy it again")
    if size % RECORD.itemsize and not asked.allow_partial:
        raise InputError(
            f"{path} ends within a hit, {size % RECORD.itemsize} bytes after the last of"
            f" {size // RECORD.itemsize}: copy it again, or --allow-partial"
        )
    blocks, most = [], size // RECORD.itemsize
    for first in range(0, most, WORDS):
        span = (first, min(first + WORDS, most))
        ticks, y, _ = _hits(path, Block(span, 0, (0, 0)), False)
        if len(y) and y.max() >= CHIP:
            raise InputError(f"{path} has a hit in row {y.max()} of a chip of {CHIP} x {CHIP} pixels: copy it again")
        if len(ticks):
            blocks.append(Block(span, 0, (int(ticks.min()), int(ticks.max()))))
    if not blocks:
        raise InputError(f"{path} holds no hits: copy it again, or a blanked beam")
    starts, length = timing(path, asked, np.zeros(0, np.int64), blocks)
    assert asked.scan is not None
    return Events(path, tuple(blocks), asked.scan, starts, length, False, About({}, (NOTE,), in_order=True), _hits)


def _hits(path: Path, block: Block, quad: bool) -> tuple[np.ndarray, ...]:
    first, end = block.words
    records = np.fromfile(path, RECORD, end - first, offset=first * RECORD.itemsize)
    records = records[records["overflow"] == 0]
    ticks = records["toa"].astype(np.int64) * 16 - records["ftoa"]
    return (ticks, *np.divmod(records["index"].astype(np.int64), CHIP))
