"""What computes: the same bits are promised on one kind of processor and compiler, and this says which it is."""

from __future__ import annotations

import platform
import zlib
from importlib import metadata


def processor(backend: str = "cpu") -> str:
    """Kind of processor and of what compiles for it, in one line: equal lines give equal bits.

    Compiled code is made for this processor's instructions, and NumPy chooses its own by them; where they differ, sums
    of the same numbers are rounded differently.
    """
    host = _host()
    return f"{host}; {_device()}" if backend == "cupy" else host


def cuda_version(number: int) -> str:
    """12040 is 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _host() -> str:
    from llvmlite import binding

    try:
        features = binding.get_host_cpu_features().flatten()
    except RuntimeError:  # LLVM does not know them on every system
        features = ""
    kind = f"{binding.get_host_cpu_name()} ({zlib.crc32(features.encode()):08x})"
    return f"{platform.machine()} {kind}, numba {metadata.version('numba')}, NumPy {metadata.version('numpy')}"


def _device() -> str:
    import cupy

    runtime = cupy.cuda.runtime
    found = runtime.getDeviceProperties(cupy.cuda.Device().id)
    version = cuda_version(runtime.runtimeGetVersion())
    return f"{found['name'].decode()} ({found['major']}.{found['minor']}), CUDA {version}"
