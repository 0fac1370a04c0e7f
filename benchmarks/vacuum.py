"""Made-up datasets of vacuum patterns, of any size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dask.array as da
import numpy as np

import ptychodask
from ptychodask.model.optics import Microscope
from ptychodask.physics.probe import make_probe

PIXELS = 128
OPTICS = {
    "energy_ev": 300e3,
    "defocus_angstrom": 600.0,
    "angular_step_mrad": 0.47,
    "scan_step_angstrom": 0.25,
}
Chunk = Callable[[np.random.Generator, int], np.ndarray]
"""Draws patterns [n, N^2]."""


def disk(semi_angle_mrad: float, electrons: float) -> np.ndarray:
    """Mean pattern of a vacuum, zero angle in the centre."""
    probe = make_probe(Microscope(300e3, semi_angle_mrad, {"C10": -600.0}), PIXELS, 0.3273, electrons)
    return np.abs(np.fft.fftshift(np.fft.fft2(probe, norm="ortho"))) ** 2


def sparse() -> Chunk:
    """Poisson counts at 100 electrons per pattern, drawn electron by electron."""
    cumulative = np.cumsum(disk(10.0, 100.0).ravel())

    def chunk(rng: np.random.Generator, patterns: int) -> np.ndarray:
        electrons = rng.poisson(cumulative[-1], patterns)
        pixel = np.searchsorted(cumulative, rng.random(electrons.sum()) * cumulative[-1])
        counts = np.zeros(patterns * PIXELS**2, np.uint8)
        np.add.at(counts, np.repeat(np.arange(patterns), electrons) * PIXELS**2 + pixel, np.uint8(1))
        return counts

    return chunk


def bright(pool_size: int) -> Chunk:
    """Poisson counts at 200 000 electrons per pattern, picked from a pool of different patterns."""
    mean = disk(29.0, 2e5).ravel()
    pool = np.random.default_rng(1).poisson(mean, (pool_size, PIXELS**2)).astype(np.uint16)

    def chunk(rng: np.random.Generator, patterns: int) -> np.ndarray:
        return pool[rng.permutation(pool_size)[:patterns]]

    return chunk


def make(path: Path, scan: tuple[int, int], tile: int, dtype: str, semi_angle_mrad: float, chunk: Chunk) -> None:
    if path.exists():
        return

    def draw(block_info: dict) -> np.ndarray:
        location = block_info[None]
        shape = location["chunk-shape"]
        return chunk(np.random.default_rng(list(location["chunk-location"])), shape[0] * shape[1]).reshape(shape)

    chunks = (*((tile,) * (side // tile) for side in scan), (PIXELS,), (PIXELS,))
    lazy = da.map_blocks(draw, chunks=chunks, dtype=dtype)
    ptychodask.create_dataset(path, lazy, chunks=(tile, tile), semi_angle_mrad=semi_angle_mrad, **OPTICS)
