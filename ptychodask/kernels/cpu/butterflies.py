"""Passes of a Fourier transform over eight columns at a time, for compiled code; see ``fft`` for the method.

A pass reads real and imaginary numbers from two addresses, rows ``step`` numbers apart, and writes them elsewhere. The
first pass of a transform may read a wave, and the last one may ``give`` its numbers in one of several WAYS to what goes
on with them, such as a product: what is done in a pass costs no sweep over memory of its own. Steps are literals
wherever the compiler shall know them, which is worth a third of the time.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numba import types
from numba.extending import overload

from .vectors import LANES, compiled, load, load_splat, splat, store

_HALF = np.float32(np.sqrt(0.5))
_HEIGHT = np.float32(math.sqrt(0.75))


To = tuple[int, int, int, int]
"""Addresses of real and imaginary numbers to write and the step between their rows; the step of what was read first."""
Others = tuple[int, ...]


class Vector(Protocol):
    """Eight numbers in a register, of which the compiler knows the arithmetic."""

    def __add__(self, other: Vector) -> Vector: ...
    def __sub__(self, other: Vector) -> Vector: ...
    def __mul__(self, other: Vector) -> Vector: ...


@compiled
def plain(row: int, a: Vector, b: Vector, to: To, others: Others) -> None:
    """A pair of numbers as it is."""
    store(to[0], row * to[2], a)
    store(to[1], row * to[2], b)


@compiled
def _times(row: int, a: Vector, b: Vector, to: To, others: Others) -> None:
    """Times the numbers in panels at ``others[0]`` and ``others[1]``."""
    i = row * LANES
    c, d = load(others[0], i), load(others[1], i)
    store(to[0], row * to[2], a * c - b * d)
    store(to[1], row * to[2], a * d + b * c)


@compiled
def _transmitted(row: int, a: Vector, b: Vector, to: To, others: Others) -> None:
    """Of an inverse transform: the wave u itself goes to ``others[3]`` and ``others[4]``, ``O u`` goes on.

    ``others[:3]``: addresses of real and imaginary part of O, and the step between their rows.
    """
    c, d = load(others[0], row * others[2]), load(others[1], row * others[2])
    store(others[3], row * to[3], b)
    store(others[4], row * to[3], a)
    store(to[0], row * to[2], b * c - a * d)
    store(to[1], row * to[2], b * d + a * c)


@compiled
def _returned_phase(row: int, a: Vector, b: Vector, to: To, others: Others) -> None:
    """Of an inverse transform, chi: ``gradient += Im(conj(O u) chi)``, ``light += |u|^2``, and ``conj(O) chi`` goes on.

    ``others``: addresses of O's parts, their step, addresses of u's parts, of the gradient's (one here) and the light.
    """
    view, at = row * others[2], row * to[3]
    c, d, x, y = load(others[0], view), load(others[1], view), load(others[3], at), load(others[4], at)
    re, im = b * c + a * d, a * c - b * d
    store(to[0], row * to[2], re)
    store(to[1], row * to[2], im)
    store(others[5], view, load(others[5], view) + (x * im - y * re))
    store(others[7], view, load(others[7], view) + (x * x + y * y))


@compiled
def _returned_complex(row: int, a: Vector, b: Vector, to: To, others: Others) -> None:
    """As :func:`_returned_phase` for a complex object: ``gradient += conj(u) chi``."""
    view, at = row * others[2], row * to[3]
    c, d, x, y = load(others[0], view), load(others[1], view), load(others[3], at), load(others[4], at)
    store(others[5], view, load(others[5], view) + (x * b + y * a))
    store(others[6], view, load(others[6], view) + (x * a - y * b))
    store(others[7], view, load(others[7], view) + (x * x + y * y))
    store(to[0], row * to[2], b * c + a * d)
    store(to[1], row * to[2], a * c - b * d)


WAYS = (plain, _times, _transmitted, _returned_phase, _returned_complex)
PLAIN, TIMES, TRANSMITTED, RETURNED_PHASE, RETURNED_COMPLEX = range(len(WAYS))


@compiled
def _turned(row: int, a: Vector, b: Vector, to: To, twiddles: int, t: int) -> None:
    c, d = load_splat(twiddles, t), load_splat(twiddles, t + 1)
    store(to[0], row * to[2], a * c - b * d)
    store(to[1], row * to[2], a * d + b * c)


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


@compiled
def _eight(re: int, im: int, index: int, step: int) -> Any:
    """Transform of eight numbers, as (re, im) pairs."""
    half = splat(_HALF)
    ar, ai, br, bi, cr, ci, dr, di = _four(re, im, index, 2 * step)
    er, ei, fr, fi, gr, gi, hr, hi = _four(re, im, index + step, 2 * step)
    # odd numbers times exp(-i pi k / 4); the last one's imaginary part comes with its sign changed
    xr, xi, yr, yi = (fr + fi) * half, (fi - fr) * half, (hi - hr) * half, (hr + hi) * half
    return (
        ar + er, ai + ei, br + xr, bi + xi, cr + gi, ci - gr, dr + yr, di - yi,
        ar - er, ai - ei, br - xr, bi - xi, cr - gi, ci + gr, dr - yr, di + yi,
    )  # fmt: skip


@compiled
def four(re: int, im: int, step: int, to: To, m: int, s: int, twiddles: int) -> None:
    """A pass of radix 4."""
    for p in range(m):
        for q in range(s):
            ar, ai, br, bi, cr, ci, dr, di = _four(re, im, (q + s * p) * step, m * s * step)
            o, t = q + s * 4 * p, 6 * p
            plain(o, ar, ai, to, ())
            _turned(o + s, br, bi, to, twiddles, t)
            _turned(o + 2 * s, cr, ci, to, twiddles, t + 2)
            _turned(o + 3 * s, dr, di, to, twiddles, t + 4)


@compiled
def eight(re: int, im: int, step: int, to: To, m: int, s: int, twiddles: int) -> None:
    """A pass of radix 8."""
    for p in range(m):
        for q in range(s):
            ar, ai, br, bi, cr, ci, dr, di, er, ei, fr, fi, gr, gi, hr, hi = _eight(
                re, im, (q + s * p) * step, m * s * step
            )
            o, t = q + s * 8 * p, 14 * p
            plain(o, ar, ai, to, ())
            _turned(o + s, br, bi, to, twiddles, t)
            _turned(o + 2 * s, cr, ci, to, twiddles, t + 2)
            _turned(o + 3 * s, dr, di, to, twiddles, t + 4)
            _turned(o + 4 * s, er, ei, to, twiddles, t + 6)
            _turned(o + 5 * s, fr, fi, to, twiddles, t + 8)
            _turned(o + 6 * s, gr, gi, to, twiddles, t + 10)
            _turned(o + 7 * s, hr, hi, to, twiddles, t + 12)


def last_four(re: int, im: int, to: To, s: int, others: Others, way: int) -> None:
    """The last pass of radix 4, without twiddles: ``give(row, a, b, to, others)`` of a way takes its numbers."""
    raise NotImplementedError("compiled code only")


def last_eight(re: int, im: int, to: To, s: int, others: Others, way: int) -> None:
    """As :func:`last_four`, of radix 8."""
    raise NotImplementedError("compiled code only")


def last_none(n: int, re: int, im: int, to: To, others: Others, way: int) -> None:
    """Give all n rows of panels, transformed before."""
    raise NotImplementedError("compiled code only")


# Which way is part of the type. A closure over a compiled function would do the same, but numba's cache on disk takes
# closures over numbers only: it would compile the others anew in every process. It asks for the same annotations in
# what chooses by types and in what is compiled.
@overload(last_four, prefer_literal=True)
def _last_four(re: Any, im: Any, to: Any, s: Any, others: Any, way: Any) -> Any:
    if not isinstance(way, types.IntegerLiteral):
        return None
    give = WAYS[way.literal_value]

    def run(re: Any, im: Any, to: Any, s: Any, others: Any, way: Any) -> Any:
        for q in range(s):
            ar, ai, br, bi, cr, ci, dr, di = _four(re, im, q * LANES, s * LANES)
            give(q, ar, ai, to, others)
            give(q + s, br, bi, to, others)
            give(q + 2 * s, cr, ci, to, others)
            give(q + 3 * s, dr, di, to, others)

    return run


@overload(last_eight, prefer_literal=True)
def _last_eight(re: Any, im: Any, to: Any, s: Any, others: Any, way: Any) -> Any:
    if not isinstance(way, types.IntegerLiteral):
        return None
    give = WAYS[way.literal_value]

    def run(re: Any, im: Any, to: Any, s: Any, others: Any, way: Any) -> Any:
        for q in range(s):
            ar, ai, br, bi, cr, ci, dr, di, er, ei, fr, fi, gr, gi, hr, hi = _eight(re, im, q * LANES, s * LANES)
            give(q, ar, ai, to, others)
            give(q + s, br, bi, to, others)
            give(q + 2 * s, cr, ci, to, others)
            give(q + 3 * s, dr, di, to, others)
            give(q + 4 * s, er, ei, to, others)
            give(q + 5 * s, fr, fi, to, others)
            give(q + 6 * s, gr, gi, to, others)
            give(q + 7 * s, hr, hi, to, others)

    return run


@overload(last_none, prefer_literal=True)
def _last_none(n: Any, re: Any, im: Any, to: Any, others: Any, way: Any) -> Any:
    if not isinstance(way, types.IntegerLiteral):
        return None
    give = WAYS[way.literal_value]

    def run(n: Any, re: Any, im: Any, to: Any, others: Any, way: Any) -> Any:
        for row in range(n):
            give(row, load(re, row * LANES), load(im, row * LANES), to, others)

    return run


@compiled
def two(re: int, im: int, to: To, m: int, s: int, twiddles: int) -> None:
    """A pass of radix 2 from panels."""
    for p in range(m):
        for q in range(s):
            i, far = (q + s * p) * LANES, m * s * LANES
            ar, ai, br, bi = load(re, i), load(im, i), load(re, i + far), load(im, i + far)
            plain(q + s * 2 * p, ar + br, ai + bi, to, ())
            _turned(q + s * 2 * p + s, ar - br, ai - bi, to, twiddles, 2 * p)


@compiled
def three(re: int, im: int, step: int, to: To, m: int, s: int, twiddles: int) -> None:
    """A pass of radix 3; its table begins with the roots, as that of any odd radix."""
    half, height = splat(np.float32(0.5)), splat(_HEIGHT)
    for p in range(m):
        for q in range(s):
            i, far = (q + s * p) * step, m * s * step
            ar, ai = load(re, i), load(im, i)
            br, bi, cr, ci = load(re, i + far), load(im, i + far), load(re, i + 2 * far), load(im, i + 2 * far)
            sr, si, dr, di = br + cr, bi + ci, (br - cr) * height, (bi - ci) * height
            tr, ti = ar - sr * half, ai - si * half
            o, t = q + s * 3 * p, 2 * (3 + 2 * p)
            plain(o, ar + sr, ai + si, to, ())
            _turned(o + s, tr + di, ti - dr, to, twiddles, t)
            _turned(o + 2 * s, tr - di, ti + dr, to, twiddles, t + 2)


@compiled
def odd(re: int, im: int, to: To, m: int, s: int, twiddles: int, r: int) -> None:
    """A pass of any radix from panels, by the definition; the table begins with the roots exp(-2 pi i j / r)."""
    for p in range(m):
        for q in range(s):
            for k in range(r):
                a, b = splat(np.float32(0)), splat(np.float32(0))
                for j in range(r):
                    i, root = (q + s * (p + j * m)) * LANES, 2 * (j * k % r)
                    c, d = load_splat(twiddles, root), load_splat(twiddles, root + 1)
                    x, y = load(re, i), load(im, i)
                    a, b = a + (x * c - y * d), b + (x * d + y * c)
                o = q + s * (r * p + k)
                if k == 0:
                    plain(o, a, b, to, ())
                else:
                    _turned(o, a, b, to, twiddles, 2 * (r + (r - 1) * p + k - 1))
