"""Buffers and FFT plans of one thread, kept between blocks: nothing is allocated or planned in the loop.

A measured FFTW plan depends on how busy the machine was when it was made, and another plan gives other bits. So one
worker measures once, and its wisdom (text) goes to all workers and into checkpoints; see :func:`measure_plans`. Without
wisdom plans are estimated: also the same everywhere, as fast up to N = 128 and several times slower above.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft

from .._errors import InputError

_local = threading.local()
_planning = threading.Lock()
"""Wisdom is global to the process; plans of one run are made while nobody else changes it."""


def fft_library() -> str:
    """``fftw`` where pyFFTW is installed, else ``scipy``; bits depend on it, so all workers of a run use one."""
    try:
        import pyfftw  # noqa: F401
    except ImportError:
        return "scipy"
    return "fftw"


def measure_plans(modes: int, pixels: int) -> str:
    """Measure the transforms of a shape and return FFTW's wisdom about them, which other processes plan from."""
    import pyfftw

    with _planning:
        pyfftw.forget_wisdom()
        _fftw_pair(aligned((modes, pixels, pixels), np.complex64), ("FFTW_MEASURE",))
        return pyfftw.export_wisdom()[1].decode("ascii")


def _fftw_pair(buffer: np.ndarray, flags: tuple[str, ...]) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """In-place transforms of a buffer, forward and inverse."""
    import pyfftw

    options: dict[str, Any] = {"axes": (-2, -1), "flags": flags, "threads": 1}
    forward = pyfftw.FFTW(buffer, buffer, direction="FFTW_FORWARD", **options)
    return forward.execute, pyfftw.FFTW(buffer, buffer, direction="FFTW_BACKWARD", **options).execute


class Transforms:
    """In-place unnormalised FFTs over the last two axes of one buffer."""

    def __init__(self, buffer: np.ndarray, library: str, wisdom: str) -> None:
        self.buffer = buffer
        if library == "scipy":
            self.forward: Callable[[], Any] = lambda: self._keep(
                scipy.fft.fft2(buffer, norm="backward", overwrite_x=True)
            )
            self.inverse: Callable[[], Any] = lambda: self._keep(
                scipy.fft.ifft2(buffer, norm="forward", overwrite_x=True)
            )
            return
        flags = ("FFTW_MEASURE", "FFTW_WISDOM_ONLY") if wisdom else ("FFTW_ESTIMATE",)
        try:
            self.forward, self.inverse = _fftw_pair(buffer, flags)
        except (ImportError, RuntimeError) as error:
            raise InputError(
                f"this worker cannot make the FFT plans that the run was started with ({error}), and others give other"
                " bits: install the same pyFFTW on all workers, or start the run anew with pyFFTW removed"
            ) from None

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


def workspace(slices: int, modes: int, pixels: int, library: str, wisdom: str = "") -> Workspace:
    """This thread's workspace for a shape; only the last shape is kept."""
    key = (slices, modes, pixels, library, wisdom)
    if getattr(_local, "key", None) != key:
        wave = (modes, pixels, pixels)
        maps = [aligned((pixels, pixels), np.float32) for _ in range(5)]
        with _planning:
            if wisdom:
                _learn(wisdom)
            transforms = tuple(Transforms(aligned(wave, np.complex64), library, wisdom) for _ in range(slices + 1))
        _local.space, _local.key = Workspace(transforms[:-1], transforms[-1], *maps), key
    return _local.space


def _learn(wisdom: str) -> None:
    """Take over the plans of another process, and forget those of this one."""
    import pyfftw

    pyfftw.forget_wisdom()
    pyfftw.import_wisdom((b"", wisdom.encode("ascii"), b""))


def floats(array: np.ndarray) -> np.ndarray:
    """A complex64 array as float32 of twice the length along the last axis, without a copy."""
    return array.view(np.float32)
