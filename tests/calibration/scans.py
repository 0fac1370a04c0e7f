"""Scans of peaks of phase with a planted geometry: what the tests of the calibration work on."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import ptychodask
from ptychodask.model.geometry import Geometry
from ptychodask.model.optics import Microscope
from ptychodask.model.scan import make_canvas, raster
from ptychodask.physics.multislice import forward, intensity
from ptychodask.physics.probe import make_probe
from ptychodask.physics.views import gather, split_positions
from ptychodask.solver.problem import probe_spectra, shifted_probes

N, ALPHA, ENERGY = 32, 10.0, 300e3
RADIUS = 10.4
"""Of the disk, pixels."""
ANGULAR_STEP = ALPHA / RADIUS
STEP = 1.05
PLANTED = Geometry(np.radians(25.0), 1.0, 0.02, -0.01, 600.0, 20.0, -15.0)
SCAN = (32, 32)


@lru_cache(maxsize=4)
def expected(
    geometry: Geometry = PLANTED,
    scan: tuple[int, int] = SCAN,
    electrons: float = 300.0,
    height: float = 1.2,
    drift: float = 0.0,
) -> np.ndarray:
    """Expected patterns (scan_y, scan_x, N, N) of a crystal of Gaussian peaks, zero angle in the centre."""
    aberrations = {"C10": -geometry.defocus, "C12": geometry.c12, "phi12": geometry.phi12}
    scope = Microscope(ENERGY, ALPHA, aberrations)
    pixel = scope.wavelength / (N * ANGULAR_STEP * 1e-3)
    nominal = raster(scan, (STEP, STEP)) + walk(scan[0], drift)[:, None]
    positions = nominal.reshape(-1, 2) @ geometry.matrix.T
    canvas, centres = make_canvas(positions, N, pixel)
    y, x = canvas.coordinates(0)[:, None], canvas.coordinates(1)[None, :]
    phase = np.zeros(canvas.shape)
    cells = np.stack(np.meshgrid(np.arange(-12, 13), np.arange(-12, 13), indexing="ij"), -1).reshape(-1, 2)
    for (py, px), share in zip(((0.0, 0.0), (3.1, 5.2), (6.9, 1.7)), (1.0, 0.6, 0.4), strict=True):
        for cy, cx in cells @ np.array([[9.3, 0.0], [2.7, 8.6]]) + (py, px):
            phase += share * height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 0.6**2))
    corners, fractions = split_positions(centres, N)
    spectra = probe_spectra(make_probe(scope, N, pixel, electrons)[None])
    out = np.empty((len(positions), N, N), np.float32)
    for first in range(0, len(positions), 128):
        part = slice(first, first + 128)
        views = gather(np.exp(1j * phase)[None], corners[part], N)
        _, psi = forward(views, shifted_probes(spectra, fractions[part])[0], np.empty((0, N, N), np.complex128))
        out[part] = np.fft.fftshift(intensity(psi).reshape(-1, N, N), axes=(-2, -1))
    return out.reshape(*scan, N, N)


def walk(rows: int, rms: float) -> np.ndarray:
    """Drift [rows, 2] in angstrom, in the axes of the nominal raster: a random walk without mean and slope."""
    steps, t = np.random.default_rng(3).standard_normal((rows, 2)).cumsum(axis=0), np.linspace(-1, 1, rows)
    bent = steps - np.stack([np.polyval(np.polyfit(t, axis, 1), t) for axis in steps.T], axis=1)
    return rms * bent / np.sqrt((bent**2).sum(axis=1).mean())


def counts(seed: int = 0, **options: Any) -> np.ndarray:
    """Poisson counts of :func:`expected`."""
    return np.random.default_rng(seed).poisson(expected(**options)).astype(np.uint8)


def flipped(patterns: np.ndarray, axis: int) -> np.ndarray:
    """Rows or columns of patterns reversed; pixel N/2, where zero angle stands, stays."""
    return np.roll(np.flip(patterns, axis), 1, axis)


def write(path: Path, patterns: np.ndarray, **options: Any) -> Path:
    """A dataset of counts, whose file says a wrong defocus and nothing of the rest."""
    said = {
        "energy_ev": ENERGY, "semi_angle_mrad": ALPHA, "defocus_angstrom": 500.0, "angular_step_mrad": ANGULAR_STEP,
        "scan_step_angstrom": STEP, "chunks": (16, 16),
    }  # fmt: skip
    return ptychodask.create_dataset(path, patterns, **{**said, **options})
