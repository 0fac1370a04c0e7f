"""What the solver is told: plain numbers in its own units (pixels, electrons, slices), made from the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..model.places import PlaceRules
from ..model.prior import Information, Spectral
from ..model.refining import Refine
from ..physics.constraints import Constraint
from ..physics.likelihood import Residual


@dataclass(frozen=True)
class ProbeRules:
    """When and how the probe moves."""

    update_start: int | None
    keep_power: bool
    aperture: np.ndarray | None
    """Allowed frequencies [N, N] (corner-centred, 0 or 1) of the strongest mode, or None."""


@dataclass(frozen=True)
class Settings:
    """Numbers of the solver; formulas in the modules that use them.

    ``epsilon`` is in units of the mean count per pixel; ``train_fraction`` is None where there is no validation.
    """

    residual: Residual
    epsilon: float
    object_step: float
    probe_step: float
    precondition: float
    tangent_stride: int
    """Every how many patterns one takes part in the tangent line search; 0 uses the pooled step over S."""
    accelerate: bool
    background: bool
    train_fraction: float | None
    """Share of the electrons that is trained on while the rest is held out; None where nothing is."""
    use_all: bool
    """The finish: the held-out electrons are fitted too, and nothing validates any more."""
    seed: int
    batch: int
    constraints: tuple[Constraint, ...]
    """On the object after every update, in the order in which they are applied."""
    probe_rules: ProbeRules
    rounds: int = 1
    """Updates per iteration, each from its own share of the blocks."""
    spectral: Spectral | None = None
    """The prior of the object; None: its constraints, among them a blur, are all there is."""
    half: Literal["first", "second"] | None = None
    """Of the electrons, by lot; None: all of them."""
    information: Information | None = None
    """How it is measured what the electrons carry; the prior needs it, a blur does not. None: it is not."""
    refine: Refine | None = None
    """Of the geometry, what moves; None: nothing."""
    places: PlaceRules | None = None
    """How every pattern moves on its own; None: it stays."""
