"""The compiled transform of eight columns is the discrete Fourier transform, for every kind of length."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from ptychodask.kernels.cpu.chain import NOTHING
from ptychodask.kernels.cpu.fft import fft, radices, tables, transform
from ptychodask.kernels.cpu.vectors import LANES, compiled, load, store, transpose


@compiled
def _run(tables, function, source, a, b, apart, to):
    fft(tables, function, source, a, b, apart, to, NOTHING)


def _pair(tiles, first):
    """Addresses of two tiles next to each other."""
    return tiles.ctypes.data + 4 * tiles.shape[1] * first, tiles.ctypes.data + 4 * tiles.shape[1] * (first + 1)


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
    pair, free = _pair(tiles, 0), _pair(tiles, 2)
    to = 0 if tables(n).in_place else 2
    _run(tables(n), transform(n), pair, free[0], pair[0], pair[1] - pair[0], _pair(tiles, to))
    found = (tiles[to] + 1j * tiles[to + 1])[: n * LANES].reshape(n, LANES)
    expected = np.fft.fft(values, axis=0)
    assert np.abs(found - expected).max() <= 5e-7 * np.abs(expected).max()
    assert not tiles[:, n * LANES :].any(), "wrote beyond its tiles"


@pytest.mark.parametrize("n", [12, 64, 128, 256])
def test_columns_of_a_wave_come_and_go_without_a_copy(n):
    rng = np.random.default_rng(n)
    groups = -(-n // LANES)
    wave = rng.normal(size=(groups + 1, LANES * groups, 2, LANES)).astype(np.float32)
    out = np.zeros_like(wave)
    tiles = np.zeros((4, n * LANES), np.float32)
    pair, free = _pair(tiles, 0), _pair(tiles, 2)
    start = wave.ctypes.data + wave.strides[0]  # the second group
    target = out.ctypes.data + wave.strides[0]
    function = transform(n, columns=True, to_columns=True)
    _run(
        tables(n),
        function,
        (start, start + 4 * LANES),
        pair[0],
        free[0],
        pair[1] - pair[0],
        (target, target + 4 * LANES),
    )
    expected = np.fft.fft(wave[1, :n, 0] + 1j * wave[1, :n, 1], axis=0)
    assert np.abs(out[1, :n, 0] + 1j * out[1, :n, 1] - expected).max() <= 5e-7 * np.abs(expected).max()
    out[1, :n] = 0
    assert not out.any(), "wrote beyond its columns"


def test_radices_multiply_to_the_length():
    assert [prod(radices(n)) for n in range(1, 300)] == list(range(1, 300))


def test_transpose_exchanges_rows_and_columns():
    block = np.arange(64, dtype=np.float32).reshape(8, 8)
    turned = block.copy()
    _turn(turned)
    assert np.array_equal(turned, block.T)
