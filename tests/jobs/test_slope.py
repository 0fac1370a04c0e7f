"""How high a phase comes out: as high as it is, but for what a blur takes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from tiny_scan import write_scan

import ptychodask
from ptychodask.analysis.compare import RING_WIDTH, compare_with_truth
from ptychodask.analysis.frc import remove_plane, ring_index, tukey_window
from ptychodask.physics.constraints import lateral_blur

SIDE, SIGMA = 14, 0.6
RNG = np.random.default_rng(3)
ATOMS = [*zip(*RNG.uniform(-3, SIDE + 2, (2, 40)), RNG.uniform(0.2, 0.6, 40), strict=True)]
"""(y, x, height in rad), y and x in angstrom; Gaussians of :data:`SIGMA`."""


@pytest.fixture(scope="module")
def phase(tmp_path_factory):
    """What a job with a blur in angstrom makes of expected counts without noise, in the scanned area."""
    scan = write_scan(
        tmp_path_factory.mktemp("scan") / "scan.zarr", (SIDE, SIDE), electrons=1e4, peaks=ATOMS, noise=False
    )

    def made(blur: float) -> xr.DataArray:
        job = {
            "object": {"regularisation": "blur", "blur_angstrom": blur},
            "solver": {"iterations": 50, "finish": 0, "validation_fraction": None, "patience": 100},
        }
        return ptychodask.reconstruct(scan, job, progress=False).phase

    return made


def truth(frame: xr.DataArray) -> xr.DataArray:
    y, x = frame.y.values[:, None], frame.x.values[None]
    values = sum(h * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * SIGMA**2)) for cy, cx, h in ATOMS)
    return xr.DataArray(values, {"y": frame.y, "x": frame.x}, ("y", "x"))


def slope(found: xr.DataArray, known: xr.DataArray) -> float:
    corners = np.array([[0.0, 0.0], [SIDE - 1.0, SIDE - 1.0]])
    return compare_with_truth(found, known, corners, margin=1.0).slope


def blurred(image: xr.DataArray, angstrom: float) -> xr.DataArray:
    """Once, as an iteration does."""
    return image.copy(data=lateral_blur(image.values[None], angstrom / float(image.y[1] - image.y[0]))[0])


def kept(found: xr.DataArray, known: xr.DataArray) -> np.ndarray:
    """Slope of the one against the other in every ring from 0.24 to 0.54 / angstrom, in the scanned area."""
    inside = {"y": slice(1, SIDE - 2), "x": slice(1, SIDE - 2)}
    images = [image.sel(inside).values for image in (found, known)]
    window, step = tukey_window(images[0].shape, 1.0), float(found.y[1] - found.y[0])
    first, second = (np.fft.fft2(remove_plane(image) * window) for image in images)
    rings, q = ring_index(window.shape, (step, step), RING_WIDTH)
    cross, power = (np.bincount(rings.ravel(), s.ravel()) for s in ((first * second.conj()).real, abs(second) ** 2))
    return (cross / power)[: q.size][(q > 0.24) & (q < 0.54)]


def test_without_a_blur_the_slope_is_one(phase):
    found = phase(0.0)
    assert slope(found, truth(found)) == pytest.approx(1, abs=0.01)


def test_a_blur_in_every_iteration_takes_more_than_one_blur_and_nothing_else_takes_any(phase):
    """A frequency settles where a step adds what the blur takes, ``x = B (x + a (t - x))``: it keeps
    ``a B / (1 - B + a B)``. So ``a``, which the electrons carry, is found with one blur and tells what another keeps.
    """
    light, heavy = phase(0.2), phase(0.3)
    known = truth(light)
    once, its = kept(blurred(known, 0.2), known), kept(light, known)
    carried = its * (1 - once) / (once * (1 - its))
    assert (carried > 0.2).all() and (carried < 0.5).all()
    once = kept(blurred(known, 0.3), known)
    np.testing.assert_allclose(kept(heavy, known), carried * once / (1 - once + carried * once), rtol=0.03)
    assert slope(heavy, known) == pytest.approx(0.70, abs=0.02)
    assert slope(heavy, blurred(known, 0.3)) == pytest.approx(0.78, abs=0.02)
