"""Fourier transforms of eight columns at a time, for compiled code: Stockham's method with vectors across the columns.

A column of complex numbers is stored as two tiles, real and imaginary, [n, 8] each; every pass reads one pair of tiles
and writes another, and both pairs stay in the first-level cache. With r the radix of a pass, m what is left of n behind
it and s the product of the radices before it,

    y[q + s (r p + k)] = w^(p k) sum_j exp(-2 pi i j k / r) x[q + s (p + j m)],   w = exp(-2 pi i / (r m)),

for p < m, q < s, k < r. Transforms are unnormalised; the inverse is the forward transform with the real and the
imaginary tiles exchanged.

Stockham's autosort: C. Van Loan, Computational Frameworks for the Fast Fourier Transform, SIAM 1992, section 1.7.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types

from .vectors import LANES, call, compiled, load, load_integer, load_splat, splat, store

_HALF = np.float32(np.sqrt(0.5))


class Transform(NamedTuple):
    """A transform of length n as compiled code takes it: numbers and addresses."""

    n: int
    function: int
    """Address of the compiled transform; called by it, because compiling it into every kernel would take long."""
    table: int
    """Address of the table."""
    in_place: bool
    """Does the result lie where the input was (an even number of passes)?"""
    arrays: tuple[np.ndarray, np.ndarray]
    """Radices (int64, behind them the twiddles' address) and twiddles, kept alive: float32 pairs, pass after pass,
    w^(p k) for every p < m and 0 < k < r; before them, for an odd radix, exp(-2 pi i j / r) for every j < r."""


def radices(n: int) -> list[int]:
    """Odd primes first, then passes of 8 and 4; the last pass needs no twiddles."""
    found = []
    prime = 3
    while n & (n - 1):  # not a power of two
        while n % prime == 0:
            found.append(prime)
            n //= prime
        prime += 2
    powers = n.bit_length() - 1
    while powers:
        step = powers if powers <= 3 else 2 if powers == 4 else 3
        found.append(2**step)
        powers -= step
    return found


@cache
def transform(n: int) -> Transform:
    """The transform of a length; the usual ones have code of their own, because strides known to the compiler are worth
    a third of the time. A prime p takes p operations per number: crop or pad patterns to products of small ones."""
    factors, tables, left = radices(n), [np.zeros(0)], n
    for r in factors:
        if r % 2:
            tables.append(np.exp(-2j * np.pi * np.arange(r) / r))
        p, k = np.arange(left // r)[:, None], np.arange(1, r)[None]
        tables.append(np.exp(-2j * np.pi * p * k / left).ravel())
        left //= r
    twiddles = np.concatenate(tables).astype(np.complex64).view(np.float32)
    header = np.array([*factors, 0], np.int64)
    code = {64: _fft_64, 128: _fft_128, 256: _fft_256}.get(n)
    table = header if code is None else twiddles
    if code is None:
        header[-1] = twiddles.ctypes.data
    arguments = types.void(*[types.intp] * 6)
    function: Any = numba.cfunc(arguments, cache=True, error_model="numpy")(code or _fft_any)
    return Transform(n, function.address, table.ctypes.data, len(factors) % 2 == 0, (header, twiddles))


@compiled
def _put(re: Any, im: Any, index: int, a: Any, b: Any, twiddles: int, t: int) -> None:
    c, d = load_splat(twiddles, t), load_splat(twiddles, t + 1)
    store(re, index, a * c - b * d)
    store(im, index, a * d + b * c)


@compiled
def _put_plain(re: Any, im: Any, index: int, a: Any, b: Any, twiddles: int, t: int) -> None:
    store(re, index, a)
    store(im, index, b)


@compiled
def _four(re: int, im: int, index: int, step: int) -> Any:
    """Transform of four numbers, as (re, im) pairs."""
    ar, ai = load(re, index), load(im, index)
    br, bi = load(re, index + step), load(im, index + step)
    cr, ci = load(re, index + 2 * step), load(im, index + 2 * step)
    dr, di = load(re, index + 3 * step), load(im, index + 3 * step)
    sr, si, tr, ti = ar + cr, ai + ci, ar - cr, ai - ci
    ur, ui, vr, vi = br + dr, bi + di, br - dr, bi - di
    return sr + ur, si + ui, tr + vi, ti - vr, sr - ur, si - ui, tr - vi, ti + vr


def _passes(put: Any) -> tuple[Any, Any]:
    """Passes of radix 4 and 8; ``put`` multiplies by the twiddle, or in a last pass does not."""

    @compiled
    def four(re: int, im: int, to_re: int, to_im: int, m: int, s: int, twiddles: int) -> None:
        step = s * LANES
        for p in range(m):
            t = 6 * p
            for q in range(s):
                o = (q + s * 4 * p) * LANES
                ar, ai, br, bi, cr, ci, dr, di = _four(re, im, (q + s * p) * LANES, m * step)
                _put_plain(to_re, to_im, o, ar, ai, twiddles, 0)
                put(to_re, to_im, o + step, br, bi, twiddles, t)
                put(to_re, to_im, o + 2 * step, cr, ci, twiddles, t + 2)
                put(to_re, to_im, o + 3 * step, dr, di, twiddles, t + 4)

    @compiled
    def eight(re: int, im: int, to_re: int, to_im: int, m: int, s: int, twiddles: int) -> None:
        step, half = s * LANES, splat(_HALF)
        for p in range(m):
            t = 14 * p
            for q in range(s):
                i, o = (q + s * p) * LANES, (q + s * 8 * p) * LANES
                ar, ai, br, bi, cr, ci, dr, di = _four(re, im, i, 2 * m * step)
                er, ei, fr, fi, gr, gi, hr, hi = _four(re, im, i + m * step, 2 * m * step)
                # odd numbers times exp(-i pi k / 4); the last one's imaginary part comes with its sign changed
                xr, xi, yr, yi = (fr + fi) * half, (fi - fr) * half, (hi - hr) * half, (hr + hi) * half
                _put_plain(to_re, to_im, o, ar + er, ai + ei, twiddles, 0)
                put(to_re, to_im, o + step, br + xr, bi + xi, twiddles, t)
                put(to_re, to_im, o + 2 * step, cr + gi, ci - gr, twiddles, t + 2)
                put(to_re, to_im, o + 3 * step, dr + yr, di - yi, twiddles, t + 4)
                put(to_re, to_im, o + 4 * step, ar - er, ai - ei, twiddles, t + 6)
                put(to_re, to_im, o + 5 * step, br - xr, bi - xi, twiddles, t + 8)
                put(to_re, to_im, o + 6 * step, cr - gi, ci + gr, twiddles, t + 10)
                put(to_re, to_im, o + 7 * step, dr - yr, di + yi, twiddles, t + 12)

    return four, eight


_four_pass, _eight = _passes(_put)
_last_four, _last_eight = _passes(_put_plain)


@compiled
def _two(re: int, im: int, to_re: int, to_im: int, m: int, s: int, twiddles: int) -> None:
    step = s * LANES
    for p in range(m):
        for q in range(s):
            i, o = (q + s * p) * LANES, (q + s * 2 * p) * LANES
            ar, ai, br, bi = load(re, i), load(im, i), load(re, i + m * step), load(im, i + m * step)
            _put_plain(to_re, to_im, o, ar + br, ai + bi, twiddles, 0)
            _put(to_re, to_im, o + step, ar - br, ai - bi, twiddles, 2 * p)


@compiled
def _any(re: int, im: int, to_re: int, to_im: int, m: int, s: int, twiddles: int, r: int) -> None:
    """A pass of any radix by the definition; the table begins with the roots exp(-2 pi i j / r)."""
    for p in range(m):
        for q in range(s):
            for k in range(r):
                a, b = splat(np.float32(0)), splat(np.float32(0))
                for j in range(r):
                    i, root = (q + s * (p + j * m)) * LANES, 2 * (j * k % r)
                    c, d = load_splat(twiddles, root), load_splat(twiddles, root + 1)
                    x, y = load(re, i), load(im, i)
                    a, b = a + (x * c - y * d), b + (x * d + y * c)
                o = (q + s * (r * p + k)) * LANES
                if k == 0:
                    _put_plain(to_re, to_im, o, a, b, twiddles, 0)
                else:
                    _put(to_re, to_im, o, a, b, twiddles, 2 * (r + (r - 1) * p + k - 1))


def _fft_64(n: int, t: int, a: int, b: int, c: int, d: int) -> None:
    _eight(a, b, c, d, 8, 1, t)
    _last_eight(c, d, a, b, 1, 8, t)


def _fft_128(n: int, t: int, a: int, b: int, c: int, d: int) -> None:
    _eight(a, b, c, d, 16, 1, t)
    _four_pass(c, d, a, b, 4, 8, t + 8 * 7 * 16)
    _last_four(a, b, c, d, 1, 32, t)


def _fft_256(n: int, t: int, a: int, b: int, c: int, d: int) -> None:
    _eight(a, b, c, d, 32, 1, t)
    _eight(c, d, a, b, 4, 8, t + 8 * 7 * 32)
    _last_four(a, b, c, d, 1, 64, t)


def _fft_any(n: int, table: int, re: int, im: int, to_re: int, to_im: int) -> None:
    """Passes of the radices that the table lists; behind them it holds the twiddles' address."""
    m, s, count = n, 1, 0
    while m > 1:
        m //= load_integer(table, count)
        count += 1
    m, t = n, load_integer(table, count)
    for place in range(count):
        r = load_integer(table, place)
        m //= r
        used = m * (r - 1)
        if r == 8:
            _eight(re, im, to_re, to_im, m, s, t)
        elif r == 4:
            _four_pass(re, im, to_re, to_im, m, s, t)
        elif r == 2:
            _two(re, im, to_re, to_im, m, s, t)
        else:
            _any(re, im, to_re, to_im, m, s, t, r)
            used += r
        t += 8 * used
        s *= r
        re, im, to_re, to_im = to_re, to_im, re, im


@compiled
def fft(length: Transform, re: int, im: int, to_re: int, to_im: int) -> tuple[int, int, int, int]:
    """Transform eight columns; returns the addresses of the result's tiles and of the tiles that are free."""
    call(length.function, length.n, length.table, re, im, to_re, to_im)
    if length.in_place:
        return re, im, to_re, to_im
    return to_re, to_im, re, im
