"""The map of defects: its noise is what it says, and what is planted is found."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

from ptychodask import InputError
from ptychodask.analysis.defects import EDGE, Noise, defect_map

STEP, SIDE = 0.4, 120
FREQUENCY = np.linspace(0, 2, 60)
NOISE = Noise(100.0, FREQUENCY, np.where(FREQUENCY < 0.8, 0.3, 0.1), 0.01, 0.5)
POSITIONS = np.stack(np.meshgrid(np.arange(0, 48, 1.0), np.arange(0, 48, 1.0), indexing="ij"), axis=-1)


def image(values):
    axis = np.arange(SIDE) * STEP
    return xr.DataArray(values, dims=("y", "x"), coords={"y": axis, "x": axis})


@pytest.fixture(scope="module")
def lattice():
    y, x = np.mgrid[:SIDE, :SIDE] * STEP
    return 0.1 * (np.cos(2 * np.pi * y / 8) + np.cos(2 * np.pi * x / 8)) ** 2


def noise(seed):
    white = np.fft.rfft2(np.random.default_rng(seed).standard_normal((SIDE, SIDE)))
    return np.fft.irfft2(white * np.sqrt(NOISE.power((SIDE, SIDE), (STEP, STEP))), (SIDE, SIDE))


def test_the_prior_keeps_the_power_of_strong_signals_and_little_of_noise():
    power = NOISE.power((SIDE, SIDE), (STEP, STEP))
    white = 1 / (4 * 100 * STEP**2 * 0.3)
    assert 0 < power.max() < white and power[:, -1].max() < 1e-3 * power.max()


def test_noise_has_the_deviation_and_the_false_alarms_that_are_said(lattice):
    found = [defect_map(image(noise(seed)), image(lattice), POSITIONS, NOISE) for seed in range(6)]
    spread = np.mean([f.z.std(("y", "x")).values for f in found], axis=0)
    assert spread == pytest.approx(1, abs=0.2)
    said = float(found[0].false_alarms.sel(threshold=3))
    seen = np.mean([(f.place_z > 3).sum() for f in found])
    assert 0.5 < said < 10 and seen == pytest.approx(said, abs=3 * math.sqrt(said / 6) + 0.5)


@pytest.mark.parametrize(("kind", "sign"), [("missing", -1), ("added", 1)])
def test_what_is_planted_is_found_at_its_place(lattice, kind, sign):
    change = np.zeros((SIDE, SIDE))
    at = (60, 80)  # a peak of the lattice: 24 and 32 angstrom
    change[at] = 1
    change = sign * 0.5 * gaussian_filter(change, 1.4 / STEP) * (2 * np.pi * (1.4 / STEP) ** 2)
    found = defect_map(image(noise(9) + change), image(lattice), POSITIONS, NOISE)
    first = found.isel(place=0)
    assert str(first.place_kind.values) == kind and float(first.place_z) > 6
    assert math.hypot(float(first.place_y) - 24, float(first.place_x) - 32) < 1.5
    assert float(found.false_alarms.sel(threshold=5)) < 0.2


def test_coordinates_are_those_of_the_scan_without_its_rim(lattice):
    found = defect_map(image(noise(1)), image(lattice), POSITIONS, NOISE)
    assert found.z.dims == ("kind", "scale", "y", "x")
    assert float(found.y.min()) >= EDGE and float(found.x.max()) <= 47 - EDGE + 1e-6
    assert found.place_y.attrs["units"] == "angstrom" and list(found.kind.values) == ["missing", "added"]


def test_images_that_do_not_fit_are_refused(lattice):
    with pytest.raises(InputError, match="take them from one result"):
        defect_map(image(noise(1)), image(lattice)[:50], POSITIONS, NOISE)
    with pytest.raises(InputError, match="at least 16 are needed"):
        defect_map(image(noise(1)), image(lattice), POSITIONS[:10, :10], NOISE)
