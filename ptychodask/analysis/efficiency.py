r"""How much of its electrons an image makes: the dose at which an ideal phase image would be as good, over that spent.

An ideal phase image of D electrons per square angstrom has noise of a spectral density of ``1 / (4 D)`` rad^2 A^2: the
quantum Cramer-Rao bound, ``sigma = 1 / (2 sqrt(D dx^2))`` in a pixel, with no prior. Scanned diffraction with a known
probe reaches about half of that at best (Dwyer & Paganin 2024, arXiv 2309.04701): an efficiency above 0.5 is
the average of what repeats, or what a prior knew, and no information on any single place.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .._errors import InputError
from .compare import compare_with_truth, low_pass, on_grid
from .frc import remove_plane
from .spectrum import crop_to_scan, pixel_size

Floats = NDArray[np.floating]
BEST = 0.5
"""Of the quantum limit: what scanned diffraction reaches."""


def passed(resolution: float) -> float:
    """Area in 1/angstrom^2 through which white noise passes :func:`ptychodask.analysis.compare.low_pass`."""
    q = np.linspace(0, 1.06, 4001)
    disk = 0.5 * (1 + np.cos(np.pi * np.clip((q - 0.95) / 0.1, 0, 1)))
    return float(np.trapezoid(2 * np.pi * q * disk**2, q)) / resolution**2


def ideal_correlation(variance: float, dose: float, resolution: float) -> float:
    """Correlation with the truth of an ideal phase image, both low-passed at a resolution in angstrom.

    ``variance`` is that of the low-passed true phase, rad^2; ``dose`` in electrons per square angstrom.
    """
    return float(1 / np.sqrt(1 + passed(resolution) / (4 * dose * variance)))


def ideal_dose(correlation: float, variance: float, resolution: float) -> float:
    """Dose at which an ideal image has a correlation: the inverse of :func:`ideal_correlation`; nan at or below 0."""
    if not 0 < correlation < 1 or variance <= 0:
        return float("nan")
    return float(passed(resolution) / (4 * variance * (1 / correlation**2 - 1)))


def dose_efficiency(
    correlation: Mapping[float, float] | None,
    phase: xr.DataArray,
    truth: xr.DataArray,
    positions: Floats,
    dose: float,
    margin: float = 3.3,
) -> xr.Dataset:
    """Dose efficiency of an image whose truth is known.

    Parameters
    ----------
    correlation : mapping or None
        With the truth by resolution in angstrom, as :func:`compare_with_truth` has it; None computes it.
    phase, truth : DataArray (y, x)
        Rad, coordinates in angstrom.
    positions : array (..., 2)
        Angstrom: the area is their rectangle less ``margin``.
    dose : float
        Electrons per square angstrom that were spent.

    Returns
    -------
    xarray.Dataset
        By ``resolution`` in angstrom: ``correlation``, ``ideal`` (that of an ideal image of the same dose),
        ``ideal_dose`` and ``efficiency``, nan where the correlation is not above 0; ``of_best``, the efficiency over
        the half that scanned diffraction can reach.

    Raises
    ------
    InputError
        A dose that is not above 0, or images that cannot be compared.
    """
    if not (np.isfinite(dose) and dose > 0):
        raise InputError(f"dose = {dose}: the efficiency is over a dose above 0 electrons per square angstrom")
    if correlation is None:
        correlation = compare_with_truth(phase, truth, positions, margin=margin).correlation
    region = crop_to_scan(phase, positions, margin)
    known, spacing = on_grid(truth, region), pixel_size(region)
    rows = []
    for d, r in correlation.items():
        variance = float(np.var(remove_plane(low_pass(remove_plane(known), spacing, d))))
        if variance <= 0:
            raise InputError("the truth is flat: there is nothing that electrons could carry")
        rows.append((ideal_correlation(variance, dose, d), ideal_dose(r, variance, d)))
    ideal, doses = (np.array(v) for v in zip(*rows, strict=True))
    one = {"units": "1"}
    return xr.Dataset(
        {
            "correlation": ("resolution", np.array(list(correlation.values())), one),
            "ideal": ("resolution", ideal, one),
            "ideal_dose": ("resolution", doses, {"units": "electron/angstrom^2"}),
            "efficiency": ("resolution", doses / dose, one),
            "of_best": ("resolution", doses / dose / BEST, one),
        },
        {"resolution": ("resolution", list(correlation), {"units": "angstrom"})},
    )
