"""How a phase is spread over the depth of a specimen."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .._errors import InputError
from .frc import remove_plane
from .spectrum import crop_to_scan

TIED = 1e-6
"""Relative difference of slices below which a job has tied them: they say nothing of the depth."""


def depth_profile(
    phases: xr.DataArray, positions: NDArray[np.floating], thickness_angstrom: float | None = None, margin: float = 3.3
) -> xr.Dataset:
    """Strength of every slice inside the scan, and how much neighbours are alike.

    Parameters
    ----------
    phases : DataArray (slice, y, x)
        Rad, y and x in angstrom.
    positions : array (..., 2)
        Angstrom; the area is their rectangle less ``margin``.
    thickness_angstrom : float, optional
        Of all slices together; without it the depth is in slices.

    Returns
    -------
    xarray.Dataset
        By ``depth`` of the slices' middles: ``rms`` and ``mean`` of the phase in rad, ``share`` of the variance, and
        ``alike``, the correlation with the next slice (nan for the last). The attribute ``tied`` says that slices are
        equal because the job tied them, so that there is no profile.

    Raises
    ------
    InputError
        Other dimensions, or values that are not finite.
    """
    if phases.dims != ("slice", "y", "x"):
        raise InputError(f"the object has dimensions {phases.dims}: give phases ('slice', 'y', 'x')")
    count = phases.sizes["slice"]
    planes = [np.asarray(crop_to_scan(phases.isel(slice=s), positions, margin).values, float) for s in range(count)]
    if not all(np.isfinite(p).all() for p in planes):
        raise InputError("the object holds values that are not finite")
    level = [remove_plane(p) for p in planes]
    power = np.array([np.mean(p**2) for p in level])
    whole = max(float(power.sum()), 1e-300)
    alike = [float((a * b).sum() / max(np.sqrt((a * a).sum() * (b * b).sum()), 1e-300)) for a, b in pairwise(level)]
    differ = max((float(np.abs(a - b).max()) for a, b in pairwise(planes)), default=0.0)
    most = max(float(np.abs(p).max()) for p in planes)
    step = 1.0 if thickness_angstrom is None else thickness_angstrom / count
    return xr.Dataset(
        {
            "rms": ("depth", np.sqrt(power), {"units": "rad"}),
            "mean": ("depth", np.array([p.mean() for p in planes]), {"units": "rad"}),
            "share": ("depth", power / whole, {"units": "1"}),
            "alike": ("depth", np.array([*alike, np.nan]), {"units": "1"}),
        },
        {"depth": ("depth", (np.arange(count) + 0.5) * step, {"units": "slice" if thickness_angstrom is None else
                                                             "angstrom"})},
        {"tied": int(count > 1 and differ <= TIED * max(most, 1e-300))},
    )  # fmt: skip
