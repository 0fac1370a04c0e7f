"""The narrow door between the GPU path and what runs it: arrays, launches, transforms, and nothing else.

:class:`CupyDevice` is a CUDA device. The tests run the same orchestration and the same kernels on the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol

import numpy as np

from ..._array import Array, backend_module
from ..._errors import InputError
from . import cuda
from .staging import Staging

Grid = tuple[int, ...]


class Device(Protocol):
    """What the GPU path asks for. Arrays are dense and can be sliced along their first axis; work is queued in order.

    As a context manager it makes its queue the present thread's.
    """

    backend: str
    """Of array code on it: ``cupy``, or ``numpy`` where the host stands for a device."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *error: Any) -> Any: ...

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Array on the device with any content."""
        ...

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Array of zeros on the device."""
        ...

    def upload(self, array: np.ndarray) -> Array:
        """Copy of a host array, which the caller may change at once."""
        ...

    def download(self, *arrays: Array) -> list[np.ndarray]:
        """Copies on the host; waits for all that was queued before."""
        ...

    def launch(self, kernel: str, grid: Grid, block: Grid, shared: int, *arguments: Any) -> None:
        """Queue a kernel; arguments are arrays, int (int32) and float (float32)."""
        ...

    def transform(self, waves: Array, inverse: bool) -> None:
        """Unnormalised FFT of waves [B, M, N, N] over the last two axes, in place."""
        ...


def typed(argument: Any) -> Any:
    """A Python number as the type that the kernels declare (CuPy would send 64 bits); arrays as they are."""
    if isinstance(argument, int | np.integer):
        return np.int32(argument)
    return np.float32(argument) if isinstance(argument, float) else argument


@cache
def _module(pixels: int) -> Any:
    """The kernels, compiled by NVRTC for the present device at the first launch; CuPy keeps the binary on disk."""
    return backend_module("cupy").RawModule(code=cuda.source(pixels), options=cuda.options(pixels))


class CupyDevice:
    """The present CUDA device through CuPy, with a stream of its own.

    Parameters
    ----------
    pixels : int
        Side N of the pattern.
    chains : bool
        Are the kernels used that keep a whole wave in shared memory?
    """

    backend = "cupy"

    def __init__(self, pixels: int, chains: bool) -> None:
        self._cupy = backend_module("cupy")
        self._stream = self._cupy.cuda.Stream(non_blocking=True)
        self._staging = Staging(self._pinned, self._stream.synchronize)
        self._plans: dict[int, Any] = {}
        module = _module(pixels)
        names = cuda.KERNELS + (cuda.CHAINS if chains else ())
        self._kernels = {name: module.get_function(name) for name in names}
        if chains:
            wanted, offered = cuda.chain_bytes(pixels), shared_memory()
            if wanted > offered:
                raise InputError(
                    f"this worker's device offers {offered} bytes of shared memory to a thread block and the kernels"
                    f" that the run was started with need {wanted}; others give other bits: use devices of one kind, or"
                    " start the run anew"
                )
            for name in cuda.CHAINS:
                self._kernels[name].max_dynamic_shared_size_bytes = wanted

    def __enter__(self) -> CupyDevice:
        self._stream.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stream.__exit__(*error)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """See :class:`Device`; memory comes from CuPy's pool and goes back to it."""
        with self._room_for(int(np.prod(shape)) * np.dtype(dtype).itemsize):
            return self._cupy.empty(shape, dtype)

    @contextmanager
    def _room_for(self, size: int) -> Iterator[None]:
        """Say in one line that so many bytes do not fit."""
        try:
            yield
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            raise InputError(
                f"{size / 2**30:.2f} GiB do not fit on the device ({error}): free its memory, give it fewer threads"
                " (engine.threads), or start the run anew on it"
            ) from None

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """See :class:`Device`."""
        out = self.empty(shape, dtype)
        out.data.memset_async(0, out.nbytes, self._stream)
        return out

    def upload(self, array: np.ndarray) -> Array:
        """See :class:`Device`; it passes through pinned memory, and nobody waits."""
        out = self.empty(array.shape, array.dtype)
        if array.size:
            (staged,) = self._staging.take_for([array])
            staged[...] = array
            out.data.copy_from_host_async(staged.ctypes.data, staged.nbytes, self._stream)
        return out

    def download(self, *arrays: Array) -> list[np.ndarray]:
        """See :class:`Device`; pinned memory is only passed through, results may be kept long."""
        pinned = self._staging.take_for(arrays)
        for source, target in zip(arrays, pinned, strict=True):
            source.get(stream=self._stream, out=target, blocking=False)
        self._stream.synchronize()
        found = [p.copy() for p in pinned]
        self._staging.waited()
        return found

    @staticmethod
    def _pinned(size: int) -> np.ndarray:
        import cupyx

        return cupyx.empty_pinned(size, np.uint8)

    def launch(self, kernel: str, grid: Grid, block: Grid, shared: int, *arguments: Any) -> None:
        """See :class:`Device`."""
        self._kernels[kernel](grid, block, tuple(map(typed, arguments)), shared_mem=shared)

    def transform(self, waves: Array, inverse: bool) -> None:
        """See :class:`Device`; the plan is made once, and CuPy's plans do not normalise."""
        from cupy.cuda import cufft
        from cupyx.scipy.fft import get_fft_plan

        flat = waves.reshape(-1, *waves.shape[-2:])
        if len(flat) not in self._plans:
            self._plans[len(flat)] = get_fft_plan(flat, axes=(1, 2), value_type="C2C")
        direction = cufft.CUFFT_INVERSE if inverse else cufft.CUFFT_FORWARD
        self._plans[len(flat)].fft(flat, flat, direction)


def device_trouble() -> str:
    """Why the present device cannot compute, in one line; empty where it can: the kernels are compiled, and one of
    them and a transform run."""
    try:
        with CupyDevice(16, False) as device:
            phase, object_ = device.upload(np.zeros(256, np.float32)), device.empty((1, 1, 16, 16), np.complex64)
            device.launch("expand_phase", (1,), (256,), 0, phase, object_, 256)
            device.transform(object_, False)
            (spectrum,) = device.download(object_)
    except Exception as error:  # a broken installation fails in many ways
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
    right = np.zeros((1, 1, 16, 16), np.complex64)
    right[..., 0, 0] = 256
    return "" if np.array_equal(spectrum, right) else "a transform of ones gives wrong numbers"


def shared_memory() -> int:
    """Bytes of shared memory that a thread block of the present device can ask for."""
    return int(backend_module("cupy").cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"])


def release() -> None:
    """Give back what CuPy's pool holds and nobody uses: a queue is not lent what another has left."""
    backend_module("cupy").get_default_memory_pool().free_all_blocks()


def free_memory() -> int:
    """Free bytes of the present device, with what CuPy's pool holds and does not use."""
    cupy = backend_module("cupy")
    release()
    return int(cupy.cuda.Device().mem_info[0]) + int(cupy.get_default_memory_pool().free_bytes())
