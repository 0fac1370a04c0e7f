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

from .._errors import InputError
from ..model.optics import Microscope

REACH = {1: 0.1, 3: 1.0, 5: 1.9, 7: 2.6, 9: 3.3, 11: 3.9, 13: 4.4, 15: 4.9}
"""Standard deviation of a phase up to which so many nodes damp a beam right to 0.01."""
FAINT = 3e-5
"""Weight of a point that is left out."""


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
        raise InputError(f"{name} = {sigma:g}: at this semi-angle at most {largest:.2g} A can be simulated: give less")
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
