"""What was seen of all blocks as labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from ..._tables import counted
from ...analysis.aligned import Parallax, finished
from ...analysis.grid import on_grid
from ...analysis.virtual import integrated
from ...io.selected import left_off
from .tasks import Glance
from .wanted import Wanted

FLAT = ("y", "x")
FINE = ("fine_y", "fine_x")


def images_of(wanted: Wanted, glances: Sequence[Glance]) -> xr.Dataset:
    """All images, see :func:`ptychodask.jobs.viewing.run.view`; glances are merged in the order given."""
    info, grid, n = wanted.info, wanted.grid, wanted.info.detector.pixels
    sums = np.full((len(grid.places), wanted.weights.shape[1]), np.nan)
    pattern = np.zeros(n * n)
    for one in glances:
        sums[one.positions] = one.sums
        pattern += one.pattern
    seen = np.isfinite(sums[:, 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.where(sums[:, :1] > 0, sums[:, 1:3] / sums[:, :1], np.nan)
    if (left := left_off(info)) is not None:  # what moves by whole pixels left, which the specimen did not do
        centre -= left * info.detector.angular_step_mrad
    notes = _notes(wanted, sums[:, 0], centre, seen)
    images = on_grid(grid, np.concatenate([sums[:, :1], centre, sums[:, 3:]], axis=1))
    found: dict[str, Any] = {"electrons": _image(images[0], "electron", "all pixels that are used")}
    for each, values in zip(wanted.detectors, images[3:], strict=True):
        found[each.name] = _image(values, "electron", each.about)
        if each.between is not None:
            found[each.name].attrs |= {"inner_mrad": each.between[0], "outer_mrad": each.between[1]}
    for name, values in zip(("com_y", "com_x"), images[1:3], strict=True):
        found[name] = _image(values, "mrad", "centre of mass of the pattern")
    if grid.raster:
        phase = integrated(images[1:3], info.microscope.wavelength, grid)
        found["icom"] = _image(phase, "rad", "integrated centre of mass, less its mean slope")
    fine = _parallax(wanted, glances, pattern.reshape(n, n), seen, notes)
    mean = np.where(wanted.used, pattern.reshape(n, n) / max(int(seen.sum()), 1), np.nan)
    found["pattern"] = xr.DataArray(
        np.fft.fftshift(mean), dims=("ky", "kx"), attrs={"units": "electron", "long_name": "mean pattern"}
    )
    angle = (np.arange(n) - n // 2) * info.detector.angular_step_mrad
    coordinates = {k: (k, angle, {"units": "mrad"}) for k in ("ky", "kx")}
    for i, name in enumerate(FLAT):
        coordinates[name] = (name, grid.axis(i), {"units": "angstrom"})
    if fine:
        finer = wanted.parallax.finer if isinstance(wanted.parallax, Parallax) else 1
        for i, name in enumerate(FINE):
            coordinates[name] = (name, grid.axis(i, finer), {"units": "angstrom"})
    return xr.Dataset({**found, **fine}, coordinates, _attributes(wanted, notes))


def _image(values: np.ndarray, units: str, about: str, dims: tuple[str, str] = FLAT) -> xr.DataArray:
    return xr.DataArray(values, dims=dims, attrs={"units": units, "long_name": about})


def _parallax(
    wanted: Wanted, glances: Sequence[Glance], pattern: np.ndarray, seen: np.ndarray, notes: list[str]
) -> dict[str, xr.DataArray]:
    parallax = wanted.parallax
    if isinstance(parallax, str):
        notes.append(parallax)
        return {}
    laid = np.zeros(parallax.canvas)
    for one in glances:
        (y, x), (height, width) = one.corner, one.laid.shape
        laid[y : y + height, x : x + width] += one.laid
    image, phase = finished(parallax, laid, pattern, wanted.used, wanted.info.detector, seen)
    return {
        "parallax": _image(image, "1", "aligned bright field, over what it would be without a specimen", FINE),
        "parallax_phase": _image(phase, "1", "the same with the sign of its transfer undone", FINE),
    }


def _notes(wanted: Wanted, electrons: np.ndarray, centre: np.ndarray, seen: np.ndarray) -> list[str]:
    """What to know of the images."""
    grid, found = wanted.grid, []
    if missing := int((~seen).sum()):
        found.append(f"{counted(missing, 'position')} left out because their chunks are damaged: NaN")
    if empty := int((electrons == 0).sum()):
        found.append(f"{counted(empty, 'pattern')} without electrons: their centre of mass is NaN")
    off = np.nanmean(np.where(electrons[:, None] > 0, centre, np.nan), axis=0) if (electrons > 0).any() else np.zeros(2)
    if np.hypot(*off) > wanted.info.detector.angular_step_mrad:
        found.append(
            f"patterns are off centre by {off[0]:.3g}, {off[1]:.3g} mrad (y, x), and angles are those from pixel N / 2:"
            " roll the counts by as many pixels before the dataset is made"
        )
    if not grid.raster:
        step = wanted.info.scan_step
        found.append(
            f"the positions are no raster: images are interpolated linearly at {step[0]:.4g} x {step[1]:.4g} A, NaN"
            " outside of the scan; no integrated centre of mass, which needs a raster"
        )
    elif grid.off > 0.05 * min(grid.steps):
        found.append(f"positions are {grid.off:.3g} A (RMS) off their raster: every pattern is shown at its node")
    if grid.raster and not grid.upright:
        found.append(
            "the scan is turned or sheared: images are along its own axes, com_y and com_x along the detector's"
        )
    return found


def _attributes(wanted: Wanted, notes: list[str]) -> dict[str, Any]:
    scope, info = wanted.experiment.microscope, wanted.info
    return {
        "path": info.path,
        "fingerprint": info.fingerprint,
        "energy_ev": scope.energy_ev,
        "semi_angle_mrad": scope.semi_angle_mrad,
        "defocus_angstrom": scope.defocus_angstrom,
        "defocus_at_the_middle_angstrom": wanted.middle.defocus_angstrom,
        "upsample": wanted.parallax.finer if isinstance(wanted.parallax, Parallax) else 0,
        "notes": notes,
    }
