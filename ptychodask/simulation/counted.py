"""A simulation without noise, counted: one serves any number of doses, seeds and beliefs about the lens."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..io.dataset import DatasetInfo, dataset_info
from ..io.source import source_of
from ..io.writer import DatasetWriter
from ..model.optics import Microscope
from .noise import poisson_counts
from .prepared import stored_type

COHERENCE = ("source_size_angstrom", "focal_spread_angstrom")


def count_electrons(
    scan: str | Path, target: str | Path, believed: Microscope, dose_per_square_angstrom: float, seed: int
) -> Path:
    """Write the dataset that a detector would have recorded, without the truth.

    Parameters
    ----------
    scan : path
        Of a simulation without noise.
    target : path
        Of the new dataset.
    believed : Microscope
        What the new dataset says of the lens.
    dose_per_square_angstrom : float
        ``inf`` leaves the patterns as they are.
    seed : int
        Of the noise: counts of a position are those of :func:`ptychodask.simulate` up to rounding of their mean.
    """
    info, target = dataset_info(scan), Path(target)
    factor = 1.0 if math.isinf(dose_per_square_angstrom) else dose_per_square_angstrom / _dose(info)
    electrons = float(info.attributes["electrons_per_pattern"]) * factor
    source, n = source_of(info), info.detector.pixels
    kept = (
        "source",
        "specimen",
        "specimen_status",
        "thickness_angstrom",
        "tilt_mrad",
        "phonons",
        "source_size_angstrom",
        "focal_spread_angstrom",
    )
    with DatasetWriter(
        target,
        info.scan_shape,
        believed,
        info.detector,
        info.scan_step,
        dtype=stored_type(dose_per_square_angstrom, electrons, info.microscope, info.detector),
        chunks=info.shard,
        attributes={**{name: info.attributes[name] for name in kept}, "seed": seed},
    ) as writer:
        for block in writer.blocks:
            patterns = np.fft.fftshift(np.asarray(source.read(block)), axes=(-2, -1))
            if math.isfinite(dose_per_square_angstrom):
                patterns = poisson_counts(patterns * np.float32(factor), block.flat(info.scan_shape), seed)
            writer.write(block, patterns.reshape(block.y1 - block.y0, block.x1 - block.x0, n, n))
    return target


def _dose(info: DatasetInfo) -> float:
    return float(info.attributes["dose_per_square_angstrom"])
