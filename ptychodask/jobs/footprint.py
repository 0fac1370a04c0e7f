"""What a job will hold, read and merge, in bytes: counted from shapes before anything runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..distributed.cache import AHEAD
from ..distributed.iterate import IN_FLIGHT
from ..distributed.placement import FAN_IN
from ..distributed.rounds import tile_places
from ..io.dataset import DatasetInfo
from ..kernels.cpu.vectors import LANES
from ..kernels.cpu.workspace import RUN
from ..kernels.gpu.workspace import bytes_per_pattern
from ..model.blocks import Block
from ..model.config import JobConfig
from ..model.tiles import Rect, Tile, hull
from .experiment import Experiment
from .log import MOST_STATES

REAL, COMPLEX = 4, 8
"""Bytes of a float32 and of a complex64."""


@dataclass(frozen=True)
class Footprint:
    """A job's shapes.

    Parameters
    ----------
    experiment : Experiment
    backend : str
        Where its kernels run; see :func:`ptychodask.kernels.kernels_for`.
    pattern_bytes : float
        Mean size of a pattern in its container.
    """

    experiment: Experiment
    backend: str
    pattern_bytes: float

    # -- shapes ------------------------------------------------------------------------------------------------------

    @property
    def info(self) -> DatasetInfo:
        """What is used of the dataset."""
        return self.experiment.info

    @property
    def config(self) -> JobConfig:
        """The configuration."""
        return self.experiment.config

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Blocks of the job."""
        return self.experiment.blocks_without((), self.backend == "cupy")

    @cached_property
    def windows(self) -> list[Rect]:
        """Part of the canvas that every block touches."""
        return self.experiment.windows(self.blocks)

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """Tiles of the object; none where it stays whole."""
        return () if self.experiment.tile_side is None else self.experiment.tiles(self.blocks)

    def in_tiles(self, side: int) -> Footprint:
        """The same job with its object in tiles of at most ``side`` pixels."""
        engine = self.config.engine.model_copy(update={"tile_pixels": side})
        config = self.config.model_copy(update={"engine": engine})
        return replace(self, experiment=replace(self.experiment, config=config))

    @property
    def canvas(self) -> tuple[int, int]:
        """Rows and columns of the object."""
        return self.experiment.canvas.shape

    @property
    def patterns(self) -> int:
        """J."""
        return self.experiment.patterns

    @property
    def slices(self) -> int:
        """S."""
        return self.experiment.slices

    @property
    def _area(self) -> int:
        return self.slices * math.prod(self.canvas)

    @property
    def object_item(self) -> int:
        """Bytes of a pixel of the object."""
        return REAL if self.config.object.kind == "phase" else COMPLEX

    @property
    def _wave(self) -> int:
        return self.config.probe.modes * self.info.detector.pixels**2 * COMPLEX

    @property
    def _probes(self) -> int:
        """Bytes of the probes of all scans."""
        return len(self.experiment.infos) * self._wave

    def maps_bytes(self, view: Rect) -> int:
        """Gradient and illumination on a window."""
        return self.slices * view.area * (self.object_item + REAL)

    # -- read and merged ---------------------------------------------------------------------------------------------

    @property
    def dense_pattern(self) -> int:
        """Bytes of a pattern as it is stored, decoded."""
        return self.info.detector.pixels**2 * np.dtype(self.info.dtype).itemsize

    @property
    def cache_bytes(self) -> int:
        """What a worker may cache."""
        return int(self.config.engine.cache_gib * 2**30)

    def largest_share(self, workers: int) -> int:
        """Patterns of the worker that has most."""
        return max(sum(b.size for b in share) for share in self._shares(workers))

    def data_bytes(self, workers: int) -> int:
        """Counts in their container that one worker has in its blocks, at most."""
        return int(self.largest_share(workers) * self.pattern_bytes)

    def tile_shares(self, workers: int) -> list[list[Tile]]:
        """Tiles of every worker that has some."""
        patterns = [sum(self.blocks[b].size for b in tile.blocks) for tile in self.tiles]
        shares: dict[str, list[Tile]] = {}
        for tile, place in zip(self.tiles, tile_places(patterns, [f"{w:09}" for w in range(workers)]), strict=True):
            shares.setdefault(place, []).append(tile)
        return list(shares.values())

    def _shares(self, workers: int) -> list[list[Block]]:
        if self.tiles:
            return [[self.blocks[b] for tile in share for b in tile.blocks] for share in self.tile_shares(workers)]
        # which blocks a worker gets depends on its name, how many does not: the first gets the largest ones here
        count, total = min(workers, len(self.blocks)), len(self.blocks)
        shares: list[list[Block]] = [[] for _ in range(count)]
        for i, block in enumerate(sorted(self.blocks, key=lambda block: -block.size)):
            shares[i * count // total].append(block)
        return [sorted(share, key=lambda block: block.index) for share in shares]

    def bytes_read(self, workers: int) -> int:
        """Counts that are decoded in every iteration, as they are stored; a tangent step reads them once more."""
        return sum(self._read_by(share, self.cache_bytes) for share in self._shares(workers))

    def _read_by(self, share: list[Block], budget: int) -> int:
        sizes = [b.size * self.pattern_bytes for b in share]
        if sum(sizes) > budget:
            largest = max(sizes)
            budget -= int(min(AHEAD, budget // largest) * largest)
        kept = 0.0
        missed = 0
        for block, size in zip(share, sizes, strict=True):
            if kept + size <= budget:
                kept += size
            else:
                missed += block.size
        return missed * self.dense_pattern

    def bytes_merged(self, iteration: int) -> int:
        """Updates of all blocks, in the pass that follows ``iteration`` updates."""
        return sum(self.maps_bytes(view) for view in self.windows) + len(self.blocks) * self._probe_update(
            self._probe_moves(iteration)
        )

    def _probe_update(self, moves: bool) -> int:
        """Bytes of the probe's sums; none where it is held throughout."""
        if not moves or self.config.probe.update_start is None:
            return 0
        return self._wave + self.info.detector.pixels**2 * REAL

    def _probe_moves(self, iteration: int) -> bool:
        start = self.config.probe.update_start
        return start is not None and iteration >= start

    # -- memory ------------------------------------------------------------------------------------------------------

    @property
    def state_bytes(self) -> int:
        """A state: the object, its anchor and the probe; a checkpoint takes as much at most."""
        return 2 * self._area * self.object_item + self.shared_bytes

    @property
    def shared_bytes(self) -> int:
        """Of a state without its object: the probe."""
        return self._probes

    @property
    def result_bytes(self) -> int:
        """The result on disk, at most."""
        return self._area * self.object_item + self.shared_bytes + 16 * self.patterns

    @property
    def states(self) -> int:
        """States that a worker may hold: those that may still be returned and those in flight."""
        solver = self.config.solver
        waiting = min(solver.patience + 1, solver.iterations + 1, MOST_STATES) if self.experiment.train_fraction else 1
        return waiting + IN_FLIGHT

    def held(self, workers: int) -> dict[str, int]:
        """Of the object and of what is computed of it, in a worker, where it stays whole."""
        return {
            "states": self.states * self.state_bytes,
            "the step from update to state": self.advance_bytes(self._area),
            "updates on their way": self.waiting_bytes(self.windows, workers),
        }

    def advance_bytes(self, pixels: int) -> int:
        """From merged update to next state, on so many pixels of all slices together: six objects' worth of directions
        and steps, six real maps beside."""
        return pixels * (6 * self.object_item + 6 * REAL)

    def thread_bytes(self) -> int:
        """Of a thread computing a block: waves on all slices and maps, the window of the object, its update."""
        if self.backend == "cupy":  # the waves are on the device; the update comes through pinned memory
            return self._window_bytes + 2 * self._update_bytes
        n = self.info.detector.pixels
        if self.backend == "cpu":
            patterns, maps = 1, 3 + 2 * RUN
        else:
            patterns, maps = min(self.config.solver.batch, max(b.size for b in self.blocks)), 5
        return patterns * self._pattern_work + maps * n * n * REAL + self._window_bytes + self._update_bytes

    def device_bytes(self) -> int:
        """Of the device, at least: one pattern in work, the window of the object and its update, tables."""
        n, modes = self.info.detector.pixels, self.config.probe.modes
        tables = (self.slices * COMPLEX + REAL) * n * n
        return bytes_per_pattern(self.slices, modes, n) + tables + self._window_bytes + self._update_bytes

    @property
    def _window_bytes(self) -> int:
        return self._largest_maps // (self.object_item + REAL) * COMPLEX

    @property
    def _update_bytes(self) -> int:
        return self._largest_maps + self._probe_update(moves=True)

    @property
    def _pattern_work(self) -> int:
        """Waves entering the slices, on the way back and on the detector; the plain kernels also keep views and
        temporaries."""
        n = self.info.detector.pixels
        if self.backend == "cpu":
            return (self.slices + 2) * self._wave * (n + LANES) // n  # rows are padded
        return (self.slices + 4) * self._wave + (self.slices + 6) * n * n * COMPLEX

    @cached_property
    def _largest_maps(self) -> int:
        return max(self.maps_bytes(view) for view in self.windows)

    def block_bytes(self) -> int:
        """A block in its container, and the strip of the scan that is being decoded and split (three copies)."""
        largest = max(b.size for b in self.blocks)
        wide = max((s.size for b in self.blocks for s in b.strips(self.info.inner_rows)), default=0)
        return int(largest * self.pattern_bytes) + 3 * wide * self.dense_pattern

    def waiting_bytes(self, windows: list[Rect], workers: int) -> int:
        """Updates on their way up a merge tree: what waits at every level for its group to be complete."""
        level, total = windows, 0
        extra = self._probe_update(moves=True)
        while True:
            share = math.ceil(len(level) / workers)
            total += min(FAN_IN, share) * (max(self.maps_bytes(view) for view in level) + extra)
            if len(level) == 1:
                return total
            level = [hull(level[i : i + FAN_IN]) for i in range(0, len(level), FAN_IN)]

    @property
    def searches_line(self) -> bool:
        """Does every iteration go over a part of the patterns twice?"""
        return self.experiment.searches_line
