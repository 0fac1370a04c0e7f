"""Options of the solver."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .section import Section


class SolverConfig(Section):
    """LSQ-ML."""

    iterations: int = Field(40, ge=1, le=100_000, description="largest number of iterations")
    residual: Literal["poisson", "amplitude"] = Field("poisson", description="likelihood of the counts")
    epsilon: float = Field(0.1, ge=1e-6, le=10, description="shift of the Poisson likelihood, in mean counts per pixel")
    object_step: float = Field(1.0, gt=0, le=2, description="factor on the object's least-squares step")
    probe_step: float = Field(0.3, gt=0, le=2, description="factor on the probe's least-squares step")
    precondition: float = Field(
        0.1, gt=0, le=10, description="delta: how far steps fade where the illumination is weak"
    )
    step_rule: Literal["auto", "pooled", "tangent"] = Field(
        "auto",
        description="pooled least squares over S, or tangent line search; auto: tangent above 4 free slices",
    )
    tangent_stride: int = Field(8, ge=1, description="the tangent step uses one pattern of so many")
    rounds_per_iteration: int = Field(
        1, ge=1, le=1000, description="updates per iteration, each from one block of so many; 1 at low dose"
    )
    acceleration: bool = Field(True, description="Nesterov with restart")
    background: bool = Field(False, description="fit a uniform background on the detector")
    validation_fraction: float | None = Field(
        0.1, gt=0, lt=0.9, description="share of the electrons held out to decide when to stop; unset: none"
    )
    patience: int = Field(
        5,
        ge=1,
        description="stop after so many iterations without a significant gain; the spectral prior goes on to the end",
    )
    finish: int = Field(
        3,
        ge=0,
        le=100,
        description="last iterations, which fit the held-out electrons too; part of iterations",
    )
    seed: int = Field(0, ge=0, lt=2**53, description="key of all random numbers")
    batch: int = Field(
        8, ge=1, le=65_536, description="patterns computed together by the backend numpy; the others choose themselves"
    )
