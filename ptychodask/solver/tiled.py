"""Compact LSQ-ML with the object in tiles: every pixel has one owner, neighbours lend each other frames.

The formulas are those of ``apply``; only sums over the canvas are taken in another order. Nothing here is larger than a
tile with its halo: the blocks of a tile see the object on ``reach``; the next object is computed on ``work``, core and
margin, so that the lateral blur is right on the core, from the sums of all tiles whose blocks touch it. A line search
needs the direction on the reach too: every owner computes its core's, which is lent as the object is.

What is not in tiles (probe, positions, background, counters) is a State whose object has no pixels, the *shared* state.
A whole object is one tile, which needs no sums over others: it goes on with the functions of ``apply`` for all of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np

from .._array import held_bytes
from ..counts.patterns import Patterns
from ..model.blocks import Block
from ..model.state import Model, State, TileState
from ..model.tiles import Rect, Tile
from .apply import advance_shared, lengths, measured, spectral_filter
from .direction import Direction
from .frames import Frame, common, cut, together
from .information import InformationSums, information_sums
from .lsqml import LsqMl
from .problem import Problem
from .spectral import Filter, Maps, SpectrumSums, maps_of, move_of, spectrum_sums
from .unknowns.object import (
    ObjectSums,
    constrain,
    extrapolate,
    inertia,
    lit_weight,
    place,
    pooled_steps,
    pooled_sums,
    precondition,
    stepped,
)
from .unknowns.probe import direction as probe_direction
from .unknowns.probe import less_maps
from .unknowns.products import inner
from .update import Sums, Update
from .windows import Windows, known_core


@dataclass(frozen=True)
class TileDirection:
    """The object's direction on the core of a tile [S, h, w], preconditioned."""

    object: np.ndarray

    __sizeof__ = held_bytes


@dataclass(frozen=True)
class Pooled:
    """Sums over the canvas that the step needs: ``<d, g>``, ``sum W |d|^2`` [S], and <gradient, momentum>."""

    numerators: np.ndarray
    denominators: np.ndarray
    ascent: float
    spectrum: SpectrumSums | None = None
    """What the spectral prior needs instead."""
    information: InformationSums | None = None
    """Where it is measured what the electrons carry."""


@dataclass(frozen=True)
class Both:
    """What a lone tile goes on to: the tile, and the state that is shared."""

    tile: TileState
    shared: State

    __sizeof__ = held_bytes


def as_whole(tile: TileState, shared: State) -> State:
    """The state of a whole object from its one tile and what is shared."""
    return replace(shared, model=replace(shared.model, object=tile.object), anchor=tile.anchor)


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

    def scalars(self, update: Update) -> Update:
        """See :meth:`LsqMl.scalars`."""
        return self.solver.scalars(update)

    def metrics(self, update: Update) -> dict[str, float]:
        """See :meth:`LsqMl.metrics`."""
        return self.solver.metrics(update)

    def lend(self, owner: int, part: TileState | TileDirection, to: int) -> Frame:
        """What another tile needs of the owner's object or direction."""
        return cut(Frame(self.tiles[owner].core.corner, part.object), self.tiles[to].reach)

    def assemble(self, index: int, state: TileState, shared: State, frames: list[Frame]) -> Model:
        """The model on a tile's reach, from its own core and what others lend."""
        object_ = self._on_reach(index, state.object, frames)
        return replace(shared.model, object=object_, corner=self.tiles[index].reach.corner)

    def give(self, update: Update, to: int) -> ObjectSums:
        """What a tile's merged update says about the work area of ``to``."""
        sums = update[ObjectSums]
        (y, x), (h, w) = sums.corner, sums.illumination.shape[1:]
        piece = common(Rect(y, y + h, x, x + w), self.tiles[to].work)
        rows, columns = piece.inside(sums.corner)
        return sums.on(rows, columns, piece.corner)

    def collect(self, index: int, pieces: list[ObjectSums]) -> ObjectSums:
        """Sum on a tile's work area of what its givers give, in the order of the list."""
        work = self.tiles[index].work
        empty = np.zeros((self.problem.slices, 0, 0), self.object_dtype)
        return place([ObjectSums(work.corner, empty, empty.real), *pieces], work.corner, work.shape)

    def totals(self, update: Update | None) -> Update:
        """What is no map of the object in a tile's merged update; None for a tile without blocks."""
        return Update(Sums()) if update is None else update.without(ObjectSums)

    def peak(self, index: int, sums: ObjectSums) -> np.ndarray:
        """Largest illumination on the core [S, 1, 1]."""
        return self._on_core(index, sums.illumination).max(axis=(1, 2), keepdims=True)

    def highest(self, peaks: list[np.ndarray]) -> np.ndarray:
        """Largest illumination of the canvas [S, 1, 1]."""
        return np.max(peaks, axis=0)

    def pool(
        self, index: int, state: TileState, shared: State, model: Model, sums: ObjectSums, brightest: np.ndarray
    ) -> Pooled:
        """A core's part of the sums over the canvas."""
        told = self._informed(index, sums, brightest)
        if self.problem.settings.spectral is not None:
            windows, maps = self._windows(index), self._maps(index, model, sums, brightest)
            nothing = np.zeros(self.problem.slices)
            spectrum = spectrum_sums(windows, maps, self.problem.settings.precondition, self.solver.kernels.lend)
            return Pooled(nothing, nothing, 0.0, spectrum, told)
        gradient, light = self._on_core(index, sums.gradient), self._on_core(index, sums.illumination)
        move = precondition(self.problem, gradient, light, brightest)
        ascent = inner(gradient, state.object - state.anchor) if shared.momentum >= 0 else 0.0
        return Pooled(*pooled_sums(move, gradient, light), ascent, None, told)

    def step(self, parts: list[Pooled], shared: State, totals: Update) -> Direction:
        """The step of the whole canvas, parts in the order of the tiles; its maps of the object have no pixels."""
        numerators = np.sum([p.numerators for p in parts], axis=0)
        denominators = np.sum([p.denominators for p in parts], axis=0)
        empty = np.zeros((self.problem.slices, 0, 0), self.object_dtype)
        probe, probe_step = probe_direction(self.problem, totals)
        steps, ascent = pooled_steps(numerators, denominators), sum(p.ascent for p in parts)
        told = [p.information for p in parts if p.information is not None]
        t = measured(self.problem, shared, reduce(add, told) if told else None)
        totals = less_maps(totals)
        move = Direction(empty, steps, probe, probe_step, empty.real, ascent, totals, information=t)
        spectra = [p.spectrum for p in parts if p.spectrum is not None]
        if not spectra:
            return move
        return replace(move, filter=spectral_filter(self.problem, shared, reduce(add, spectra), t, totals))

    def direction(self, index: int, sums: ObjectSums, brightest: np.ndarray) -> TileDirection:
        """The object's direction on a core."""
        gradient, light = self._on_core(index, sums.gradient), self._on_core(index, sums.illumination)
        return TileDirection(precondition(self.problem, gradient, light, brightest))

    def assemble_direction(self, index: int, direction: TileDirection, frames: list[Frame]) -> np.ndarray:
        """The object's direction on a tile's reach, from its own core and what others lend."""
        return self._on_reach(index, direction.object, frames)

    def line_search(
        self, block: Block, patterns: Patterns, model: Model, direction: np.ndarray, move: Direction
    ) -> Update:
        """Tangent sums of one block along its tile's part of the object's direction and that of the probe."""
        return self.solver.line_search(block, patterns, model, replace(move, object=direction))

    def advance_tile(
        self,
        index: int,
        state: TileState,
        shared: State,
        model: Model,
        sums: ObjectSums,
        brightest: np.ndarray,
        move: Direction,
        line: Update | None = None,
    ) -> TileState:
        """Next object and anchor on a core."""
        problem, constraints = self.problem, self.problem.settings.constraints
        work = self.tiles[index].work
        steps, _ = lengths(problem, shared.damping, move, line)
        rows, columns = work.inside(model.corner)
        if move.filter is not None:
            along = self._spectral_move(index, model, sums, brightest, move.filter)
            object_ = stepped(state.object, steps, along)
            if move.filter.adds:
                return TileState(object_, state.object)
            object_ = constrain(object_, constraints)
            return TileState(object_, object_)
        along = precondition(problem, sums.gradient, sums.illumination, brightest)
        anchor = self._on_core(
            index, constrain(stepped(model.object[:, rows, columns], steps, along), constraints)
        ).copy()
        rate, _ = inertia(shared.momentum, move.ascent)
        if rate is None:
            return TileState(anchor, anchor)
        weight = lit_weight(self._on_core(index, sums.illumination), brightest)
        return TileState(extrapolate(anchor, state.anchor, rate * weight, constraints), anchor)

    def advance_shared(self, shared: State, move: Direction, line: Update | None = None) -> State:
        """Next probe, background and counters."""
        return advance_shared(self.problem, shared, move, line)

    def decide(self, state: TileState, shared: State, update: Update) -> Direction:
        """The direction and steps of a whole object, which is one tile."""
        if self.problem.settings.spectral is None:
            move, noise = self.solver.direction(as_whole(state, shared), update), update[ObjectSums].noise
            if noise is None:
                return move
            sums = self.collect(0, [update[ObjectSums]])
            told = self._informed(0, sums, self.highest([self.peak(0, sums)]))
            return replace(move, information=measured(self.problem, shared, told))
        sums, model = self.collect(0, [update[ObjectSums]]), self.assemble(0, state, shared, [])
        brightest = self.highest([self.peak(0, sums)])
        move = self.step([self.pool(0, state, shared, model, sums, brightest)], shared, self.totals(update))
        assert move.filter is not None
        return replace(move, object=self._spectral_move(0, model, sums, brightest, move.filter))

    def line_search_alone(self, block: Block, patterns: Patterns, model: Model, move: Direction) -> Update:
        """Tangent sums of one block of a whole object."""
        return self.solver.line_search(block, patterns, model, move)

    def go_on(self, state: TileState, shared: State, move: Direction, line: Update | None) -> Both:
        """The next state of a whole object."""
        after = self.solver.advance(as_whole(state, shared), move, line)
        nothing = shared.anchor
        return Both(
            TileState(after.model.object, after.anchor),
            replace(after, model=replace(after.model, object=nothing), anchor=nothing),
        )

    def recover(self, shared: State) -> State:
        """See :meth:`LsqMl.recover`."""
        return self.solver.recover(shared)

    def recover_tile(self, state: TileState) -> TileState:
        """A tile after a divergence: without extrapolation."""
        return TileState(state.anchor, state.anchor)

    def finish_from(self, shared: State) -> State:
        """See :meth:`LsqMl.finish_from`: the object of the finish starts as it is."""
        return self.solver.finish_from(shared)

    def _windows(self, index: int) -> Windows:
        rule, tile = self.problem.settings.spectral, self.tiles[index]
        assert rule is not None
        return Windows(tile.core, tile.work, self.problem.canvas.shape, rule.side)

    def _informed(self, index: int, sums: ObjectSums, brightest: np.ndarray) -> InformationSums | None:
        """A core's part of what t is measured from; a blur's tiles lack the rim for windows near their edges."""
        rule, tile, shape = self.problem.settings.information, self.tiles[index], self.problem.canvas.shape
        if rule is None or sums.noise is None:
            return None
        core = known_core(tile.core, tile.work, shape, rule.side)
        if core is None:
            return None
        noise, light = sums.noise.real.mean(axis=0), sums.illumination.mean(axis=0)
        windows, lend = Windows(core, tile.work, shape, rule.side), self.solver.kernels.lend
        return information_sums(windows, noise, light, float(brightest.mean()), lend)

    def _maps(self, index: int, model: Model, sums: ObjectSums, brightest: np.ndarray) -> Maps:
        rows, columns = self.tiles[index].work.inside(model.corner)
        return maps_of(model.object[:, rows, columns], sums.gradient, sums.illumination, brightest)

    def _spectral_move(
        self, index: int, model: Model, sums: ObjectSums, brightest: np.ndarray, its: Filter
    ) -> np.ndarray:
        """The spectral prior's move of every slice on a core [S, h, w]; they share that of their sum."""
        maps, damping = self._maps(index, model, sums, brightest), self.problem.settings.precondition
        move = move_of(self._windows(index), maps, damping, its, self.solver.kernels.lend) / self.problem.slices
        return np.broadcast_to(move, (self.problem.slices, *move.shape))

    def _on_core(self, index: int, maps: np.ndarray) -> np.ndarray:
        """The core's part of maps [S, h, w] on a tile's work area."""
        tile = self.tiles[index]
        rows, columns = tile.core.inside(tile.work.corner)
        return maps[:, rows, columns]

    def _on_reach(self, index: int, own: np.ndarray, frames: list[Frame]) -> np.ndarray:
        """A map [S, h, w] on a tile's reach from its own core's part and the frames of others."""
        tile = self.tiles[index]
        return together([Frame(tile.core.corner, own), *frames], tile.reach)
