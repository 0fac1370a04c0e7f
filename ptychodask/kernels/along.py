"""Intensities along a direction by central differences: what the compiled line searches share, that of the tangent step
along object and probe, and those of a pattern along its own place.

The tangent dI of the plain code is exact; ``(I(x + h d) - I(x - h d)) / 2h`` needs nothing but forward models. It is
off by h^2/6 of the third derivative, in which d, the way to the least-squares solution, is of the order of 1 rad: about
1e-3 of dI; and by the rounding of I over h.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from .._array import fft2, ifft2
from ..counts.patterns import Counts, Patterns
from ..counts.subset import subset, taken
from ..model.blocks import Block
from ..model.state import Model
from ..physics.likelihood import AMPLITUDE_FLOOR
from ..physics.views import split_positions, window
from ..solver.problem import Problem

STEP = 1 / 64
"""h, in units of the direction, whose natural step is 1."""
NUDGE = 1 / 16
"""h of a place in pixels: off by (pi / 16)^2 / 6 = .6 % of dI for the finest that a pixel holds."""


@dataclass(frozen=True)
class Line:
    """Patterns of a block that take part in a line search: their places, their counts, and epsilon of the Fisher
    weight; None of them where the subset has none in this block."""

    chosen: np.ndarray
    counts: Counts
    epsilon: float


def line_of(problem: Problem, block: Block, patterns: Patterns, model: Model) -> Line | None:
    """The subset of :func:`ptychodask.kernels.plain.line_search`."""
    chosen = subset(block.flat(problem.scan_shape), problem.settings.tangent_stride, model.iteration)
    if not len(chosen):
        return None
    return Line(chosen, taken(patterns.fitted, chosen), epsilon_of(problem))


def epsilon_of(problem: Problem) -> float:
    """Of the Fisher weight."""
    likelihood = problem.likelihood
    return float(likelihood.epsilon if likelihood.residual == "poisson" else AMPLITUDE_FLOOR)


def three(
    problem: Problem, block: Block, model: Model, object_direction: np.ndarray, probe_direction: np.ndarray | None
) -> Iterator[Model]:
    """The model, and h ahead and behind on the direction; of the object only what the block sees."""
    positions = problem.positions(model, block)
    view = window(split_positions(positions, problem.pixels)[0], problem.pixels)
    part, corner = model.part(view), (int(view[0].start), int(view[1].start))
    here = replace(model, object=model.object[part], corner=corner)
    yield here
    for h in (STEP, -STEP):
        object_ = (here.object + h * object_direction[part]).astype(here.object.dtype)
        probe = model.probe if probe_direction is None else model.probe + h * probe_direction
        yield replace(here, object=object_, probe=probe.astype(model.probe.dtype))


def nudged(model: Model, axis: int) -> Iterator[Model]:
    """The model, and all places h ahead and behind along y (0) or x (1): the probe moves for them."""
    yield model
    k = np.fft.fftfreq(model.probe.shape[-1])
    phase = -2j * np.pi * NUDGE * (k[:, None] if axis == 0 else k[None, :])
    for sign in (1, -1):
        yield replace(model, probe=ifft2(fft2(model.probe) * np.exp(sign * phase)).astype(model.probe.dtype))
