"""The waves of one pattern through all slices and back, on the CPU: eight columns or eight rows at a time.

A two-dimensional transform is a pass over columns and one over rows. Between two slices the transforms over columns go
with the products in real space (inverse transform, transmission, transform) and those over rows with the propagator, so
every step works on tiles of 8 KiB in the first-level cache, and a slice costs two sweeps over a wave. Transforms are
unnormalised; the factors are folded into the tables.

Layouts, all float32. With N the side of a pattern and L = ceil(N / 8):

- wave ``[8 L, L + 1, 2, 8]``: rows, groups of eight columns, real and imaginary part. The last group pads the rows, so
  that those of a power of two do not fall into the same few cache sets; lanes beyond N stay zero.
- tiles ``[L, 8 L, 8]`` of what is on the detector, and of propagators and spectra: groups of eight rows, columns, rows
  of the group; complex ones ``[L, 2, 8 L, 8]``. A wave leaves the transform over its rows in this shape.
- object window ``[2, H, W]``, real and imaginary part, with eight columns to spare.
"""

from __future__ import annotations

from typing import Any

from .fft import Transform, fft
from .vectors import LANES, compiled, load, load_splat, store, transpose

Tiles = tuple[int, int, int, int]
"""Addresses of a tile's real and imaginary part [8 L, 8] and of two free ones."""


@compiled
def _tiles(space: Any) -> Tiles:
    start, step = space.ctypes.data, 4 * space.shape[1]
    return start, start + step, start + 2 * step, start + 3 * step


@compiled
def _inverse(length: Transform, tiles: Tiles) -> Tiles:
    """The inverse transform: real and imaginary tiles change places before and after."""
    im, re, free_im, free_re = fft(length, tiles[1], tiles[0], tiles[3], tiles[2])
    return re, im, free_re, free_im


@compiled
def _forward(length: Transform, tiles: Tiles) -> Tiles:
    return fft(length, tiles[0], tiles[1], tiles[2], tiles[3])


@compiled
def _take_columns(wave: Any, group: int, n: int, tiles: Tiles) -> None:
    start, step, i = wave.ctypes.data, 2 * LANES * wave.shape[1], 2 * LANES * group
    for y in range(n):
        store(tiles[0], LANES * y, load(start, i))
        store(tiles[1], LANES * y, load(start, i + LANES))
        i += step


@compiled
def _put_columns(wave: Any, group: int, n: int, tiles: Tiles) -> None:
    start, step, i = wave.ctypes.data, 2 * LANES * wave.shape[1], 2 * LANES * group
    for y in range(n):
        store(start, i, load(tiles[0], LANES * y))
        store(start, i + LANES, load(tiles[1], LANES * y))
        i += step


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
def _take_rows(wave: Any, group: int, tiles: Tiles) -> None:
    start, step = wave.ctypes.data, 2 * LANES * wave.shape[1]
    for x in range(wave.shape[1] - 1):
        i = LANES * group * step + 2 * LANES * x
        _turn(start, i, step, tiles[0], LANES * LANES * x, LANES)
        _turn(start, i + LANES, step, tiles[1], LANES * LANES * x, LANES)


@compiled
def _put_rows(wave: Any, group: int, tiles: Tiles) -> None:
    start, step = wave.ctypes.data, 2 * LANES * wave.shape[1]
    for x in range(wave.shape[1] - 1):
        i = LANES * group * step + 2 * LANES * x
        _turn(tiles[0], LANES * LANES * x, LANES, start, i, step)
        _turn(tiles[1], LANES * LANES * x, LANES, start, i + LANES, step)


@compiled
def _columns_inverse(length: Transform, wave: Any, group: int, space: Any) -> Tiles:
    """Eight columns of a wave in tiles, transform inverted."""
    tiles = _tiles(space)
    _take_columns(wave, group, length.n, tiles)
    return _inverse(length, tiles)


@compiled
def _rows_forward(length: Transform, wave: Any, group: int, space: Any) -> Tiles:
    """Eight rows of a wave in tiles, transformed."""
    tiles = _tiles(space)
    _take_rows(wave, group, tiles)
    return _forward(length, tiles)


@compiled
def _multiply(tiles: Tiles, table: Any, n: int) -> None:
    re, im = table[0].ctypes.data, table[1].ctypes.data
    for i in range(0, LANES * n, LANES):
        a, b, c, d = load(tiles[0], i), load(tiles[1], i), load(re, i), load(im, i)
        store(tiles[0], i, a * c - b * d)
        store(tiles[1], i, a * d + b * c)


@compiled
def enter(length: Transform, spectrum: Any, ramp_y: Any, ramp_x: Any, space: Any, wave: Any) -> None:
    """``wave``: the shifted probe, whose transform over columns is left to :func:`transmit`.

    ``spectrum`` [L, 2, 8 L, 8]; ``ramp_y`` [2, 8 L] and ``ramp_x`` [2, N] are the separable ramp of a sub-pixel shift.
    """
    at_y, at_x = ramp_y.ctypes.data, ramp_x.ctypes.data
    for group in range(spectrum.shape[0]):
        tiles = _tiles(space)
        re, im = spectrum[group, 0].ctypes.data, spectrum[group, 1].ctypes.data
        yr, yi = load(at_y, LANES * group), load(at_y, ramp_y.shape[1] + LANES * group)
        for x in range(length.n):
            xr, xi = load_splat(at_x, x), load_splat(at_x, ramp_x.shape[1] + x)
            c, d = yr * xr - yi * xi, yr * xi + yi * xr
            a, b = load(re, LANES * x), load(im, LANES * x)
            store(tiles[0], LANES * x, a * c - b * d)
            store(tiles[1], LANES * x, a * d + b * c)
        _put_rows(wave, group, _inverse(length, tiles))


@compiled
def leave(length: Transform, wave: Any, ramp_y: Any, ramp_x: Any, space: Any, total: Any) -> None:
    """Adjoint of :func:`enter`: ``total`` [L, 2, 8 L, 8] += spectrum of the wave times the conjugate ramp."""
    at_y, at_x = ramp_y.ctypes.data, ramp_x.ctypes.data
    for group in range(total.shape[0]):
        tiles = _rows_forward(length, wave, group, space)
        re, im = total[group, 0].ctypes.data, total[group, 1].ctypes.data
        yr, yi = load(at_y, LANES * group), load(at_y, ramp_y.shape[1] + LANES * group)
        for x in range(length.n):
            xr, xi = load_splat(at_x, x), load_splat(at_x, ramp_x.shape[1] + x)
            c, d = yr * xr - yi * xi, yr * xi + yi * xr
            a, b = load(tiles[0], LANES * x), load(tiles[1], LANES * x)
            store(re, LANES * x, load(re, LANES * x) + (a * c + b * d))
            store(im, LANES * x, load(im, LANES * x) + (b * c - a * d))


@compiled
def transmit(length: Transform, waves: Any, window: Any, row: int, column: int, space: Any, out: Any) -> None:
    """Finish the waves over their columns; ``out = waves * O[view]``, transformed over columns, for all modes."""
    n, planes, pitch = length.n, window.ctypes.data, window.shape[2]
    imaginary = window.shape[1] * pitch
    for group in range(waves.shape[2] - 1):
        for m in range(waves.shape[0]):
            tiles = _columns_inverse(length, waves[m], group, space)
            at, i, step = waves[m].ctypes.data, 2 * LANES * group, 2 * LANES * waves.shape[2]
            view = row * pitch + column + LANES * group
            for y in range(n):
                a, b = load(tiles[0], LANES * y), load(tiles[1], LANES * y)
                store(at, i, a)
                store(at, i + LANES, b)
                c, d = load(planes, view), load(planes, imaginary + view)
                store(tiles[0], LANES * y, a * c - b * d)
                store(tiles[1], LANES * y, a * d + b * c)
                i += step
                view += pitch
            _put_columns(out[m], group, n, _forward(length, tiles))


@compiled
def propagate(length: Transform, wave: Any, table: Any, space: Any) -> None:
    """All rows: transform, times the propagator [L, 2, 8 L, 8], inverse transform."""
    for group in range(table.shape[0]):
        tiles = _rows_forward(length, wave, group, space)
        _multiply(tiles, table[group], length.n)
        _put_rows(wave, group, _inverse(length, tiles))


@compiled
def detect(length: Transform, wave: Any, space: Any, psi: Any) -> None:
    """``psi`` [L, 2, 8 L, 8]: the wave on the detector."""
    for group in range(psi.shape[0]):
        tiles = _rows_forward(length, wave, group, space)
        re, im = psi[group, 0].ctypes.data, psi[group, 1].ctypes.data
        for i in range(0, LANES * length.n, LANES):
            store(re, i, load(tiles[0], i))
            store(im, i, load(tiles[1], i))


@compiled
def emit(length: Transform, psi: Any, rho: Any, space: Any, wave: Any) -> None:
    """``wave``: inverse transform over rows of ``rho psi``, with rho [L, 8 L, 8] as rows of 64 L numbers."""
    for group in range(psi.shape[0]):
        tiles = _tiles(space)
        re, im, factor = psi[group, 0].ctypes.data, psi[group, 1].ctypes.data, rho[group].ctypes.data
        for i in range(0, LANES * length.n, LANES):
            r = load(factor, i)
            store(tiles[0], i, load(re, i) * r)
            store(tiles[1], i, load(im, i) * r)
        _put_rows(wave, group, _inverse(length, tiles))


@compiled
def _adjoint_phase(
    tiles: Tiles, n: int, wave: Any, group: int, window: Any, view: int, gradient: Any, light: Any
) -> None:
    """``gradient += Im(conj(O u) chi)``, ``light += |u|^2`` and ``chi *= conj(O)`` on a group of columns."""
    at, i, step = wave.ctypes.data, 2 * LANES * group, 2 * LANES * wave.shape[1]
    planes, imaginary, to, lit = window.ctypes.data, window[1].ctypes.data, gradient.ctypes.data, light.ctypes.data
    for y in range(0, LANES * n, LANES):
        a, b, c, d = load(at, i), load(at, i + LANES), load(planes, view), load(imaginary, view)
        p, q = load(tiles[0], y), load(tiles[1], y)
        re, im = p * c + q * d, q * c - p * d
        store(tiles[0], y, re)
        store(tiles[1], y, im)
        store(to, view, load(to, view) + (a * im - b * re))
        store(lit, view, load(lit, view) + (a * a + b * b))
        i += step
        view += light.shape[1]


@compiled
def _adjoint_complex(
    tiles: Tiles, n: int, wave: Any, group: int, window: Any, view: int, gradient: Any, light: Any
) -> None:
    """As :func:`_adjoint_phase` for a complex object: ``gradient += conj(u) chi``."""
    at, i, step = wave.ctypes.data, 2 * LANES * group, 2 * LANES * wave.shape[1]
    planes, imaginary, lit = window.ctypes.data, window[1].ctypes.data, light.ctypes.data
    to, to_imaginary = gradient.ctypes.data, gradient[1].ctypes.data
    for y in range(0, LANES * n, LANES):
        a, b, c, d = load(at, i), load(at, i + LANES), load(planes, view), load(imaginary, view)
        p, q = load(tiles[0], y), load(tiles[1], y)
        store(to, view, load(to, view) + (a * p + b * q))
        store(to_imaginary, view, load(to_imaginary, view) + (a * q - b * p))
        store(lit, view, load(lit, view) + (a * a + b * b))
        store(tiles[0], y, p * c + q * d)
        store(tiles[1], y, q * c - p * d)
        i += step
        view += light.shape[1]


@compiled
def adjoint(
    length: Transform,
    waves: Any,
    chi: Any,
    window: Any,
    row: int,
    column: int,
    gradient: Any,
    light: Any,
    space: Any,
    goes_on: bool,
) -> None:
    """One slice of the back-propagation for all modes, adding to the slice's sums on the window.

    ``chi`` comes with its transform over columns still to be inverted. Where it goes on, it is left times conj(O) and
    transformed over columns.
    """
    for group in range(waves.shape[2] - 1):
        view = row * window.shape[2] + column + LANES * group
        for m in range(waves.shape[0]):
            tiles = _columns_inverse(length, chi[m], group, space)
            if gradient.shape[0] == 1:
                _adjoint_phase(tiles, length.n, waves[m], group, window, view, gradient, light)
            else:
                _adjoint_complex(tiles, length.n, waves[m], group, window, view, gradient, light)
            if goes_on:
                _put_columns(chi[m], group, length.n, _forward(length, tiles))


@compiled
def forward(
    length: Transform,
    spectra: Any,
    ramp_y: Any,
    ramp_x: Any,
    objects: Any,
    row: int,
    column: int,
    tables: Any,
    table_of: Any,
    space: Any,
    waves: Any,
    chi: Any,
    psi: Any,
) -> None:
    """All modes from the probe to the detector: ``waves[s, m]`` in front of every slice, ``psi[m]`` on the detector.

    The view's corner in the object windows [S, 2, H, W] is (row, column). ``tables[table_of[s]]`` follows slice s.
    """
    slices, modes = waves.shape[:2]
    for m in range(modes):
        enter(length, spectra[m], ramp_y, ramp_x, space, waves[0, m])
    for s in range(slices - 1):
        transmit(length, waves[s], objects[s], row, column, space, waves[s + 1])
        for m in range(modes):
            propagate(length, waves[s + 1, m], tables[table_of[s]], space)
    transmit(length, waves[slices - 1], objects[slices - 1], row, column, space, chi)
    for m in range(modes):
        detect(length, chi[m], space, psi[m])


@compiled
def backward(
    length: Transform,
    rho: Any,
    psi: Any,
    objects: Any,
    row: int,
    column: int,
    conjugates: Any,
    table_of: Any,
    space: Any,
    waves: Any,
    chi: Any,
    gradient: Any,
    light: Any,
    to_probe: bool,
) -> None:
    """All modes from the residual ``rho psi`` to the first slice; with ``to_probe``, ``chi`` goes in front of it."""
    slices, modes = waves.shape[:2]
    for m in range(modes):
        emit(length, psi[m], rho, space, chi[m])
    for s in range(slices - 1, -1, -1):
        goes_on = s > 0 or to_probe
        adjoint(length, waves[s], chi, objects[s], row, column, gradient[s], light[s], space, goes_on)
        if s > 0:
            for m in range(modes):
                propagate(length, chi[m], conjugates[table_of[s - 1]], space)
