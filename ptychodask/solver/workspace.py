"""Buffers and FFT plans of one thread, kept between blocks: nothing is allocated or planned in the loop.

FFTW plans are made with ``FFTW_ESTIMATE``: the plan is then a function of shape, alignment and processor alone, so
every worker has the same one and the bits do not depend on who computed them, which measured plans cannot promise.
For 128 x 128 complex64 it is as fast as a patient plan (benchmarks/README.md).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft

from .._errors import InputError

_local = threading.local()


def fft_library() -> str:
    """``fftw`` where pyFFTW is installed, else ``scipy``; bits depend on it, so all workers of a run use one."""
    try:
        import pyfftw  # noqa: F401
    except ImportError:
        return "scipy"
    return "fftw"


class Transforms:
    """In-place unnormalised FFTs over the last two axes of one buffer."""

    def __init__(self, buffer: np.ndarray, library: str) -> None:
        self.buffer = buffer
        if library == "fftw":
            try:
                import pyfftw
            except ImportError:
                raise InputError(
                    "this worker has no pyFFTW, but the run was started with it and other FFTs give other bits:"
                    " pip install pyfftw"
                ) from None
            options: dict[str, Any] = {"axes": (-2, -1), "flags": ("FFTW_ESTIMATE",), "threads": 1}
            self.forward = pyfftw.FFTW(buffer, buffer, direction="FFTW_FORWARD", **options).execute
            self.inverse = pyfftw.FFTW(buffer, buffer, direction="FFTW_BACKWARD", **options).execute
        else:
            self.forward = lambda: self._keep(scipy.fft.fft2(buffer, norm="backward", overwrite_x=True))
            self.inverse = lambda: self._keep(scipy.fft.ifft2(buffer, norm="forward", overwrite_x=True))

    def _keep(self, result: np.ndarray) -> None:
        if result is not self.buffer:
            self.buffer[...] = result


@dataclass(frozen=True)
class Workspace:
    """Waves on every slice and on the detector, with their transforms, and the pattern's maps.

    ``waves`` and ``detector`` hold transforms over complex64 buffers [M, N, N]; the rest are float32 [N, N].
    """

    waves: tuple[Transforms, ...]
    detector: Transforms
    counts: np.ndarray
    measured: np.ndarray
    intensity: np.ndarray
    rho: np.ndarray
    logs: np.ndarray


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Zeros that start on a cache line: SIMD loads, and one FFTW plan for all buffers."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


def workspace(slices: int, modes: int, pixels: int, library: str) -> Workspace:
    """This thread's workspace for a shape; only the last shape is kept."""
    key = (slices, modes, pixels, library)
    if getattr(_local, "key", None) != key:
        wave = (modes, pixels, pixels)
        maps = [aligned((pixels, pixels), np.float32) for _ in range(5)]
        transforms = tuple(Transforms(aligned(wave, np.complex64), library) for _ in range(slices + 1))
        _local.space, _local.key = Workspace(transforms[:-1], transforms[-1], *maps), key
    return _local.space


def floats(array: np.ndarray) -> np.ndarray:
    """A complex64 array as float32 of twice the length along the last axis, without a copy."""
    return array.view(np.float32)
