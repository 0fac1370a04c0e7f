"""The array decides the backend: namespace, Fourier transforms, and moves between host and device."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ._errors import InputError

Array = Any  # a NumPy or a CuPy array


def namespace(array: Array) -> ModuleType:
    """The module (numpy or cupy) that ``array`` belongs to."""
    if isinstance(array, np.ndarray | np.generic):
        return np
    if type(array).__module__.split(".")[0] == "cupy":
        import cupy

        return cupy
    raise TypeError(f"{type(array)} is neither a NumPy nor a CuPy array")


def cupy_available() -> bool:
    """True where CuPy is installed and finds a device (importing it works without a driver)."""
    try:
        import cupy

        return bool(cupy.is_available())
    except Exception:
        # a broken CUDA installation raises many kinds of errors at import: none of them is a usable device
        return False


def backend_module(name: str) -> ModuleType:
    """The array library of a backend: ``cpu`` and ``numpy`` both work on NumPy arrays."""
    if name in ("cpu", "numpy"):
        return np
    if not cupy_available():
        raise InputError("backend = 'cupy' but no CUDA device is usable here: use backend = 'numpy' or 'auto'")
    import cupy

    return cupy


def to_host(array: Array) -> np.ndarray:
    """The array as NumPy."""
    return array if isinstance(array, np.ndarray) else array.get()


def fft2(array: Array, *, overwrite: bool = False) -> Array:
    """Unitary transform over the last two axes; ``overwrite`` lets it destroy its input."""
    if isinstance(array, np.ndarray):
        from scipy import fft  # loaded with the first transform: many verbs make none

        return fft.fft2(array, norm="ortho", overwrite_x=overwrite, workers=1)
    return namespace(array).fft.fft2(array, norm="ortho")


def ifft2(array: Array, *, overwrite: bool = False) -> Array:
    """Inverse of :func:`fft2`."""
    if isinstance(array, np.ndarray):
        from scipy import fft

        return fft.ifft2(array, norm="ortho", overwrite_x=overwrite, workers=1)
    return namespace(array).fft.ifft2(array, norm="ortho")


def rfft2(array: Array) -> Array:
    """Unitary transform of real numbers over the last two axes, half of its coefficients."""
    if isinstance(array, np.ndarray):
        from scipy import fft

        return fft.rfft2(array, norm="ortho", workers=1)
    return namespace(array).fft.rfft2(array, norm="ortho")


def irfft2(array: Array, shape: tuple[int, int]) -> Array:
    """Inverse of :func:`rfft2`."""
    if isinstance(array, np.ndarray):
        from scipy import fft

        return fft.irfft2(array, s=shape, norm="ortho", workers=1)
    return namespace(array).fft.irfft2(array, s=shape, norm="ortho")


def held_bytes(value: Any) -> int:
    """Bytes of the arrays in a value, however deep in dataclasses and sequences.

    As ``__sizeof__`` of a dataclass it tells Dask what moving or holding one means; by itself Python sees references.
    """
    if isinstance(size := getattr(value, "nbytes", None), int | np.integer):
        return int(size)
    if is_dataclass(value):
        return sum(held_bytes(getattr(value, field.name)) for field in fields(value))
    return sum(held_bytes(part) for part in value) if isinstance(value, tuple | list) else 0


def total(array: Array) -> float:
    """Sum in float64, as a Python number."""
    return float(array.sum(dtype=np.float64))
