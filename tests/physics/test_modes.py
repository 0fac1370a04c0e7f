"""Probe modes."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import random_like

from ptychodask._array import fft2, to_host
from ptychodask.model.optics import Microscope
from ptychodask.physics.modes import aperture_support, hermite_modes, orthogonalise
from ptychodask.physics.multislice import forward, intensity
from ptychodask.physics.probe import make_probe

N = 24


@pytest.fixture
def mixed(xp):
    """Four modes that are far from orthogonal and not sorted."""
    first = make_probe(Microscope(300e3, 12.0, {"C10": -100.0}), N, 0.4, 50.0)
    modes = [0.3 * first + 0.1 * random_like(first, m) * (m + 1) for m in range(4)]
    return xp.asarray(np.stack(modes))


def gram(modes) -> np.ndarray:
    flat = to_host(modes).reshape(len(modes), -1)
    return flat.conj() @ flat.T


def test_orthogonalisation_leaves_every_intensity(mixed, xp):
    out = orthogonalise(mixed)
    views = xp.asarray(np.exp(1j * np.random.default_rng(1).normal(size=(1, 1, N, N))))
    nothing = xp.zeros((0, N, N), complex)
    before, after = (to_host(intensity(forward(views, p[None], nothing)[1])) for p in (mixed, out))
    assert np.abs(to_host(out) - to_host(mixed)).max() > 0.1
    np.testing.assert_allclose(after, before, rtol=1e-10)


def test_orthogonalised_modes_are_orthogonal_and_sorted(mixed):
    found = gram(orthogonalise(mixed))
    power = np.diag(found).real
    assert np.abs(found - np.diag(power)).max() < 1e-10 * power[0]
    assert (np.diff(power) < 0).all()
    assert power.sum() == pytest.approx(np.trace(gram(mixed)).real, rel=1e-12)


def test_orthogonalising_twice_changes_nothing(mixed):
    once = orthogonalise(mixed)
    np.testing.assert_allclose(to_host(orthogonalise(once)), to_host(once), atol=1e-10)


def test_orthogonalise_keeps_type_and_a_single_mode(mixed):
    single = mixed[:1]
    assert orthogonalise(single) is single
    assert orthogonalise(mixed.astype(np.complex64)).dtype == np.complex64


@pytest.mark.parametrize("modes", [1, 2, 4, 6])
def test_hermite_modes(xp, modes):
    probe = xp.asarray(make_probe(Microscope(300e3, 12.0, {"C10": -100.0}), N, 0.4, 50.0))
    found = gram(hermite_modes(probe, modes, 0.05))
    shares = [1 - 0.05 * (modes - 1)] + [0.05] * (modes - 1)
    np.testing.assert_allclose(found, 50.0 * np.diag(shares), atol=1e-10)


def test_first_hermite_modes_have_nodes_across_y_then_x():
    probe = make_probe(Microscope(300e3, 12.0), N, 0.4)
    _, along_y, along_x = np.abs(hermite_modes(probe, 3, 0.1))
    c = N // 2
    assert along_y[c].max() < 0.02 * along_y.max()
    assert along_x[:, c].max() < 0.02 * along_x.max()
    np.testing.assert_allclose(along_x, along_y.T, atol=1e-4 * along_y.max())


def test_aperture_support(mixed, xp):
    k = np.fft.fftfreq(N)
    allowed = (k[:, None] ** 2 + k**2 <= 0.2**2).astype(float)
    out = to_host(aperture_support(mixed, xp.asarray(allowed)))
    before = to_host(mixed)
    spectrum = fft2(out[0])
    assert np.abs(spectrum[allowed == 0]).max() < 1e-12
    np.testing.assert_allclose(spectrum[allowed == 1], fft2(before[0])[allowed == 1], atol=1e-12)
    np.testing.assert_array_equal(out[1:], before[1:])
    assert aperture_support(mixed.astype(np.complex64), xp.asarray(allowed.astype(np.float32))).dtype == np.complex64
