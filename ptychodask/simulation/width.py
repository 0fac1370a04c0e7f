"""The defocus at which a probe has a wanted diameter."""

from __future__ import annotations

from collections.abc import Mapping

from .._errors import InputError
from ..model.optics import Microscope
from ..physics.probe import probe_diameter, probe_window

LARGEST = 20_000.0
"""Angstrom of underfocus that are tried."""
FRACTION = 0.9


def defocus_of_width(
    energy_ev: float, semi_angle_mrad: float, aberrations: Mapping[str, float], diameter_angstrom: float
) -> float:
    """Underfocus in angstrom at which a disc of ``diameter_angstrom`` holds nine tenths of the probe (D90).

    By bisection: above the focus the diameter grows with the defocus.

    Raises
    ------
    InputError
        If the probe is wider even in focus, or not so wide at the largest defocus.
    """

    def width(defocus: float) -> float:
        microscope = Microscope.of(energy_ev, semi_angle_mrad, defocus, aberrations)
        return probe_diameter(*probe_window(microscope, 4 * diameter_angstrom), FRACTION, whole=1.0)

    low, high = 0.0, LARGEST
    if not width(low) < diameter_angstrom < width(high):
        raise InputError(
            f"probe_diameter_angstrom = {diameter_angstrom:g}: at {semi_angle_mrad:g} mrad the probe is"
            f" {width(low):.3g} A wide (D90) in focus and grows with defocus up to {LARGEST:g} A: give a width between"
        )
    while high - low > 1.0:
        middle = (low + high) / 2
        low, high = (middle, high) if width(middle) < diameter_angstrom else (low, middle)
    return round(high, 1)
