"""What the packages are given to make an image of: two specimens, and one whose geometry they are told wrong.

``zif-8`` and ``nu-1000`` are simulations of this package, told as they are. Of ``wrong`` (ZIF-8) the specimen was
scanned with a defocus of 550 A, and 2 degrees of rotation between the scan and the detector; told are 600 A and none.
So nothing differs for a runner, but for the counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from calibration import ENERGY, STEP, Case, patterns
from geometry import placed, truth_of

import ptychodask
from ptychodask.model.geometry import Geometry

THICKNESS = {"nu-1000": 50.0}
"""Angstrom, where it is not 34."""
DEFOCUS, DEFOCUS_ERROR, ROTATION_ERROR = 600.0, 50.0, 2.0
"""Angstrom, what is told less what is right, and the rotation in degrees that is told to be none."""
SLICE = 4.0
"""Angstrom, of the simulation."""


@dataclass(frozen=True)
class Sample:
    """A dataset as it is told, and the true phase in the frame of the positions that it tells."""

    data: Path
    truth: xr.DataArray


@dataclass(frozen=True)
class Turned(Case):
    """Scanned with a rotation."""

    @property
    def geometry(self) -> Geometry:
        """That is right."""
        return Geometry(math.radians(ROTATION_ERROR), 1.0, 0.0, 0.0, self.defocus, 0.0, 0.0)


def right(path: Path, material: str, side: int, dose: float) -> Sample:
    """Told as it was scanned."""
    data = ptychodask.simulate(
        path, material, thickness_angstrom=THICKNESS.get(material, 34.0), scan_shape=(side, side),
        slice_thickness_angstrom=SLICE, dose_per_square_angstrom=dose, defocus_angstrom=DEFOCUS, overwrite=True,
    )  # fmt: skip
    truth = ptychodask.read_truth(data)
    assert truth is not None  # every simulation writes one
    return Sample(data, truth["phase"])


def wrong(path: Path, side: int, dose: float) -> Sample:
    """Told wrong."""
    if not math.isfinite(dose):
        raise SystemExit("the case wrong needs counts: give --dose a number, or leave it out of --cases")
    case = Turned("wrong", "zif-8", 34.0, 10.0, DEFOCUS - DEFOCUS_ERROR, side, dose, SLICE)
    expected, thickness = patterns(case, 128)
    data = ptychodask.create_dataset(
        path, np.random.default_rng(0).poisson(expected).astype(np.uint8), energy_ev=ENERGY, semi_angle_mrad=10.0,
        defocus_angstrom=DEFOCUS, angular_step_mrad=case.angular_step, scan_step_angstrom=STEP,
        attributes={"thickness_angstrom": thickness}, overwrite=True,
    )  # fmt: skip
    told = ptychodask.open_dataset(data).positions.values.reshape(-1, 2).mean(axis=0)
    moved = placed(case, case.geometry).mean(axis=0) - told
    truth = truth_of(case)
    return Sample(data, truth.assign_coords(y=truth.y - moved[0], x=truth.x - moved[1]))


def sample(name: str, folder: Path, side: int, dose: float) -> Sample:
    """Of a case by its name: ``wrong``, or a material as simulate takes it."""
    path = folder / f"{Path(name).stem}.zarr"
    return wrong(path, side, dose) if name == "wrong" else right(path, name, side, dose)
