"""Tables and buffers of one thread on its device, kept between blocks, and how many patterns they hold.

Two choices change the last bits: which FFT transforms the waves, and (with cuFFT) how many at a time. So one worker
makes them once, from its device, and all workers and a resumed run follow; see :func:`choose_device`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._array import Array
from ..._errors import InputError
from ...solver.problem import Problem
from . import cuda
from .device import CupyDevice, Device, free_memory, release, shared_memory

THREADS = 256
"""Threads per block of the kernels that work pixel by pixel."""
WAVES_IN_FLIGHT = 1024
"""Waves after which more at a time no longer help: several per multiprocessor of the largest devices."""

_kept: dict[int, tuple[Problem, tuple[int, bool, int], GpuWorkspace]] = {}
"""By thread."""


@dataclass(frozen=True)
class GpuWorkspace:
    """What stays on the device while blocks come and go.

    Parameters
    ----------
    device : Device
    chains : bool
        A wave passes all slices in shared memory, with transforms of our own, and not cuFFT's.
    room : int
        Patterns of a mini-batch, B.
    weights : float32 array [N, N]
    propagators : complex64 array [S - 1, N, N]
        With the factor 1/N^2 of the transforms.
    roots : complex64 array [N]
        ``exp(-2 pi i n / N)``.
    waves : complex64 array [S, B, M, N, N]
        Incident waves, then the terms of the object's sums.
    psi : complex64 array [B, M, N, N]
        Waves on the detector, then the residual.
    counts, measured : float32 arrays [B, N, N]
        Dense counts; ``measured`` is None where the loss is measured on the fitted counts.
    """

    device: Device
    chains: bool
    room: int
    weights: Array
    propagators: Array
    roots: Array
    waves: Array
    psi: Array
    counts: Array
    measured: Array | None

    @property
    def pixels(self) -> int:
        """Side N of the pattern."""
        return int(self.weights.shape[-1])

    def rows(self, batch: int) -> int:
        """Patterns that are transformed where ``batch`` are there: whole quarters of the room, so that few plans of
        cuFFT are made. What is beyond the batch is never read."""
        quarter = -(-self.room // 4)
        return min(self.room, -(-batch // quarter) * quarter)

    def per_pixel(self, kernel: str, rows: int, *arguments: Any) -> None:
        """Launch one thread per pixel of ``rows`` patterns, waves or modes."""
        self.device.launch(kernel, (-(-(self.pixels**2) // THREADS), rows), (THREADS,), 0, *arguments)

    def per_value(self, kernel: str, source: np.ndarray, shape: tuple[int, ...]) -> Array:
        """Send a host array and make complex64 values [shape] from it, one thread for each."""
        out, count = self.device.empty(shape, np.complex64), int(np.prod(shape))
        self.device.launch(kernel, (-(-count // THREADS),), (THREADS,), 0, self.device.upload(source), out, count)
        return out


def make_workspace(problem: Problem, modes: int, device: Device, chains: bool, room: int) -> GpuWorkspace:
    """Tables and buffers of a problem on a device, for ``room`` patterns together."""
    n, slices, settings = problem.pixels, problem.slices, problem.settings
    with device:
        return GpuWorkspace(
            device,
            chains,
            room,
            device.upload(problem.weights.astype(np.float32)),
            device.upload((problem.propagators / (n * n)).astype(np.complex64)),
            device.upload(np.exp(-2j * np.pi * np.arange(n) / n).astype(np.complex64)),
            device.empty((slices, room, modes, n, n), np.complex64),
            device.empty((room, modes, n, n), np.complex64),
            device.empty((room, n, n), np.float32),
            device.empty((room, n, n), np.float32) if settings.use_all and settings.train_fraction else None,
        )


def gpu_workspace(problem: Problem, modes: int, chains: bool, room: int) -> GpuWorkspace:
    """This thread's workspace on the present device; only that of the last problem, and of those alike, is kept."""
    made_for = (modes, chains, room)
    thread = threading.get_ident()
    kept = _kept.get(thread)
    if kept is None or not _alike(kept[0], problem) or kept[1] != made_for:
        if kept is not None:  # its memory first, which the new one's queue could not have
            kept = None
            _kept.pop(thread, None)
            release()
        kept = (problem, made_for, make_workspace(problem, modes, CupyDevice(problem.pixels, chains), chains, room))
        _kept[thread] = kept
    return kept[2]


def _alike(one: Problem, other: Problem) -> bool:
    """Have two problems the same tables and buffers?"""
    return (
        one.weights is other.weights
        and one.propagators is other.propagators
        and one.settings.use_all == other.settings.use_all
        and one.settings.train_fraction == other.settings.train_fraction
    )


def bytes_per_pattern(slices: int, modes: int, pixels: int) -> int:
    """Device memory of one pattern of a mini-batch, with cuFFT's work area."""
    return ((slices + 2) * modes * 8 + 2 * 4) * pixels * pixels


def mini_batch(slices: int, modes: int, pixels: int, patterns: int, budget: int) -> int:
    """How many of a block's ``patterns`` to compute together in a ``budget`` of bytes: parts of equal size.

    Raises
    ------
    InputError
        If not even one fits.
    """
    need = bytes_per_pattern(slices, modes, pixels)
    most = min(budget // need, -(-WAVES_IN_FLIGHT // modes), patterns)
    if most < 1:
        raise InputError(
            f"one pattern with {slices} slices and {modes} modes needs {need / 2**20:.0f} MiB on the device, and a"
            f" thread may take {budget / 2**20:.0f} MiB of what is free: free memory, or use fewer threads"
            " (engine.threads)"
        )
    return -(-patterns // -(-patterns // most))


def choose_device(slices: int, modes: int, pixels: int, patterns: int, threads: int) -> tuple[bool, int]:
    """Can the present device keep a wave in shared memory, and the mini-batch for it.

    Parameters
    ----------
    patterns : int
        Patterns of a block.
    threads : int
        Threads that will share the device; together they take half of what is free now.
    """
    _kept.clear()  # what earlier runs left there is free
    chains = pixels in cuda.TILES and cuda.chain_bytes(pixels) <= shared_memory()
    batch = mini_batch(slices, modes, pixels, patterns, free_memory() // (2 * threads))
    return chains, batch
