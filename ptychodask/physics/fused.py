"""Fused float32 kernels for one pattern on the CPU, compiled by numba: the pointwise steps between two FFTs in one
pass.

Every kernel does what the plain code in ``views``, ``multislice`` and ``likelihood`` does, which stays its reference.
FFTs here are unnormalised; the factors are folded into the kernels' tables (see ``solver.partial_cpu``). Complex arrays
come as float32 views of twice the length along the last axis, because LLVM vectorises those and not complex numbers.
``[M, N, 2N]`` are modes of one pattern, ``[H, 2W]`` the object's window.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

_options: dict[str, Any] = {"nogil": True, "cache": True, "fastmath": {"contract", "reassoc", "nsz", "arcp"}}
# the Python error model would test every divisor for zero, and a loop with a branch is not vectorised
_options["error_model"] = "numpy"


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return numba.njit(**_options)(function)


@_compiled
def shift_spectra(spectra: Any, ramp_y: Any, ramp_x: Any, out: Any) -> None:
    """``out = spectra * ramp``: the separable Fourier ramp of a sub-pixel shift; ramps are [2N] float32 views."""
    modes, rows, twice = spectra.shape
    for m in range(modes):
        for y in range(rows):
            yr, yi = ramp_y[2 * y], ramp_y[2 * y + 1]
            for x in range(twice // 2):
                rr = yr * ramp_x[2 * x] - yi * ramp_x[2 * x + 1]
                ri = yr * ramp_x[2 * x + 1] + yi * ramp_x[2 * x]
                a, b = spectra[m, y, 2 * x], spectra[m, y, 2 * x + 1]
                out[m, y, 2 * x] = a * rr - b * ri
                out[m, y, 2 * x + 1] = a * ri + b * rr


@_compiled
def unshift_add(spectra: Any, ramp_y: Any, ramp_x: Any, total: Any) -> None:
    """``total += spectra * conj(ramp)``: the adjoint of :func:`shift_spectra`, summed over patterns."""
    modes, rows, twice = spectra.shape
    for m in range(modes):
        for y in range(rows):
            yr, yi = ramp_y[2 * y], ramp_y[2 * y + 1]
            for x in range(twice // 2):
                rr = yr * ramp_x[2 * x] - yi * ramp_x[2 * x + 1]
                ri = yr * ramp_x[2 * x + 1] + yi * ramp_x[2 * x]
                a, b = spectra[m, y, 2 * x], spectra[m, y, 2 * x + 1]
                total[m, y, 2 * x] += a * rr + b * ri
                total[m, y, 2 * x + 1] += b * rr - a * ri


@_compiled
def transmit(wave: Any, window: Any, row: int, column: int, out: Any) -> None:
    """``out = wave * O[view]``; the view's corner in the window is (row, column)."""
    modes, rows, twice = wave.shape
    for m in range(modes):
        for y in range(rows):
            view = window[row + y, 2 * column : 2 * column + twice]
            for x in range(twice // 2):
                a, b = wave[m, y, 2 * x], wave[m, y, 2 * x + 1]
                c, d = view[2 * x], view[2 * x + 1]
                out[m, y, 2 * x] = a * c - b * d
                out[m, y, 2 * x + 1] = a * d + b * c


@_compiled
def multiply(wave: Any, table: Any) -> None:
    """``wave *= table`` in place, table [N, 2N] for all modes."""
    modes, rows, twice = wave.shape
    for m in range(modes):
        for y in range(rows):
            for x in range(twice // 2):
                a, b = wave[m, y, 2 * x], wave[m, y, 2 * x + 1]
                c, d = table[y, 2 * x], table[y, 2 * x + 1]
                wave[m, y, 2 * x] = a * c - b * d
                wave[m, y, 2 * x + 1] = a * d + b * c


@_compiled
def predict(psi: Any, scale: Any, background: Any, intensity: Any) -> None:
    """``intensity = scale sum_m |psi_m|^2 + background``."""
    modes, rows, twice = psi.shape
    for y in range(rows):
        for x in range(twice // 2):
            a, b = psi[0, y, 2 * x], psi[0, y, 2 * x + 1]
            intensity[y, x] = a * a + b * b
        for m in range(1, modes):
            for x in range(twice // 2):
                a, b = psi[m, y, 2 * x], psi[m, y, 2 * x + 1]
                intensity[y, x] += a * a + b * b
        for x in range(twice // 2):
            intensity[y, x] = intensity[y, x] * scale + background


@_compiled
def force_poisson(counts: Any, intensity: Any, weights: Any, epsilon: Any, factor: Any, rho: Any) -> None:
    """``rho = factor w (n - I) / (I + epsilon)``."""
    rows, columns = counts.shape
    for y in range(rows):
        for x in range(columns):
            i = intensity[y, x]
            rho[y, x] = factor * weights[y, x] * (counts[y, x] - i) / (i + epsilon)


@_compiled
def force_amplitude(counts: Any, intensity: Any, weights: Any, floor: Any, factor: Any, rho: Any) -> None:
    """``rho = factor w (sqrt(n) / (sqrt(I) + floor) - 1)``."""
    rows, columns = counts.shape
    one = np.float32(1)
    for y in range(rows):
        for x in range(columns):
            ratio = np.sqrt(counts[y, x]) / (np.sqrt(intensity[y, x]) + floor)
            rho[y, x] = factor * weights[y, x] * (ratio - one)


@_compiled
def scale_by(psi: Any, rho: Any) -> None:
    """``psi *= rho`` in place, rho [N, N] for all modes."""
    modes, rows, twice = psi.shape
    for m in range(modes):
        for y in range(rows):
            for x in range(twice // 2):
                r = rho[y, x]
                psi[m, y, 2 * x] *= r
                psi[m, y, 2 * x + 1] *= r


@_compiled
def adjoint_phase(wave: Any, chi: Any, window: Any, row: int, column: int, gradient: Any, light: Any) -> None:
    """One slice of the back-propagation for a pure phase object, one pass over the waves.

    ``gradient += sum_m Im(conj(O u) chi)``, ``light += sum_m |u|^2`` on the view, and ``chi *= conj(O)`` in place.
    """
    modes, rows, twice = wave.shape
    for y in range(rows):
        view = window[row + y, 2 * column : 2 * column + twice]
        g = gradient[row + y, column : column + twice // 2]
        w = light[row + y, column : column + twice // 2]
        for m in range(modes):
            for x in range(twice // 2):
                c, d = view[2 * x], view[2 * x + 1]
                a, b = wave[m, y, 2 * x], wave[m, y, 2 * x + 1]
                p, q = chi[m, y, 2 * x], chi[m, y, 2 * x + 1]
                r, i = p * c + q * d, q * c - p * d
                chi[m, y, 2 * x] = r
                chi[m, y, 2 * x + 1] = i
                g[x] += a * i - b * r
                w[x] += a * a + b * b


@_compiled
def adjoint_complex(wave: Any, chi: Any, window: Any, row: int, column: int, gradient: Any, light: Any) -> None:
    """As :func:`adjoint_phase` for a complex object: ``gradient += sum_m conj(u) chi``, [H, 2W]."""
    modes, rows, twice = wave.shape
    for y in range(rows):
        view = window[row + y, 2 * column : 2 * column + twice]
        g = gradient[row + y, 2 * column : 2 * column + twice]
        w = light[row + y, column : column + twice // 2]
        for m in range(modes):
            for x in range(twice // 2):
                c, d = view[2 * x], view[2 * x + 1]
                a, b = wave[m, y, 2 * x], wave[m, y, 2 * x + 1]
                p, q = chi[m, y, 2 * x], chi[m, y, 2 * x + 1]
                g[2 * x] += a * p + b * q
                g[2 * x + 1] += a * q - b * p
                w[x] += a * a + b * b
                chi[m, y, 2 * x] = p * c + q * d
                chi[m, y, 2 * x + 1] = q * c - p * d


@_compiled
def totals(counts: Any, intensity: Any, weights: Any) -> tuple[float, float]:
    """``sum w n`` and ``sum w I`` in float64."""
    electrons = 0.0
    expected = 0.0
    for y in range(counts.shape[0]):
        row_n: Any = np.float32(0)  # float32 within a row, so that the loop is vectorised
        row_i: Any = np.float32(0)
        for x in range(counts.shape[1]):
            row_n += weights[y, x] * counts[y, x]
            row_i += weights[y, x] * intensity[y, x]
        electrons += row_n
        expected += row_i
    return electrons, expected


@_compiled
def logarithm(values: Any, scale: Any, shift: Any, scratch: Any, scratch_bits: Any, out: Any) -> None:
    """``out = log(scale * values + shift)``, vectorised where ``math.log`` is not; accurate to float32 rounding.

    Exponent and mantissa m in [sqrt(1/2), sqrt(2)) are taken apart as integers (``scratch_bits`` is ``scratch``
    viewed as int32), and ``log m = 2 artanh(s)``, s = (m - 1) / (m + 1), |s| < 0.172, by its series to s^9.
    """
    rows, columns = values.shape
    low = np.int32(0x3F3504F3)  # sqrt(1/2)
    for y in range(rows):
        for x in range(columns):
            scratch[y, x] = scale * values[y, x] + shift
        for x in range(columns):
            bits = scratch_bits[y, x] + (np.int32(0x3F800000) - low)
            out[y, x] = np.float32((bits >> np.int32(23)) - np.int32(127))
            scratch_bits[y, x] = (bits & np.int32(0x007FFFFF)) + low
        for x in range(columns):
            m = scratch[y, x]
            s = (m - np.float32(1)) / (m + np.float32(1))
            t = s * s
            series = np.float32(1 / 7) + t * np.float32(1 / 9)
            series = np.float32(1 / 3) + t * (np.float32(1 / 5) + t * series)
            out[y, x] = out[y, x] * np.float32(0.6931471805599453) + np.float32(2) * s * (np.float32(1) + t * series)


@_compiled
def cross_entropy(counts: Any, logs: Any, weights: Any, epsilon: Any) -> float:
    """``sum w (n + epsilon) logs`` in float64."""
    value = 0.0
    for y in range(counts.shape[0]):
        row: Any = np.float32(0)
        for x in range(counts.shape[1]):
            row += weights[y, x] * (counts[y, x] + epsilon) * logs[y, x]
        value += row
    return value


@_compiled
def self_entropy(pixels: Any, electrons: Any, weights: Any, epsilon: float, used: float) -> float:
    """``sum w (n + epsilon) log(n + epsilon)`` of events; ``used`` is ``sum w``."""
    nothing = epsilon * math.log(epsilon)
    value = used * nothing
    columns = weights.shape[1]
    for e in range(len(pixels)):
        p = np.int64(pixels[e])
        n = electrons[e] + epsilon
        value += weights[p // columns, p % columns] * (n * math.log(n) - nothing)
    return value


@_compiled
def loss_amplitude(counts: Any, intensity: Any, weights: Any, share: float) -> float:
    """``sum 2 w (sqrt(I) - sqrt(n))^2`` against ``share * intensity``."""
    value = 0.0
    for y in range(counts.shape[0]):
        for x in range(counts.shape[1]):
            value += 2 * weights[y, x] * (math.sqrt(share * intensity[y, x]) - math.sqrt(counts[y, x])) ** 2
    return value


@_compiled
def loss_held(pixels: Any, electrons: Any, intensity: Any, ratio: float, expected: float, floor: float) -> float:
    """Loss of held-out electrons at flat ``pixels``; see ``likelihood.held_out_loss``."""
    value = ratio * expected
    columns = intensity.shape[1]
    for e in range(len(pixels)):
        p = np.int64(pixels[e])
        n = float(electrons[e])
        value += n * math.log(n / (ratio * intensity[p // columns, p % columns] + floor)) - n
    return value


@_compiled
def background_sums(counts: Any, intensity: Any, weights: Any, epsilon: float) -> tuple[float, float]:
    """Numerator and denominator of the Fisher step for a uniform background."""
    numerator = 0.0
    denominator = 0.0
    for y in range(counts.shape[0]):
        for x in range(counts.shape[1]):
            fisher = weights[y, x] / (intensity[y, x] + epsilon)
            numerator += fisher * (counts[y, x] - intensity[y, x])
            denominator += fisher
    return numerator, denominator


@_compiled
def spread(pixels: Any, electrons: Any, counts: Any) -> None:
    """Write events into a dense pattern [N, N] of zeros."""
    columns = counts.shape[1]
    for e in range(len(pixels)):
        p = np.int64(pixels[e])
        counts[p // columns, p % columns] = np.float32(electrons[e])


@_compiled
def clear(pixels: Any, counts: Any) -> None:
    """Undo :func:`spread`."""
    columns = counts.shape[1]
    for e in range(len(pixels)):
        p = np.int64(pixels[e])
        counts[p // columns, p % columns] = np.float32(0)
