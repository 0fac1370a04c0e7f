"""Comparison with a truth: what cannot be known is fitted, what is left is measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

from ptychodask._errors import InputError
from ptychodask.analysis.compare import compare_with_truth, low_pass, on_grid, structural_similarity

DX = 0.33


def _grid(ny: int, nx: int, step: float = DX, origin: tuple[float, float] = (0.0, 0.0)):
    return origin[0] + np.arange(ny) * step, origin[1] + np.arange(nx) * step


def _specimen(y: np.ndarray, x: np.ndarray) -> xr.DataArray:
    """Random atoms as Gaussians of 0.7 A: band-limited, and the same on every grid."""
    rng = np.random.default_rng(7)
    values = np.zeros((y.size, x.size))
    for cy, cx, height in zip(
        rng.uniform(-8, 68, 700), rng.uniform(-8, 68, 700), rng.uniform(0.2, 1, 700), strict=True
    ):
        values += height * np.outer(np.exp(-((y - cy) ** 2) / 0.98), np.exp(-((x - cx) ** 2) / 0.98))
    return xr.DataArray(values, dims=("y", "x"), coords={"y": y, "x": x})


@pytest.fixture(scope="module")
def truth() -> xr.DataArray:
    return _specimen(*_grid(170, 180))


@pytest.fixture(scope="module")
def scan() -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(8, 49), np.arange(8, 51), indexing="ij"), axis=-1).astype(float)


def test_identical_images(truth: xr.DataArray, scan: np.ndarray) -> None:
    result = compare_with_truth(truth, truth, scan)
    assert result.correlation[2.5] == pytest.approx(1)
    assert result.correlation[2.0] == pytest.approx(1)
    assert result.nrmse == pytest.approx(0, abs=1e-6)
    assert result.ssim == pytest.approx(1)
    assert result.scale == pytest.approx(1)
    assert result.shift_angstrom == pytest.approx((0, 0), abs=1e-3)
    # to the last ring that holds half a percent of the atoms' power
    assert 1 / result.frc.resolution_angstrom == result.frc.q[result.frc.judged][-1]
    assert result.frc.signal_beyond < 0.01
    assert result.slope == pytest.approx(1)
    assert result.resolution == 2.0
    assert result.image.y.min() >= 8 + 3.3 - DX
    assert result.image.shape == result.truth.shape


def test_scale_ramp_and_shift_are_removed(truth: xr.DataArray, scan: np.ndarray) -> None:
    y, x = _grid(170, 180)
    moved = _specimen(y - 0.37 * DX, x + 0.2 * DX).assign_coords(y=y, x=x)  # the specimen drawn lower
    crooked = 0.6 * moved + 0.4 + 0.03 * moved.y - 0.02 * moved.x
    result = compare_with_truth(crooked, truth, scan)
    assert result.correlation[2.0] > 0.9999
    assert result.nrmse < 0.012
    assert result.ssim > 0.999
    assert result.scale == pytest.approx(1 / 0.6, rel=0.005)
    assert result.slope == pytest.approx(0.6, rel=0.005)
    assert result.shift_angstrom == pytest.approx((0.37 * DX, -0.2 * DX), abs=0.004)


def test_noise_gives_the_expected_correlation(truth: xr.DataArray, scan: np.ndarray) -> None:
    sigma = 1.0
    noisy = truth + np.random.default_rng(0).normal(scale=sigma, size=truth.shape)
    result = compare_with_truth(noisy, truth, scan)
    for d, found in result.correlation.items():
        signal = np.var(low_pass(truth.values, (DX, DX), d)[35:137, 35:144])
        # a disk of radius 1/d passes this share of white noise
        passed = sigma**2 * np.pi * (DX / d) ** 2
        assert found == pytest.approx(1 / np.sqrt(1 + passed / signal), abs=0.01)
    assert result.nrmse == pytest.approx(np.sqrt(1 - result.correlation[2.0] ** 2), abs=0.02)
    # noise lowers the factor that fits the reconstruction to the truth, not its slope against the truth
    assert result.slope == pytest.approx(1, abs=0.02)
    assert result.scale < 0.97


def test_correlation_does_not_know_scale_but_sign(truth: xr.DataArray, scan: np.ndarray) -> None:
    noisy = truth + np.random.default_rng(1).normal(scale=0.5, size=truth.shape)
    first = compare_with_truth(noisy, truth, scan)
    second = compare_with_truth(noisy * 37.0 + 5, truth, scan)
    assert second.correlation == pytest.approx(first.correlation)
    assert second.nrmse == pytest.approx(first.nrmse)
    assert second.ssim == pytest.approx(first.ssim)
    xr.testing.assert_allclose(first.image, second.image)


@pytest.mark.parametrize("step", [0.1, 0.25, 0.5])
def test_truth_on_another_grid(truth: xr.DataArray, scan: np.ndarray, step: float) -> None:
    other = _specimen(*_grid(int(60 / step), int(62 / step), step, (-0.3, -0.41)))
    result = compare_with_truth(truth, other, scan)
    assert result.correlation[2.0] > 0.9995
    assert result.shift_angstrom == pytest.approx((0, 0), abs=0.02)


def test_fourier_shift_of_a_fractional_offset(truth: xr.DataArray) -> None:
    other = _specimen(*_grid(185, 190, DX, (-0.5, -0.41)))
    # 6e-3 is the truncation of the atoms at the Nyquist frequency of this grid
    np.testing.assert_allclose(on_grid(other, truth)[20:-20, 20:-20], truth.values[20:-20, 20:-20], atol=6e-3)


def test_a_crystal_does_not_jump_by_a_lattice_vector(scan: np.ndarray) -> None:
    y, x = _grid(170, 180)
    cell = 3.0
    lattice = np.cos(2 * np.pi * y / cell)[:, None] + np.cos(2 * np.pi * x / cell)[None, :]
    image = xr.DataArray(lattice, dims=("y", "x"), coords={"y": y, "x": x})
    moved = image.assign_coords(y=y + 2.6)
    shift = compare_with_truth(moved, image, scan).shift_angstrom
    assert shift == pytest.approx((-0.4, 0), abs=0.02)


def test_low_pass_keeps_and_removes() -> None:
    y = np.arange(200) * DX
    coarse = np.repeat(np.cos(2 * np.pi * y / 2.5)[:, None], 90, axis=1)
    fine = np.repeat(np.cos(2 * np.pi * y / 1.6)[:, None], 90, axis=1)
    result = low_pass(coarse + fine, (DX, DX), 2.0)
    assert np.abs(result - coarse)[30:-30].max() < 0.03


def test_structural_similarity_falls_with_blur_and_noise() -> None:
    image = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(80, 80)), 2)
    assert structural_similarity(image, image) == pytest.approx(1)
    blurred = structural_similarity(ndimage.gaussian_filter(image, 1.5), image)
    more = structural_similarity(ndimage.gaussian_filter(image, 3), image)
    assert 1 > blurred > more > 0
    assert abs(structural_similarity(np.random.default_rng(1).normal(size=(80, 80)), image)) < 0.1


def test_as_dict_is_json(truth: xr.DataArray, scan: np.ndarray) -> None:
    figures = compare_with_truth(truth * 0, truth, scan).as_dict()
    assert figures["correlation_2.5A"] is None
    assert figures["frc_resolution_angstrom"] is None
    assert json.loads(json.dumps(figures)) == figures


def test_errors_name_the_remedy(truth: xr.DataArray, scan: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"leaves .* A: a comparison at 2\.5 A needs 7\.5 A"):
        compare_with_truth(truth, truth, scan, margin=18)
    with pytest.raises(InputError, match="holds no pixel"):
        compare_with_truth(truth, truth, scan, margin=30)
    with pytest.raises(InputError, match="truth covers y"):
        compare_with_truth(truth, truth.isel(y=slice(0, 100)), scan)
    with pytest.raises(InputError, match="above 0"):
        compare_with_truth(truth, truth, scan, resolution=(0,))
    holed = truth.copy(data=np.where(np.arange(180) == 90, np.nan, truth.values))
    with pytest.raises(InputError, match="170 pixels of the truth are not finite"):
        compare_with_truth(truth, holed, scan)
    with pytest.raises(InputError, match="of the phase are not finite"):
        compare_with_truth(holed, truth, scan)
