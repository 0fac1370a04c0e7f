"""A simulator of 4D-STEM scans in a few lines of NumPy, and the mistakes that everybody makes on the first day."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ptychodask.analysis.survey import lens, look
from ptychodask.analysis.suspicion import Survey
from ptychodask.counts.patterns import prepare
from ptychodask.model.optics import Microscope
from ptychodask.model.scan import make_canvas, raster
from ptychodask.physics.multislice import forward, intensity
from ptychodask.physics.probe import make_probe
from ptychodask.physics.views import gather, split_positions
from ptychodask.solver.problem import probe_spectra, shifted_probes

N, ANGULAR_STEP = 48, 0.6


@dataclass(frozen=True)
class Scan:
    """Counts as stored (scan_y, scan_x, ky, kx), with what is recorded of them."""

    counts: np.ndarray
    positions: np.ndarray
    microscope: Microscope
    mask: np.ndarray | None = None
    angular_step: float = ANGULAR_STEP

    @property
    def scan_shape(self) -> tuple[int, int]:
        return self.counts.shape[0], self.counts.shape[1]

    def survey(self, train_fraction: float | None = 0.9, blocks: int = 3) -> Survey:
        """What a survey sees of it, in blocks of scan rows."""
        from ptychodask.analysis.survey import merge_looks

        n, patterns = self.counts.shape[-1], self.counts.shape[0] * self.counts.shape[1]
        weights = np.ones((n, n), np.float32) if self.mask is None else np.fft.ifftshift(self.mask).astype(np.float32)
        through = lens(self.scan_shape, self.microscope.semi_angle_mrad / self.angular_step)
        corner = np.fft.ifftshift(self.counts, axes=(2, 3)).reshape(patterns, n, n)
        share = train_fraction if corner.dtype.kind == "u" else None
        looks = []
        for indices in np.array_split(np.arange(patterns), blocks):
            made = prepare(corner[indices], indices, weights, share, 0)
            looks.append(look(made, indices, self.scan_shape, through))
        return Survey(
            merge_looks(looks), through, weights, self.microscope, self.angular_step, self.positions, self.scan_shape
        )


def sound(
    electrons: float = 200.0,
    *,
    defocus: float = 400.0,
    semi_angle: float = 8.0,
    scan: tuple[int, int] = (20, 24),
    step: tuple[float, float] = (1.2, 1.0),
    strength: float = 0.25,
    seed: int = 0,
) -> Scan:
    """A thin random specimen."""
    rng = np.random.default_rng(seed)
    microscope = Microscope(300e3, semi_angle, {"C10": -defocus})
    pixel = microscope.wavelength / (N * ANGULAR_STEP * 1e-3)
    positions = raster(scan, step).reshape(-1, 2)
    canvas, centres = make_canvas(positions, N, pixel)
    field = np.fft.fft2(rng.standard_normal(canvas.shape))
    q = [np.fft.fftfreq(n, pixel) for n in canvas.shape]
    phase = np.fft.ifft2(field * np.exp(-((q[0][:, None] ** 2 + q[1] ** 2) * 1.5**2))).real
    phase *= strength / phase.std()
    corners, fractions = split_positions(centres, N)
    probes, _ = shifted_probes(probe_spectra(make_probe(microscope, N, pixel, electrons)[None]), fractions)
    _, psi = forward(gather(np.exp(1j * phase)[None], corners, N), probes, np.empty((0, N, N), np.complex128))
    expected = np.fft.fftshift(intensity(psi).reshape(*scan, N, N), axes=(-2, -1))
    return Scan(rng.poisson(expected).astype(np.uint16), positions, microscope)


def other_defocus(scan: Scan, factor: float) -> Scan:
    microscope = scan.microscope
    return replace(
        scan,
        microscope=Microscope(300e3, microscope.semi_angle_mrad, {"C10": factor * microscope.aberrations["C10"]}),
    )


def with_frame(scan: Scan, place: tuple[int, int], factor: int) -> Scan:
    counts = scan.counts.copy()
    counts[place] *= factor
    return replace(scan, counts=counts)


def with_pixel(scan: Scan, place: tuple[int, int], value: int) -> Scan:
    counts = scan.counts.copy()
    counts[(..., *place)] = value
    return replace(scan, counts=counts)


def reordered(scan: Scan, order: tuple[int, ...], reverse: int | None = None) -> Scan:
    """Axes of the counts in another order, or one of the detector's reversed about zero angle."""
    counts = scan.counts.transpose(order)
    if reverse is not None:
        counts = np.roll(np.flip(counts, reverse), 1, reverse)
    return replace(scan, counts=np.ascontiguousarray(counts))
