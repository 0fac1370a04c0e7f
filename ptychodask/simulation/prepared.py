"""A simulated experiment from what a person says: every argument checked, nothing computed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import _arguments as arguments
from .._arguments import number
from .._errors import InputError
from ..counts.streams import JITTER, generator
from ..model.optics import Microscope
from ..model.scan import CANVAS_LIMIT, Detector, check_disk, raster, scan_step
from ..physics.coherence import points
from ..physics.probe import frame_power
from .materials import materials
from .scattering import Experiment
from .size import check_size
from .specimen import Specimen, crystal_thickness

NOISE_FREE_ELECTRONS = 1e4
FRAME_LIMIT = 0.08
"""Power of the probe outside the inner 80 % of the box that is refused: it would wrap around."""
BRIGHTEST = 1e4
"""Mean electrons per pixel of the bright-field disk up to which no pixel outgrows uint16."""


@dataclass(frozen=True)
class Prepared:
    """What is simulated and how it is stored.

    Parameters
    ----------
    experiment : Experiment
    scan_shape : (int, int)
        Positions (y, x).
    step : (float, float)
        Angstrom.
    dtype : str
        Of the counts.
    noise : int or None
        Seed of the Poisson noise; None for none.
    attributes : dict
        What the dataset says of it.
    """

    experiment: Experiment
    scan_shape: tuple[int, int]
    step: tuple[float, float]
    dtype: str
    noise: int | None
    attributes: dict[str, Any]


def prepare(
    material: str | os.PathLike[str],
    folder: Path,
    *,
    thickness_angstrom: float = 50.0,
    energy_ev: float = 300e3,
    semi_angle_mrad: float = 10.0,
    defocus_angstrom: float = 600.0,
    aberrations: Mapping[str, float] | None = None,
    scan_shape: tuple[int, int] = (64, 64),
    scan_step_angstrom: float | tuple[float, float] = 1.05,
    detector_pixels: int = 128,
    angular_step_mrad: float = 0.47,
    dose_per_square_angstrom: float = 100.0,
    seed: int = 0,
    tilt_mrad: tuple[float, float] = (0.0, 0.0),
    position_error_angstrom: float = 0.0,
    offset_angstrom: tuple[float, float] = (0.0, 0.0),
    phonons: int = 0,
    phonon_sigma_angstrom: float = 0.1,
    source_size_angstrom: float = 0.0,
    focal_spread_angstrom: float = 0.0,
    slice_thickness_angstrom: float = 2.0,
) -> Prepared:
    """Check the arguments of :func:`ptychodask.simulation.run.simulate`, which say what they are.

    Parameters
    ----------
    folder : Path
        Where it will be written, whose disk must have room.

    Raises
    ------
    InputError
        For a value out of bounds, a probe that the box does not hold, or a lack of memory or disk.
    """
    if isinstance(material, os.PathLike):
        material = str(arguments.path(material, "material"))
    material = arguments.text(material, "material", "a material's name or the path of a structure file")
    scan_shape = arguments.whole_pair(scan_shape, "scan_shape", "positions (y, x)", 1, CANVAS_LIMIT)
    microscope = Microscope.of(energy_ev, semi_angle_mrad, defocus_angstrom, aberrations)
    detector = Detector(detector_pixels, angular_step_mrad)
    check_disk(detector, microscope)
    step = scan_step(scan_step_angstrom, detector, microscope)
    dose = number(
        dose_per_square_angstrom,
        "dose_per_square_angstrom",
        "electrons per square angstrom, or inf for no noise",
        above=0,
        infinite=True,
    )
    slice_thickness = number(
        slice_thickness_angstrom, "slice_thickness_angstrom", "a thickness in angstrom, 1 to 4 is usual", above=0
    )
    thickness = number(thickness_angstrom, "thickness_angstrom", "the specimen's thickness in angstrom", 0, above=0)
    seed = arguments.whole(seed, "seed", "the key of all random numbers")
    phonons = arguments.whole(phonons, "phonons", "the number of configurations", 0, 10_000)
    sigma = number(phonon_sigma_angstrom, "phonon_sigma_angstrom", "an RMS displacement in angstrom", 0, 10)
    jitter = number(position_error_angstrom, "position_error_angstrom", "an RMS error in angstrom", 0)
    shift = arguments.pair(offset_angstrom, "offset_angstrom", "a shift (y, x) of the scan in angstrom", -1e6, 1e6)
    source = number(source_size_angstrom, "source_size_angstrom", "a standard deviation in angstrom", 0)
    spread = number(focal_spread_angstrom, "focal_spread_angstrom", "a standard deviation in angstrom", 0)
    points(microscope, source, spread)
    lean = arguments.pair(tilt_mrad, "tilt_mrad", "the lean of the columns in mrad", -200, 200)
    pixel, extents = detector.pixel_angstrom(microscope.wavelength), zip(scan_shape, step, strict=True)
    sides = [1.5 * (detector.pixels + (n - 1) * s / pixel) for n, s in extents]
    slices = max(1.0, thickness / slice_thickness)
    check_size(scan_shape, (sides[0], sides[1]), detector.pixels, slices, max(1, phonons), folder)
    box = microscope.wavelength / (detector.angular_step_mrad * 1e-3)
    if (outside := frame_power(microscope, detector.pixels, box / detector.pixels)) > FRAME_LIMIT:
        raise InputError(
            f"{outside:.1%} of the probe is outside 80 % of the {box:.1f} A box of the patterns (at most"
            f" {FRAME_LIMIT:.0%}):"
            " use less defocus or a smaller angular_step_mrad"
        )
    specimen = Specimen(material, thickness, phonons, sigma, seed)
    thickness = crystal_thickness(specimen)
    electrons = NOISE_FREE_ELECTRONS if math.isinf(dose) else dose * step[0] * step[1]
    dtype = stored_type(dose, electrons, microscope, detector)
    recorded = raster(scan_shape, step)  # as the writer makes it
    true = recorded + np.array(shift) + jitter * generator(seed, JITTER).normal(size=recorded.shape)
    tilt = (lean[0] * 1e-3, lean[1] * 1e-3)
    attributes = {
        "source": "ptychodask.simulate",
        "specimen": material,
        "specimen_status": next((m.status for m in materials() if m.name == material), "file"),
        "thickness_angstrom": thickness,
        "tilt_mrad": list(lean),
        "seed": seed,
        "phonons": phonons,
        "source_size_angstrom": source,
        "focal_spread_angstrom": spread,
    }
    at = true.reshape(-1, 2)
    return Prepared(
        Experiment(specimen, microscope, detector, at, electrons, slice_thickness, tilt, source, spread),
        scan_shape,
        step,
        dtype,
        None if math.isinf(dose) else seed,
        attributes,
    )


def stored_type(dose: float, electrons: float, microscope: Microscope, detector: Detector) -> str:
    """Type that holds the counts of patterns of so many ``electrons``.

    Raises
    ------
    InputError
        If a pixel may outgrow uint16.
    """
    if math.isinf(dose):
        return "float32"
    # bright pixels of a pattern reach a few times the mean of its disk
    in_disk = electrons / max(1.0, math.pi * (microscope.semi_angle_mrad / detector.angular_step_mrad) ** 2)
    if in_disk > BRIGHTEST:
        raise InputError(
            f"dose_per_square_angstrom = {dose:g} are {in_disk:.3g} electrons per pixel of the bright-field disk, and"
            f" uint16 holds little more than {BRIGHTEST:g}: give less, or inf for no noise"
        )
    return "uint16" if in_disk > 20 else "uint8"
