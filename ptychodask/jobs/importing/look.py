"""A look at some frames before any work: are these counts, and did the detector see electrons?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._errors import InputError
from ..._tables import counted
from ...counts.badpixels import bad_pixels
from ...counts.electrons import Levels, fit_levels
from ...counts.unit import no_counts
from ...readers.counted import Counted

FRAMES = 16
"""That are looked at, spread over the scan."""
COUNTED, COUNTED_BYTES = 64, 2**28
"""And those to which peaks are fitted, at most so many bytes of them."""
COME_AND_GO = 0.3
"""Variance in a pixel over its mean, in gains: 1 for electrons."""
FEW_EMPTY = 0.01
"""Part of the values that are exactly 0, below which electrons may stand on a pedestal."""
MANY_EMPTY = 0.3
"""Part of the values that are exactly 0, above which whole numbers are counts."""
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


def levels_of(counted_file: Counted, used: np.ndarray) -> Levels:
    """The levels of electrons in some frames of a file whose values are measured.

    Pixels that are bright more often than their neighbours take no part.

    Raises
    ------
    InputError
        If the values are counts already, or have no peaks of electrons.
    """
    values = _sample(counted_file, max(8, min(COUNTED, COUNTED_BYTES // (4 * counted_file.pixels**2))))
    raw = values[:, used]
    if raw.dtype.kind in "iub" and not (raw < 0).any() and (raw == 0).mean() > MANY_EMPTY and not no_counts(raw):
        raise InputError(
            f"count = True (--count), but the values are counts already: {100 * (raw == 0).mean():.3g} % of them are"
            " exactly 0, and none is below; leave it out"
        )
    values = counted_file.corrected(values).astype(np.float32)
    level = float(np.median(values[:, used]))
    noise = 1.4826 * float(np.median(abs(values[:, used] - level)))
    often = (values > level + 5 * noise).sum(axis=0, dtype=np.float64)
    values = values[:, used & ~bad_pixels(often, used)[0]]
    levels = fit_levels(values)
    # electrons come and go in a pixel; what differs from pixel to pixel only is a picture
    means = values.mean(axis=0, dtype=np.float64) - levels.zero
    changes = values.var(axis=0, ddof=1, dtype=np.float64) - levels.noise**2
    if changes.sum() < COME_AND_GO * levels.gain * means.sum():
        raise InputError(
            f"the values have peaks {levels.gain:.4g} apart, but hardly change from frame to frame: these are no single"
            " electrons; give --gain (ADU per electron) to divide and round"
        )
    return levels


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
    values = _sample(counted_file, FRAMES)
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


def _sample(counted_file: Counted, frames: int) -> np.ndarray:
    """Frames [B, N, N] from all over the scan; of files that are read in their order, from the first row."""
    (height, width), about = counted_file.shape[:2], counted_file.reader.about
    there = (1 if about.in_order else height) * width - (0 if about.in_order else about.missing)
    chosen = np.unique(np.linspace(0, there - 1, min(frames, there)).round().astype(int))
    rows, columns = counted_file.reader.chunk
    if columns >= width:  # rows are unpacked whole: what is stored together in the middle, for all of its frames
        y = int(chosen[len(chosen) // 2]) // width // rows * rows
        patterns = counted_file[y : y + rows, :].reshape(-1, *counted_file.shape[2:])
        return patterns[np.unique(np.linspace(0, len(patterns) - 1, min(frames, len(patterns))).round().astype(int))]
    places = [divmod(int(frame), width) for frame in chosen]
    return np.stack([counted_file[y : y + 1, x : x + 1][0, 0] for y, x in places])


def _units(counted_file: Counted, values: np.ndarray) -> None:
    """Refuse what is not counted in electrons."""
    if counted_file.measured:
        return
    about, kind = counted_file.reader.about, values.dtype.kind
    if about.unit == "ADU":
        raise InputError(
            "the values are ADU, not electrons: give --gain (ADU per electron: the first peak of the histogram above"
            f" 0), or --gain 1 if they were converted already{_peaks(counted_file)}"
        )
    if kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all()):
        odd = values[~(values == np.rint(values))][0]
        raise InputError(
            f"the values are no whole numbers ({odd:.6g}), so they are not counts: give --gain (ADU per"
            f" electron){_peaks(counted_file)}"
        )
    if kind in "if" and values.size and values.min() < 0:
        raise InputError(
            f"values as low as {values.min():g} are no counts: give --gain (ADU per electron), negative noise becomes"
            f" 0{_peaks(counted_file)}"
        )
    if about.unit == "electron":
        return
    why, peaks = no_counts(values), ""
    if why or (values == 0).mean() < FEW_EMPTY:
        peaks = _peaks(counted_file)
    if why or peaks:
        why = why or "no pixel is empty, and there are peaks as of electrons on a pedestal: give --gain after --dark"
        raise InputError(f"the whole numbers are no counts, {why}{peaks}; --gain 1 takes them as counts")


def _peaks(counted_file: Counted) -> str:
    """What a fit to the values of the used pixels would find, as the end of a line; nothing where it finds nothing."""
    try:
        levels = levels_of(counted_file, counted_file.used)
    except InputError:
        return ""
    return (
        f"; or --count, which finds {levels.gain:.4g} ADU per electron, {levels.separation:.3g} times the noise, and"
        f" would mis-count {100 * levels.miscounted:.2g} % of them"
    )
