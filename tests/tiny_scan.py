"""A scan of a few patterns with known phase peaks, written as a dataset: what the tests of whole runs work on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import ptychodask
from ptychodask.model.optics import Microscope
from ptychodask.model.scan import make_canvas, raster
from ptychodask.physics.multislice import forward, intensity
from ptychodask.physics.probe import make_probe
from ptychodask.physics.views import gather, split_positions
from ptychodask.solver.problem import probe_spectra, shifted_probes

PIXEL, N = 0.4, 32
MICROSCOPE = Microscope(300e3, 12.0, {"C10": -100.0})
STEP_MRAD = MICROSCOPE.wavelength / (N * PIXEL) * 1e3
OPTICS = {
    "energy_ev": 300e3,
    "semi_angle_mrad": 12.0,
    "defocus_angstrom": 100.0,
    "angular_step_mrad": STEP_MRAD,
}


def expected_counts(
    scan: tuple[int, int], step: float, electrons: float, peaks: Any, origin: tuple[float, float] = (0.0, 0.0)
) -> tuple[np.ndarray, np.ndarray]:
    """Expected patterns (scan_y, scan_x, N, N), zero angle in the centre, and the positions in angstrom.

    ``peaks`` are (y, x, height in rad), y and x in angstrom in the frame of the positions.
    """
    positions = raster(scan, (step, step)) + np.array(origin)
    canvas, centres = make_canvas(positions.reshape(-1, 2), N, PIXEL)
    y, x = canvas.coordinates(0)[:, None], canvas.coordinates(1)[None, :]
    phase = sum(h * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 0.6**2)) for cy, cx, h in peaks)
    corners, fractions = split_positions(centres, N)
    probes, _ = shifted_probes(probe_spectra(make_probe(MICROSCOPE, N, PIXEL, electrons)[None]), fractions)
    views = gather(np.exp(1j * phase)[None], corners, N)
    _, psi = forward(views, probes, np.empty((0, N, N), np.complex128))
    return np.fft.fftshift(intensity(psi).reshape(*scan, N, N), axes=(-2, -1)), positions


BLUR = {"object": {"regularisation": "blur"}}
"""A job's first part where the regularisation is not the point: tests of runs are older than the spectral prior."""
PEAKS = ((2.0, 3.0, 0.9), (6.0, 5.5, 0.9), (5.0, 1.0, 0.9))


def write_scan(
    path: str | Path,
    scan: tuple[int, int] = (8, 8),
    *,
    electrons: float = 100.0,
    chunks: tuple[int, int] = (4, 4),
    step: float = 1.0,
    peaks: Any = PEAKS,
    origin: tuple[float, float] = (0.0, 0.0),
    noise: bool = True,
    seed: int = 0,
    **options: Any,
) -> Path:
    """Write Poisson counts (or, without noise, the expected ones as floats) of :func:`expected_counts`."""
    expected, positions = expected_counts(scan, step, electrons, peaks, origin)
    counts = np.random.default_rng(seed).poisson(expected) if noise else expected.astype(np.float32)
    return ptychodask.create_dataset(
        path,
        counts,
        scan_step_angstrom=step,
        positions_angstrom=positions,
        chunks=chunks,
        **{**OPTICS, **options},
    )


def bits(result: Any) -> tuple[bytes, bytes]:
    """Object and probe of a result, for comparison bit for bit."""
    return np.asarray(result.object.values).tobytes(), np.asarray(result.probe.values).tobytes()


class Recorder:
    """A progress callback that keeps what it is told, and may raise at a given iteration entry."""

    def __init__(self, stop_at: int | None = None, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.stop_at, self.error = stop_at, error

    def __call__(self, event: str, values: dict[str, Any]) -> None:
        self.events.append((event, dict(values)))
        if event == "iteration" and self.stop_at is not None and len(self.named("iteration")) == self.stop_at:
            raise self.error

    def named(self, event: str) -> list[dict[str, Any]]:
        return [values for name, values in self.events if name == event]

    def warned(self) -> list[str]:
        """Texts of warnings, but that of ``info``, which runs hand on: the box is a little small for the probe."""
        return [v["text"] for v in self.named("warning") if "of the probe" not in v["text"]]
