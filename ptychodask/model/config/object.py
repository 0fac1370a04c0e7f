"""Options of the object."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .constraints import FurtherConstraint
from .section import Section


class ObjectConfig(Section):
    """The object: slices and constraints."""

    slices: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="number of slices S; unset: one per half depth of field of the thickness, 1 if that is unknown",
    )
    thickness_angstrom: float | None = Field(
        None, gt=0, le=1e5, description="specimen thickness in angstrom; unset: what the dataset says"
    )
    kind: Literal["phase", "complex"] = Field(
        "phase", description="pure phase object, or one whose modulus is free, too"
    )
    amplitude_max: float | None = Field(1.1, gt=0, description="bound on |O| of a complex object; unset: none")
    positivity: bool = Field(True, description="keep the phase at or above 0 (vacuum)")
    regularisation: Literal["blur", "spectral"] = Field(
        "blur",
        description="what holds noise back: spectral, a Wiener filter whose spectrum is measured from the data, which"
        " averages lattices and keeps defects in a residual; or blur, a blur after every update and stopping early (and"
        " so where blur_angstrom is set, or another option or the data do not go with the first)",
    )
    blur_angstrom: float = Field(
        0.45, ge=0, le=10, description="sigma of the lateral Gaussian blur after every update, angstrom"
    )
    residual: float = Field(
        0.01,
        ge=0,
        le=10,
        description="spectral: prior variance (rad^2) of what is no lattice, such as defects, which the last iteration"
        " fits; 0 for none",
    )
    aperiodic_floor: float = Field(
        0.0,
        ge=0,
        le=100,
        description="spectral: prior power between the peaks of a lattice, in means of the ring; with 0 the lattice"
        " alone is averaged, and defects are in the residual",
    )
    spectral_window: float = Field(
        1.0,
        ge=0.5,
        le=4,
        description="spectral: side of the windows, in sides of the pattern's box; at most that of the scan",
    )
    coupling: Literal["none", "identical", "gaussian"] = Field(
        "identical", description="how slices are tied to each other"
    )
    coupling_sigma_angstrom: float = Field(
        50.0, gt=0, description="sigma of the gaussian coupling along the beam, angstrom"
    )
    start: str | None = Field(
        None,
        description="result whose object the run begins with, of the same area, or of the same scan a file of PtyRAD,"
        " py4DSTEM or phaser (HDF5); unset: vacuum",
    )
    further: tuple[FurtherConstraint, ...] = Field(
        (),
        description="further constraints after every update, in this order, as tables: {kind = 'phase-bound',"
        " largest_rad}, {kind = 'shrinkage', threshold_rad} (phases go towards 0 by so much)",
    )
    tilt_mrad: tuple[float, float] = Field((0.0, 0.0), description="known lean (y, x) of the atomic columns, mrad")
