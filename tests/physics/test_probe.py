"""The probe: power, signs of the aberrations, and agreement with abTEM."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask._errors import InputError
from ptychodask.model.optics import Microscope
from ptychodask.physics.probe import aberration_phase, aperture, frequencies, make_probe

N = 128
DX = 0.2
ENERGY = 300e3


def microscope(**aberrations: float) -> Microscope:
    return Microscope(ENERGY, 20.0, aberrations)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """1 where two waves are equal but for a constant factor."""
    return abs(np.vdot(a, b)) / np.linalg.norm(a) / np.linalg.norm(b)


def free_space(wave: np.ndarray, dz: float, wavelength: float) -> np.ndarray:
    """Propagation written here on its own: exp(-i pi lambda dz k^2) on the transform."""
    k = np.fft.fftfreq(N, DX)
    return np.fft.ifft2(np.fft.fft2(wave) * np.exp(-1j * np.pi * wavelength * dz * (k[:, None] ** 2 + k**2)))


@pytest.mark.parametrize("electrons", [1.0, 110.7])
def test_power_and_type(electrons):
    probe = make_probe(microscope(C10=-250.0, C21=3000.0, phi21=0.4), N, DX, electrons)
    assert probe.dtype == np.complex128
    assert probe.shape == (N, N)
    assert (abs(probe) ** 2).sum() == pytest.approx(electrons, rel=1e-12)


@pytest.mark.parametrize("n", [N, 63])
def test_focused_probe_is_centred_at_half_the_box(n):
    intensity = abs(make_probe(microscope(), n, DX)) ** 2
    assert np.unravel_index(intensity.argmax(), intensity.shape) == (n // 2, n // 2)
    if n % 2:
        return
    # symmetric about that pixel, once the row and column without a mirror image are left out
    np.testing.assert_allclose(intensity[1:, 1:], intensity[:0:-1, :0:-1], atol=1e-15)


@pytest.mark.parametrize("defocus", [200.0, -350.0])
def test_underfocus_comes_to_a_focus_downstream(defocus):
    scope = microscope(C10=-defocus)
    focused = make_probe(microscope(), N, DX)
    blurred = make_probe(scope, N, DX)
    np.testing.assert_allclose(free_space(blurred, defocus, scope.wavelength), focused, atol=1e-12)
    # the check has teeth: neither the start nor the other direction is the focus
    assert overlap(blurred, focused) < 0.5
    assert overlap(free_space(blurred, -defocus, scope.wavelength), focused) < 0.5


def test_aperture_is_soft_over_one_pixel():
    k = np.array([0.0, 0.94, 0.975, 1.0, 1.025, 1.06])
    values = aperture(np.zeros_like(k), k, 1.0, 0.1)
    np.testing.assert_allclose(values, [1.0, 1.0, 0.75, 0.5, 0.25, 0.0], atol=1e-12)


def test_aperture_area_follows_the_angle_below_one_pixel():
    ky, kx = frequencies(N, DX)
    dk = 1 / (N * DX)
    for cutoff in (0.8, 0.8 + 0.3 * dk, 0.8 + 0.6 * dk):
        assert aperture(ky, kx, cutoff, dk).sum() == pytest.approx(np.pi * (cutoff / dk) ** 2, rel=2e-3)


def test_second_order_formula():
    """Cartesian form with C12a = C12 cos 2 phi12, C12b = C12 sin 2 phi12."""
    c10, c12, phi12, c30 = -120.0, 45.0, 0.35, 2.0e6
    lam = microscope().wavelength
    ky, kx = frequencies(N, DX)
    a, b = c12 * np.cos(2 * phi12), c12 * np.sin(2 * phi12)
    k2 = ky**2 + kx**2
    expected = np.pi * lam * (c10 * k2 + a * (kx**2 - ky**2) + 2 * b * kx * ky)
    expected = expected + np.pi / 2 * c30 * lam**3 * k2**2
    chi = aberration_phase(ky, kx, lam, {"C10": c10, "C12": c12, "phi12": phi12, "C30": c30})
    np.testing.assert_allclose(chi, expected, rtol=1e-9, atol=1e-9)


def test_coma_and_trefoil_formula():
    """Third power of k: chi = (2 pi/3) lambda^2 |k| [(C21a kx + C21b ky) |k| + ...] in Cartesian form."""
    c21, phi21, c23, phi23 = 4000.0, 0.8, 2500.0, -0.3
    lam = microscope().wavelength
    ky, kx = frequencies(N, DX)
    coma = c21 * (np.cos(phi21) * kx + np.sin(phi21) * ky) * (kx**2 + ky**2)
    trefoil = c23 * np.real((kx + 1j * ky) ** 3 * np.exp(-3j * phi23))
    chi = aberration_phase(ky, kx, lam, {"C21": c21, "phi21": phi21, "C23": c23, "phi23": phi23})
    np.testing.assert_allclose(chi, 2 * np.pi / 3 * lam**2 * (coma + trefoil), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "aberrations",
    [
        {},
        {"C10": -200.0},
        {"C10": 200.0},
        {"C10": -150.0, "C12": 60.0, "phi12": 0.4},
        {"C21": 5000.0, "phi21": 0.9},
        {"C10": -100.0, "C23": 3000.0, "phi23": 0.2},
        {"C10": -300.0, "C30": 4.0e6},
        {"C32": 3e5, "phi32": 0.5, "C45": 2e7, "phi45": 0.3},
    ],
    ids=lambda aberrations: "+".join(aberrations) or "ideal",
)
def test_agrees_with_abtem(aberrations):
    abtem = pytest.importorskip("abtem")
    with abtem.config.set({"precision": "float64"}):
        builder = abtem.Probe(gpts=N, extent=N * DX, energy=ENERGY, semiangle_cutoff=20.0, **aberrations)
        waves = builder.build(scan=(N * DX / 2, N * DX / 2), lazy=False)
    theirs = np.asarray(waves.array).T  # abTEM is [x, y]
    ours = make_probe(microscope(**aberrations), N, DX)
    assert overlap(ours, theirs) == pytest.approx(1.0, abs=1e-6)


def test_the_comparison_with_abtem_sees_signs_and_axes():
    """Flipped signs and swapped axes must not pass the comparison above."""
    ours = make_probe(microscope(C10=-150.0, C12=60.0, phi12=0.4), N, DX)
    assert overlap(ours, ours.T) < 0.99
    assert overlap(ours, make_probe(microscope(C10=150.0, C12=60.0, phi12=0.4), N, DX)) < 0.9
    coma = make_probe(microscope(C21=5000.0, phi21=0.9), N, DX)
    assert overlap(coma, coma.T) < 0.99


@pytest.mark.parametrize(("n", "dx", "electrons"), [(0, 0.2, 1.0), (64, np.nan, 1.0), (64, 0.2, -1.0)])
def test_bad_input(n, dx, electrons):
    with pytest.raises(InputError):
        make_probe(microscope(), n, dx, electrons)
