"""A look at some frames before any work: are these counts, and did the detector see electrons?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._errors import InputError
from ..._tables import counted
from ...readers.counted import Counted

FRAMES = 16
"""That are looked at, spread over the scan."""
SATURATED = 1e-4
"""Part of the pixels that are at the detector's limit in a frame: more is no cosmic ray."""


@dataclass(frozen=True)
class Looked:
    """What some frames show.

    Parameters
    ----------
    frames : int
        That were looked at.
    electrons : float
        In their mean.
    saturated : bool array [N, N]
        Pixels at the detector's limit in any of them.
    """

    frames: int
    electrons: float
    saturated: np.ndarray


def look(counted_file: Counted, used: np.ndarray, mask_saturated: bool) -> Looked:
    """Look at some frames.

    Parameters
    ----------
    counted_file : Counted
    used : bool array [N, N]
        Pixels that count.
    mask_saturated : bool
        Are pixels at the detector's limit to be left out?

    Raises
    ------
    InputError
        If values are no counts, all of them are 0, or some are at the detector's limit: what to do.
    """
    values = _sample(counted_file)
    _units(counted_file, values[:, used])
    limit = saturation(counted_file)
    saturated = np.zeros(used.shape, bool) if limit is None else (values >= limit).any(axis=0) & used
    left = used & ~saturated if mask_saturated else used
    if saturated.any() and not mask_saturated:
        frames = int((values >= limit)[:, used].any(axis=1).sum())
        raise InputError(
            f"{counted(int(saturated.sum()), 'pixel')} of {frames} of the {len(values)} frames looked at hold"
            f" {limit:g}, the most that can be stored: electrons were lost there, or the pixels are dead;"
            " --mask-saturated leaves them out, or take the data with less beam"
        )
    if not left.any():
        raise InputError("no pixel is left to use: every one is masked or saturated")
    electrons = counted_file.electrons(values[:, left].astype(np.float64))
    if not (electrons > 0).any():
        raise InputError(
            f"all of the {len(values)} frames looked at hold no electrons (largest value {values[:, left].max():g},"
            f" gain {counted_file.gain or 1:g}): wrong file, a blanked beam, or a gain that is too large"
        )
    return Looked(len(values), float(electrons.clip(0).sum() / len(values)), saturated)


def saturation(counted_file: Counted) -> float | None:
    """Value at which electrons are lost, None where nobody knows."""
    reader = counted_file.reader
    if reader.about.most is not None:
        return reader.about.most
    kind = reader.dtype
    return float(np.iinfo(kind).max) if kind.kind in "iu" else None


def _sample(counted_file: Counted) -> np.ndarray:
    """Frames [B, N, N] from all over the scan; of files that are read in their order, from the first row."""
    (height, width), about = counted_file.shape[:2], counted_file.reader.about
    there = (1 if about.in_order else height) * width - (0 if about.in_order else about.missing)
    chosen = np.unique(np.linspace(0, there - 1, min(FRAMES, there)).round().astype(int))
    rows, columns = counted_file.reader.chunk
    if columns >= width:  # rows are unpacked whole: what is stored together in the middle, for all of its frames
        y = int(chosen[len(chosen) // 2]) // width // rows * rows
        patterns = counted_file[y : y + rows, :].reshape(-1, *counted_file.shape[2:])
        return patterns[np.unique(np.linspace(0, len(patterns) - 1, min(FRAMES, len(patterns))).round().astype(int))]
    places = [divmod(int(frame), width) for frame in chosen]
    return np.stack([counted_file[y : y + 1, x : x + 1][0, 0] for y, x in places])


def _units(counted_file: Counted, values: np.ndarray) -> None:
    """Refuse what is not counted in electrons."""
    if counted_file.gain is not None:
        return
    about, kind = counted_file.reader.about, values.dtype.kind
    if about.unit == "ADU":
        raise InputError(
            "the values are ADU, not electrons: give --gain (ADU per electron: the first peak of the histogram above"
            " 0), or --gain 1 if they were converted already"
        )
    if kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all()):
        odd = values[~(values == np.rint(values))][0]
        raise InputError(
            f"the values are no whole numbers ({odd:.6g}), so they are not counts: give --gain (ADU per electron)"
        )
    if kind in "if" and values.size and values.min() < 0:
        raise InputError(
            f"values as low as {values.min():g} are no counts: give --gain (ADU per electron), negative noise becomes 0"
        )
