"""Partial coherence: a source of finite size and a spread of foci, as a sum of the patterns of points of both.

Source points shift the probe, and the spread of energies changes its defocus; intensities add. Averages over a Gaussian
are sums over the nodes of Gauss-Hermite quadrature. How many it takes depends on what varies with a point: beams that
interfere on the detector differ by at most 2 alpha / lambda in frequency, so a shift s turns their phase by up to
4 pi s alpha / lambda, and a change of defocus d by up to pi d alpha^2 / lambda.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .._array import fft2, ifft2
from .._errors import InputError
from ..model.optics import Microscope
from .modes import hermite_modes, orthogonalise
from .probe import frequencies, make_probe

REACH = {1: 0.1, 3: 1.0, 5: 1.9, 7: 2.6, 9: 3.3, 11: 3.9, 13: 4.4, 15: 4.9}
"""Standard deviation of a phase up to which so many nodes damp a beam right to 0.01."""
FAINT = 3e-5
"""Weight of a point that is left out."""
TURNS = 8
"""Of the iteration that finds modes: their powers fall by a factor of 2 and more, in shells."""


@dataclass(frozen=True)
class Point:
    """A point of source and focus: ``weight``, ``shift`` (y, x) of the probe and ``defocus``, both in angstrom."""

    weight: float
    shift: tuple[float, float]
    defocus: float


def points(microscope: Microscope, source_size: float, focal_spread: float) -> tuple[Point, ...]:
    """Points whose patterns add up to one of partial coherence.

    Parameters
    ----------
    microscope : Microscope
    source_size, focal_spread : float
        Standard deviations in angstrom: of the source's image in the specimen, along each axis; and of the defocus.

    Raises
    ------
    InputError
        If so little is coherent that no sum of points would do.
    """
    alpha, wavelength = microscope.semi_angle, microscope.wavelength
    across = _nodes(source_size, 4 * math.pi * source_size * alpha / wavelength, "source_size_angstrom")
    along = _nodes(focal_spread, math.pi * focal_spread * alpha**2 / wavelength, "focal_spread_angstrom")
    found = [Point(wy * wx * wz, (y, x), z) for (y, wy), (x, wx), (z, wz) in itertools.product(across, across, along)]
    bright = [point for point in found if point.weight >= FAINT]
    total = math.fsum(point.weight for point in bright)
    return tuple(Point(point.weight / total, point.shift, point.defocus) for point in bright)


def _nodes(sigma: float, phase: float, name: str) -> list[tuple[float, float]]:
    """Nodes and weights of a Gaussian of standard deviation ``sigma``, which turns phases by up to ``phase`` rad."""
    count = next((n for n, reach in REACH.items() if phase <= reach), None)
    if count is None:
        largest = sigma * max(REACH.values()) / phase
        raise InputError(f"{name} = {sigma:g}: at this semi-angle at most {largest:.2g} A can be computed: give less")
    if sigma == 0:
        return [(0.0, 1.0)]
    nodes, weights = np.polynomial.hermite_e.hermegauss(max(count, 3))
    return list(zip((sigma * nodes).tolist(), (weights / weights.sum()).tolist(), strict=True))


def shifted(centres: np.ndarray, point: Point, pixel: float) -> np.ndarray:
    """Probe centres [B, 2] in pixels as a point of the source sees them."""
    return centres + np.array(point.shift) / pixel


def defocused(microscope: Microscope, every: tuple[Point, ...]) -> Iterator[tuple[Microscope, list[Point]]]:
    """The microscope at every focus, with the source points there."""
    for defocus, group in itertools.groupby(sorted(every, key=lambda p: p.defocus), key=lambda p: p.defocus):
        wrong = {**microscope.aberrations, "C10": microscope.aberrations.get("C10", 0.0) - defocus}
        yield Microscope(microscope.energy_ev, microscope.semi_angle_mrad, wrong), list(group)


def coherent_modes(microscope: Microscope, n: int, pixel: float, every: tuple[Point, ...], modes: int) -> np.ndarray:
    """The modes that carry most of a partially coherent probe, complex128 [M, N, N] by falling power, of power 1.

    The probes P_p of all points with weights w_p are a state ``rho = sum_p w_p P_p P_p^H``, whose patterns are those of
    its eigenvectors; the first M are found by orthogonal iteration (Golub and Van Loan, Matrix Computations 8.2.4). The
    power that is missing to 1 is that of the others.

    Parameters
    ----------
    microscope : Microscope
    n, pixel : int, float
        Side of the box in pixels, and pixel in angstrom.
    every : tuple of Point
        From :func:`points`.
    modes : int
        M.
    """
    probes = [
        np.sqrt(point.weight) * _moved(make_probe(lens, n, pixel), point.shift, pixel)
        for lens, group in defocused(microscope, every)
        for point in group
    ]
    stack = np.reshape(probes, (len(probes), -1))
    basis = _orthonormal(hermite_modes(make_probe(microscope, n, pixel), modes, 0.5 / modes).reshape(modes, -1))
    # sums without BLAS: its bits depend on its threads, and workers have others than a session
    for _ in range(TURNS):
        basis = _orthonormal(np.einsum("mp,pn->mn", np.einsum("mn,pn->mp", basis, stack.conj()), stack))
    overlap = np.einsum("mn,pn->mp", basis.conj(), stack)
    return orthogonalise(np.einsum("mk,mn->kn", _root(overlap), basis).reshape(modes, n, n))


def _root(overlap: np.ndarray) -> np.ndarray:
    """A root of the state within the basis: ``R R^H = C C^H`` of the overlaps C [M, P]."""
    state = np.einsum("mp,kp->mk", overlap, overlap.conj())
    powers, vectors = np.linalg.eigh(state)
    return np.asarray(vectors * np.sqrt(np.maximum(powers, 0.0)))


def _orthonormal(vectors: np.ndarray) -> np.ndarray:
    """Gram-Schmidt of the rows, twice."""
    out = vectors.copy()
    for _ in range(2):
        for m in range(len(out)):
            for other in out[:m]:
                out[m] -= (other.conj() * out[m]).sum() * other
            out[m] /= np.sqrt((np.abs(out[m]) ** 2).sum())
    return out


def _moved(probe: np.ndarray, shift: tuple[float, float], pixel: float) -> np.ndarray:
    ky, kx = frequencies(len(probe), pixel)
    return np.asarray(ifft2(fft2(probe) * np.exp(-2j * np.pi * (ky * shift[0] + kx * shift[1]))))
