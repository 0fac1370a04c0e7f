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
CLEAR = 2.0
"""Times the upper quartile and the second brightest neighbour, where the scan itself tells how far patterns go."""
STEEP = 4.0
"""Times what the steepest hundredth of the patterns rises above its neighbours, in standard deviations of noise."""
MANY = 256
"""Patterns of a scan of which a hundredth is some."""
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
    odd = _misfires(survey)[y0:y1, x0:x1]
    here, there = disks[:, :-1], disks[:, 1:]
    sound = ~(odd[:, :-1] | odd[:, 1:]) & np.isfinite(here[..., 0]) & np.isfinite(there[..., 0])
    both = float((here[sound] + there[sound]).sum(dtype=np.float64))
    if both < FEWEST:
        return 1.0, 0.0
    ratio = float(((here[sound] - there[sound]) ** 2).sum(dtype=np.float64)) / both
    return ratio, both / (2 * here[sound].size)


def misfired(survey: Survey) -> list[tuple[int, int]]:
    """Positions (y, x) of patterns with far more electrons than all others, or with none where others have them."""
    return [(int(y), int(x)) for y, x in np.argwhere(_misfires(survey))]


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


def _misfires(survey: Survey) -> np.ndarray:
    """Which patterns of a scan (scan_y, scan_x) misfired; see :func:`misfired`."""
    totals = survey.totals
    there = np.isfinite(totals)
    upper, neighbours = float(np.nanpercentile(totals, 75)), _neighbours(totals)
    around = np.nanmedian(neighbours, axis=0)
    usual = np.maximum(around, upper)
    high = there & (totals > HIGH * usual + 10 * np.sqrt(usual) + 20)
    if there.sum() >= MANY and _sees_disk(survey):
        high |= there & _stands_out(totals, np.maximum(_second(neighbours), upper), around)
    expected = 0.85 * np.minimum(around, np.nanmedian(totals))  # the specimen may take some more here
    most = np.floor(LOW * around)
    low = there & (totals <= most)
    if low.any():
        from scipy.stats import poisson  # a second to load, and most scans have none

        by_chance = float(poisson.cdf(most[there], expected[there]).sum())
        if poisson.sf(low.sum() - 1, by_chance) > RARE:
            low[:] = False
    return high | low


def _sees_disk(survey: Survey) -> bool:
    """Is most of the bright-field disk in use? A specimen only takes from it, but adds any number to a dark field."""
    k = np.fft.fftfreq(len(survey.weights)) * len(survey.weights)
    return bool((survey.weights[np.hypot(k[:, None], k[None, :]) <= survey.radius] > 0).mean() > 0.5)


def _stands_out(totals: np.ndarray, usual: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Patterns above all but one of their neighbours by more than this scan knows.

    Probes overlap, so what the specimen does to a pattern its neighbours see, too; noise and steep edges are in the
    hundredth that is steepest.
    """
    steep = float(np.nanpercentile((totals - around) / np.sqrt(around + 1), 99))
    return (totals > CLEAR * usual) & (totals - usual > STEEP * max(steep, 2.0) * np.sqrt(usual + 1))


def _neighbours(totals: np.ndarray) -> np.ndarray:
    """The eight neighbours of every pattern [8, scan_y, scan_x], NaN beyond the scan; the median of the whole scan
    where there are none."""
    rows, columns = totals.shape
    wide = np.pad(totals, 1, constant_values=np.nan)
    around = np.stack([wide[y : y + rows, x : x + columns] for y in range(3) for x in range(3) if (y, x) != (1, 1)])
    alone = ~np.isfinite(around).any(axis=0)
    around[0][alone] = np.nanmedian(totals)
    return around


def _second(neighbours: np.ndarray) -> np.ndarray:
    """The second brightest of them, or the only one."""
    ordered = np.sort(np.where(np.isfinite(neighbours), neighbours, -np.inf), axis=0)
    return np.where(np.isfinite(ordered[-2]), ordered[-2], ordered[-1])
