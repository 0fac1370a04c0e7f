"""Timepix3 ``.tpx3``: hits of pixels, counted by the scan position in whose time they fall (see ``hits``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .._errors import InputError
from .._tables import counted
from .growing_hits import growing_events
from .hits import PER_US, Block, Index, events_of, indexed
from .reader import Asked, Reader
from .scans import SHOWN, fitting_scans


def read_timepix3(path: Path, asked: Asked) -> Reader:
    """The hits of a scan, by what marks its positions: a TDC edge for each, for each line, or the dwell time alone."""
    index = indexed(path, Index(), asked.allow_partial or asked.growing is not None)
    if asked.growing is not None:
        return growing_events(path, index, asked, False)[0]
    if not index.blocks:
        raise InputError(f"{path} holds no hits: copy it again, or a blanked beam")
    starts, length = timing(path, asked, index.edges, list(index.blocks))
    assert asked.scan is not None
    return events_of(path, index, asked.scan, starts, length)


def timing(path: Path, asked: Asked, marks: np.ndarray, blocks: list[Block]) -> tuple[np.ndarray, float]:
    """Times at which positions begin, and how long each takes."""
    told = f"{counted(len(marks), 'mark')} of a TDC"
    if asked.scan is None:
        fit = ", ".join(f"{y} {x}" for y, x in fitting_scans(len(marks))[:SHOWN]) if len(marks) else "as it was taken"
        raise InputError(f"{path} holds {told} and does not say its scan: give --scan Y X (scan_shape), {fit}")
    (y, x), dwell = asked.scan, asked.dwell_us
    first, last = min(block.ticks[0] for block in blocks), max(block.ticks[1] for block in blocks)
    if len(marks) == y * x and len(marks) > 1:
        return marks, dwell * PER_US if dwell else float(np.diff(marks).max())
    if dwell is None:
        raise InputError(
            f"{path} holds {told}, not one for each of {y} x {x} positions: give --dwell (us per position; dwell_us)"
        )
    if len(marks) not in (0, y):
        raise InputError(
            f"{path} holds {told}, neither one for each of {y} rows nor for each of {y * x}"
            " positions: give another --scan Y X (scan_shape)"
        )
    starts, length = (marks, dwell * PER_US) if len(marks) else (np.array([first]), dwell * PER_US)
    end = starts[-1] + (y * x // len(starts) - 1) * length
    if last < end and not asked.allow_partial:
        raise InputError(
            f"{path} ends {(end - last) / PER_US:.6g} us before the last of {y} x {x} positions of {dwell:g} us: copy"
            " it again, give another --scan or --dwell, or --allow-partial"
        )
    return starts, length
