"""The information limit finds what was put into an image, and nothing in noise."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

from ptychodask._errors import InputError
from ptychodask.analysis.spectrum import crop_to_scan, pixel_size, power_spectrum

DX = 0.3


def _image(values: np.ndarray, dy: float = DX, dx: float = DX) -> xr.DataArray:
    ny, nx = values.shape
    return xr.DataArray(values, dims=("y", "x"), coords={"y": np.arange(ny) * dy, "x": np.arange(nx) * dx})


def _lattice(shape: tuple[int, int], cell: float, finest: float) -> np.ndarray:
    """Square lattice with every harmonic up to |g| = 1/finest, all of amplitude 1."""
    y, x = np.arange(shape[0])[:, None] * DX, np.arange(shape[1])[None, :] * DX
    values = np.zeros(shape)
    top = int(cell / finest) + 1
    for h in range(top + 1):
        for k in range(-top, top + 1):
            if 0 < np.hypot(h, k) / cell <= 1 / finest + 1e-9:
                values += np.cos(2 * np.pi * (h * y + k * x) / cell + 0.7 * h * k + 0.3 * h)
    return values


@pytest.mark.parametrize("blur", [0.0, 0.5, 1.0, 1.5])
@pytest.mark.parametrize("order", ["blur", "blur, positive", "positive, blur"])
def test_noise_alone_has_no_limit(blur: float, order: str) -> None:
    # blur and positivity are what a low-dose reconstruction does to its noise
    found = []
    for seed in range(8):
        noise = np.random.default_rng(seed).normal(size=(160, 150))
        for step in order.split(", "):
            noise = np.maximum(noise, 0) if step == "positive" else ndimage.gaussian_filter(noise, blur, mode="wrap")
        result = power_spectrum(_image(noise))
        found.append((result.limit_angstrom, result.peak_limit_angstrom))
    assert np.isnan(found).all(), found


@pytest.mark.parametrize("finest", [2.0, 1.25])
@pytest.mark.parametrize("blur", [0.0, 1.0, 1.4])
@pytest.mark.parametrize("cell", [9.7, 10.3, 17.3])
def test_lattice_in_noise_is_found_within_a_ring(finest: float, blur: float, cell: float) -> None:
    clean = _lattice((200, 200), cell, finest)
    values = clean + np.random.default_rng(3).normal(scale=clean.std(), size=clean.shape)
    values = ndimage.gaussian_filter(values, blur, mode="wrap") if blur else values
    result = power_spectrum(_image(values))
    ring = result.q[1]
    h, k = np.meshgrid(np.arange(40), np.arange(40))
    g = np.hypot(h, k) / cell
    last = g[g <= 1 / finest + 1e-9].max()
    assert abs(1 / result.peak_limit_angstrom - last) <= ring
    assert abs(1 / result.limit_angstrom - last) <= 2.5 * ring  # the window spreads a peak over rings


def _letter(size: float, stroke: int) -> np.ndarray:
    """The letter F: strong signal at all frequencies, and no lattice."""
    values = np.zeros((160, 160))
    tall = int(112 * size)
    top, left = (160 - tall) // 2, 48
    values[top : top + tall, left : left + stroke] = 1
    values[top : top + stroke, left : left + tall // 2] = 1
    values[top + tall // 2 : top + tall // 2 + stroke, left : left + tall // 3] = 1
    return ndimage.gaussian_filter(values, 1)


@pytest.mark.parametrize("size", [0.3, 0.6, 1.0])
@pytest.mark.parametrize(("stroke", "noise"), [(4, 0.05), (8, 0.2), (12, 0.5)])
def test_a_letter_is_no_lattice(size: float, stroke: int, noise: float) -> None:
    letter = _letter(size, stroke) + np.random.default_rng(0).normal(scale=noise, size=(160, 160))
    for blur in (0, 1):
        result = power_spectrum(_image(ndimage.gaussian_filter(letter, blur)))
        assert np.isnan(result.peak_limit_angstrom)
        assert result.lattice_peaks == 0


def test_what_the_signal_is_does_not_hide_a_lattice_nor_stretch_it() -> None:
    crystal = _lattice((160, 160), 9.7, 2.0)
    noise = np.random.default_rng(1).normal(scale=0.5 * crystal.std(), size=crystal.shape)
    alone = power_spectrum(_image(crystal + noise))
    # one stray fringe far outside, as a clipped image may have
    y = np.arange(160)[:, None] * DX
    stray = power_spectrum(_image(crystal + noise + 0.5 * np.cos(2 * np.pi * 1.4 * y)))
    assert stray.peak_limit_angstrom == alone.peak_limit_angstrom == pytest.approx(2.1, abs=0.1)
    assert alone.lattice_peaks > 20


def test_fringes_are_no_lattice() -> None:
    x = np.arange(160)[None, :] * DX
    fringes = sum(np.cos(2 * np.pi * k * x / 6) for k in (1, 2, 3, 4)) + np.zeros((160, 1))
    noise = np.random.default_rng(1).normal(scale=0.5, size=fringes.shape)
    assert power_spectrum(_image(fringes + noise)).lattice_peaks == 0


def test_amorphous_signal_in_noise() -> None:
    rng = np.random.default_rng(0)
    white = rng.normal(size=(256, 256))
    q = np.hypot(*np.meshgrid(np.fft.fftfreq(256, DX), np.fft.fftfreq(256, DX)))
    clean = np.fft.ifft2(np.fft.fft2(white) * (q < 0.6)).real
    image = _image(clean + rng.normal(scale=0.5, size=clean.shape))
    result = power_spectrum(image, amorphous=True)
    assert 1 / result.limit_angstrom == pytest.approx(0.6, abs=2 * result.q[1])
    assert np.isnan(result.peak_limit_angstrom)
    assert np.isnan(power_spectrum(image).limit_angstrom)  # no claim where noise could look the same


def test_floor_is_the_noise_and_units_hold() -> None:
    noise = np.random.default_rng(1).normal(scale=0.2, size=(256, 192))
    result = power_spectrum(_image(noise, 0.3, 0.4))
    assert np.median(result.floor[5:]) == pytest.approx(0.04, rel=0.05)
    assert result.image.mean() == pytest.approx(0.04, rel=0.05)
    assert result.q[-1] <= 0.5 / 0.4 < result.q[-1] + 2 * result.q[1]
    assert result.qy[0] == pytest.approx(-0.5 / 0.3)
    assert np.diff(result.qx).min() > 0


def test_a_strong_ramp_is_no_signal() -> None:
    noise = np.random.default_rng(2).normal(size=(128, 128))
    ramp = np.linspace(0, 500, 128)[:, None] - np.linspace(0, 90, 128)[None, :]
    assert np.isnan(power_spectrum(_image(noise + ramp)).limit_angstrom)


def test_errors_name_the_remedy() -> None:
    for shape in ((1, 1), (1, 40), (10, 40)):
        with pytest.raises(InputError, match="larger region"):
            power_spectrum(_image(np.zeros(shape)))
    with pytest.raises(InputError, match="larger region"):
        power_spectrum(_image(np.zeros((10, 40))))
    with pytest.raises(InputError, match="crop to the scanned area"):
        power_spectrum(_image(np.full((40, 40), np.nan)))
    with pytest.raises(InputError, match="dimensions"):
        pixel_size(_image(np.zeros((20, 20))).transpose("x", "y"))
    with pytest.raises(InputError, match="even, increasing"):
        pixel_size(_image(np.zeros((20, 20))).isel(y=slice(None, None, -1)))
    with pytest.raises(InputError, match="share one frame"):
        crop_to_scan(_image(np.zeros((20, 20))), np.array([[100.0, 100.0], [110.0, 110.0]]))


def test_crop_to_scan_takes_the_rectangle() -> None:
    image = _image(np.zeros((40, 40)), 0.5, 0.5)
    scan = np.stack(np.meshgrid([2.0, 12.0], [4.0, 10.0], indexing="ij"), axis=-1)
    part = crop_to_scan(image, scan, 1.0)
    assert (part.y[0], part.y[-1], part.x[0], part.x[-1]) == (3.0, 11.0, 5.0, 9.0)
