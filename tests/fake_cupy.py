"""A stand-in for the part of CuPy 14 that the GPU path calls, on the host: the same signatures and refusals.

Arrays can be sliced and reshaped, and nothing else; work is done when its stream is waited for, as on a device that is
slow; launches are held to the limits of an H100. What it does not know raises AttributeError or TypeError.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from cuda_host import HostDevice

SHARED, SHARED_OPTIN, LARGEST = 32 * 1024, 227 * 1024, 2**30
"""Without asking, less than CUDA's 48 KiB, so that tiles of 64 pixels have to ask too; with; and of an array."""
_running = threading.RLock()  # the kernels on the host know one thread at a time
_current = threading.local()


class Stream:
    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None) -> None:
        self.work: list[Callable[[], Any]] = []

    def __enter__(self) -> Stream:
        _current.stack = [*getattr(_current, "stack", []), self]
        return self

    def __exit__(self, *args: Any) -> None:
        _current.stack.pop()

    def synchronize(self) -> None:
        with _running:
            while self.work:
                self.work.pop(0)()


def queue() -> list[Callable[[], Any]]:
    return _current.stack[-1].work  # nothing of ours belongs on the default stream


class OutOfMemoryError(MemoryError):
    pass


class ndarray:
    def __init__(self, host: np.ndarray) -> None:
        self._host, self.shape, self.dtype, self.nbytes = host, host.shape, host.dtype, host.nbytes
        self.data = self

    def memset_async(self, value: int, size: int, stream: Stream) -> None:
        stream.work.append(lambda: self._host.view(np.uint8).fill(value))

    def copy_from_host_async(self, mem: int, size: int, stream: Stream) -> None:
        assert type(mem) is int and 0 < size <= self.nbytes

        def copy() -> None:  # reads when its turn comes: the host may not have changed what is there
            sent = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(mem))
            self._host.reshape(-1).view(np.uint8)[:size] = sent

        stream.work.append(copy)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int | slice) -> ndarray:
        assert type(index) in (int, slice)
        return ndarray(self._host[index])

    def reshape(self, *shape: int) -> ndarray:
        return ndarray(self._host.reshape(*shape))

    def get(self, stream=None, order="C", out=None, blocking=True) -> np.ndarray:
        assert out.shape == self.shape and out.dtype == self.dtype and not blocking
        stream.work.append(lambda: np.copyto(out, self._host))
        return out


def empty(shape, dtype=float, order="C") -> ndarray:
    made = np.empty(shape, dtype)
    if made.nbytes > LARGEST:
        raise OutOfMemoryError(f"Out of memory allocating {made.nbytes} bytes")
    made.view(np.uint8).fill(0xFF)  # what is read before it is written is NaN
    return ndarray(made)


def asarray(a: np.ndarray, dtype=None, order=None, *, blocking=False) -> ndarray:
    sent, made = np.array(a), empty(a.shape, a.dtype)  # through pinned memory: the caller may change what it has
    queue().append(lambda: np.copyto(made._host, sent))
    return made


class RawKernel:
    def __init__(self, host: HostDevice, name: str) -> None:
        self._host, self._name, self.max_dynamic_shared_size_bytes = host, name, SHARED

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, shared_mem=0) -> None:
        assert type(grid) is tuple and type(block) is tuple and type(args) is tuple
        x, y, z = (*grid, 1, 1)[:3]
        assert 0 < x < 2**31 and 0 < y < 2**16 and 0 < z < 2**16 and 0 < block[0] <= 1024
        assert shared_mem <= self.max_dynamic_shared_size_bytes <= SHARED_OPTIN
        assert all(a is None or type(a) in (ndarray, np.int32, np.float32) for a in args)
        on_host = [a._host if isinstance(a, ndarray) else a for a in args]
        queue().append(lambda: self._host.launch(self._name, grid, block, shared_mem, *on_host))


class RawModule:
    def __init__(self, *, code: str, options: tuple[str, ...] = (), backend: str = "nvrtc") -> None:
        assert type(options) is tuple
        self._host = HostDevice(next(int(o[9:]) for o in options if o.startswith("-DPIXELS=")))

    def get_function(self, name: str) -> RawKernel:
        return RawKernel(self._host, name)


def get_fft_plan(a: ndarray, shape=None, axes=None, value_type="C2C") -> Any:
    assert len(a.shape) == 3 and axes == (1, 2) and a.dtype == np.complex64 and value_type == "C2C"

    def fft(source: ndarray, out: ndarray, direction: int) -> None:
        assert source.shape == a.shape and source is out and direction in (-1, 1)
        queue().append(lambda: HostDevice.transform(None, source._host, direction == 1))  # type: ignore[arg-type]

    return SimpleNamespace(fft=fft)


def empty_pinned(shape, dtype=float, order="C") -> np.ndarray:
    made = np.empty(shape, dtype)
    made.view(np.uint8).fill(0xFF)
    return made


def install(monkeypatch: Any) -> None:
    """Let ``import cupy`` find this."""
    device = SimpleNamespace(attributes={"MaxSharedMemoryPerBlockOptin": SHARED_OPTIN}, mem_info=(2**30, 2**31))
    pool = SimpleNamespace(free_bytes=lambda: 0, free_all_blocks=lambda stream=None: None)
    cufft = SimpleNamespace(CUFFT_FORWARD=-1, CUFFT_INVERSE=1)
    contents: dict[str, dict[str, Any]] = {
        "cupy.cuda": dict(
            Stream=Stream, Device=lambda: device, cufft=cufft, memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError)
        ),
        "cupy": dict(
            is_available=lambda: True, RawModule=RawModule, empty=empty, asarray=asarray, ndarray=ndarray,
            get_default_memory_pool=lambda: pool,
        ),
        "cupyx.scipy.fft": dict(get_fft_plan=get_fft_plan),
        "cupyx.scipy": {},
        "cupyx": dict(empty_pinned=empty_pinned),
    }  # fmt: skip
    for name, values in contents.items():
        module = ModuleType(name)
        module.__dict__.update(values)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["cupy"].cuda = sys.modules["cupy.cuda"]  # type: ignore[attr-defined]
