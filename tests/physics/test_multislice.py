"""Forward model: power, signs, adjoints, gradients and tangent, on every array library."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import random_like, slope, smooth

from ptychodask._array import fft2, ifft2, to_host
from ptychodask.model.optics import Microscope, wavelength
from ptychodask.physics.likelihood import Likelihood, gradient_scale, loss, residual_factor
from ptychodask.physics.multislice import backward, forward, intensity, tangent
from ptychodask.physics.probe import make_probe
from ptychodask.physics.propagation import fresnel_propagator
from ptychodask.physics.views import gather, scatter_add, shift_ramps, split_positions, window

N, PIXEL, B = 16, 0.4, 2
WAVELENGTH = wavelength(300e3)
LIKELIHOOD = Likelihood("poisson", 0.1)


class Setup:
    """Two positions of a random specimen of S slices and M modes, in double precision."""

    def __init__(self, xp, slices: int, modes: int) -> None:
        rng = np.random.default_rng(5)
        self.xp = xp
        self.phase = 0.4 * smooth(rng, (slices, B, N, N))
        self.views = np.exp(1j * self.phase) * (1 + 0.1 * smooth(rng, (slices, B, N, N)))
        probe = make_probe(Microscope(300e3, 12.0, {"C10": -80.0}), N, PIXEL, 300.0)
        self.probe = np.stack([probe * (1 + 0.3 * smooth(rng, (N, N))) / (m + 1) for m in range(modes)])
        self.fractions = np.array([[0.3, -0.2], [-0.45, 0.1]])
        self.distances = np.array([25.0, 32.0, 18.0])[: slices - 1]
        self.tilt = (3e-3, -2e-3)
        self.counts = rng.poisson(1.5, (B, N, N)).astype(float)
        self.weights = np.ones((N, N))
        self.weights[1:3, 2:5] = 0
        self.background = 0.02

    def propagators(self, distances=None, tilt=None):
        distances = self.distances if distances is None else distances
        tilt = self.tilt if tilt is None else tilt
        made = [fresnel_propagator(N, PIXEL, WAVELENGTH, d, tilt) for d in distances]
        return self.xp.asarray(np.array(made, complex).reshape(-1, N, N))

    def shifted(self, probe, fractions):
        ramps = shift_ramps(fractions, N, self.xp, np.complex128)
        return ifft2(fft2(self.xp.asarray(probe))[None] * ramps[:, None])

    def waves(self, views=None, probe=None, fractions=None, distances=None, tilt=None):
        probes = self.shifted(
            self.probe if probe is None else probe, self.fractions if fractions is None else fractions
        )
        views = self.xp.asarray(self.views if views is None else views)
        return forward(views, probes, self.propagators(distances, tilt))

    def loss(self, background=None, **changes) -> float:
        psi = self.waves(**changes)[1]
        predicted = intensity(psi) + (self.background if background is None else background)
        return loss(LIKELIHOOD, self.xp.asarray(self.counts), predicted, self.xp.asarray(self.weights))

    def residual(self):
        """Waves, the residual wave on the detector, and rho."""
        waves, psi = self.waves()
        predicted = intensity(psi) + self.background
        rho = residual_factor(LIKELIHOOD, self.xp.asarray(self.counts), predicted, self.xp.asarray(self.weights))
        return waves, psi * rho[:, None], rho, predicted

    def gradients(self):
        """Object gradients and illuminations [S, B, N, N], residual wave at the entrance [B, M, N, N]."""
        waves, chi, _, _ = self.residual()
        out = list(backward(waves, self.xp.asarray(self.views), self.propagators(), chi))[::-1]
        return (
            np.array([to_host(o[0]) for o in out]),
            np.array([to_host(o[1]) for o in out]),
            to_host(out[0][2]),
        )


CASES = [(1, 1), (2, 1), (1, 3), (4, 2)]


@pytest.fixture(params=CASES, ids=lambda p: f"S{p[0]}M{p[1]}")
def setup(request, xp):
    return Setup(xp, *request.param)


def matches(found, expected) -> None:
    assert abs(expected) > 1e-3  # a derivative that vanishes proves nothing
    assert found == pytest.approx(expected, rel=1e-6)


def descent(gradient, move) -> float:
    """Derivative of the loss along a move, from the residual gradient."""
    return -2 / gradient_scale(LIKELIHOOD) * float((gradient.conj() * move).real.sum())


def test_power_is_kept_by_a_transparent_object(setup):
    ones = np.ones_like(setup.views)
    waves, psi = setup.waves(views=ones)
    power = float((np.abs(setup.probe) ** 2).sum())
    np.testing.assert_allclose(to_host(intensity(psi).sum(axis=(1, 2))), power, rtol=1e-12)
    for wave in waves:
        np.testing.assert_allclose(to_host(intensity(wave).sum(axis=(1, 2))), power, rtol=1e-12)


def test_transforms_are_unitary_and_keep_single_precision(xp):
    array = random_like(np.zeros((3, N, N), complex))
    given = xp.asarray(array.astype(np.complex64))
    transformed = fft2(given)
    assert transformed.dtype == np.complex64
    assert float((abs(transformed) ** 2).sum()) == pytest.approx((abs(array) ** 2).sum(), rel=1e-5)
    back = ifft2(transformed)
    assert back.dtype == np.complex64
    np.testing.assert_allclose(to_host(back), array, atol=1e-5)


@pytest.mark.parametrize("defocus", [200.0, -200.0])
def test_underfocus_comes_into_focus_downstream(defocus):
    n = 64
    probe = make_probe(Microscope(300e3, 12.0, {"C10": -defocus}), n, PIXEL)
    sharp = make_probe(Microscope(300e3, 12.0), n, PIXEL)

    def after(distance: float) -> np.ndarray:
        return ifft2(fft2(probe) * fresnel_propagator(n, PIXEL, WAVELENGTH, distance))

    np.testing.assert_allclose(after(defocus), sharp, atol=1e-12)
    assert np.abs(after(-defocus)).max() < 0.7 * np.abs(sharp).max()
    assert np.abs(probe).max() < 0.8 * np.abs(sharp).max()


def test_tilted_columns_move_to_positive_r_with_depth():
    n, distance, pixels = 32, 40.0, 3
    tilt = (pixels * PIXEL / distance, 0.0)
    upright, leaning = (fresnel_propagator(n, PIXEL, WAVELENGTH, distance, t) for t in ((0.0, 0.0), tilt))
    wave = random_like(np.zeros((n, n), complex))
    # the object's frame moves along with the columns, so in it the wave falls behind
    np.testing.assert_allclose(
        ifft2(fft2(wave) * leaning), np.roll(ifft2(fft2(wave) * upright), -pixels, 0), atol=1e-12
    )


def test_band_limit_and_composition():
    a, b = (fresnel_propagator(N, PIXEL, WAVELENGTH, d, (1e-3, 2e-3)) for d in (10.0, 15.0))
    np.testing.assert_allclose(a * b, fresnel_propagator(N, PIXEL, WAVELENGTH, 25.0, (1e-3, 2e-3)), atol=1e-13)
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(N, PIXEL), np.fft.fftfreq(N, PIXEL)))
    limited = fresnel_propagator(N, PIXEL, WAVELENGTH, 10.0, band_limit=0.5)
    np.testing.assert_array_equal(limited == 0, k > 0.25 / PIXEL)


def test_shift_moves_content_forward(xp):
    wave = random_like(np.zeros((N, N), complex))
    shifts = np.array([[1.0, 0.0], [0.0, -2.0]])
    moved = to_host(ifft2(fft2(xp.asarray(wave))[None] * shift_ramps(shifts, N, xp, np.complex128)))
    np.testing.assert_allclose(moved[0], np.roll(wave, 1, axis=0), atol=1e-12)
    np.testing.assert_allclose(moved[1], np.roll(wave, -2, axis=1), atol=1e-12)


def test_split_positions():
    positions = np.array([[10.3, 11.8], [20.0, 9.49], [8.0, 30.51]])
    corners, fractions = split_positions(positions, N)
    np.testing.assert_array_equal(corners, [[2, 4], [12, 1], [0, 23]])
    np.testing.assert_allclose(corners + N // 2 + fractions, positions, atol=1e-12)
    assert np.abs(fractions).max() <= 0.5


def test_adjoint_of_views(xp):
    canvas = xp.asarray(random_like(np.zeros((2, 40, 37), complex), 1))
    corners = np.array([[0, 0], [24, 21], [5, 7], [5, 8], [6, 7]])
    values = xp.asarray(random_like(np.zeros((2, 5, N, N), complex), 2))
    back = xp.zeros_like(canvas)
    for s in (0, 1):
        scatter_add(back[s], corners, values[s])
    views = gather(canvas, corners, N)
    assert views.shape == (2, 5, N, N)
    assert complex((views.conj() * values).sum()) == pytest.approx(complex((canvas.conj() * back).sum()), rel=1e-12)
    y, x = window(corners, N)
    assert (y, x) == (slice(0, 24 + N), slice(0, 21 + N))


def test_adjoint_of_shifts(xp):
    fractions = np.array([[0.3, -0.5], [0.5, 0.11]])
    a, b = (xp.asarray(random_like(np.zeros((2, N, N), complex), seed)) for seed in (1, 2))
    there = ifft2(fft2(a) * shift_ramps(fractions, N, xp, np.complex128))
    back = ifft2(fft2(b) * shift_ramps(-fractions, N, xp, np.complex128))
    assert complex((there.conj() * b).sum()) == pytest.approx(complex((a.conj() * back).sum()), rel=1e-12)


def test_backward_is_the_adjoint_of_forward(setup):
    """<psi(P), r> = <P, conj(O) chi_0(r)>, since psi is linear in P."""
    waves, psi = setup.waves()
    residual = setup.xp.asarray(random_like(np.zeros(psi.shape, complex), 3))
    left = complex((psi.conj() * residual).sum())
    last = list(backward(waves, setup.xp.asarray(setup.views), setup.propagators(), residual.copy()))[-1]
    assert complex((waves[0].conj() * last[2]).sum()) == pytest.approx(left, rel=1e-12)


def test_illumination_is_the_intensity_on_the_slice(setup):
    waves, _ = setup.waves()
    expected = np.array([(np.abs(to_host(w)) ** 2).sum(axis=1) for w in waves])
    np.testing.assert_allclose(setup.gradients()[1], expected, rtol=1e-12)


def test_object_gradient(setup):
    move = random_like(setup.views)
    matches(descent(setup.gradients()[0], move), slope(lambda t: setup.loss(views=setup.views + t * move)))


def test_every_slice_has_its_own_gradient(setup):
    gradient = setup.gradients()[0]
    for s in range(len(gradient)):
        move = np.zeros_like(setup.views)
        move[s] = random_like(move[s], 10 + s)
        matches(descent(gradient, move), slope(lambda t, m=move: setup.loss(views=setup.views + t * m)))


def test_phase_gradient(setup):
    move = random_like(setup.phase)
    direction = 1j * setup.views * move
    expected = slope(lambda t: setup.loss(views=setup.views * np.exp(1j * t * move)))
    matches(descent(setup.gradients()[0], direction), expected)


def test_probe_gradient(setup):
    """Also the adjoint of the sub-pixel shifts: both positions share one probe."""
    ramps = shift_ramps(setup.fractions, N, np, np.complex128)
    gradient = ifft2((fft2(setup.gradients()[2]) * ramps.conj()[:, None]).sum(axis=0))
    move = random_like(setup.probe)
    matches(descent(gradient, move), slope(lambda t: setup.loss(probe=setup.probe + t * move)))


@pytest.mark.parametrize("axis", [0, 1])
def test_position_gradient(setup, axis):
    """A position moves through the shift of the probe: du/dx = F^-1 [-2 pi i q F u]."""
    q = np.fft.fftfreq(N)
    slopes = -2j * np.pi * (q[:, None] if axis == 0 else q[None, :])
    d_probes = ifft2(fft2(to_host(setup.shifted(setup.probe, setup.fractions))) * slopes)
    entering = setup.gradients()[2]
    for b in range(B):
        step = np.zeros((B, 2))
        step[b, axis] = 1.0
        expected = slope(lambda t, d=step: setup.loss(fractions=setup.fractions + t * d))
        matches(descent(entering[b], d_probes[b]), expected)


@pytest.mark.parametrize("what", ["distance", "tilt"])
def test_distance_and_tilt_gradient(xp, what):
    setup = Setup(xp, 2, 2)
    waves, residual, _, _ = setup.residual()
    k = np.fft.fftfreq(N, PIXEL)
    ky, kx = k[:, None], k[None, :]
    if what == "distance":
        rate = -1j * np.pi * WAVELENGTH * (ky**2 + kx**2) + 2j * np.pi * (ky * setup.tilt[0] + kx * setup.tilt[1])
        expected = slope(lambda t: setup.loss(distances=setup.distances + t), 1e-2)
    else:
        rate = 2j * np.pi * setup.distances[0] * kx * np.ones_like(ky)
        expected = slope(lambda t: setup.loss(tilt=(setup.tilt[0], setup.tilt[1] + t)), 1e-5)
    d_wave = ifft2(fft2(waves[1]) * xp.asarray(rate))
    chi = ifft2(residual) * xp.asarray(setup.views[1].conj())[:, None]
    matches(descent(to_host(chi), to_host(d_wave)), expected)


def test_background_gradient(setup):
    _, _, rho, _ = setup.residual()
    expected = slope(lambda t: setup.loss(background=setup.background + t))
    matches(-float(rho.sum()) / gradient_scale(LIKELIHOOD), expected)


@pytest.mark.parametrize("probe_moves", [True, False])
def test_tangent(setup, probe_moves):
    d_views = random_like(setup.views, 4)
    d_probe = random_like(setup.probe, 5)
    waves, _ = setup.waves()
    d_probes = setup.shifted(d_probe, setup.fractions) if probe_moves else None
    found = to_host(
        tangent(waves, setup.xp.asarray(setup.views), setup.propagators(), setup.xp.asarray(d_views), d_probes)
    )

    def moved(t: float) -> np.ndarray:
        probe = setup.probe + t * d_probe if probe_moves else setup.probe
        return to_host(setup.waves(views=setup.views + t * d_views, probe=probe)[1])

    expected = slope(moved)
    np.testing.assert_allclose(found, expected, atol=1e-8 * np.abs(expected).max())
