"""What is seen of all counts when they are read for the first time: small sums, from which mistakes can be told.

Blocks are looked at where they are read, and merged in a fixed order. Events are few, so a look takes a small part of
an iteration; what it keeps is a pattern, a number per position, and the disk in coarse bins for a few thousand of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..counts.patterns import Events, Patterns, dense
from ..model.blocks import Box

ACROSS = 16
"""Bins across the bright-field disk in which patterns are kept."""
REGION = 48
"""Side in positions of the part of the scan in which they are."""
FLASH = 4.0
"""Times the upper quartile of a block's patterns, above which one says nothing of the detector."""
RUN = 8
"""Patterns that are made dense together; the first run of every block is where the unit of counts is looked for."""


@dataclass(frozen=True)
class Lens:
    """What is looked at more closely: scan positions in ``region``, in bins over a disk of ``radius`` pixels."""

    region: Box
    radius: float


@dataclass(frozen=True)
class Look:
    """What was seen of some patterns; counts are those in pixels that the mask uses.

    Parameters
    ----------
    pattern : float64 array [N, N]
        Sum over patterns, corner-centred, less those that have far more electrons than the others of their block.
    positions : int64 array [B]
        Index j of the patterns in the scan.
    totals : float64 array [B]
        Electrons of every pattern.
    inner : int64 array [P]
        Index j of those in the region.
    disks : float32 array [P, K]
        Their electrons in the bins of :func:`disk_bins`.
    unit : float
        Largest number of which all counts that were looked at are multiples; 0 where there is none above a thousandth.
    """

    pattern: np.ndarray
    positions: np.ndarray
    totals: np.ndarray
    inner: np.ndarray
    disks: np.ndarray
    unit: float


def lens(scan_shape: tuple[int, int], radius: float) -> Lens:
    """The middle of a scan, and the disk."""
    (y0, y1), (x0, x1) = (((n - min(n, REGION)) // 2, (n + min(n, REGION)) // 2) for n in scan_shape)
    return Lens((y0, y1, x0, x1), radius)


def disk_bins(n: int, radius: float) -> tuple[np.ndarray, int]:
    """Bin of every pixel of a corner-centred pattern [N, N] (-1: outside the disk and a pixel more), and their number.

    Bins are squares of whole pixels.
    """
    k = np.rint(np.fft.fftfreq(n) * n).astype(int)
    reach = math.ceil(radius + 1)
    side = max(1, math.ceil((2 * reach + 1) / ACROSS))
    cell = (k + reach) // side
    inside = np.hypot(k[:, None], k[None, :]) < radius + 1
    label = np.where(inside, cell[:, None] * (2 * n) + cell[None, :], -1)
    names = np.unique(label[inside])
    return np.where(inside, np.searchsorted(names, label), -1), len(names)


def look(patterns: Patterns, positions: np.ndarray, scan_shape: tuple[int, int], through: Lens) -> Look:
    """Look at the patterns of a block, held-out electrons included."""
    n = patterns.pixels
    parts = [patterns.fitted] if patterns.held is None else [patterns.fitted, patterns.held]
    totals = np.sum([_totals(part, len(positions)) for part in parts], axis=0)
    upper = float(np.percentile(totals, 75))
    usual = totals <= FLASH * upper + 10 * math.sqrt(upper) + 20
    pattern = np.sum([_pattern(part, usual, n) for part in parts], axis=0)
    y, x = np.divmod(positions, scan_shape[1])
    y0, y1, x0, x1 = through.region
    chosen = np.flatnonzero((y >= y0) & (y < y1) & (x >= x0) & (x < x1))
    bins, number = disk_bins(n, through.radius)
    disks = np.zeros((len(chosen), number), np.float32)
    for part in parts:
        disks += _binned(part, chosen, bins.ravel(), number)
    first = min(RUN, len(positions))
    counts = sum(dense(part, 0, first, n, np, np.float64) for part in parts)
    return Look(
        pattern.reshape(n, n),
        positions,
        totals,
        positions[chosen],
        disks,
        _unit(np.asarray(counts)),
    )


def merge_looks(looks: list[Look]) -> Look:
    """All of them, in the order given."""
    pattern = looks[0].pattern.copy()
    for other in looks[1:]:
        pattern += other.pattern
    together = [np.concatenate([getattr(its, name) for its in looks]) for name in ("positions", "totals", "inner")]
    disks = np.concatenate([its.disks for its in looks])
    return Look(pattern, together[0], together[1], together[2], disks, _common([its.unit for its in looks]))


def _totals(part: Events | np.ndarray, patterns: int) -> np.ndarray:
    """Electrons of every pattern [B]."""
    if isinstance(part, Events):
        row, _, count = part.rows(0, patterns)
        return np.bincount(row, count, patterns)
    return part.reshape(patterns, -1).sum(axis=1, dtype=np.float64)


def _pattern(part: Events | np.ndarray, usual: np.ndarray, n: int) -> np.ndarray:
    """Sum over the usual patterns [N^2]."""
    if isinstance(part, Events):
        row, pixel, count = part.rows(0, len(usual))
        return np.bincount(pixel, count * usual[row], n * n)
    return part.reshape(len(usual), -1).sum(axis=0, dtype=np.float64, where=usual[:, None])


def _binned(part: Events | np.ndarray, chosen: np.ndarray, bins: np.ndarray, number: int) -> np.ndarray:
    """Electrons of the chosen patterns in the bins."""
    out = np.zeros((len(chosen), number), np.float32)
    inside = np.flatnonzero(bins >= 0)
    for row, j in enumerate(chosen):
        if isinstance(part, Events):
            its = slice(part.start[j], part.start[j + 1])
            label, count = bins[part.pixel[its]], part.count[its]
            out[row] = np.bincount(label[label >= 0], count[label >= 0], number)
        else:
            out[row] = np.bincount(bins[inside], part[j].reshape(-1)[inside], number)
    return out


def _unit(counts: np.ndarray) -> float:
    """See :attr:`Look.unit`; infinite where there are no counts."""
    found = np.unique(counts[counts > 0])
    if not len(found):
        return math.inf
    if (found == np.rint(found)).all():
        return float(np.gcd.reduce(found.astype(np.int64)))
    multiples = found / found[0]
    return float(found[0]) if np.abs(multiples - np.rint(multiples)).max() < 1e-3 else 0.0


def _common(units: list[float]) -> float:
    """Unit of all counts from those of the blocks."""
    there = [u for u in units if math.isfinite(u)]
    if there and all(u == round(u) for u in there):
        return float(np.gcd.reduce(np.array(there, np.int64)))
    same = bool(there) and max(there) - min(there) < 1e-3 * max(there)
    return there[0] if same else 0.0
