"""Constraints on the object: values that a job lists, applied one after the other after every step.

An object is a phase phi in rad, transmission ``exp(i phi)`` (see ``model.state``). Where it is complex, constraints
that speak of the phase act on its real part and leave the modulus ``exp(-Im phi)`` alone. A constraint says how far it
looks sideways: tiles need a margin as wide as all of them together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from .._array import Array, namespace


class Constraint(Protocol):
    """A frozen value that maps objects [S, Oy, Ox] to such that fulfil it."""

    @property
    def reach(self) -> int:
        """How many pixels away it looks in y and x."""
        ...

    @property
    def pointwise(self) -> bool:
        """Does it look at nothing but the pixel itself? Then it holds of what is extrapolated, too."""
        ...

    def __call__(self, object_: Array) -> Array: ...


def reach_of(constraints: Iterable[Constraint]) -> int:
    """How far all of them together look."""
    return sum(constraint.reach for constraint in constraints)


@dataclass(frozen=True)
class AmplitudeBound:
    """The modulus of a complex object is at most ``largest``; a pure phase object has modulus 1."""

    largest: float
    reach: ClassVar[int] = 0
    pointwise: ClassVar[bool] = True

    def __call__(self, object_: Array) -> Array:
        return amplitude_bound(object_, self.largest)


@dataclass(frozen=True)
class PositivePhase:
    """The phase is at or above 0, which is that of vacuum: a positive potential gives a positive phase."""

    reach: ClassVar[int] = 0
    pointwise: ClassVar[bool] = True

    def __call__(self, object_: Array) -> Array:
        return positive_phase(object_)


@dataclass(frozen=True)
class LateralBlur:
    """Gaussian blur of the phase in y and x; ``sigma`` in pixels."""

    sigma: float
    pointwise: ClassVar[bool] = False

    @property
    def reach(self) -> int:
        return blur_reach(self.sigma)

    def __call__(self, object_: Array) -> Array:
        return lateral_blur(object_, self.sigma)


@dataclass(frozen=True)
class IdenticalSlices:
    """Every slice is the mean of all."""

    reach: ClassVar[int] = 0
    pointwise: ClassVar[bool] = False

    def __call__(self, object_: Array) -> Array:
        return identical_slices(object_)


@dataclass(frozen=True)
class CoupledSlices:
    """Gaussian blur of the phase along the beam; ``sigma`` in slices."""

    sigma: float
    reach: ClassVar[int] = 0
    pointwise: ClassVar[bool] = False

    def __call__(self, object_: Array) -> Array:
        return coupled_slices(object_, self.sigma)


@dataclass(frozen=True)
class PhaseBound:
    """The phase is at most ``largest`` rad."""

    largest: float
    reach: ClassVar[int] = 0
    pointwise: ClassVar[bool] = True

    def __call__(self, object_: Array) -> Array:
        return with_phase(object_, phase_of(object_).clip(max=self.largest))


@dataclass(frozen=True)
class Shrinkage:
    """The phase goes towards 0 by ``threshold`` rad, or all the way: the proximal step of ``threshold sum |phase|``.

    Soft thresholding, as in Beck & Teboulle, SIAM J. Imaging Sci. 2, 183 (2009). It is a penalty, not a property, so
    it does not hold of what is extrapolated.
    """

    threshold: float
    reach: ClassVar[int] = 0
    pointwise: ClassVar[bool] = False

    def __call__(self, object_: Array) -> Array:
        phase = phase_of(object_)
        return with_phase(object_, phase - phase.clip(-self.threshold, self.threshold))


FURTHER: dict[str, Callable[[Any, float], Constraint]] = {
    "phase-bound": lambda said, pixel: PhaseBound(said.largest_rad),
    "shrinkage": lambda said, pixel: Shrinkage(said.threshold_rad),
}
"""By the kinds of ``model.config.constraints``: from what a job says, and the pixel in angstrom."""


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
