"""Compact LSQ-ML as an algorithm that a map-and-merge engine can run: every method is a pure function of its arguments.

Odstrcil et al., Opt. Express 26, 3108 (2018) and Thibault & Guizar-Sicairos, New J. Phys. 14, 063004 (2012), with one
merged update per iteration and a pooled least-squares step, which need no second pass and no per-position numbers.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ..counts.padding import padded
from ..counts.patterns import Counts, Patterns, doubled_half, in_half, prepare, reunited
from ..counts.subset import subset, taken
from ..model.blocks import Block
from ..model.state import Model, State, own_modes
from .apply import advance, direction, recover
from .direction import Direction
from .door import Kernels
from .goodness import goodness
from .problem import Problem
from .unknowns.geometry import GeometrySums, carried_score
from .unknowns.object import ObjectSums
from .unknowns.positions import PlaceSums
from .unknowns.probe import kept_apart
from .update import Sums, Update

HALVES = 1 << 20
"""Added to the seed: the halves of the information are not those of the validation."""
LOT = 1 << 21
"""Added to the seed: nor are those that are reconstructed each on its own."""


@dataclass(frozen=True)
class LsqMl:
    """The solver over a fixed problem, with the kernels that were made for it."""

    problem: Problem
    kernels: Kernels
    sharper: LsqMl | None = None
    """With the spectral prior, the same with a smaller epsilon: it serves from an iteration on."""
    scorer: Kernels | None = None
    """While the geometry is refined by electrons that the object does not learn from, what makes its sums of those."""
    scans: tuple[LsqMl, ...] = ()
    """Where several scans see the object, what looks at the blocks of each: positions, mask and probe are its own."""

    @property
    def data_key(self) -> str:
        """Names how counts are prepared: equal keys and equal counts give equal patterns."""
        if self.scans:
            return "+".join(its.data_key for its in self.scans)
        settings = self.problem.settings
        mask = zlib.crc32(self.problem.weights.tobytes())
        return f"{settings.half or 'all'}-{settings.train_fraction}-{settings.seed}-{mask}"

    @property
    def searches_line(self) -> bool:
        """Does every iteration need a second, small pass for the tangent step?"""
        return self.problem.settings.tangent_stride > 0

    def prepare(self, block: Block, counts: Counts | Iterable[Counts]) -> Patterns:
        """Counts of a block, whole or in runs of patterns, as the solver wants them."""
        if self.scans:
            return self.scans[block.scan].prepare(block, counts)
        settings = self.problem.settings
        indices = block.flat(self.problem.scan_shape)
        if stored := self.problem.stored_pixels:
            parts = (counts,) if isinstance(counts, Counts) else counts
            counts = (padded(part, stored, self.problem.pixels) for part in parts)
        if settings.half is not None:
            counts = in_half(counts, indices, settings.seed + LOT, second=settings.half == "second")
        return prepare(counts, indices, self.problem.weights, settings.train_fraction, settings.seed)

    def _roles(self, patterns: Patterns) -> Patterns:
        """Patterns as this stage wants them: the fit and the finish share what is cached."""
        return reunited(patterns) if self.problem.settings.use_all else patterns

    def partial(self, block: Block, patterns: Patterns, model: Model, evaluate_only: bool) -> Update:
        """Update of one block; of a state that is only looked at, how well it fits besides."""
        if self.scans:
            seen = model.of_scan(block.scan, len(self.scans))
            return kept_apart(self.scans[block.scan].partial(block, patterns, seen, evaluate_only), block.scan)
        rule = self.problem.settings.spectral
        if rule is not None and self.sharper is not None and model.iteration >= rule.sharpen_at:
            return self.sharper.partial(block, patterns, model, evaluate_only)
        roles = self._roles(patterns)
        update = self.kernels.partial(block, roles, model, evaluate_only)
        if evaluate_only:
            return update.put(update.sums + goodness(self.problem, self.kernels, block, roles, model))
        its = self.problem.settings.information
        if its is not None and model.iteration in its.at:
            update = self._informed(block, roles, model, update)
        if self.problem.refines(model.iteration) is not None:
            update = self._scored(block, roles, model, update)
        if self.problem.places_move(model.iteration):
            sums = self.kernels.nudge(block, roles.fitted, model, np.arange(block.size))
            update = update.put(PlaceSums(block.flat(self.problem.scan_shape), sums))
        return update

    def _scored(self, block: Block, patterns: Patterns, model: Model, update: Update) -> Update:
        """The update with what its own electrons, or those that were held out, say of the geometry with the object
        carried along."""
        rules, scoring, share = self.problem.settings.refine, update, 1
        assert rules is not None
        if self.scorer is not None:
            assert patterns.held is not None, "cross-fitting holds electrons out"
            share = rules.scored
            places = subset(block.flat(self.problem.scan_shape), share, model.iteration)
            if not len(places):
                return update.put(GeometrySums.none(rules))
            held = Patterns(taken(patterns.held, places), None, None, patterns.pixels)
            scoring = self.scorer.partial(block.only(places), held, model)
        sums, along = scoring[GeometrySums], carried_score(rules, self.problem.likelihood, model, scoring[ObjectSums])
        return update.put(GeometrySums(share * (sums.score + along), share * sums.information))

    def _informed(self, block: Block, patterns: Patterns, model: Model, update: Update) -> Update:
        """The update with a map of its gradient's noise: that of twice a half of the electrons, less its own."""
        indices, seed = block.flat(self.problem.scan_shape), self.problem.settings.seed
        other = self.kernels.partial(block, doubled_half(patterns, indices, seed + HALVES), model)
        its = update[ObjectSums]
        return update.put(replace(its, noise=other[ObjectSums].gradient - its.gradient))

    def merge(self, updates: list[Update]) -> Update:
        """Sum in the order given."""
        return Update.merged(updates)

    def scalars(self, update: Update) -> Update:
        """What metrics need of an update: no maps."""
        return Update(update.sums)

    def direction(self, state: State, update: Update) -> Direction:
        """Preconditioned direction of a merged update."""
        return direction(self.problem, state, update)

    def line_search(self, block: Block, patterns: Patterns, model: Model, move: Direction) -> Update:
        """Tangent sums of one block along a direction."""
        if scans := len(self.scans):
            along = None if move.probe is None else own_modes(move.probe, block.scan, scans)
            seen = model.of_scan(block.scan, scans)
            return self.scans[block.scan].line_search(block, patterns, seen, replace(move, probe=along))
        return self.kernels.line_search(block, self._roles(patterns), model, move.object, move.probe)

    def advance(self, state: State, move: Direction, line: Update | None) -> State:
        """Next state."""
        return advance(self.problem, state, move, line)

    def recover(self, state: State) -> State:
        """State to go on from after a divergence."""
        return recover(state)

    def metrics(self, update: Update) -> dict[str, float]:
        """Figures of the state that a merged update was made from."""
        sums = update.sums
        held = self.problem.settings.train_fraction is not None and not self.problem.settings.use_all
        return {
            "loss": sums.loss / sums.patterns,
            "validation": sums.held_loss / sums.patterns if held else float("nan"),
            "patterns": sums.patterns,
            "power": sums.intensity / max(sums.electrons, 1e-300),
            **self._fit(sums),
        }

    def _fit(self, sums: Sums) -> dict[str, float]:
        """Loss per pattern above that of Poisson noise around the model, with its standard error; where it was
        compared."""
        if not sums.tested:
            return {}
        return {
            "loss_excess": (sums.tested_loss - sums.expected_loss) / sums.tested,
            "loss_excess_error": math.sqrt(sums.expected_variance) / sums.tested,
            "loss_expected": sums.expected_loss / sums.tested,
        }

    def full_dose(self, model: Model) -> Model:
        """The model in units of all electrons, where it was fitted to the training share."""
        settings = self.problem.settings
        if settings.train_fraction is None or settings.use_all:
            return model
        probe = (model.probe / np.sqrt(settings.train_fraction)).astype(model.probe.dtype)
        return replace(model, probe=probe, background=model.background / settings.train_fraction)

    def finish_from(self, state: State) -> State:
        """Start of the finish, in which all electrons are fitted: full dose, momentum as it is.

        A tenth more electrons hardly moves the optimum, and a few iterations from rest would not get there.
        """
        return replace(state, model=self.full_dose(state.model), loss=None)
