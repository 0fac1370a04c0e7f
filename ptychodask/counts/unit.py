"""Are whole numbers counts of electrons? What a gain, a pedestal or an integrating detector leaves in them."""

from __future__ import annotations

import numpy as np

_VALUES, _DISTINCT = 200, 3
"""Values and different ones of which multiples prove a gain."""
_EMPTY = 0.01
"""Part of the pixels that are 0, below which there may be a pedestal."""
_FLAT, _QUIET = 0.2, 0.5
"""A pedestal: the mean of the dimmer half of the pixels varies by less than that part of it between its quartiles, and
the values in a pixel by less than that part of what electrons would."""
_BRIGHT = 1e4
"""Electrons in every pixel, on the average, above which nobody counts."""


def no_counts(values: np.ndarray) -> str:
    """Why whole numbers [B, P] of P pixels in B frames are no counts of electrons; nothing where they may be."""
    found = np.unique(values[values > 0])
    several = found.size >= _DISTINCT and np.count_nonzero(values) >= _VALUES
    if several and (unit := int(np.gcd.reduce(found.astype(np.int64)))) > 1:
        return f"all values are multiples of {unit}: give --gain {unit}"
    means = values.mean(axis=0, dtype=np.float64)
    if (mean := float(means.mean())) > _BRIGHT:
        return (
            f"the values are {mean:.3g} in every pixel on the average, more than any detector counts: give --gain (ADU"
            " per electron)"
        )
    if len(values) < 4 or np.count_nonzero(values == 0) > _EMPTY * values.size:
        return ""
    dim = means <= np.median(means)
    level = float(np.median(means[dim]))
    low, high = np.percentile(means[dim], [25, 75])
    quiet = float(np.median(values[:, dim].var(axis=0, ddof=1, dtype=np.float64) / np.maximum(means[dim], 1e-12)))
    if level > 2 and high - low < _FLAT * level and 0 < quiet < _QUIET:
        return (
            f"no pixel is empty, and the dim ones stay near {level:.4g} with {quiet:.2g} of the variance that electrons"
            " would have: this is a pedestal, give --gain after --dark"
        )
    return ""
