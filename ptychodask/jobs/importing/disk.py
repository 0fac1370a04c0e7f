"""The angle per pixel that nobody says: the semi-angle over the radius of the bright-field disk."""

from __future__ import annotations

import numpy as np

from ..._errors import InputError
from ..._tables import counted
from ...calibration.disk import fit_disk
from ...calibration.run import FROM_DISK
from ...counts.badpixels import bad_pixels
from ...model.optics import Microscope
from ...readers.counted import Counted
from .facts import OPTIONS, Fact
from .unit import check_unit, sample

__all__ = ["FROM_DISK", "step_of_disk"]

FRAMES, BYTES = 512, 2**28
"""Whose sum is looked at, at most so many bytes of them."""


def step_of_disk(file: Counted, used: np.ndarray, microscope: Microscope) -> tuple[float, Fact]:
    """mrad per pixel of the detector, and how that is known.

    Raises
    ------
    InputError
        If there is no disk in the mean of some frames: to give the step.
    """
    values = sample(file, max(8, min(FRAMES, BYTES // (4 * file.pixels**2))))
    check_unit(file, values[:, used])
    pattern = np.where(used, file.electrons(values), 0).clip(0).sum(axis=0, dtype=np.float64)
    hot, dead = bad_pixels(pattern, used)
    try:
        disk = fit_disk(pattern, used & ~hot & ~dead, len(values))
    except InputError as error:
        raise InputError(f"give {OPTIONS['angular_step_mrad']}: the disk does not say it, because {error}") from None
    step = microscope.semi_angle_mrad / disk.radius
    seen = counted(len(values), "frame")
    told = f"the disk: {disk.radius:.2f} ± {disk.errors[2]:.2f} pixels are the semi-angle ({seen})"
    return step, Fact(step, told)
