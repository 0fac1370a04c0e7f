"""Patterns of the compiled chain against the plain multislice, in single precision."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import smooth

from ptychodask.kernels.cpu.scatter import diffract
from ptychodask.physics.multislice import forward, intensity
from ptychodask.physics.propagation import fresnel_propagator
from ptychodask.physics.views import gather, split_positions
from ptychodask.solver.problem import shifted_probes


@pytest.mark.parametrize(("slices", "modes", "n"), [(1, 1, 24), (3, 2, 24), (4, 1, 20), (5, 1, 192)])
def test_patterns_are_those_of_the_plain_code(slices, modes, n):
    rng = np.random.default_rng(slices)
    side = n + 30
    object_ = np.exp((0.5j - 0.05) * smooth(rng, (slices, side, side))).astype(np.complex64)
    positions = n // 2 + rng.uniform(2, 20, (4, 2))
    spectra = (smooth(rng, (modes, n, n)) + 1j * smooth(rng, (modes, n, n))).astype(np.complex64)
    distances = [2.0, 2.0, 2.0, 5.0][: slices - 1]  # the last slice of a specimen is seldom a whole one
    propagators = np.array([fresnel_propagator(n, 0.3, 0.02, 50 * d) for d in distances], np.complex64)
    propagators = propagators.reshape(-1, n, n)
    corners, fractions = split_positions(positions, n)
    _, psi = forward(gather(object_, corners, n), shifted_probes(spectra, fractions)[0], propagators)
    expected = intensity(psi)
    found = diffract(object_, positions, spectra, propagators)
    assert found.dtype == np.float32 and found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * expected.max()
    np.testing.assert_allclose(found.sum(axis=(1, 2)), expected.sum(axis=(1, 2)), rtol=1e-5)
