"""A scan of vacuum, with the probe, positions, mask and electrons of a result: what is seen in it is no specimen."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..counts.streams import NOISE, generator
from ..io.dataset import DatasetInfo
from ..io.result import Result
from ..io.selected import mask_of, positions_of
from ..io.writer import DatasetWriter

BESIDE = 1 << 22
"""Added to the seed: the noise of vacuum is not that of a simulation with the same seed."""


def write_vacuum(target: Path, info: DatasetInfo, result: Result, seed: int) -> Path:
    """Write Poisson counts of the result's probe without a specimen, drawn electron by electron.

    The same counts whatever the shards: every position has a generator of its own.
    """
    n = info.detector.pixels
    probe = np.asarray(result.probe.values)
    mean = (np.abs(np.fft.fftshift(np.fft.fft2(probe, norm="ortho"), axes=(-2, -1))) ** 2).sum(axis=0).ravel()
    cumulative = np.cumsum(mean, dtype=float)
    most = np.uint8 if cumulative[-1] < 1e4 else np.uint16
    mask, height, width = np.fft.fftshift(mask_of(info)), *info.scan_shape
    with DatasetWriter(
        target, info.scan_shape, info.microscope, info.detector, info.scan_step, dtype=np.dtype(most).name,
        positions_angstrom=positions_of(info).reshape(height, width, 2), mask=mask,
        attributes={k: info.attributes[k] for k in ("thickness_angstrom",) if info.attributes.get(k) is not None},
    ) as writer:  # fmt: skip
        for block in writer.blocks:
            counts = np.zeros((block.size, n * n), most)
            for row, j in enumerate(block.flat(info.scan_shape)):
                draw = generator(seed + BESIDE, NOISE, int(j))
                electrons = draw.poisson(cumulative[-1])
                pixel = np.searchsorted(cumulative, draw.random(electrons) * cumulative[-1], side="right")
                np.add.at(counts[row], np.minimum(pixel, n * n - 1), 1)
            writer.write(block, counts.reshape(block.y1 - block.y0, block.x1 - block.x0, n, n))
    return target
