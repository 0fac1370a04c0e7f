"""In what unit are the values of a file: electrons, or what a detector measured of them, and how is that counted?"""

from __future__ import annotations

import numpy as np

from ..._errors import InputError
from ..._tables import counted
from ...counts.badpixels import bad_pixels
from ...counts.electrons import Levels, fit_levels
from ...counts.unit import no_counts
from ...readers.counted import Counted

COUNTED, COUNTED_BYTES = 64, 2**28
"""Frames to which peaks are fitted, at most so many bytes of them."""
COME_AND_GO = 0.65
"""Variance in a pixel over its mean, in gains: 1 for electrons, half of it where the peaks of every second number of
electrons were taken for those of one."""
FEW_EMPTY = 0.01
"""Part of the values that are exactly 0, below which electrons may stand on a pedestal."""
MANY_EMPTY = 0.3
"""Part of the values that are exactly 0, above which whole numbers are counts."""


def levels_of(counted_file: Counted, used: np.ndarray) -> Levels:
    """The levels of electrons in some frames of a file whose values are measured.

    Pixels that are bright more often than their neighbours take no part.

    Raises
    ------
    InputError
        If the values are counts already, or have no peaks of electrons.
    """
    values = sample(counted_file, max(8, min(COUNTED, COUNTED_BYTES // (4 * counted_file.pixels**2))))
    raw = values[:, used]
    _check_finite(raw)
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
            f"the values have peaks {levels.gain:.4g} apart, but change from frame to frame by"
            f" {changes.sum() / (levels.gain * means.sum()):.2g} of what electrons of that gain do (at least"
            f" {COME_AND_GO:g}): these are no single electrons, or too many of them; give --gain (ADU per electron)"
        )
    return levels


def check_unit(counted_file: Counted, values: np.ndarray) -> None:
    """Refuse what is not counted in electrons, or no number."""
    _check_finite(values)
    if counted_file.measured:
        return
    about, kind = counted_file.reader.about, values.dtype.kind
    if about.unit == "ADU":
        raise InputError(
            "the values are ADU, not electrons: give --gain (ADU per electron: the first peak of the histogram above"
            f" 0), or --gain 1 if they were converted already{_peaks(counted_file)}"
        )
    if kind == "f" and not (values == np.rint(values)).all():
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


def _check_finite(values: np.ndarray) -> None:
    """Refuse values [B, P] of P used pixels in B frames that are no numbers, before anything is made of them."""
    if values.dtype.kind != "f" or (finite := np.isfinite(values)).all():
        return
    raise InputError(
        f"{counted(int((~finite).sum()), 'value')} in {int((~finite).any(axis=1).sum())} of the {len(values)} frames"
        " looked at are NaN or infinite: repair them, or leave their pixels out (--mask)"
    )


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


def sample(counted_file: Counted, frames: int) -> np.ndarray:
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
