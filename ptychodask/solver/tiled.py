"""Compact LSQ-ML with the object in tiles: every pixel has one owner, neighbours lend each other frames.

The formulas are those of ``apply``; only sums over the canvas are taken in another order. Nothing here is larger than a
tile with its halo: the blocks of a tile see the object on ``reach``; the next object is computed on ``work``, core and
margin, so that the lateral blur is right on the core, from the sums of all tiles whose blocks touch it.

What is not in tiles (probe, positions, background, counters) is a State whose object has no pixels, the *shared* state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..model.blocks import Block
from ..model.state import Model, State, TileState
from ..model.tiles import Rect, Tile, make_tiles
from ..physics.constraints import blur_reach
from ..physics.views import split_positions, window
from .apply import (
    Direction,
    advance_shared,
    constrain,
    extrapolate,
    inertia,
    inner,
    lengths,
    lit_weight,
    pooled_steps,
    pooled_sums,
    precondition,
    probe_direction,
    stepped,
)
from .lsqml import LsqMl
from .patterns import Patterns
from .problem import Problem
from .update import ObjectSums, Sums, Update, place


@dataclass(frozen=True)
class Frame:
    """Part of an object [S, h, w] for a neighbour, and the canvas pixel of its first pixel."""

    corner: tuple[int, int]
    object: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes that travel."""
        return self.object.nbytes


@dataclass(frozen=True)
class Pooled:
    """Sums over the canvas that the step needs: ``<d, g>``, ``sum W |d|^2`` [S], and <gradient, momentum>."""

    numerators: np.ndarray
    denominators: np.ndarray
    ascent: float


def tiles_of(problem: Problem, blocks: tuple[Block, ...], positions: np.ndarray, side: int) -> tuple[Tile, ...]:
    """Tiles of at most ``side`` pixels for a scan in blocks; ``positions`` [J, 2] in canvas pixels."""
    windows = []
    for block in blocks:
        corners, _ = split_positions(positions[block.flat(problem.scan_shape)], problem.pixels)
        y, x = window(corners, problem.pixels)
        windows.append(Rect(y.start, y.stop, x.start, x.stop))
    return make_tiles(problem.canvas.shape, side, windows, blur_reach(problem.settings.object_rules.blur_pixels))


@dataclass(frozen=True)
class TiledLsqMl:
    """The solver over a fixed problem in tiles; ``object_dtype`` is that of the object."""

    solver: LsqMl
    tiles: tuple[Tile, ...]
    object_dtype: np.dtype

    @property
    def problem(self) -> Problem:
        """What does not change between iterations."""
        return self.solver.problem

    @property
    def data_key(self) -> str:
        """See :attr:`LsqMl.data_key`."""
        return self.solver.data_key

    def prepare(self, block: Block, counts: np.ndarray) -> Patterns:
        """See :meth:`LsqMl.prepare`."""
        return self.solver.prepare(block, counts)

    def partial(self, block: Block, patterns: Patterns, model: Model, evaluate_only: bool) -> Update:
        """Update of one block from its tile's part of the object."""
        return self.solver.partial(block, patterns, model, evaluate_only)

    def merge(self, updates: list[Update]) -> Update:
        """Sum in the order given."""
        return self.solver.merge(updates)

    def metrics(self, update: Update) -> dict[str, float]:
        """See :meth:`LsqMl.metrics`."""
        return self.solver.metrics(update)

    def lend(self, owner: int, state: TileState, to: int) -> Frame:
        """What another tile needs of the owner's object."""
        core = self.tiles[owner].core
        frame = _common(core, self.tiles[to].reach)
        rows, columns = frame.inside(core.corner)
        return Frame(frame.corner, state.object[:, rows, columns].copy())

    def assemble(self, index: int, state: TileState, shared: State, frames: list[Frame]) -> Model:
        """The model on a tile's reach, from its own core and what others lend."""
        tile = self.tiles[index]
        object_ = np.empty((self.problem.slices, *tile.reach.shape), self.object_dtype)
        for frame in [Frame(tile.core.corner, state.object), *frames]:
            y, x = (a - b for a, b in zip(frame.corner, tile.reach.corner, strict=True))
            h, w = frame.object.shape[1:]
            object_[:, y : y + h, x : x + w] = frame.object
        return replace(shared.model, object=object_, corner=tile.reach.corner)

    def give(self, update: Update, to: int) -> ObjectSums:
        """What a tile's merged update says about the work area of ``to``."""
        sums = update.object
        assert sums is not None
        (y, x), (h, w) = sums.corner, sums.illumination.shape[1:]
        piece = _common(Rect(y, y + h, x, x + w), self.tiles[to].work)
        rows, columns = piece.inside(sums.corner)
        return ObjectSums(
            piece.corner, sums.gradient[:, rows, columns].copy(), sums.illumination[:, rows, columns].copy()
        )

    def collect(self, index: int, pieces: list[ObjectSums]) -> ObjectSums:
        """Sum on a tile's work area of what its givers give, in the order of the list."""
        work = self.tiles[index].work
        empty = np.zeros((self.problem.slices, 0, 0), self.object_dtype)
        return place([ObjectSums(work.corner, empty, empty.real), *pieces], work.corner, work.shape)

    def totals(self, update: Update | None) -> Update:
        """What is no map of the object in a tile's merged update; None for a tile without blocks."""
        return Update(Sums()) if update is None else replace(update, object=None)

    def peak(self, index: int, sums: ObjectSums) -> np.ndarray:
        """Largest illumination on the core [S, 1, 1]."""
        return self._on_core(index, sums.illumination).max(axis=(1, 2), keepdims=True)

    def highest(self, peaks: list[np.ndarray]) -> np.ndarray:
        """Largest illumination of the canvas [S, 1, 1]."""
        return np.max(peaks, axis=0)

    def pool(self, index: int, state: TileState, shared: State, sums: ObjectSums, brightest: np.ndarray) -> Pooled:
        """A core's part of the sums over the canvas."""
        gradient, light = self._on_core(index, sums.gradient), self._on_core(index, sums.illumination)
        move = precondition(self.problem, gradient, light, brightest)
        ascent = inner(gradient, state.object - state.anchor) if shared.momentum >= 0 else 0.0
        return Pooled(*pooled_sums(move, gradient, light), ascent)

    def step(self, parts: list[Pooled], totals: Update) -> Direction:
        """The step of the whole canvas, parts in the order of the tiles; its maps of the object have no pixels."""
        numerators = np.sum([p.numerators for p in parts], axis=0)
        denominators = np.sum([p.denominators for p in parts], axis=0)
        empty = np.zeros((self.problem.slices, 0, 0), self.object_dtype)
        probe, probe_step = probe_direction(self.problem, totals.probe)
        steps, ascent = pooled_steps(numerators, denominators), sum(p.ascent for p in parts)
        return Direction(empty, steps, probe, probe_step, empty.real, ascent, totals.sums)

    def advance_tile(
        self,
        index: int,
        state: TileState,
        shared: State,
        model: Model,
        sums: ObjectSums,
        brightest: np.ndarray,
        move: Direction,
    ) -> TileState:
        """Next object and anchor on a core."""
        problem, rules = self.problem, self.problem.settings.object_rules
        work = self.tiles[index].work
        steps, _ = lengths(problem, shared.damping, move, None)
        along = precondition(problem, sums.gradient, sums.illumination, brightest)
        rows, columns = work.inside(model.corner)
        anchor = self._on_core(index, constrain(stepped(model.object[:, rows, columns], steps, along), rules)).copy()
        rate, _ = inertia(shared.momentum, move.ascent)
        if rate is None:
            return TileState(anchor, anchor)
        weight = lit_weight(self._on_core(index, sums.illumination), brightest)
        return TileState(extrapolate(anchor, state.anchor, rate * weight, rules), anchor)

    def advance_shared(self, shared: State, move: Direction) -> State:
        """Next probe, background and counters."""
        return advance_shared(self.problem, shared, move)

    def recover(self, shared: State) -> State:
        """See :meth:`LsqMl.recover`."""
        return self.solver.recover(shared)

    def recover_tile(self, state: TileState) -> TileState:
        """A tile after a divergence: without extrapolation."""
        return TileState(state.anchor, state.anchor)

    def finish_from(self, shared: State) -> State:
        """See :meth:`LsqMl.finish_from`: the object of the finish starts as it is."""
        return self.solver.finish_from(shared)

    def _on_core(self, index: int, maps: np.ndarray) -> np.ndarray:
        """The core's part of maps [S, h, w] on a tile's work area."""
        tile = self.tiles[index]
        rows, columns = tile.core.inside(tile.work.corner)
        return maps[:, rows, columns]


def _common(a: Rect, b: Rect) -> Rect:
    both = a.common(b)
    assert both is not None, "tiles exchange only what they have in common"
    return both
