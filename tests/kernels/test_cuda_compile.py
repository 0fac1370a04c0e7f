"""The CUDA sources compile for the devices they are meant for, within their registers and shared memory."""

from __future__ import annotations

import re

import pytest
from nvrtc import compile_cubin, nvrtc

from ptychodask.kernels.gpu import cuda

pytestmark = pytest.mark.skipif(nvrtc() is None, reason="no NVRTC: pip install nvidia-cuda-nvrtc-cu12")
# with what CuPy adds
FLAGS = ("-ftz=true", "--device-as-default-execution-space", "--ptxas-options=-v")
REGISTERS = 65_536
"""Of a multiprocessor, as are the bytes of shared memory that one thread block can have."""
SHARED = {80: 163 * 1024, 90: 227 * 1024}


def resources(log: str) -> dict[str, tuple[int, int]]:
    """Per kernel: bytes spilled, and registers of a thread."""
    pattern = r"properties for (\w+)\n.*?(\d+) bytes spill stores, (\d+) bytes spill loads\n.*?Used (\d+) registers"
    return {name: (int(a) + int(b), int(used)) for name, a, b, used in re.findall(pattern, log)}


@pytest.mark.parametrize("arch", [80, 90])
@pytest.mark.parametrize("pixels", [64, 128, 256])
def test_every_kernel_compiles_and_fits(pixels, arch):
    cubin, log = compile_cubin(cuda.source(pixels), (*cuda.options(pixels), f"--gpu-architecture=sm_{arch}", *FLAGS))
    names = cuda.kernels(pixels)
    assert ("chain_forward" in names) == (pixels in cuda.TILES)
    for name in names:
        assert f".text.{name}\0".encode() in cubin
    used = resources(log)
    assert set(used) == set(names)
    assert all(spilled == 0 for spilled, _ in used.values())
    assert used["detector"][1] * cuda.DETECTOR_THREADS <= REGISTERS
    if pixels in cuda.TILES:
        resident = 1 if pixels == 128 else 4
        for name in cuda.CHAINS:
            registers = -(-used[name][1] // 8) * 8  # handed out in eights
            assert resident * registers * cuda.chain_threads(pixels) <= REGISTERS
        # the system keeps 1 KiB of a multiprocessor per thread block
        assert resident * (cuda.chain_bytes(pixels) + 1024) <= SHARED[arch] + 1024


def test_a_mistake_is_found():
    with pytest.raises(RuntimeError, match="undefined"):
        compile_cubin(cuda.source(64).replace("conj_mul(o, c)", "conj_mul(o, d)"), cuda.options(64))


def test_nothing_is_added_atomically():
    """Float atomics would make the bits depend on the scheduling of threads."""
    for pixels in (128, 256):
        assert "atomic" not in re.sub(r"//.*", "", cuda.source(pixels))
