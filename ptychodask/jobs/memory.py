"""Memory of a worker, by what for, and what to change where it is too much."""

from __future__ import annotations

import math
from dataclasses import replace

from ..distributed.site import Site, resident_bytes
from ..model.config import LARGEST_TILE, SMALLEST_TILE
from .footprint import Footprint
from .footprint_tiles import held_in_tiles

IMPORTS = 224 * 2**20
"""Memory of a fresh worker process, at most: 220 MiB were measured (see benchmarks)."""
KEPT = 16 * 2**20
"""What the allocator keeps of what a thread of a worker process has freed, at most: 10 to 17 MiB were measured."""
MOST_PIECES = 8
"""Up to how many pieces to a side of the object or its tiles, or of workers to one, are tried to see what would fit."""


def memory_of(shapes: Footprint, site: Site) -> dict[str, int]:
    """Bytes that a worker needs at a site, by what for."""
    resident, block = resident_bytes(), shapes.block_bytes()
    return {
        "imports": resident if site.in_process else min(resident, IMPORTS),
        **(held_in_tiles(shapes, site.workers, site.threads) if shapes.tiles else shapes.held(site.workers)),
        "workspaces": site.threads * shapes.thread_bytes(),
        "freed and kept": 0 if site.in_process else (site.threads + 1) * min(KEPT, block + shapes.thread_bytes()),
        "blocks in work": (site.threads + 1) * block,  # one by the reader
        "cached counts": min(shapes.cache_bytes, shapes.data_bytes(site.workers)),
    }


def remedy(shapes: Footprint, site: Site, memory: dict[str, int], excess: float) -> str:
    """The mildest change that saves ``excess`` bytes per worker of those in ``memory``."""
    threads = site.threads
    if memory["cached counts"] >= excess:
        # rounded down to what people can type
        most = math.floor((memory["cached counts"] - excess) / 2**30 * 1000) / 1000
        return f"set engine.cache_gib = {most:g} or less (counts are then read again in every iteration)"
    each = shapes.thread_bytes() + shapes.block_bytes()
    spare = memory["cached counts"] + (threads - 1) * each
    if spare >= excess:
        fewer = threads - math.ceil((excess - memory["cached counts"]) / each)
        return f"set engine.threads = {fewer} and engine.cache_gib = 0"
    if memory["blocks in work"] + memory["workspaces"] >= excess:
        return "set engine.cache_gib = 0, engine.threads = 1 and a smaller engine.block"
    return _with_tiles(shapes, site, sum(memory.values()) - excess) or (
        "fewer object.slices or probe.modes, a smaller scan, patterns cropped to fewer pixels, or workers with more"
        " memory"
    )


def _with_tiles(shapes: Footprint, site: Site, most: float) -> str:
    """The largest tiles with which a worker needs at most so many bytes, or else the fewest workers; or nothing."""
    largest = max(shapes.tiles[0].core.shape if shapes.tiles else shapes.canvas)
    least = max(SMALLEST_TILE, shapes.info.detector.pixels)
    for side in (largest // pieces for pieces in range(2, MOST_PIECES + 1)):
        if least <= side <= LARGEST_TILE and _fits(shapes.in_tiles(side), site, most):
            return f"set engine.tile_pixels = {side}"
    if shapes.tiles and not site.here:  # workers here share their memory
        for workers in range(site.workers + 1, min(len(shapes.tiles), MOST_PIECES * site.workers) + 1):
            if _fits(shapes, replace(site, workers=workers), most):
                return f"use {workers} workers"
    return ""


def _fits(shapes: Footprint, site: Site, most: float) -> bool:
    return sum(memory_of(shapes, site).values()) <= most
