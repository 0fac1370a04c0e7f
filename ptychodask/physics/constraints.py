"""Constraints on the object, one function each; all but the coupling of slices act slice by slice.

An object is a phase phi in rad, transmission ``exp(i phi)`` (see ``model.state``). Where it is complex, functions that
speak of the phase act on its real part and leave the modulus ``exp(-Im phi)`` alone.
"""

from __future__ import annotations

import math

import numpy as np

from .._array import Array, namespace


def phase_of(object_: Array) -> Array:
    """Phase in rad of a real or complex object."""
    return object_.real


def with_phase(object_: Array, phase: Array) -> Array:
    """The object with another phase and the same modulus."""
    if object_.dtype.kind == "f":
        return phase.astype(object_.dtype)
    return (phase + 1j * object_.imag).astype(object_.dtype)


def positive_phase(object_: Array) -> Array:
    """Clip the phase at 0: a positive potential gives a positive phase (vacuum is 0)."""
    return with_phase(object_, phase_of(object_).clip(0))


def amplitude_bound(object_: Array, largest: float) -> Array:
    """Bound the modulus ``exp(-Im phi)`` of a complex object; a pure phase object has modulus 1."""
    if object_.dtype.kind == "f":
        return object_
    return (object_.real + 1j * object_.imag.clip(-math.log(largest))).astype(object_.dtype)


def blur_reach(sigma: float) -> int:
    """How many pixels away the lateral blur looks."""
    return len(gaussian_kernel(sigma)) // 2 if sigma > 0 else 0


def gaussian_kernel(sigma: float) -> np.ndarray:
    """Normalised samples of a Gaussian out to 4 sigma (in pixels)."""
    reach = max(1, int(np.ceil(4 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return kernel / kernel.sum()


def blur_axis(array: Array, sigma: float, axis: int) -> Array:
    """Gaussian blur along one axis with mirrored ends, by a sum of shifted copies in a fixed order."""
    xp = namespace(array)
    kernel = gaussian_kernel(sigma)
    reach = len(kernel) // 2
    n = array.shape[axis]
    index = np.pad(np.arange(n), reach, mode="symmetric")
    padded = xp.moveaxis(xp.take(array, xp.asarray(index), axis=axis), axis, 0)
    out = padded[:n] * array.dtype.type(kernel[0])
    for offset in range(1, len(kernel)):
        out += padded[offset : offset + n] * array.dtype.type(kernel[offset])
    return xp.moveaxis(out, 0, axis)


def lateral_blur(object_: Array, sigma: float) -> Array:
    """Gaussian blur of the phase in y and x; ``sigma`` in pixels, 0 for none."""
    if sigma <= 0:
        return object_
    return with_phase(object_, blur_axis(blur_axis(phase_of(object_), sigma, -1), sigma, -2))


def identical_slices(object_: Array) -> Array:
    """Give every slice the mean phase (and, of a complex object, the geometric mean of the moduli)."""
    if object_.shape[0] == 1:
        return object_
    xp, mean = namespace(object_), object_.mean(axis=0, keepdims=True)
    return xp.broadcast_to(mean.astype(object_.dtype), object_.shape).copy()


def coupled_slices(object_: Array, sigma: float) -> Array:
    """Gaussian blur of the phase along the beam; ``sigma`` in slices."""
    if object_.shape[0] == 1 or sigma <= 0:
        return object_
    return with_phase(object_, blur_axis(phase_of(object_), sigma, 0))
