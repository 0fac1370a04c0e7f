"""Fused float32 kernels on the detector, compiled by numba: intensity, losses, residual factor, events.

Every kernel does what the plain code in ``likelihood`` does, which stays its reference. Maps are panels ``[L, 64 L]``
as ``chain`` describes them; lanes beyond the pattern have weight 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...physics.expected_loss import FAINTEST, TOP
from ..terms import EXPECTED_LOSS, EXPECTED_VARIANCE, LINE_DENOMINATOR, LINE_NUMERATOR, TESTED_LOSS
from .vectors import LANES
from .vectors import compiled_loops as compiled


@compiled
def place(pixel: int, n: int) -> Any:
    """Where the pixel with a flat index in the pattern [N, N] is found in the panels."""
    y, x = np.int64(pixel) // n, np.int64(pixel) % n
    return y // LANES, LANES * x + y % LANES


@compiled
def add_intensity(window: np.ndarray, row: int, column: int, total: np.ndarray) -> None:
    """``total [N, N] += |O[view]|^2``: the light on the first slice, by which a probe's gradient is weighted."""
    n = total.shape[0]
    for y in range(n):
        for x in range(n):
            a, b = window[0, row + y, column + x], window[1, row + y, column + x]
            total[y, x] += a * a + b * b


@compiled
def add_moments(values: np.ndarray, weights: np.ndarray, moments: np.ndarray) -> None:
    """Add numbers to the first of several sums, and with each of the weights to the others."""
    plain = moments[0].ravel()
    for i in range(values.size):
        plain[i] += values[i]
    for w in range(weights.size):
        its, weight = moments[1 + w].ravel(), weights[w]
        for i in range(values.size):
            its[i] += weight * values[i]


@compiled
def predict(psi: np.ndarray, scale: float, background: float, intensity: np.ndarray) -> None:
    """``intensity = scale sum_m |psi_m|^2 + background``; psi [M, L, 2, 64 L]."""
    for g in range(intensity.shape[0]):
        for x in range(intensity.shape[1]):
            a, b = psi[0, g, 0, x], psi[0, g, 1, x]
            intensity[g, x] = a * a + b * b
        for m in range(1, psi.shape[0]):
            for x in range(intensity.shape[1]):
                a, b = psi[m, g, 0, x], psi[m, g, 1, x]
                intensity[g, x] += a * a + b * b
        for x in range(intensity.shape[1]):
            intensity[g, x] = intensity[g, x] * scale + background


@compiled
def _log(value: float) -> Any:
    """Natural logarithm of a positive float32 to its rounding, in steps that are vectorised, as ``math.log`` is not.

    Exponent and mantissa m in [sqrt(1/2), sqrt(2)) are taken apart as integers, and ``log m = 2 artanh(s)``,
    s = (m - 1) / (m + 1), |s| < 0.172, by its series to s^9.
    """
    low = np.int32(0x3F3504F3)  # sqrt(1/2)
    bits = np.int32(np.float32(value).view(np.int32) + (np.int32(0x3F800000) - low))
    exponent = np.float32((bits >> np.int32(23)) - np.int32(127))
    m = np.int32((bits & np.int32(0x007FFFFF)) + low).view(np.float32)
    s = (m - np.float32(1)) / (m + np.float32(1))
    t = s * s
    series = np.float32(1 / 7) + t * np.float32(1 / 9)
    series = np.float32(1 / 3) + t * (np.float32(1 / 5) + t * series)
    return exponent * np.float32(0.6931471805599453) + np.float32(2) * s * (np.float32(1) + t * series)


@compiled
def poisson(
    counts: np.ndarray,
    measured: np.ndarray,
    intensity: np.ndarray,
    weights: np.ndarray,
    share: float,
    small: float,
    epsilon: float,
    factor: np.ndarray,
    rho: np.ndarray,
) -> tuple[float, float, float, float]:
    """All that a pattern says of the shifted Poisson likelihood, in one sweep.

    ``rho = factor w (n - I) / (I + epsilon)`` of the ``counts`` n that are fitted; in float64 the sums of ``w n``,
    ``w I``, and of ``w m`` and ``w (m + small) log(share I + small)`` for the counts m that the loss is measured on.
    """
    electrons = 0.0
    expected = 0.0
    electrons_measured = 0.0
    entropy = 0.0
    for y in range(counts.shape[0]):
        row_n: Any = np.float32(0)  # float32 within a row, so that the loop is vectorised
        row_i: Any = np.float32(0)
        row_m: Any = np.float32(0)
        row_e: Any = np.float32(0)
        for x in range(counts.shape[1]):
            n, m, i, w = counts[y, x], measured[y, x], intensity[y, x], weights[y, x]
            row_n += w * n
            row_i += w * i
            row_m += w * m
            row_e += w * (m + small) * _log(share * i + small)
            rho[y, x] = factor * w * (n - i) / (i + epsilon)
        electrons += row_n
        expected += row_i
        electrons_measured += row_m
        entropy += row_e
    return electrons, expected, electrons_measured, entropy


@compiled
def dense_entropy(counts: np.ndarray, weights: np.ndarray, epsilon: float) -> float:
    """``sum w (n + epsilon) log(n + epsilon)`` in float64, of counts that are not events."""
    value = 0.0
    for y in range(counts.shape[0]):
        row: Any = np.float32(0)
        for x in range(counts.shape[1]):
            shifted = counts[y, x] + epsilon
            row += weights[y, x] * shifted * _log(shifted)
        value += row
    return value


@compiled
def self_entropy(
    pixels: np.ndarray, electrons: np.ndarray, weights: np.ndarray, n: int, epsilon: float, used: float
) -> float:
    """``sum w (n + epsilon) log(n + epsilon)`` of events in patterns of side n; ``used`` is ``sum w`` over all."""
    nothing = epsilon * math.log(epsilon)
    value = used * nothing
    for e in range(len(pixels)):
        shifted = electrons[e] + epsilon
        value += weights[place(pixels[e], n)] * (shifted * math.log(shifted) - nothing)
    return value


@compiled
def amplitude(
    counts: np.ndarray,
    measured: np.ndarray,
    intensity: np.ndarray,
    weights: np.ndarray,
    share: float,
    floor: float,
    factor: np.ndarray,
    rho: np.ndarray,
) -> tuple[float, float, float]:
    """All that a pattern says of the amplitudes, in one sweep.

    ``rho = factor w (sqrt(n) / (sqrt(I) + floor) - 1)`` of the ``counts`` n that are fitted; in float64 the sums of
    ``w n``, ``w I``, and of ``2 w (sqrt(share I) - sqrt(m))^2`` for the counts m that the loss is measured on.
    """
    electrons = 0.0
    expected = 0.0
    loss = 0.0
    root = np.sqrt(share)
    for y in range(counts.shape[0]):
        row_n: Any = np.float32(0)  # float32 within a row, so that the loop is vectorised
        row_i: Any = np.float32(0)
        row_l: Any = np.float32(0)
        for x in range(counts.shape[1]):
            n, i, w = counts[y, x], intensity[y, x], weights[y, x]
            modulus = np.sqrt(i)
            away = root * modulus - np.sqrt(measured[y, x])
            row_n += w * n
            row_i += w * i
            row_l += w * away * away
            rho[y, x] = factor * w * (np.sqrt(n) / (modulus + floor) - np.float32(1))
        electrons += row_n
        expected += row_i
        loss += row_l
    return electrons, expected, 2 * loss


@compiled
def compare(
    counts: np.ndarray,
    intensity: np.ndarray,
    weights: np.ndarray,
    table: np.ndarray,
    poisson: bool,
    epsilon: float,
    sums: np.ndarray,
) -> None:
    """Add ``sum w l`` and the mean and variance that Poisson noise around the intensity gives it to ``sums`` [3].

    ``table`` is :func:`ptychodask.physics.expected_loss.table` of the likelihood, whose ``epsilon`` is given.
    """
    faintest, low = np.float32(FAINTEST), np.float32(math.log(FAINTEST))
    top, last = np.float32(TOP), table.shape[0] - 2
    steps = np.float32((table.shape[0] - 1) / (math.log(TOP) - math.log(FAINTEST)))
    for y in range(counts.shape[0]):
        row_l: Any = np.float32(0)  # float32 within a row, so that the loop is vectorised
        row_m: Any = np.float32(0)
        row_v: Any = np.float32(0)
        for x in range(counts.shape[1]):
            n, i, w = counts[y, x], intensity[y, x], weights[y, x]
            if poisson:
                row_l += w * ((n + epsilon) * _log((n + epsilon) / (i + epsilon)) - n + i)
            else:
                away = np.sqrt(i) - np.sqrt(n)
                row_l += w * np.float32(2) * away * away
            at = (_log(min(max(i, faintest), top)) - low) * steps
            k = min(max(np.int32(at), np.int32(0)), np.int32(last))
            between = at - np.float32(k)
            share = w * min(i / faintest, np.float32(1))
            row_m += share * (table[k, 0] + between * (table[k + 1, 0] - table[k, 0]))
            row_v += share * (table[k, 1] + between * (table[k + 1, 1] - table[k, 1]))
        sums[TESTED_LOSS] += row_l
        sums[EXPECTED_LOSS] += row_m
        sums[EXPECTED_VARIANCE] += row_v


@compiled
def line(
    counts: np.ndarray,
    here: np.ndarray,
    ahead: np.ndarray,
    behind: np.ndarray,
    weights: np.ndarray,
    epsilon: float,
    scale: float,
    sums: np.ndarray,
) -> None:
    """Add ``sum f (n - I) dI`` and ``sum f dI^2`` to ``sums``; f = w / (I + epsilon), dI = scale (ahead - behind)."""
    for y in range(counts.shape[0]):
        row_n: Any = np.float32(0)  # float32 within a row, so that the loop is vectorised
        row_d: Any = np.float32(0)
        for x in range(counts.shape[1]):
            i = here[y, x]
            slope = scale * (ahead[y, x] - behind[y, x])
            fisher = weights[y, x] / (i + epsilon)
            row_n += fisher * (counts[y, x] - i) * slope
            row_d += fisher * slope * slope
        sums[LINE_NUMERATOR] += row_n
        sums[LINE_DENOMINATOR] += row_d


@compiled
def loss_held(
    pixels: np.ndarray,
    electrons: np.ndarray,
    intensity: np.ndarray,
    n: int,
    ratio: float,
    expected: float,
    floor: float,
) -> float:
    """Loss of held-out electrons at flat ``pixels``; see ``likelihood.held_out_loss``."""
    value = ratio * expected
    for e in range(len(pixels)):
        count = float(electrons[e])
        value += count * math.log(count / (ratio * intensity[place(pixels[e], n)] + floor)) - count
    return value


@compiled
def background_sums(
    counts: np.ndarray, intensity: np.ndarray, weights: np.ndarray, epsilon: float
) -> tuple[float, float]:
    """Numerator and denominator of the Fisher step for a uniform background."""
    numerator = 0.0
    denominator = 0.0
    for y in range(counts.shape[0]):
        for x in range(counts.shape[1]):
            fisher = weights[y, x] / (intensity[y, x] + epsilon)
            numerator += fisher * (counts[y, x] - intensity[y, x])
            denominator += fisher
    return numerator, denominator


@compiled
def spread(start: np.ndarray, pixels: np.ndarray, electrons: np.ndarray, n: int, counts: np.ndarray) -> None:
    """Write events of patterns into panels of zeros [B, L, 64 L]."""
    for b in range(len(start) - 1):
        for e in range(start[b], start[b + 1]):
            group, lane = place(pixels[e], n)
            counts[b, group, lane] = electrons[e]


@compiled
def clear(start: np.ndarray, pixels: np.ndarray, n: int, counts: np.ndarray) -> None:
    """Undo :func:`spread`."""
    for b in range(len(start) - 1):
        for e in range(start[b], start[b + 1]):
            group, lane = place(pixels[e], n)
            counts[b, group, lane] = np.float32(0)


@compiled
def arrange(patterns: np.ndarray, panels: np.ndarray) -> None:
    """Write dense patterns [B, N, N] into panels [B or more, L, 64 L]."""
    for b in range(patterns.shape[0]):
        for y in range(patterns.shape[1]):
            for x in range(patterns.shape[2]):
                panels[b, y // LANES, LANES * x + y % LANES] = np.float32(patterns[b, y, x])
