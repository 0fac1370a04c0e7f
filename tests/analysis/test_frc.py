"""Ring correlation: known signal to noise gives the known curve, thresholds and shifts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from ptychodask._errors import InputError
from ptychodask.analysis.frc import (
    find_shift,
    remove_plane,
    ring_correlation,
    ring_index,
    shift_image,
    threshold_curve,
)

SHAPE = (192, 192)
DX = 0.4


def _disk_signal(seed: int, cut: float) -> np.ndarray:
    white = np.random.default_rng(seed).normal(size=SHAPE)
    q = np.hypot(*np.meshgrid(np.fft.fftfreq(SHAPE[0], DX), np.fft.fftfreq(SHAPE[1], DX)))
    return np.fft.ifft2(np.fft.fft2(white) * (q < cut)).real


def test_identical_images_correlate_up_to_nyquist() -> None:
    image = np.random.default_rng(0).normal(size=SHAPE)
    result = ring_correlation(image, image, DX)
    np.testing.assert_allclose(result.frc, 1.0)
    assert result.resolution_angstrom == pytest.approx(2 * DX, rel=0.02)


@pytest.mark.parametrize("criterion", ["half-bit", "1/7", "truth"])
def test_independent_noise_has_no_resolution(criterion) -> None:
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=(2, *SHAPE))
    result = ring_correlation(first, second, DX, criterion=criterion, ring_width=0.05)
    assert np.isnan(result.resolution_angstrom)
    assert np.abs(result.frc[4:]).max() < 0.2


def test_curve_is_the_signal_to_noise_ratio() -> None:
    signal = _disk_signal(0, 0.5)
    rng = np.random.default_rng(1)
    sigma = 0.8
    halves = [signal + rng.normal(scale=sigma, size=SHAPE) for _ in range(2)]
    result = ring_correlation(*halves, DX, ring_width=0.05)
    inside, outside = (result.q > 0.1) & (result.q < 0.45), result.q > 0.6
    assert result.frc[inside].mean() == pytest.approx(1 / (1 + sigma**2), abs=0.03)
    assert np.abs(result.frc[outside]).mean() < 0.05
    assert 1 / result.resolution_angstrom == pytest.approx(0.5, abs=0.05)


def test_against_truth_the_curve_is_the_square_root() -> None:
    signal = _disk_signal(0, 0.5)
    noisy = signal + np.random.default_rng(2).normal(scale=0.8, size=SHAPE)
    result = ring_correlation(noisy, signal, DX, criterion="truth", ring_width=0.05)
    inside = (result.q > 0.1) & (result.q < 0.45)
    assert result.frc[inside].mean() == pytest.approx(1 / np.sqrt(1.64), abs=0.03)
    assert (result.threshold == 0.5).all()


@pytest.mark.parametrize("shift", [(0.37, -0.81), (3.4, 2.6), (0.0, 0.0)])
def test_shift_is_found_to_a_hundredth_of_a_pixel(shift: tuple[float, float]) -> None:
    big = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=(260, 260)), 1.5)
    moved = shift_image(big, shift)[30:-30, 30:-30]
    found = find_shift(moved, big[30:-30, 30:-30], (8, 8))
    np.testing.assert_allclose(found, shift, atol=0.01)


def test_shift_respects_its_limit() -> None:
    y = np.arange(128)
    lattice = np.cos(2 * np.pi * y / 10)[:, None] + np.cos(2 * np.pi * y / 10)[None, :]
    found = find_shift(lattice, shift_image(lattice, (9.0, 0.0)), (4, 4))
    np.testing.assert_allclose(found, (1.0, 0.0), atol=0.05)  # not back by -9, which fits as well


def test_alignment_restores_the_curve() -> None:
    big = np.pad(_disk_signal(0, 0.8), 32, mode="wrap")
    second = shift_image(big, (1.3, -2.2))[32:-32, 32:-32]
    # noise, without which rings beyond the signal would correlate what the window leaks
    first, second = (
        a + 0.5 * np.random.default_rng(k).normal(size=SHAPE) for k, a in enumerate((big[32:-32, 32:-32], second))
    )
    crooked = ring_correlation(first, second, DX)
    straight = ring_correlation(first, second, DX, align=True)
    assert crooked.resolution_angstrom > 2 * straight.resolution_angstrom
    assert 1 / straight.resolution_angstrom == pytest.approx(0.8, abs=0.05)
    np.testing.assert_allclose(straight.shift_pixels, (-1.3, 2.2), atol=0.02)


def test_remove_plane_is_the_least_squares_plane() -> None:
    image = np.random.default_rng(0).normal(size=(9, 12))
    y, x = np.mgrid[:9, :12]
    columns = np.stack([np.ones(108), y.ravel(), x.ravel()], axis=1)
    fit = columns @ np.linalg.lstsq(columns, image.ravel(), rcond=None)[0]
    np.testing.assert_allclose(remove_plane(image), image - fit.reshape(image.shape), atol=1e-12)


def test_rings_are_in_inverse_angstrom() -> None:
    index, q = ring_index((100, 50), (0.2, 0.4), width=0.1)
    assert q[1] == pytest.approx(0.1)
    assert index[10, 0] == 5  # q = 10 / 20 A
    assert index[0, 10] == 5


def test_thresholds() -> None:
    half_bit = threshold_curve(np.array([4, 10**8]), "half-bit")
    assert half_bit[0] == pytest.approx((0.2071 + 0.9551) / (1.2071 + 0.4551))
    assert half_bit[1] == pytest.approx(0.2071 / 1.2071, rel=1e-3)
    assert threshold_curve(np.array([9]), "1/7")[0] == pytest.approx(1 / 7)


def test_rings_without_signal_do_not_end_the_curve() -> None:
    """A truth with a gap: the ring that holds nothing does not correlate, and says nothing."""
    q = np.hypot(*np.meshgrid(np.fft.fftfreq(SHAPE[0], DX), np.fft.fftfreq(SHAPE[1], DX)))
    white = np.fft.fft2(np.random.default_rng(0).normal(size=SHAPE))
    truth = np.fft.ifft2(white * (q < 0.9) * (abs(q - 0.3) > 0.05)).real
    noisy = truth + np.random.default_rng(1).normal(scale=0.5, size=SHAPE)
    result = ring_correlation(noisy, truth, DX, criterion="truth", ring_width=0.05)
    assert result.frc[6] < 0.5  # at 0.3 1/angstrom
    assert not result.judged[6]
    assert 1 / result.resolution_angstrom == pytest.approx(0.9, abs=0.06)
    assert result.share.sum() == pytest.approx(1)
    assert result.signal_beyond < 0.1


def test_signal_beyond_the_resolution_is_told() -> None:
    q = np.hypot(*np.meshgrid(np.fft.fftfreq(SHAPE[0], DX), np.fft.fftfreq(SHAPE[1], DX)))
    white = np.fft.fft2(np.random.default_rng(0).normal(size=SHAPE))
    truth = np.fft.ifft2(white * (q < 1.0)).real
    seen = np.fft.ifft2(white * (q < 0.5)).real + np.random.default_rng(1).normal(scale=0.2, size=SHAPE)
    result = ring_correlation(seen, truth, DX, criterion="truth", ring_width=0.05)
    assert 1 / result.resolution_angstrom == pytest.approx(0.5, abs=0.05)
    assert result.signal_beyond == pytest.approx(0.75, abs=0.06)  # of the disc's area


def test_errors_name_the_remedy() -> None:
    with pytest.raises(InputError, match="same region"):
        ring_correlation(np.zeros((4, 4)), np.zeros((4, 5)), 1.0)
    with pytest.raises(InputError, match="above 0"):
        ring_correlation(np.zeros((4, 4)), np.zeros((4, 4)), 0.0)
    with pytest.raises(InputError, match="half-bit"):
        threshold_curve(np.array([4]), "0.143")  # type: ignore[arg-type]
