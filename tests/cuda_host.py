"""The CUDA kernels compiled for the host by g++, behind the same door as a CUDA device."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft

from ptychodask.kernels.gpu import cuda
from ptychodask.kernels.gpu.device import typed

TYPES = {
    "float2*": "complex64", "Complex*": "complex64", "float*": "float32", "double*": "float64", "int*": "int32",
    "unsigned int*": "uint32", "unsigned char*": "uint8", "unsigned short*": "uint16", "int": "int32",
    "float": "float32",
}  # fmt: skip
"""What a kernel's argument must come as; neither CUDA nor CuPy looks."""
COMPILER = shutil.which("g++")
HEADER = Path(__file__).with_name("cuda_host.h")


def host_source(pixels: int, more: str = "") -> str:
    """The kernels with the host's header, one entry per kernel, and ``more``."""
    # dynamic shared memory is one buffer, whatever name and type a kernel gives it
    text = re.sub(
        r"extern __shared__ (\w+) (\w+)\[\];", r"\1* \2 = reinterpret_cast<\1*>(host::shared);", cuda.source(pixels)
    )
    entries = "".join(
        f'extern "C" int launch_{name}(const unsigned* shape, size_t bytes, int count, const int* sizes, void** a)'
        f" {{ return host::launch({name}, shape, bytes, count, sizes, a); }}\n"
        for name in cuda.kernels(pixels)
    )
    return f'#include "{HEADER}"\n{text}\n#line 1 "entries"\n{entries}{more}'


@cache
def declared(pixels: int) -> dict[str, list[str]]:
    """Types of every kernel's arguments."""
    pattern = r"__global__ void (?:__launch_bounds__\(.*?\) )?(\w+)\(([^)]*)\)"
    return {
        name: [TYPES[a.strip().removeprefix("const ").rsplit(" ", 1)[0]] for a in arguments.split(",")]
        for name, arguments in re.findall(pattern, cuda.source(pixels))
    }


@cache
def library(pixels: int, more: str = "") -> ctypes.CDLL:
    """Compile and load; fortified longjmp refuses to change stacks."""
    folder = Path(tempfile.mkdtemp(prefix="cuda_host_"))
    (folder / "kernels.cpp").write_text(host_source(pixels, more))
    defines = [o for o in cuda.options(pixels) if o.startswith("-D")]
    flags = ["-std=c++17", "-O2", "-U_FORTIFY_SOURCE", "-Wno-unknown-pragmas", "-shared", "-fPIC", *defines]
    run = subprocess.run(
        [str(COMPILER), *flags, "-o", "kernels.so", "kernels.cpp"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise RuntimeError(run.stderr[:4000])
    try:
        return ctypes.CDLL(str(folder / "kernels.so"))
    finally:
        shutil.rmtree(folder)


class HostDevice:
    """NumPy arrays as device arrays; every launch is finished when it returns."""

    backend = "numpy"

    def __init__(self, pixels: int, *, reverse: bool = False) -> None:
        self.library, self.declared, self.reverse = library(pixels), declared(pixels), reverse
        self.launches: list[str] = []
        self.downloads = 0

    def __enter__(self) -> HostDevice:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def empty(self, shape: Any, dtype: Any) -> np.ndarray:
        out = np.empty(shape, dtype)
        out.view(np.uint8)[...] = 0xFF  # what is read before it is written is NaN
        return out

    def zeros(self, shape: Any, dtype: Any) -> np.ndarray:
        return np.zeros(shape, dtype)

    def upload(self, array: np.ndarray) -> np.ndarray:
        return np.array(array, order="C")

    def download(self, *arrays: np.ndarray) -> list[np.ndarray]:
        self.downloads += 1
        return [a.copy() for a in arrays]

    def launch(self, kernel: str, grid: Any, block: Any, shared: int, *arguments: Any) -> None:
        self.launches.append(kernel)
        values: list[Any] = []
        for a, kind in zip(map(typed, arguments), self.declared[kernel], strict=False):  # the kernel's entry counts
            if a is not None and a.dtype.name != kind:
                raise RuntimeError(f"{kernel}: argument {len(values)} is {a.dtype}, and the kernel declares {kind}")
            if a is None:
                values.append(ctypes.c_void_p(None))
            elif isinstance(a, np.ndarray):
                assert a.flags.c_contiguous
                values.append(ctypes.c_void_p(a.ctypes.data))
            else:
                values.append({"int32": ctypes.c_int32, "float32": ctypes.c_float}[a.dtype.name](a.item()))
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
        sizes = (ctypes.c_int * len(values))(*(ctypes.sizeof(v) for v in values))
        shape = (ctypes.c_uint * 4)(*(*grid, 1, 1)[:3], *block)
        ctypes.c_int.in_dll(self.library, "host_reverse").value = self.reverse
        entry = getattr(self.library, f"launch_{kernel}")
        code = entry(shape, ctypes.c_size_t(shared), len(values), sizes, pointers)
        if code:
            raise RuntimeError(f"{kernel}: {explain(code)}")

    def transform(self, waves: np.ndarray, inverse: bool) -> None:
        run, norm = (scipy.fft.ifft2, "forward") if inverse else (scipy.fft.fft2, "backward")
        waves[...] = run(waves, norm=norm)


def explain(code: int) -> str:
    """What a launch was refused for."""
    known = {
        -4000: "threads missed a barrier",
        -1000: "wrong number of arguments",
        -2000: "shared memory is larger than any device has",
    }
    known[-3000] = "wrote beyond the shared memory it asked for"
    return known.get(code, f"argument {-code - 1} has another size than the kernel declares")
