"""Dose efficiency against images of known noise, and the depth of slices."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from ptychodask._errors import InputError
from ptychodask.analysis.depth import depth_profile
from ptychodask.analysis.efficiency import dose_efficiency, ideal_correlation, ideal_dose

DX, N = 0.35, 170
POSITIONS = np.stack(np.meshgrid(np.linspace(2, 57, 40), np.linspace(2, 57, 40), indexing="ij"), axis=-1)


def _on(values: np.ndarray, *dims: str) -> xr.DataArray:
    return xr.DataArray(values, {"y": np.arange(N) * DX, "x": np.arange(N) * DX}, dims or ("y", "x"))


def _truth() -> np.ndarray:
    k = np.fft.fftfreq(N, DX)
    gain = np.exp(-((k[:, None] ** 2 + k[None, :] ** 2) / 0.25**2))
    smooth = np.fft.ifft2(np.fft.fft2(np.random.default_rng(0).normal(size=(N, N))) * gain).real
    return 0.1 * smooth / smooth.std()


def test_an_ideal_image_has_the_efficiency_one() -> None:
    """Its noise is 1 / (2 sqrt(D dx^2)) rad in every pixel; one with twice the power has half of it."""
    truth, dose, rng = _truth(), 100.0, np.random.default_rng(1)
    noise = rng.normal(scale=1 / (2 * np.sqrt(dose * DX**2)), size=(N, N))
    for share in (1.0, 0.5):
        image = truth + noise / np.sqrt(share)
        found = dose_efficiency(None, _on(image), _on(truth), POSITIONS, dose)
        assert found.efficiency.values == pytest.approx(share, rel=0.12)
        assert found.of_best.values == pytest.approx(2 * found.efficiency.values)
        assert found.ideal_dose.attrs["units"] == "electron/angstrom^2"
    assert (found.correlation < found.ideal).all()


def test_dose_and_correlation_are_inverse() -> None:
    r = ideal_correlation(0.004, 80, 2.5)
    assert ideal_dose(r, 0.004, 2.5) == pytest.approx(80)
    # noise power in a disk of 1 / 2.5 A: pi / 2.5^2 / (4 D), hence by hand
    assert r == pytest.approx(1 / np.sqrt(1 + np.pi / 2.5**2 / (320 * 0.004)), abs=0.005)
    assert np.isnan(ideal_dose(-0.1, 0.004, 2.5)) and np.isnan(ideal_dose(1.0, 0.004, 2.5))


@pytest.mark.parametrize("dose", [0.0, -1.0, np.nan])
def test_no_dose_is_refused(dose: float) -> None:
    with pytest.raises(InputError, match="dose"):
        dose_efficiency({2.5: 0.9}, _on(_truth()), _on(_truth()), POSITIONS, dose)


def test_a_flat_truth_carries_nothing() -> None:
    with pytest.raises(InputError, match="flat"):
        dose_efficiency({2.5: 0.9}, _on(_truth()), _on(np.zeros((N, N))), POSITIONS, 100)


def test_the_depth_profile_has_the_strength_of_slices() -> None:
    plane = _truth()
    stack = xr.DataArray(np.stack([plane, 3 * plane, 0 * plane]), _on(plane).coords, ("slice", "y", "x"))
    found = depth_profile(stack, POSITIONS, 30.0)
    assert found.depth.values.tolist() == [5.0, 15.0, 25.0] and found.depth.attrs["units"] == "angstrom"
    assert found.rms.values[1] == pytest.approx(3 * found.rms.values[0])
    assert found.share.values == pytest.approx([0.1, 0.9, 0.0], abs=1e-9)
    assert found.alike.values[0] == pytest.approx(1.0)
    assert found.attrs["tied"] == 0
    assert depth_profile(stack.isel(slice=[0, 0]), POSITIONS).attrs["tied"] == 1
    with pytest.raises(InputError, match="dimensions"):
        depth_profile(_on(plane), POSITIONS)
    with pytest.raises(InputError, match="not finite"):
        depth_profile(stack.where(stack < 0.1), POSITIONS)
