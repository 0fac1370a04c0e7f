"""Further constraints on the object: tables that each name their kind. What they do is in ``physics.constraints``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .section import Section


class PhaseBound(Section):
    """An upper bound on the phase."""

    kind: Literal["phase-bound"]
    largest_rad: float = Field(gt=0, le=100)


class Shrinkage(Section):
    """A preference for phases of 0, as the proximal step of ``sum |phase|``."""

    kind: Literal["shrinkage"]
    threshold_rad: float = Field(gt=0, le=10)


FurtherConstraint = Annotated[PhaseBound | Shrinkage, Field(discriminator="kind")]
