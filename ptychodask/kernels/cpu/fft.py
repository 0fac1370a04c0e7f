"""Fourier transforms of eight columns at a time, for compiled code: Stockham's method with vectors across the columns.

A column of complex numbers is stored as two panels, real and imaginary, [n, 8] each; every pass reads one pair of
panels and writes another, and both pairs stay in the first-level cache. With r the radix of a pass, m what is left of n
behind it and s the product of the radices before it,

    y[q + s (r p + k)] = w^(p k) sum_j exp(-2 pi i j k / r) x[q + s (p + j m)],   w = exp(-2 pi i / (r m)),

for p < m, q < s, k < r. Transforms are unnormalised; the inverse is the forward transform with the real and the
imaginary panels exchanged, on the way in and on the way out.

A transform is compiled for where it reads and writes (panels, or columns of a wave) and for the way in which it gives
its numbers (see ``butterflies``), and is called by address, because compiling it into every kernel would take long.

Stockham's autosort: C. Van Loan, Computational Frameworks for the Fast Fourier Transform, SIAM 1992, section 1.7.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.core.ccallback import CFunc

from ..._numba import keep
from .butterflies import PLAIN, Others, eight, four, last_eight, last_four, last_none, odd, plain, three, two
from .vectors import LANES, call, inner, load, load_integer, of_these_sources

_SIGNATURE = types.void(*[types.intp] * 17)
_OPTIONS = {"error_model": "numpy"}


class Tables(NamedTuple):
    """What transforms of length n read.

    Behind the address are radices (int64, behind them the twiddles' address) and twiddles: float32 pairs, pass after
    pass, w^(p k) for every p < m and 0 < k < r; before them, for an odd radix, exp(-2 pi i j / r) for every j < r.
    Lengths with code of their own take the address of the twiddles, others that of the radices.
    """

    n: int
    address: int
    in_place: bool
    """Does a transform between panels end where it began (an even number of passes)?"""


_kept_alive: list[np.ndarray] = []
"""What stands at the addresses; not in the tables, whose type all callers are compiled for."""


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
def tables(n: int) -> Tables:
    """Tables of a length. A prime p takes p operations per number: crop or pad patterns to products of small ones."""
    factors, parts, left = radices(n), [np.zeros(0)], n
    for r in factors:
        if r % 2:
            parts.append(np.exp(-2j * np.pi * np.arange(r) / r))
        p, k = np.arange(left // r)[:, None], np.arange(1, r)[None]
        parts.append(np.exp(-2j * np.pi * p * k / left).ravel())
        left //= r
    twiddles = np.concatenate(parts).astype(np.complex64).view(np.float32)
    header = np.array([*factors, twiddles.ctypes.data], np.int64)
    address = (twiddles if n in _LENGTHS else header).ctypes.data
    _kept_alive.extend((header, twiddles))
    return Tables(n, address, len(factors) % 2 == 0)


def transform(n: int, columns: bool = False, way: int = PLAIN, to_columns: bool = False) -> int:
    """Address of a transform of length n, for :func:`fft`; ``columns`` and ``to_columns``: from or to those of a wave,
    not panels."""
    step, out = (2 * LANES if of_wave else LANES for of_wave in (columns, to_columns))
    return _function(n, step, out, way).address


@cache
def _function(n: int, step: int, out: int, way: int) -> Any:
    """Compiled once, and kept alive as long as anybody may call its address."""
    function = CFunc(_LENGTHS.get(n, _of_any)(step, out, way), (_SIGNATURE.args, _SIGNATURE.return_type), {}, _OPTIONS)
    keep(function)
    of_these_sources(function).compile()
    return function


def _of_64(step: int, out: int, way: int) -> Any:
    def run(n, t, re, im, a, b, apart, to_re, to_im, c, d, e, f, g, h, i, j):  # type: ignore[no-untyped-def]
        eight(re, im, step, (a, a + apart, LANES), 8, 1, t)
        last_eight(a, a + apart, (to_re, to_im, out, step), 8, (c, d, e, f, g, h, i, j), way)

    return run


def _of_96(step: int, out: int, way: int) -> Any:
    def run(n, t, re, im, a, b, apart, to_re, to_im, c, d, e, f, g, h, i, j):  # type: ignore[no-untyped-def]
        three(re, im, step, (a, a + apart, LANES), 32, 1, t)
        eight(a, a + apart, LANES, (b, b + apart, LANES), 4, 3, t + 8 * (3 + 2 * 32))
        last_four(b, b + apart, (to_re, to_im, out, step), 24, (c, d, e, f, g, h, i, j), way)

    return run


def _of_192(step: int, out: int, way: int) -> Any:
    def run(n, t, re, im, a, b, apart, to_re, to_im, c, d, e, f, g, h, i, j):  # type: ignore[no-untyped-def]
        three(re, im, step, (a, a + apart, LANES), 64, 1, t)
        eight(a, a + apart, LANES, (b, b + apart, LANES), 8, 3, t + 8 * (3 + 2 * 64))
        last_eight(b, b + apart, (to_re, to_im, out, step), 24, (c, d, e, f, g, h, i, j), way)

    return run


def _of_128(step: int, out: int, way: int) -> Any:
    def run(n, t, re, im, a, b, apart, to_re, to_im, c, d, e, f, g, h, i, j):  # type: ignore[no-untyped-def]
        eight(re, im, step, (a, a + apart, LANES), 16, 1, t)
        four(a, a + apart, LANES, (b, b + apart, LANES), 4, 8, t + 8 * 7 * 16)
        last_four(b, b + apart, (to_re, to_im, out, step), 32, (c, d, e, f, g, h, i, j), way)

    return run


def _of_256(step: int, out: int, way: int) -> Any:
    def run(n, t, re, im, a, b, apart, to_re, to_im, c, d, e, f, g, h, i, j):  # type: ignore[no-untyped-def]
        eight(re, im, step, (a, a + apart, LANES), 32, 1, t)
        eight(a, a + apart, LANES, (b, b + apart, LANES), 4, 8, t + 8 * 7 * 32)
        last_four(b, b + apart, (to_re, to_im, out, step), 64, (c, d, e, f, g, h, i, j), way)

    return run


def _of_any(step: int, out: int, way: int) -> Any:
    """Passes of the radices that the table lists; behind them it holds the twiddles' address."""

    def run(n, table, re, im, a, b, apart, to_re, to_im, c, d, e, f, g, h, i, j):  # type: ignore[no-untyped-def]
        m, s, count = n, 1, 0
        while m > 1:
            m //= load_integer(table, count)
            count += 1
        m, t = n, load_integer(table, count)
        if step != LANES:
            for row in range(n):
                plain(row, load(re, row * step), load(im, row * step), (b, b + apart, LANES), ())
            re, im = b, b + apart
        to, free = a, b
        for place in range(count):
            r = load_integer(table, place)
            m //= r
            used = m * (r - 1)
            if r == 8:
                eight(re, im, LANES, (to, to + apart, LANES), m, s, t)
            elif r == 4:
                four(re, im, LANES, (to, to + apart, LANES), m, s, t)
            elif r == 3:
                three(re, im, LANES, (to, to + apart, LANES), m, s, t)
                used += r
            elif r == 2:
                two(re, im, (to, to + apart, LANES), m, s, t)
            else:
                odd(re, im, (to, to + apart, LANES), m, s, t, r)
                used += r
            t += 8 * used
            s *= r
            re, im, to, free = to, to + apart, free, to
        last_none(n, re, im, (to_re, to_im, out, step), (c, d, e, f, g, h, i, j), way)

    return run


_LENGTHS = {64: _of_64, 96: _of_96, 128: _of_128, 192: _of_192, 256: _of_256}


@inner
def fft(
    tables: Tables,
    function: int,
    source: tuple[int, int],
    a: int,
    b: int,
    apart: int,
    to: tuple[int, int],
    others: Others,
) -> None:
    """Transform eight columns with the function that :func:`transform` found.

    ``source`` and ``to`` are addresses of real and imaginary numbers, ``a`` and ``b`` those of scratch panels, whose
    imaginary ones lie ``apart`` bytes further. b may be the source. Where the number of passes is odd, a may be ``to``.
    """
    call(function, (tables.n, tables.address, source[0], source[1], a, b, apart, to[0], to[1]) + others)  # noqa: RUF005
