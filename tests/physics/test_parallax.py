"""Shifts of rays and transfer of their aligned sum: closed forms, and the forward model itself."""

from __future__ import annotations

import numpy as np

from ptychodask.model.optics import Microscope
from ptychodask.physics.parallax import aligned_transfer, ray_shifts
from ptychodask.physics.probe import aberration_phase, make_probe

LAM = Microscope(300e3, 10.0).wavelength


def test_a_defocus_shifts_against_the_angle():
    ky, kx = np.array([0.0, 0.3, -0.2]), np.array([0.4, 0.0, 0.1])
    found = ray_shifts(ky, kx, LAM, {"C10": -500.0})
    np.testing.assert_allclose(found, -500.0 * LAM * np.stack([ky, kx], axis=1), atol=1e-6)


def test_astigmatism_stretches_along_its_axis():
    found = ray_shifts(np.array([0.0, 0.3]), np.array([0.3, 0.0]), LAM, {"C12": 40.0, "phi12": 0.0})
    np.testing.assert_allclose(found, LAM * 0.3 * 40.0 * np.array([[0, 1], [-1, 0]]), atol=1e-6)


def test_transfer_of_a_defocus_is_a_sine_times_the_overlap():
    cutoff, aberrations = 10e-3 / LAM, {"C10": -300.0}
    k = np.arange(-40, 41) * cutoff / 38.3
    ky, kx = (a.ravel() for a in np.meshgrid(k, k, indexing="ij"))
    inside = np.hypot(ky, kx) < cutoff
    q = np.linspace(0, 1.6 * cutoff, 30)
    found = aligned_transfer(q, 0 * q, ky[inside], kx[inside], cutoff, k[1] - k[0], LAM, aberrations)
    half = np.arccos(q / (2 * cutoff))
    overlap = (2 * half - np.sin(2 * half)) / np.pi
    expected = 2 * np.sin(aberration_phase(q, 0 * q, LAM, aberrations)) * overlap
    np.testing.assert_allclose(found.real, expected, atol=0.03)
    np.testing.assert_allclose(found.imag, 0, atol=1e-9)
    assert found.real.min() < -1 and (found.real[1:8] < 0).all()  # a positive phase is dark in underfocus


def test_transfer_is_that_of_the_forward_model():
    """Patterns of a weak periodic phase at every pixel of the object, aligned by Fourier shifts."""
    n, dx = 32, 0.5
    scope = Microscope(300e3, 12.0, {"C10": -150.0, "C12": 30.0, "phi12": 0.4, "C21": 2e4, "phi21": 1.0})
    probe = np.fft.ifftshift(make_probe(scope, n, dx))
    k, dk = np.fft.fftfreq(n, dx), 1 / (n * dx)
    ky, kx = (a.ravel() for a in np.meshgrid(k, k, indexing="ij"))
    disk = np.flatnonzero(np.hypot(ky, kx) < scope.semi_angle / LAM)
    y, x = np.indices((n, n))
    waves = {(2, 1): 1e-4, (3, -4): 1e-4, (0, 5): 1e-4}
    phase = sum(h * np.cos(2 * np.pi * (a * y + b * x) / n) for (a, b), h in waves.items())
    images = np.empty((n, n, len(disk)))
    for j in range(n):
        for i in range(n):  # the probe at (j, i)
            psi = np.fft.fft2(probe * np.exp(1j * np.roll(phase, (-j, -i), (0, 1))), norm="ortho")
            images[j, i] = abs(psi.ravel()[disk]) ** 2
    shifts = ray_shifts(ky[disk], kx[disk], LAM, scope.aberrations)
    spectra = np.fft.fft2(images, axes=(0, 1)).reshape(n * n, -1)
    ramp = np.exp(-2j * np.pi * (ky[:, None] * shifts[:, 0] + kx[:, None] * shifts[:, 1]))
    aligned = (spectra * ramp).sum(axis=1).reshape(n, n)
    still = abs(np.fft.fft2(probe, norm="ortho").ravel()[disk]) ** 2
    for (a, b), h in waves.items():
        q = np.array([a * dk]), np.array([b * dk])
        expected = aligned_transfer(*q, ky[disk], kx[disk], scope.semi_angle / LAM, dk, LAM, scope.aberrations)[0]
        found = aligned[a, b] / (h / 2 * n * n) / still.sum()
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)
