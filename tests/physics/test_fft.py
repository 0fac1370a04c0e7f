"""The compiled transform of eight columns is the discrete Fourier transform, for every kind of length."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from ptychodask.physics.fft import fft, radices, transform
from ptychodask.physics.vectors import LANES, compiled, load, store, transpose


@compiled
def _run(length, tiles):
    start, step = tiles.ctypes.data, 4 * tiles.shape[1]
    re, im, free_re, free_im = fft(length, start, start + step, start + 2 * step, start + 3 * step)
    return (re - start) // step, (im - start) // step, (free_re - start) // step, (free_im - start) // step


@compiled
def _turn(block):
    at = block.ctypes.data
    rows = transpose(
        load(at, 0), load(at, 8), load(at, 16), load(at, 24), load(at, 32), load(at, 40), load(at, 48), load(at, 56)
    )
    for i in range(8):
        store(at, 8 * i, rows[i])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6, 8, 12, 16, 20, 32, 45, 64, 96, 100, 127, 128, 192, 256, 512])
def test_agrees_with_numpy(n):
    rng = np.random.default_rng(n)
    values = rng.normal(size=(n, LANES)) + 1j * rng.normal(size=(n, LANES))
    tiles = np.zeros((4, n * LANES + 16), np.float32)
    tiles[0, : n * LANES], tiles[1, : n * LANES] = values.real.ravel(), values.imag.ravel()
    places = [int(p) for p in _run(transform(n), tiles)]
    assert sorted(places) == [0, 1, 2, 3]
    found = (tiles[places[0]] + 1j * tiles[places[1]])[: n * LANES].reshape(n, LANES)
    expected = np.fft.fft(values, axis=0)
    assert np.abs(found - expected).max() <= 5e-7 * np.abs(expected).max()
    assert not tiles[:, n * LANES :].any(), "wrote beyond its tiles"


@pytest.mark.parametrize("n", range(1, 300))
def test_radices_multiply_to_the_length(n):
    assert prod(radices(n)) == n


def test_transpose_exchanges_rows_and_columns():
    block = np.arange(64, dtype=np.float32).reshape(8, 8)
    turned = block.copy()
    _turn(turned)
    assert np.array_equal(turned, block.T)
