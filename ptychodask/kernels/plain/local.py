"""What a block needs of a model, by array code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..._array import Array
from ...model.blocks import Block
from ...model.state import Model, transmission
from ...physics.views import split_positions, window
from ...solver.problem import Problem, probe_spectra


@dataclass(frozen=True)
class Local:
    """What a block needs of the model, on the device: its window of the object and the probe's spectra."""

    corner: tuple[int, int]
    views_of: tuple[slice, slice]
    corners: np.ndarray
    fractions: np.ndarray
    transmission: Array
    spectra: Array
    propagators: Array
    weights: Array


def localise(problem: Problem, xp: ModuleType, block: Block, model: Model) -> Local:
    """What a block sees of a model, on the device of ``xp``."""
    positions = problem.positions(model, block)
    corners, fractions = split_positions(positions, problem.pixels)
    view = window(corners, problem.pixels)
    corner = (view[0].start, view[1].start)
    return Local(
        corner,
        view,
        corners - np.array(corner),
        fractions,
        transmission(xp.asarray(model.object[model.part(view)])),
        probe_spectra(xp.asarray(model.probe)),
        xp.asarray(problem.propagators),
        xp.asarray(problem.weights),
    )


def batches(size: int, batch: int) -> Iterator[slice]:
    """Slices of at most ``batch`` that follow each other up to ``size``."""
    return (slice(low, min(low + batch, size)) for low in range(0, size, batch))
