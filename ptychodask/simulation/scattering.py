"""Scattering: slices of projected potential from abTEM, and diffraction patterns of probes in windows of them.

abTEM gives the potential (Lobato parametrisation, infinite projections) on the whole canvas once. Each probe then goes
through its own window of the canvas by the compiled kernels of this package, because abTEM propagates every probe
over the full potential, which for a scan much larger than the probe wastes nearly all of the work. A test holds the
result against abTEM's own wave functions.

Approximations, all of them: no phonons unless asked for, neutral isolated atoms, Fresnel propagation, frequencies above
2/3 of the simulation's Nyquist (= the edge of the detector; its corners are some 200 times darker than they should be)
removed, a window as wide as the detector's box lambda / dtheta (what is scattered out of it wraps around),
point-sampled detector pixels, full coherence unless a source size or focal spread is asked for. abTEM places atoms
between its grid points bilinearly, which weakens the highest angles: the projected phase of a Zn column comes out 3 %
below the exact sum, in truth and patterns alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .._array import fft2, ifft2
from .._errors import InputError
from ..kernels.cpu.scatter import diffract
from ..model.optics import Microscope, interaction_constant
from ..model.scan import Canvas, Detector, make_canvas
from ..physics.coherence import defocused, points, shifted
from ..physics.probe import make_probe
from ..physics.propagation import fresnel_propagator
from .specimen import Specimen, fill_box

BAND_LIMIT = 2 / 3
MARGIN_ANGSTROM = 5.0
"""Rim of the canvas beyond the outermost window: the potential wraps around at the canvas' edge."""


@dataclass(frozen=True)
class Experiment:
    """A simulated experiment, all that patterns depend on but the noise.

    ``positions`` [J, 2] are the true probe centres (y, x) in angstrom; ``tilt`` is the lean (y, x) of the columns as a
    tangent; ``electrons`` the electrons per pattern; ``source_size`` and ``focal_spread`` are standard deviations in
    angstrom, see :mod:`ptychodask.physics.coherence`.
    """

    specimen: Specimen
    microscope: Microscope
    detector: Detector
    positions: np.ndarray
    electrons: float
    slice_thickness: float
    tilt: tuple[float, float] = (0.0, 0.0)
    source_size: float = 0.0
    focal_spread: float = 0.0

    @property
    def pixels(self) -> int:
        """Side of the simulation's window: 3/2 of the detector, so that the band limit lies at the detector's edge."""
        return self.detector.pixels * 3 // 2

    @property
    def pixel(self) -> float:
        """Pixel of the simulation in angstrom."""
        return self.detector.pixel_angstrom(self.microscope.wavelength) * self.detector.pixels / self.pixels

    def canvas(self) -> tuple[Canvas, np.ndarray]:
        """Canvas of the simulation, its sides multiples of 3, and the positions in its pixels."""
        canvas, centres = make_canvas(self.positions, self.pixels, self.pixel, pad=round(MARGIN_ANGSTROM / self.pixel))
        shape = tuple(-(-n // 3) * 3 for n in canvas.shape)
        return Canvas((shape[0], shape[1]), canvas.pixel, canvas.origin), centres


def potential_slices(experiment: Experiment, configuration: int = 0) -> Iterator[tuple[float, np.ndarray]]:
    """Thickness in angstrom and projected potential [Y, X] in V angstrom of every slice, entrance first."""
    try:
        import abtem
    except ImportError as error:
        raise InputError("simulation needs abTEM: pip install 'ptychodask[simulate]'") from error
    canvas, _ = experiment.canvas()
    extent = (canvas.shape[0] * canvas.pixel, canvas.shape[1] * canvas.pixel)
    atoms = fill_box(experiment.specimen, canvas.origin, extent, configuration)
    potential = abtem.Potential(
        atoms,
        gpts=canvas.shape[::-1],
        slice_thickness=experiment.slice_thickness,
        parametrization="lobato",
        projection="infinite",
        device="cpu",
    )
    for piece in potential.generate_slices():
        array = np.asarray(piece.array, dtype=np.float64)
        yield float(piece.slice_thickness[0]), array.reshape(array.shape[-2:]).T


def transmission(experiment: Experiment, potential: np.ndarray) -> np.ndarray:
    """Band-limited transmission ``exp(i sigma V)`` [Y, X] complex64 of one slice."""
    sigma = interaction_constant(experiment.microscope.energy_ev)
    k = [np.fft.fftfreq(n, experiment.pixel) for n in potential.shape]
    keep = k[0][:, None] ** 2 + k[1][None, :] ** 2 <= (BAND_LIMIT / (2 * experiment.pixel)) ** 2
    return ifft2(fft2(np.exp(1j * sigma * potential)) * keep).astype(np.complex64)


def projected_phase(experiment: Experiment, potential: np.ndarray) -> tuple[Canvas, np.ndarray]:
    """Truth: ``sigma`` times the potential [Y, X] projected through the specimen, on the detector's pixels.

    Fourier-cropped from the simulation's canvas to 2/3 of its pixels.
    """
    canvas, _ = experiment.canvas()
    phase = interaction_constant(experiment.microscope.energy_ev) * potential
    shape = (canvas.shape[0] * 2 // 3, canvas.shape[1] * 2 // 3)
    spectrum = np.fft.fftshift(np.fft.fft2(phase))
    low = [n // 2 - m // 2 for n, m in zip(canvas.shape, shape, strict=True)]
    spectrum = spectrum[low[0] : low[0] + shape[0], low[1] : low[1] + shape[1]]
    small = np.fft.ifft2(np.fft.ifftshift(spectrum)).real * (shape[0] * shape[1] / phase.size)
    return Canvas(shape, canvas.pixel * 1.5, canvas.origin), small.astype(np.float32)


def diffraction_patterns(
    experiment: Experiment, indices: np.ndarray, transmission: np.ndarray, thicknesses: np.ndarray
) -> np.ndarray:
    """Intensities [B, N, N] float32, zero angle in the centre, in electrons.

    Parameters
    ----------
    experiment : Experiment
    indices : int array [B]
        Patterns j to compute.
    transmission : complex64 array [S, Y, X]
        On the simulation's canvas; may be memory-mapped, only the window of the patterns is read.
    thicknesses : array [S]
        Of the slices in angstrom.
    """
    n, big = experiment.detector.pixels, experiment.pixels
    _, centres = experiment.canvas()
    wavelength = experiment.microscope.wavelength
    propagators = np.empty((len(thicknesses) - 1, big, big), np.complex64)
    for s, dz in enumerate(thicknesses[:-1]):
        propagators[s] = fresnel_propagator(big, experiment.pixel, wavelength, dz, experiment.tilt, BAND_LIMIT)
    every = points(experiment.microscope, experiment.source_size, experiment.focal_spread)
    found: np.ndarray | float = 0.0
    for microscope, sources in defocused(experiment.microscope, every):
        probe = make_probe(microscope, big, experiment.pixel, experiment.electrons)
        spectrum = fft2(probe[None]).astype(np.complex64)
        for point in sources:
            seen = shifted(centres[indices], point, experiment.pixel)
            found = found + np.float32(point.weight) * diffract(transmission, seen, spectrum, propagators)
    crop = slice((big - n) // 2, (big + n) // 2)
    return np.ascontiguousarray(np.fft.fftshift(found, axes=(-2, -1))[:, crop, crop])
