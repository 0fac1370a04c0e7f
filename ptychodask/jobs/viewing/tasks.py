"""What a worker does: read blocks strip by strip, and sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...analysis.aligned import Parallax
from ...counts.events import Events, to_events
from ...counts.sums import lay_down, weighted_sums
from ...model.blocks import Block, Box
from .wanted import Wanted


@dataclass(frozen=True)
class Glance:
    """What was seen of some blocks.

    Parameters
    ----------
    positions : int64 array [B]
        Index j of the patterns in the scan.
    sums : float64 array [B, M]
        Their electrons times weights.
    pattern : float64 array [N^2]
        Sum over them, corner-centred.
    corner : (int, int)
        Where ``laid`` is on the canvas.
    laid : float64 array
        Electrons that were laid back.
    damaged : tuple of Box
        Left out.
    """

    positions: np.ndarray
    sums: np.ndarray
    pattern: np.ndarray
    corner: tuple[int, int]
    laid: np.ndarray
    damaged: tuple[Box, ...] = ()


def glance(wanted: Wanted, run: tuple[Block, ...]) -> Glance:
    """Look at the patterns of some blocks, in their order; a strip of one is held at a time."""
    source, scan = wanted.source, wanted.info.scan_shape
    damaged = tuple(box for block in run for box in source.damaged(block)) if wanted.mask_damage else ()
    left = [block for block in (b.without(damaged) if damaged else b for b in run) if block.size]
    used, pattern = wanted.used.ravel(), np.zeros(wanted.info.detector.pixels**2)
    parallax = wanted.parallax if isinstance(wanted.parallax, Parallax) else None
    corner, laid, places = _window(parallax, [block.flat(scan) for block in left])
    found: list[np.ndarray] = []
    positions: list[np.ndarray] = []
    for block in left:
        for strip in block.strips(source.rows):
            counts: Any = source.read(strip)
            events = counts if isinstance(counts, Events) else to_events(counts)
            del counts
            at = strip.flat(scan)
            found.append(weighted_sums(events, used, wanted.weights, pattern))
            positions.append(at)
            if parallax is not None:
                lay_down(events, used, parallax.rays, places[at] - corner, laid)
    width = wanted.weights.shape[1]
    return Glance(
        np.concatenate(positions) if positions else np.empty(0, np.int64),
        np.concatenate(found) if found else np.empty((0, width)),
        pattern,
        corner,
        laid,
        damaged,
    )


def _window(parallax: Parallax | None, flats: list[np.ndarray]) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
    """The part of the canvas that patterns reach, and places of all patterns on the canvas."""
    if parallax is None or not flats:
        return (0, 0), np.zeros((0, 0)), np.empty((0, 2), np.int64)
    places, (up, down, left, right) = parallax.places, parallax.rays.reach
    its = places[np.concatenate(flats)]
    (top, first), (bottom, last) = its.min(axis=0), its.max(axis=0)
    corner = (int(top - up), int(first - left))
    return corner, np.zeros((bottom + down - corner[0] + 1, last + right - corner[1] + 1)), places
