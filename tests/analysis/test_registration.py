"""A moved, turned, scaled and tilted image is put back."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from ptychodask._errors import InputError
from ptychodask.analysis.registration import register

DX, N = 0.4, 90
AXIS = (np.arange(N) - (N - 1) / 2) * DX
RNG = np.random.default_rng(0)
ATOMS = RNG.uniform(-20, 20, (60, 2))


def _image(matrix: np.ndarray, shift: np.ndarray) -> xr.DataArray:
    """Atoms where the places (y, x) are mapped to ``matrix x + shift``."""
    y, x = np.meshgrid(AXIS, AXIS, indexing="ij")
    at = np.einsum("ab,byx->ayx", matrix, np.stack([y, x])) + shift[:, None, None]
    values = sum(np.exp(-((at[0] - ay) ** 2 + (at[1] - ax) ** 2) / 2) for ay, ax in ATOMS)
    return xr.DataArray(values, {"y": AXIS, "x": AXIS}, ("y", "x"))


def test_shift_scale_and_ramp_are_found() -> None:
    shift = np.array([0.7, -0.43])
    reference = 1.7 * _image(np.eye(2), shift) + 0.3 + 0.02 * _image(np.eye(2), shift).y
    found = register(_image(np.eye(2), np.zeros(2)), reference)
    assert found.shift_angstrom == pytest.approx(tuple(shift), abs=0.02)
    assert found.scale == pytest.approx(1.7, rel=0.01) and found.correlation > 0.999
    inner = {"y": slice(12, -12), "x": slice(12, -12)}
    assert np.abs((found.image - reference).isel(inner)).max() < 0.05


def test_a_linear_map_is_found_where_it_is_asked_for() -> None:
    matrix = np.array([[1.012, 0.02], [-0.017, 0.994]])
    reference, moving = _image(matrix, np.array([0.3, 0.2])), _image(np.eye(2), np.zeros(2))
    found = register(moving, reference, affine=True)
    assert found.matrix == pytest.approx(matrix, abs=5e-4)
    assert found.correlation > 0.999 > register(moving, reference).correlation + 0.005


def test_bad_input_is_one_line() -> None:
    image = _image(np.eye(2), np.zeros(2))
    for other, line in ((image.isel(x=slice(50)), "resample"), (image * np.nan, "not finite"), (image * 0, "flat")):
        with pytest.raises(InputError, match=line):
            register(image, other)
