"""The likelihood against its definition, its gradient against differences, and what it cannot tell apart."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ptychodask.calibration.search import search, strongest
from ptychodask.calibration.weak_phase import Optics, Spectrum, derivatives, likelihood, score, statistic, transfer
from ptychodask.model.geometry import NAMES, SWAP, Geometry, geometry_of
from ptychodask.physics.probe import aberration_phase

WAVELENGTH, CUTOFF = 0.0197, 0.5
OPTICS = Optics(WAVELENGTH, CUTOFF, 0.2)
AT = Geometry(0.4, 1.02, 0.03, -0.02, 420.0, 20.0, -35.0, 0.2, 0.3, thickness=40.0)
H = {"rotation": 1e-6, "scale": 1e-6, "asymmetry": 1e-6, "shear": 1e-6, "defocus": 1e-3, "c12a": 1e-3, "c12b": 1e-3}


def higher(ky, kx):
    """Coma and spherical aberration, as the microscope may say."""
    return aberration_phase(ky, kx, WAVELENGTH, {"C30": 1e6, "C21": 3e3, "phi21": 0.7})


def spectrum(geometry=AT, optics=OPTICS, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    q = rng.uniform(-0.45, 0.45, (300, 2))
    k = rng.uniform(-0.5, 0.5, (80, 2))
    k = k[np.hypot(*k.T) < CUTOFF]
    gain = rng.uniform(0.7, 1.3, len(k))
    empty = Spectrum(q, k, np.zeros((len(q), len(k)), complex), gain, np.ones(len(k)))
    phi = 3 * (rng.standard_normal(len(q)) + 1j * rng.standard_normal(len(q)))
    signal = transfer(empty, geometry, optics).values * gain * phi[:, None]
    return replace(
        empty, values=signal + noise * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    )


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("aberrations", [None, higher])
def test_gradient_is_that_of_the_likelihood(transpose, aberrations):
    at, optics = replace(AT, transpose=transpose), replace(OPTICS, higher=aberrations)
    data = spectrum(at, optics)
    here = at.moved({"rotation": 0.01, "defocus": 8.0, "shear": 0.01, "eta": 0.05})
    gradient = score(data, here, optics, NAMES).gradient
    for name, found in zip(NAMES, gradient, strict=True):
        h = H.get(name, 1e-5)
        up, down = (likelihood(data, here.moved({name: s * h}), optics) for s in (1, -1))
        assert found == pytest.approx((up - down) / (2 * h), rel=2e-4, abs=1e-5 * abs(gradient).max()), name


def test_derivatives_are_those_of_the_transfer():
    data, optics = spectrum(), replace(OPTICS, higher=higher)
    for name, found in zip(NAMES, derivatives(transfer(data, AT, optics), NAMES), strict=True):
        h = H.get(name, 1e-5)
        up, down = (transfer(data, AT.moved({name: s * h}), optics).values for s in (1, -1))
        np.testing.assert_allclose(found, (up - down) / (2 * h), atol=1e-3 * abs(found).max(), err_msg=name)


def test_transfer_is_its_definition():
    """T by loops over its two terms, with the specimen's depth averaged numerically."""
    geometry = replace(AT, eta=0.0, eta2=0.0)
    data = spectrum(geometry)
    found = transfer(data, geometry, OPTICS).values
    depths = (np.arange(400) + 0.5) / 400 * geometry.thickness - geometry.thickness / 2
    inverse = np.linalg.inv(geometry.matrix)

    def wave(k):
        t = np.clip((CUTOFF - math.hypot(*k)) / OPTICS.edge + 0.5, 0, 1)
        aberrations = {"C10": -geometry.defocus, "C12": geometry.c12, "phi12": geometry.phi12}
        chi = aberration_phase(np.array(k[0]), np.array(k[1]), WAVELENGTH, aberrations)
        return t * t * (3 - 2 * t), np.exp(-1j * chi)

    for i, j in ((0, 0), (5, 7), (17, 30), (200, 11)):
        q, k = data.q[i] @ inverse, data.k[j]
        (_, here), (a_minus, minus), (a_plus, plus) = wave(k), wave(k - q), wave(k + q)
        drift = lambda a, b: np.exp(-1j * np.pi * WAVELENGTH * depths * (a @ a - b @ b))  # noqa: E731
        first = a_minus * here.conj() * minus * drift(k - q, k).mean()
        second = a_plus * here * plus.conj() * drift(k + q, k).mean().conj()
        assert found[i, j] == pytest.approx(1j * (first - second), abs=1e-5)


def test_scoring_sees_the_planted_numbers():
    """Without noise the likelihood's gradient is 0 at the truth, and its curvature is minus the information."""
    data = spectrum(noise=0.0)
    names = ("rotation", "scale", "asymmetry", "shear", "defocus", "c12a", "c12b", "eta")
    found = score(data, AT, OPTICS, names)
    gradient, fisher = found.gradient, found.fisher
    spread = np.sqrt(np.diag(fisher))
    assert abs(gradient / spread).max() < 1e-6
    for i, name in enumerate(names):
        h = 1e-3 / spread[i] * 30
        up, down = (likelihood(data, AT.moved({name: s * h}), OPTICS) for s in (1, -1))
        curvature = (up + down - 2 * likelihood(data, AT, OPTICS)) / h**2
        assert curvature == pytest.approx(-fisher[i, i], rel=0.02), name


def test_noise_alone_gives_one_nat_per_frequency():
    rng = np.random.default_rng(1)
    empty = spectrum()
    noise = (rng.standard_normal(empty.values.shape) + 1j * rng.standard_normal(empty.values.shape)) / math.sqrt(2)
    s, _, _ = statistic(replace(empty, values=noise), AT, OPTICS)
    assert s.mean() == pytest.approx(1.0, abs=4 / math.sqrt(len(s)))


def test_the_likelihood_is_blind_to_its_twin():
    data = spectrum()
    assert likelihood(data, AT.other_branch, OPTICS) == pytest.approx(likelihood(data, AT, OPTICS), rel=1e-9)
    assert AT.other_branch.other_branch.rotation == pytest.approx(AT.rotation)


def test_exchanged_patterns_are_another_matrix():
    """A transposed detector: the same numbers with transpose, or a map that mirrors for the patterns as stored."""
    data, turned = spectrum(), replace(AT, transpose=True)
    exchanged = replace(data, k=data.k[:, ::-1])
    assert likelihood(exchanged, turned, OPTICS) == pytest.approx(likelihood(data, AT, OPTICS), rel=1e-9)
    np.testing.assert_allclose(turned.stored_matrix, SWAP @ AT.matrix)


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("rotation", [-3.0, -1.2, 0.4, 2.9])
def test_numbers_of_a_matrix(rotation, transpose):
    geometry = Geometry(rotation, 1.03, 0.04, -0.05, transpose=transpose)
    found = geometry_of(geometry.stored_matrix)
    assert found.transpose == transpose
    for name in ("rotation", "scale", "asymmetry", "shear"):
        assert getattr(found, name) == pytest.approx(getattr(geometry, name))


def test_grid_is_the_likelihood():
    data = spectrum()
    start = replace(AT, eta=0.0, eta2=0.0)
    grid = search(data, OPTICS, start, 0.01, rotations=[0.1, 0.4], defoci=np.arange(-600.0, 601, 200))
    few = strongest(data)
    for r, rotation in enumerate(grid.rotations):
        for d, defocus in enumerate(grid.defoci):
            for transpose in (False, True):
                at = replace(start, rotation=rotation, defocus=defocus, transpose=transpose)
                assert grid.nats[int(transpose), r, d] == pytest.approx(likelihood(few, at, OPTICS), rel=1e-4)
