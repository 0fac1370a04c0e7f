"""Counts that are not electrons, and frames with far too many of them or none."""

from __future__ import annotations

import math

import numpy as np

from .survey import Survey

FEWEST = 500
"""Electrons below which nothing is said of the unit of counts."""
EXCESS, CONTRAST = 1.5, 0.5
"""Variance over mean of counts in the disk that sound data stay below, and what the specimen may add per electron of
the mean; simulated crystals reach 1.0 and 0.06."""
BRIGHT = 8.0
"""Counts of a bin from which on the specimen varies them more than noise does."""
HIGH = 4.0
"""Times the upper quartile of the patterns' electrons, or the median of its neighbours."""
LOW = 0.05
"""Of the median of its neighbours."""
RARE = 1e-3
"""Probability of the sound explanation below which frames are called misfired."""
NAMED = 5


def gain_warnings(survey: Survey) -> list[str]:
    """Counts that are multiples of a gain, or vary more between neighbours than electrons do."""
    unit = survey.look.unit
    if survey.look.totals.sum() < FEWEST * max(unit, 1.0) or not math.isfinite(unit):
        return []
    if unit > 0 and unit != 1:
        return [
            f"all counts are multiples of {unit:.4g}: they are not electrons, divide them by {unit:.4g}"
            " (the gain of the detector)"
        ]
    ratio, mean = dispersion(survey)
    bound = EXCESS + CONTRAST * mean
    if mean < BRIGHT and ratio > bound:
        return [
            f"counts vary {ratio:.2g} times as much as electrons do (at most {bound:.2g} for {mean:.2g} of them):"
            f" divide them by the gain of the detector, about {ratio:.2g}"
        ]
    return []


def dispersion(survey: Survey) -> tuple[float, float]:
    """Variance over mean of counts between neighbours along x, and the mean; misfired patterns are left out.

    ``sum (n - n')^2 / sum (n + n')`` over bins of the disk: 1 for electrons, g for electrons times g.
    """
    disks = survey.disks
    y0, y1, x0, x1 = survey.lens.region
    odd = _misfires(survey.totals)[y0:y1, x0:x1]
    here, there = disks[:, :-1], disks[:, 1:]
    sound = ~(odd[:, :-1] | odd[:, 1:]) & np.isfinite(here[..., 0]) & np.isfinite(there[..., 0])
    both = float((here[sound] + there[sound]).sum(dtype=np.float64))
    if both < FEWEST:
        return 1.0, 0.0
    ratio = float(((here[sound] - there[sound]) ** 2).sum(dtype=np.float64)) / both
    return ratio, both / (2 * here[sound].size)


def misfired(survey: Survey) -> list[tuple[int, int]]:
    """Positions (y, x) of patterns with far more electrons than all others, or with none where others have them."""
    return [(int(y), int(x)) for y, x in np.argwhere(_misfires(survey.totals))]


def misfire_warnings(survey: Survey) -> list[str]:
    """Frames that misfired."""
    found = misfired(survey)
    if not found:
        return []
    high = [p for p in found if survey.totals[p] > np.nanmedian(survey.totals)]
    low = [p for p in found if p not in high]
    kinds = [
        f"{len(places)} with {text} ({', '.join(map(str, places[:NAMED]))}{', ...' if len(places) > NAMED else ''})"
        for places, text in (
            (high, f"up to {max((survey.totals[p] for p in high), default=0):.4g} electrons"),
            (low, "next to none"),
        )
        if places
    ]
    return [
        f"{len(found)} of {len(survey.look.positions)} patterns misfired, {' and '.join(kinds)}, where the median is"
        f' {np.nanmedian(survey.totals):.4g}: leave them out with data.exclude = "misfired"'
    ]


def _misfires(totals: np.ndarray) -> np.ndarray:
    """Which patterns of a scan (scan_y, scan_x) misfired; see :func:`misfired`."""
    there = np.isfinite(totals)
    upper, around = float(np.nanpercentile(totals, 75)), _neighbours(totals)
    usual = np.maximum(around, upper)
    high = there & (totals > HIGH * usual + 10 * np.sqrt(usual) + 20)
    expected = 0.85 * np.minimum(around, np.nanmedian(totals))  # the specimen may take some more here
    most = np.floor(LOW * around)
    low = there & (totals <= most)
    if low.any():
        from scipy.stats import poisson  # a second to load, and most scans have none

        by_chance = float(poisson.cdf(most[there], expected[there]).sum())
        if poisson.sf(low.sum() - 1, by_chance) > RARE:
            low[:] = False
    return high | low


def _neighbours(totals: np.ndarray) -> np.ndarray:
    """Median of the eight neighbours of every pattern; of the whole scan where there are none."""
    rows, columns = totals.shape
    wide = np.pad(totals, 1, constant_values=np.nan)
    around = np.stack([wide[y : y + rows, x : x + columns] for y in range(3) for x in range(3) if (y, x) != (1, 1)])
    alone = ~np.isfinite(around).any(axis=0)
    around[0][alone] = np.nanmedian(totals)
    return np.nanmedian(around, axis=0)
