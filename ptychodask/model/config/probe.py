"""Options of the probe."""

from __future__ import annotations

from pydantic import Field

from .section import Section


class ProbeConfig(Section):
    """The probe: modes and when they move. It starts from the dataset's semi-angle and aberrations."""

    modes: int = Field(1, ge=1, le=64, description="incoherent probe modes M")
    mode_power: float = Field(0.02, gt=0, lt=0.5, description="share of the power of every further mode at the start")
    source_size_angstrom: float = Field(
        0.0,
        ge=0,
        description="standard deviation of the source's image in the specimen, along each axis: further modes",
    )
    focal_spread_angstrom: float = Field(0.0, ge=0, description="standard deviation of the defocus: further modes")
    update_start: int | None = Field(None, ge=0, description="first iteration that moves the probe; unset: never")
    start: str | None = Field(
        None,
        description="result whose probe the run begins with, of the same pixels, or a file of PtyRAD, py4DSTEM or"
        " phaser (HDF5); unset: the dataset's aberrations",
    )
    keep_power: bool = Field(True, description="hold the probe's power at the mean electrons per pattern")
    keep_aperture: bool = Field(True, description="hold the strongest mode inside the aperture")
    defocus_angstrom: float | None = Field(None, description="replaces the dataset's defocus (positive: underfocus)")
