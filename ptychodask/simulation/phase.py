"""The projected phase of a piece of a specimen, without any scan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..model.optics import Microscope
from ..model.scan import Detector
from .scattering import Experiment, potential_slices, projected_phase
from .specimen import Specimen, crystal_thickness

PIXEL_ANGSTROM = 0.4
BOX_PIXELS = 64


def specimen_phase(
    material: str, thickness_angstrom: float, energy_ev: float, side_angstrom: float
) -> tuple[NDArray[np.float32], float, float]:
    """Phase of a square piece, by the potentials of the simulation.

    Parameters
    ----------
    material : str
        Name, or the path of a structure file.
    thickness_angstrom : float
        Wanted; the real one is the nearest number of whole repeats.
    energy_ev, side_angstrom : float
        Beam energy, least side of the piece.

    Returns
    -------
    phase : float32 [Y, X]
        sigma times the projected potential, rad.
    pixel, thickness : float
        Angstrom.
    """
    specimen = Specimen(material, thickness_angstrom)
    # a simulation of two probes in the corners of the piece has the canvas that is wanted
    microscope = Microscope.of(energy_ev, 1.0, 0.0)
    step_mrad = 1e3 * microscope.wavelength / (BOX_PIXELS * PIXEL_ANGSTROM)
    far = max(0.0, side_angstrom - BOX_PIXELS * PIXEL_ANGSTROM)
    corners = np.array([[0.0, 0.0], [far, far]])
    experiment = Experiment(specimen, microscope, Detector(BOX_PIXELS, step_mrad), corners, 1.0, thickness_angstrom)
    projected = sum(potential for _, potential in potential_slices(experiment))
    canvas, phase = projected_phase(experiment, np.asarray(projected))
    return phase, canvas.pixel, crystal_thickness(specimen)
