"""How long does one pattern take on a CUDA device, and how far is that from the bytes that must pass?

Microseconds per pattern of one partial update, with events sent and sums fetched, of the two ways through the slices: a
wave in shared memory from the first to the last (``chain``), or through device memory at every step (``cufft``). The
limit is the bytes that each must move (counted by ``bytes_of``) at the bandwidth of a copy, measured in the same
process. Beside it: the same by two threads at once, which says how long the device waits for the host of one; and the
line search of the tangent step on every eighth pattern, per pattern of the block. Without a device it only counts the
bytes, and says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from statistics import median
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import numpy as np
from per_pattern import case
from record import arguments, save

from ptychodask._array import cupy_available
from ptychodask.kernels.gpu import Gpu, cuda
from ptychodask.kernels.gpu.workspace import choose_device
from ptychodask.kernels.plain import Plain
from ptychodask.model.blocks import Block
from ptychodask.solver.lsqml import LsqMl
from ptychodask.solver.unknowns.object import ObjectSums

QUESTION = "microseconds per pattern of a partial update on a CUDA device, against the bytes that must pass"
REPEATS = 9


def bytes_of(way: str, slices: int, modes: int, n: int) -> int:
    """Bytes per pattern through device memory: pure phase object, held probe, tables and window in the L2 cache.

    A complex wave is 8 bytes per pixel. cuFFT is taken to read and write twice per transform.
    """
    wave, transform = 8, 32
    detector = 3 * wave * modes + 3 * 4  # psi read twice and written; counts cleared, read, and their events
    added = wave * slices * modes  # the object's terms, gathered by the window
    if way == "chain":
        forward = wave * slices * modes + wave * modes  # u_s and psi written
        backward = 2 * wave * slices * modes + wave * modes  # u_s read, terms written; residual read
        return (forward + detector + backward + added) * n * n
    steps = (2 * transform + 4 * wave) * (slices - 1) * modes  # transmit, FFT, propagate, inverse FFT
    forward = (wave + transform) * modes + steps + (2 * wave + transform) * modes  # shift; then the detector's FFT
    back = (2 * transform + 2 * wave) * (slices - 1) * modes  # FFT, propagate, inverse FFT
    backward = transform * modes + 4 * wave * slices * modes + back  # adjoint: u and chi both ways
    return (forward + detector + backward + added) * n * n


def seconds(function: Callable[[], Any], wait: Callable[[], Any]) -> float:
    """Median time of a call."""
    function()
    wait()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        wait()
        times.append(time.perf_counter() - start)
    return median(times)


def at_once(function: Callable[[], Any], threads: int) -> float:
    """Time per call where so many threads call."""
    ready = Barrier(threads + 1, timeout=300)

    def work(_: int) -> None:
        function()  # makes the thread's buffers
        ready.wait()
        for _ in range(REPEATS):
            function()

    with ThreadPoolExecutor(threads) as pool:
        done = pool.map(work, range(threads))
        ready.wait()
        start = time.perf_counter()
        list(done)
        return (time.perf_counter() - start) / (REPEATS * threads)


def copy_bandwidth(size: int) -> float:
    """Bytes per second, read and written, of a copy on the device."""
    import cupy

    source, target = cupy.zeros(size, cupy.uint8), cupy.empty(size, cupy.uint8)
    took = seconds(lambda: target.data.copy_from_device_async(source.data, size), cupy.cuda.Device().synchronize)
    return 2 * size / took


def row(slices: int, modes: int, n: int, side: int, bandwidth: float) -> list[dict[str, Any]]:
    """Both ways through the slices, where the device can go them."""
    solver, block, patterns, model = case(slices, modes, n, "cupy", side)
    device = (slices, modes, n, block.size, 4)  # this thread's workspace and two others', and some to spare
    chains, batch = choose_device(*device)
    few = Block(0, 0, 1, 0, min(4, side))  # enough for the reference, which is slow
    along = SimpleNamespace(object=np.full_like(model.object, 0.01), probe=None)
    rows = []
    for way in ("chain", "cufft") if chains else ("cufft",):
        choose_device(*device)  # gives the workspaces of the way before back
        fast = LsqMl(solver.problem, Gpu(solver.problem, way == "chain", batch))
        took = seconds(lambda fast=fast: fast.partial(block, patterns, model, False), lambda: None) / block.size
        moved = bytes_of(way, slices, modes, n)
        result: dict[str, Any] = {"S": slices, "M": modes, "N": n, "way": way, "patterns": block.size, "batch": batch}
        two = at_once(lambda fast=fast: fast.partial(block, patterns, model, False), 2) / block.size
        tangent = replace(fast.problem, settings=replace(fast.problem.settings, tangent_stride=8))
        searching = LsqMl(tangent, Gpu(tangent, way == "chain", batch))
        line = seconds(lambda its=searching: its.line_search(block, patterns, model, along), lambda: None)
        result.update(microseconds_of_two_threads=two * 1e6, line_search_microseconds=line / block.size * 1e6)
        result.update(microseconds=took * 1e6, megabytes=moved / 1e6, share_of_copy_bandwidth=moved / took / bandwidth)
        reference = Plain(solver.problem).partial(few, patterns, model, False)
        found = fast.partial(few, patterns, model, False)
        error = np.abs(found[ObjectSums].gradient - reference[ObjectSums].gradient).max()
        result["gradient_error"] = float(error / np.abs(reference[ObjectSums].gradient).max())
        rows.append(result)
    return rows


def measure(sizes: list[tuple[int, int, int]], tiny: bool) -> dict[str, Any]:
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    bandwidth = copy_bandwidth(2**20 if tiny else 2**30)
    return {
        "device": properties["name"].decode(),
        "cupy": cupy.__version__,
        "copy_gigabytes_per_second": bandwidth / 1e9,
        "rows": [r for size in sizes for r in row(*size, 4 if tiny else 16, bandwidth)],
    }


def counted(sizes: list[tuple[int, int, int]]) -> list[dict[str, Any]]:
    """The bytes alone."""
    return [
        {"S": s, "M": m, "N": n, "way": way, "megabytes": bytes_of(way, s, m, n) / 1e6}
        for s, m, n in sizes
        for way in ("chain", "cufft")
        if way == "cufft" or n in cuda.TILES
    ]


if __name__ == "__main__":
    options = arguments(QUESTION)
    sizes = [(2, 1, 64)] if options.tiny else [(12, 6, 128), (20, 6, 128), (1, 1, 128), (12, 6, 64), (12, 6, 256)]
    if cupy_available():
        save("gpu_per_pattern", QUESTION, measure(sizes, options.tiny), options)
    else:
        result = {"device": "no CUDA device with CuPy: nothing was measured", "counted": counted(sizes)}
        # a table of what was not measured has no place among the results
        if options.out is None:
            options.tiny = True
        save("gpu_per_pattern", QUESTION, result, options)
