"""The waves of one pattern through all slices and back, on the CPU: eight columns or eight rows at a time.

A two-dimensional transform is a sweep over columns and one over rows. Between two slices the transforms over columns go
with the products in real space (inverse transform, transmission, transform) and those over rows with the propagator, so
every step works on panels of 8 KiB in the first-level cache, and a slice costs two sweeps over a wave. Products and
sums are made in the last pass of a transform, see ``butterflies``. Transforms are unnormalised; the factors are folded
into the tables.

Layouts, all float32. With N the side of a pattern and L = ceil(N / 8):

- wave ``[L, 8 L + 8, 2, 8]``: groups of eight columns, rows, real and imaginary part. A sweep over columns reads a
  group in one piece, one over rows reads 512 bytes of each. The last eight rows pad the groups, so that those of a
  power of two do not fall into the same few cache sets; lanes beyond N stay zero.
- panels ``[L, 8 L, 8]`` of what is on the detector, and of propagators and spectra: groups of eight rows, columns, rows
  of the group; complex ones ``[L, 2, 8 L, 8]``. A wave leaves the transform over its rows in this shape.
- object window ``[2, H, W]``, real and imaginary part, with eight columns to spare.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from .butterflies import PLAIN, RETURNED_COMPLEX, RETURNED_PHASE, TIMES, TRANSMITTED, Others
from .fft import fft, tables, transform
from .vectors import LANES, compiled, inlined, load, load_splat, prefetch, store, transpose

Pair = tuple[int, int]
"""Addresses of real and imaginary numbers."""
NOTHING = (0,) * 8
LINE = 64
"""Bytes that memory gives at once."""


class Transforms(NamedTuple):
    """The tables of a length n, and the addresses of the transforms that the chain takes."""

    n: int
    address: int
    in_place: bool
    rows: int
    """Panels to panels."""
    rows_times: int
    """The same, times a table."""
    columns_transmitted: int
    """Inverse, from a wave to the wave itself, and times the object to panels."""
    columns_returned: int
    """Inverse, from a wave to the sums, and times the conjugate object to panels."""
    to_columns: int
    """Panels to a wave."""


@cache
def transforms(n: int, pure_phase: bool) -> Transforms:
    """The transforms of a length for an object of phases or a complex one, compiled at the first call."""
    return Transforms(
        *tables(n),
        transform(n),
        transform(n, way=TIMES),
        transform(n, columns=True, way=TRANSMITTED),
        transform(n, columns=True, way=RETURNED_PHASE if pure_phase else RETURNED_COMPLEX),
        transform(n, way=PLAIN, to_columns=True),
    )


@inlined
def _address(array: np.ndarray) -> int:
    """Signed: numba would add a signed and an unsigned number as floats."""
    return np.intp(array.ctypes.data)  # type: ignore[return-value]


@inlined
def _pairs(space: np.ndarray) -> tuple[Pair, Pair]:
    """Two pairs of panels."""
    start, step = _address(space), 4 * space.shape[1]
    return (start, start + step), (start + 2 * step, start + 3 * step)


@inlined
def _swapped(pair: Pair) -> Pair:
    """For an inverse transform real and imaginary numbers change places, before and after."""
    return pair[1], pair[0]


@compiled
def _rows(t: Transforms, function: int, pair: Pair, free: Pair, inverse: bool, others: Others) -> tuple[Pair, Pair]:
    """Transform between panels; where the result is, and the free pair."""
    to = pair if t.in_place else free
    apart = pair[1] - pair[0]
    if inverse:
        fft(t, function, _swapped(pair), free[0], pair[0], apart, _swapped(to), others)
    else:
        fft(t, function, pair, free[0], pair[0], apart, to, others)
    return to, (free if t.in_place else pair)


@inlined
def _column(wave: np.ndarray, group: int) -> Pair:
    """Addresses of a group of columns of a wave."""
    start = _address(wave) + 8 * LANES * wave.shape[1] * group
    return start, start + 4 * LANES


@compiled
def _columns(
    t: Transforms, function: int, wave: np.ndarray, group: int, space: np.ndarray, others: Others
) -> tuple[Pair, Pair]:
    """Inverse transform from a wave's columns to panels."""
    pair, free = _pairs(space)
    to, other = (free, pair) if t.in_place else (pair, free)
    fft(t, function, _swapped(_column(wave, group)), pair[0], free[0], pair[1] - pair[0], to, others)
    return to, other


@compiled
def _to_columns(t: Transforms, function: int, pair: Pair, free: Pair, wave: np.ndarray, group: int) -> None:
    """Transform panels to a wave's columns."""
    fft(t, function, pair, free[0], pair[0], pair[1] - pair[0], _column(wave, group), NOTHING)


@compiled
def _turn(source: int, i: int, step: int, target: int, o: int, out_step: int) -> None:
    """Transpose a block of 8 x 8 numbers."""
    a, b, c, d, e, f, g, h = transpose(
        load(source, i), load(source, i + step), load(source, i + 2 * step), load(source, i + 3 * step),
        load(source, i + 4 * step), load(source, i + 5 * step), load(source, i + 6 * step), load(source, i + 7 * step),
    )  # fmt: skip
    store(target, o, a)
    store(target, o + out_step, b)
    store(target, o + 2 * out_step, c)
    store(target, o + 3 * out_step, d)
    store(target, o + 4 * out_step, e)
    store(target, o + 5 * out_step, f)
    store(target, o + 6 * out_step, g)
    store(target, o + 7 * out_step, h)


@compiled
def _take_rows(wave: np.ndarray, group: int, pair: Pair) -> None:
    start, step = wave.ctypes.data, 2 * LANES
    for x in range(wave.shape[0]):
        i = (wave.shape[1] * x + LANES * group) * step
        _turn(start, i, step, pair[0], LANES * LANES * x, LANES)
        _turn(start, i + LANES, step, pair[1], LANES * LANES * x, LANES)


@compiled
def _put_rows(wave: np.ndarray, group: int, pair: Pair) -> None:
    start, step = wave.ctypes.data, 2 * LANES
    for x in range(wave.shape[0]):
        i = (wave.shape[1] * x + LANES * group) * step
        _turn(pair[0], LANES * LANES * x, LANES, start, i, step)
        _turn(pair[1], LANES * LANES * x, LANES, start, i + LANES, step)


@compiled
def enter(
    t: Transforms, spectrum: np.ndarray, ramp_y: np.ndarray, ramp_x: np.ndarray, space: np.ndarray, wave: np.ndarray
) -> None:
    """``wave``: the shifted probe, whose transform over columns is left to :func:`transmit`.

    ``spectrum`` [L, 2, 8 L, 8]; ``ramp_y`` [2, 8 L] and ``ramp_x`` [2, N] are the separable ramp of a sub-pixel shift.
    """
    at_y, at_x = ramp_y.ctypes.data, ramp_x.ctypes.data
    for group in range(spectrum.shape[0]):
        pair, free = _pairs(space)
        re, im = spectrum[group, 0].ctypes.data, spectrum[group, 1].ctypes.data
        yr, yi = load(at_y, LANES * group), load(at_y, ramp_y.shape[1] + LANES * group)
        for x in range(t.n):
            xr, xi = load_splat(at_x, x), load_splat(at_x, ramp_x.shape[1] + x)
            c, d = yr * xr - yi * xi, yr * xi + yi * xr
            a, b = load(re, LANES * x), load(im, LANES * x)
            store(pair[0], LANES * x, a * c - b * d)
            store(pair[1], LANES * x, a * d + b * c)
        _put_rows(wave, group, _rows(t, t.rows, pair, free, True, NOTHING)[0])


@compiled
def leave(
    t: Transforms, wave: np.ndarray, ramp_y: np.ndarray, ramp_x: np.ndarray, space: np.ndarray, total: np.ndarray
) -> None:
    """Adjoint of :func:`enter`: ``total`` [L, 2, 8 L, 8] += spectrum of the wave times the conjugate ramp."""
    at_y, at_x = ramp_y.ctypes.data, ramp_x.ctypes.data
    for group in range(total.shape[0]):
        pair, free = _pairs(space)
        _take_rows(wave, group, pair)
        pair, free = _rows(t, t.rows, pair, free, False, NOTHING)
        re, im = total[group, 0].ctypes.data, total[group, 1].ctypes.data
        yr, yi = load(at_y, LANES * group), load(at_y, ramp_y.shape[1] + LANES * group)
        for x in range(t.n):
            xr, xi = load_splat(at_x, x), load_splat(at_x, ramp_x.shape[1] + x)
            c, d = yr * xr - yi * xi, yr * xi + yi * xr
            a, b = load(pair[0], LANES * x), load(pair[1], LANES * x)
            store(re, LANES * x, load(re, LANES * x) + (a * c + b * d))
            store(im, LANES * x, load(im, LANES * x) + (b * c - a * d))


@compiled
def transmit(
    t: Transforms, waves: np.ndarray, window: np.ndarray, row: int, column: int, space: np.ndarray, out: np.ndarray
) -> None:
    """Finish the waves over their columns; ``out = waves * O[view]``, transformed over columns, for all modes."""
    pitch = window.shape[2]
    imaginary = 4 * window.shape[1] * pitch
    for group in range(waves.shape[1]):
        view = _address(window) + 4 * (row * pitch + column + LANES * group)
        for m in range(waves.shape[0]):
            wave = _column(waves[m], group)
            others = (view, view + imaginary, pitch, wave[0], wave[1], 0, 0, 0)
            pair, free = _columns(t, t.columns_transmitted, waves[m], group, space, others)
            _to_columns(t, t.to_columns, pair, free, out[m], group)


@compiled
def propagate(t: Transforms, wave: np.ndarray, table: np.ndarray, space: np.ndarray) -> None:
    """All rows: transform, times the propagator [L, 2, 8 L, 8], inverse transform."""
    for group in range(table.shape[0]):
        pair, free = _pairs(space)
        _take_rows(wave, group, pair)
        others = (_address(table[group, 0]), _address(table[group, 1]), 0, 0, 0, 0, 0, 0)
        pair, free = _rows(t, t.rows_times, pair, free, False, others)
        _put_rows(wave, group, _rows(t, t.rows, pair, free, True, NOTHING)[0])


@compiled
def detect(t: Transforms, wave: np.ndarray, space: np.ndarray, psi: np.ndarray) -> None:
    """``psi`` [L, 2, 8 L, 8]: the wave on the detector."""
    for group in range(psi.shape[0]):
        pair, free = _pairs(space)
        _take_rows(wave, group, pair)
        to = (_address(psi[group, 0]), _address(psi[group, 1]))
        fft(t, t.rows, pair, free[0], pair[0], pair[1] - pair[0], to, NOTHING)


@compiled
def emit(t: Transforms, psi: np.ndarray, rho: np.ndarray, space: np.ndarray, wave: np.ndarray) -> None:
    """``wave``: inverse transform over rows of ``rho psi``, with rho [L, 8 L, 8] as rows of 64 L numbers."""
    for group in range(psi.shape[0]):
        pair, free = _pairs(space)
        re, im, factor = psi[group, 0].ctypes.data, psi[group, 1].ctypes.data, rho[group].ctypes.data
        for i in range(0, LANES * t.n, LANES):
            r = load(factor, i)
            store(pair[0], i, load(re, i) * r)
            store(pair[1], i, load(im, i) * r)
        _put_rows(wave, group, _rows(t, t.rows, pair, free, True, NOTHING)[0])


@compiled
def adjoint(
    t: Transforms,
    waves: np.ndarray,
    chi: np.ndarray,
    window: np.ndarray,
    row: int,
    column: int,
    gradient: np.ndarray,
    light: np.ndarray,
    space: np.ndarray,
    goes_on: bool,
) -> None:
    """One slice of the back-propagation for all modes, adding to the slice's sums on the window.

    ``chi`` comes with its transform over columns still to be inverted. Where it goes on, it is left times conj(O) and
    transformed over columns. ``gradient`` [1 or 2, H, W]: of the phase, or real and imaginary part.
    """
    pitch = window.shape[2]
    imaginary = 4 * window.shape[1] * pitch
    for group in range(waves.shape[1]):
        at = 4 * (row * pitch + column + LANES * group)
        view, to, lit = _address(window) + at, _address(gradient) + at, _address(light) + at
        for m in range(waves.shape[0]):
            wave = _column(waves[m], group)
            others = (view, view + imaginary, pitch, wave[0], wave[1], to, to + imaginary, lit)
            pair, free = _columns(t, t.columns_returned, chi[m], group, space, others)
            if goes_on:
                _to_columns(t, t.to_columns, pair, free, chi[m], group)


@compiled
def fetch(plane: np.ndarray, row: int, column: int, n: int) -> None:
    """Ask for a view of a plane [H, W] row by row, as memory likes it; transforms read it eight columns at a time."""
    start = _address(plane) + 4 * (row * plane.shape[1] + column)
    for y in range(n):
        for x in range(0, 4 * n + LINE - 1, LINE):
            prefetch(start + 4 * y * plane.shape[1] + x)


@inlined
def forward(
    t: Transforms,
    spectra: np.ndarray,
    ramp_y: np.ndarray,
    ramp_x: np.ndarray,
    objects: np.ndarray,
    row: int,
    column: int,
    tables: Any,
    table_of: np.ndarray,
    space: np.ndarray,
    waves: np.ndarray,
    chi: np.ndarray,
    psi: np.ndarray,
    ahead: bool,
) -> None:
    """All modes from the probe to the detector: ``waves[s, m]`` in front of every slice, ``psi[m]`` on the detector.

    Where nobody asks for them, one place of ``waves`` does for those of all slices, and stays in the cache. The view's
    corner in the object windows [S, 2, H, W] is (row, column). ``tables[table_of[s]]`` follows slice s. ``ahead``: ask
    for the next slice's view while waves propagate to it, which pays where slices leave the caches.
    """
    slices, (kept, modes) = objects.shape[0], waves.shape[:2]
    for m in range(modes):
        enter(t, spectra[m], ramp_y, ramp_x, space, waves[0, m])
    for s in range(slices - 1):
        transmit(t, waves[s % kept], objects[s], row, column, space, waves[(s + 1) % kept])
        if ahead:
            fetch(objects[s + 1, 0], row, column, t.n)
            fetch(objects[s + 1, 1], row, column, t.n)
        for m in range(modes):
            propagate(t, waves[(s + 1) % kept, m], tables[table_of[s]], space)
    transmit(t, waves[(slices - 1) % kept], objects[slices - 1], row, column, space, chi)
    for m in range(modes):
        detect(t, chi[m], space, psi[m])


@inlined
def backward(
    t: Transforms,
    rho: np.ndarray,
    psi: np.ndarray,
    objects: np.ndarray,
    row: int,
    column: int,
    conjugates: np.ndarray,
    table_of: np.ndarray,
    space: np.ndarray,
    waves: np.ndarray,
    chi: np.ndarray,
    gradient: np.ndarray,
    light: np.ndarray,
    to_probe: bool,
    ahead: bool,
) -> None:
    """All modes from the residual ``rho psi`` to the first slice; with ``to_probe``, ``chi`` goes in front of it."""
    slices, modes = waves.shape[:2]
    for m in range(modes):
        emit(t, psi[m], rho, space, chi[m])
    for s in range(slices - 1, -1, -1):
        goes_on = s > 0 or to_probe
        adjoint(t, waves[s], chi, objects[s], row, column, gradient[s], light[s], space, goes_on)
        if s > 0:
            if ahead:
                fetch(objects[s - 1, 0], row, column, t.n)
                fetch(objects[s - 1, 1], row, column, t.n)
                fetch(gradient[s - 1, 0], row, column, t.n)
                fetch(light[s - 1], row, column, t.n)
            for m in range(modes):
                propagate(t, chi[m], conjugates[table_of[s - 1]], space)
