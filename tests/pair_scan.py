"""Two scans of one tiny specimen with known phase peaks, at two defoci, whose frames lie apart by an offset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tiny_scan import OPTICS, PIXEL, N

import ptychodask
from ptychodask.model.optics import Microscope
from ptychodask.model.scan import make_canvas
from ptychodask.physics.multislice import forward, intensity
from ptychodask.physics.probe import make_probe
from ptychodask.physics.views import gather, split_positions
from ptychodask.solver.problem import probe_spectra, shifted_probes

PEAKS = ((2.0, 3.0, 0.9), (6.0, 5.5, 0.9), (5.0, 1.0, 0.9))
OFFSET = (0.9, -0.6)


def random_peaks(extent: float, seed: int = 7, number: int = 60, height: float = 0.5) -> tuple[Any, ...]:
    """Peaks (y, x, rad) over a square that begins at -3 angstrom."""
    rng = np.random.default_rng(seed)
    return tuple((*(rng.random(2) * (extent + 6) - 3).tolist(), height) for _ in range(number))


def phase_at(y: np.ndarray, x: np.ndarray, peaks: Any) -> np.ndarray:
    """The specimen's phase [Y, X] in rad at coordinates in the frame of the first scan."""
    return sum(h * np.exp(-((y[:, None] - cy) ** 2 + (x[None, :] - cx) ** 2) / (2 * 0.6**2)) for cy, cx, h in peaks)


def write_one(
    path: Path,
    *,
    defocus: float = 100.0,
    offset: tuple[float, float] = (0.0, 0.0),
    scan: tuple[int, int] = (8, 8),
    step: float | tuple[float, float] = 1.0,
    matrix: Any = ((1.0, 0.0), (0.0, 1.0)),
    electrons: float = 100.0,
    chunks: tuple[int, int] = (4, 4),
    peaks: Any = PEAKS,
    seed: int = 0,
    **options: Any,
) -> Path:
    """Write a scan whose recorded positions lack ``offset``: a raster that ``matrix`` turns and stretches."""
    steps = np.broadcast_to(np.asarray(step, float), 2)
    nodes = np.stack(np.meshgrid(*map(np.arange, scan), indexing="ij"), -1) * steps
    recorded = nodes @ np.asarray(matrix).T
    scope = Microscope(300e3, OPTICS["semi_angle_mrad"], {"C10": -defocus})
    canvas, centres = make_canvas((recorded + np.array(offset)).reshape(-1, 2), N, PIXEL)
    phase = phase_at(canvas.coordinates(0), canvas.coordinates(1), peaks)
    corners, fractions = split_positions(centres, N)
    probes, _ = shifted_probes(probe_spectra(make_probe(scope, N, PIXEL, electrons)[None]), fractions)
    _, psi = forward(gather(np.exp(1j * phase)[None], corners, N), probes, np.empty((0, N, N), np.complex128))
    expected = np.fft.fftshift(intensity(psi).reshape(*scan, N, N), axes=(-2, -1))
    return ptychodask.create_dataset(
        path,
        np.random.default_rng(seed).poisson(expected),
        scan_step_angstrom=tuple(steps.tolist()),
        positions_angstrom=recorded,
        chunks=chunks,
        **{**OPTICS, "defocus_angstrom": defocus, **options},
    )


def write_pair(folder: Path, defoci: Sequence[float] = (100.0, 160.0), **options: Any) -> list[Path]:
    """Two scans of 8 x 8 and 7 x 9 positions, the second offset by :data:`OFFSET`."""
    first = write_one(folder / "first.zarr", defocus=defoci[0], **options)
    second = {"scan": (7, 9), "chunks": (4, 5), "seed": 1, "offset": OFFSET, "electrons": 60.0}
    return [first, write_one(folder / "second.zarr", defocus=defoci[1], **{**options, **second})]
