"""A look at some frames before any work: are these counts, and did the detector see electrons?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._errors import InputError
from ..._tables import counted
from ...counts.badpixels import bad_pixels
from ...readers.counted import Counted
from .unit import check_unit, sample

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
    hot : bool array [N, N]
        Pixels that are hot, where that was asked for.
    """

    frames: int
    electrons: float
    saturated: np.ndarray
    hot: np.ndarray


def look(counted_file: Counted, used: np.ndarray, mask_saturated: bool, mask_bad: bool = False) -> Looked:
    """Look at some frames.

    Parameters
    ----------
    counted_file : Counted
    used : bool array [N, N]
        Pixels that count.
    mask_saturated : bool
        Are pixels at the detector's limit to be left out?
    mask_bad : bool
        Are hot pixels looked for?

    Raises
    ------
    InputError
        If values are no counts, all of them are 0, or some are at the detector's limit: what to do.
    """
    values = sample(counted_file, FRAMES)
    check_unit(counted_file, values[:, used])
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
    seen = np.where(left, counted_file.electrons(values), 0).clip(0)
    hot = bad_pixels(seen.sum(axis=0, dtype=np.float64), left)[0] if mask_bad else np.zeros_like(used)
    electrons = seen[:, left & ~hot]
    if not (electrons > 0).any():
        raise InputError(
            f"all of the {len(values)} frames looked at hold no electrons (largest value {values[:, left].max():g},"
            f" gain {counted_file.gain or 1:g}): wrong file, a blanked beam, or a gain that is too large"
        )
    return Looked(len(values), float(electrons.sum(dtype=np.float64) / len(values)), saturated, hot)


def saturation(counted_file: Counted) -> float | None:
    """Value at which electrons are lost, None where nobody knows."""
    reader = counted_file.reader
    if reader.about.most is not None:
        return reader.about.most
    kind = reader.dtype
    return float(np.iinfo(kind).max) if kind.kind in "iu" else None
