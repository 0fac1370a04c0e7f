"""What the optics carry of a weak phase."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask import Microscope
from ptychodask.physics.information import weak_phase_information

FREQUENCIES = np.array([0.06, 0.143, 0.19, 0.286, 0.38, 0.52])


@pytest.mark.parametrize(
    ("angle", "defocus", "expected"),
    [
        (10, 0, [0.04, 0.09, 0.11, 0.16, 0.19, 0.19]),
        (10, 600, [0.05, 0.39, 0.62, 0.17, 0.29, 0.19]),
        (21, 1600, [0.13, 0.71, 0.19, 0.71, 0.65, 0.55]),
    ],
)
def test_it_agrees_with_an_independent_table(angle, defocus, expected):
    found = weak_phase_information(Microscope.of(300e3, angle, defocus), FREQUENCIES)
    assert found == pytest.approx(expected, abs=0.015)


def fisher(microscope, period, harmonic, pixels=96, strength=1e-3):
    """Information on the strength of a grating by brute force: intensities of a scan, and their finite difference."""
    x = np.arange(pixels) * period / pixels * harmonic  # box of `harmonic` periods
    k = np.fft.fftfreq(pixels, harmonic * period / pixels)
    cutoff = microscope.semi_angle / microscope.wavelength
    inside = np.hypot(k[:, None], k[None, :]) <= cutoff
    chi = np.pi * microscope.wavelength * microscope.aberrations["C10"] * (k[:, None] ** 2 + k[None, :] ** 2)
    probe = np.fft.ifft2(inside * np.exp(-1j * chi))
    probe /= np.sqrt(np.sum(np.abs(probe) ** 2))
    total = 0.0
    for shift in np.arange(16) / 16:
        wave = np.cos(2 * np.pi * (x / period - shift))

        def pattern(a, wave=wave):
            return np.abs(np.fft.fft2(probe * np.exp(1j * a * wave[None, :]), norm="ortho")) ** 2

        slope = (pattern(strength) - pattern(-strength)) / (2 * strength)
        total += np.sum(slope[inside] ** 2 / pattern(0.0)[inside]) / 16
    return total / 2  # of a grating with the mean square 1/2, the quantum limit is 2 per electron


@pytest.mark.parametrize(("defocus", "period"), [(0.0, 4.0), (600.0, 5.0), (600.0, 8.0), (1000.0, 3.0)])
def test_it_is_the_fisher_information_of_simulated_intensities(defocus, period):
    microscope = Microscope.of(300e3, 10, defocus, {})
    expected = fisher(Microscope(300e3, 10, {"C10": -defocus}), period, 12)
    assert weak_phase_information(microscope, np.array([1 / period]))[0] == pytest.approx(expected, rel=0.08, abs=0.01)


def test_a_thick_specimen_is_seen_from_its_middle():
    thick = weak_phase_information(Microscope.of(300e3, 10, 600), FREQUENCIES, 50.0)
    middle = weak_phase_information(Microscope.of(300e3, 10, 575), FREQUENCIES)
    assert thick == pytest.approx(middle, abs=0.03) and np.all(thick <= middle + 1e-9)


def test_astigmatism_is_averaged_over_directions():
    plain = weak_phase_information(Microscope.of(300e3, 10, 600), FREQUENCIES)
    assert weak_phase_information(Microscope.of(300e3, 10, 600, {"C12": 1.0}), FREQUENCIES) == pytest.approx(
        plain, abs=0.02
    )
    strong = weak_phase_information(Microscope.of(300e3, 10, 600, {"C12": 300.0}), FREQUENCIES)
    assert np.abs(strong - plain).max() > 0.05
