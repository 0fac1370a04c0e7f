"""The few numbers that place a scan on the detector and focus the probe, and the matrix that they make.

Axes are (y, x), y downwards; ``x_j = A nominal_j`` maps the raster of the nominal step to the axes of the detector,

    A = R diag(c (1 + a/2), c (1 - a/2)) [[1, g], [0, 1]],   R = [[cos, -sin], [sin, cos]]

with scale c, asymmetry a, shear g and the rotation. Where ``transpose`` is set, rows and columns of every pattern are
exchanged first: all other numbers are those of the exchanged patterns. The phase of the lens is

    chi = pi lambda (-defocus k^2 + c12a (kx^2 - ky^2) + 2 c12b kx ky)

so that a positive defocus is underfocus.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

SWAP = np.array([[0.0, 1.0], [1.0, 0.0]])
"""Exchanges y and x."""
NAMES = ("rotation", "scale", "asymmetry", "shear", "defocus", "c12a", "c12b", "eta", "eta2")
"""What can be fitted; angles in rad, lengths in angstrom."""
SCAN = NAMES[:4]


@dataclass(frozen=True)
class Geometry:
    """Scan, detector and focus.

    Parameters
    ----------
    rotation : float
        Of the scan against the detector, rad.
    scale, asymmetry, shear : float
        Of the scan against its nominal step.
    defocus : float
        At the middle of the specimen, angstrom, positive for underfocus.
    c12a, c12b : float
        Twofold astigmatism, ``C12 cos(2 phi12)`` and ``C12 sin(2 phi12)``, angstrom.
    eta, eta2 : float
        Amplitude contrast ``i phi exp(i (eta + eta2 q^2))``, rad and rad angstrom^2.
    transpose : bool
        Rows and columns of the patterns are exchanged.
    thickness : float
        Of the specimen, angstrom.
    """

    rotation: float = 0.0
    scale: float = 1.0
    asymmetry: float = 0.0
    shear: float = 0.0
    defocus: float = 0.0
    c12a: float = 0.0
    c12b: float = 0.0
    eta: float = 0.0
    eta2: float = 0.0
    transpose: bool = False
    thickness: float = 0.0

    @property
    def matrix(self) -> np.ndarray:
        """A [2, 2]: nominal raster to the axes of the (exchanged) patterns."""
        return self._turn() @ self._stretch() @ self._slant()

    @property
    def stored_matrix(self) -> np.ndarray:
        """A [2, 2] to the axes of the patterns as they are stored."""
        return SWAP @ self.matrix if self.transpose else self.matrix

    @property
    def c12(self) -> float:
        """Amplitude of the twofold astigmatism, angstrom."""
        return math.hypot(self.c12a, self.c12b)

    @property
    def phi12(self) -> float:
        """Its angle in rad, 0 to pi."""
        return math.atan2(self.c12b, self.c12a) / 2 % math.pi

    @property
    def other_branch(self) -> Geometry:
        """What cannot be told from it by the likelihood: turned by 180 degrees, every aberration and eta negative."""
        turned = (self.rotation + 2 * math.pi) % (2 * math.pi) - math.pi  # -pi to pi
        negative = {name: -getattr(self, name) for name in ("defocus", "c12a", "c12b", "eta", "eta2")}
        return replace(self, rotation=turned, **negative)

    def set(self, numbers: Mapping[str, float]) -> Geometry:
        """With other ``numbers``."""
        return replace(self, **dict[str, Any](numbers))

    def moved(self, steps: Mapping[str, float]) -> Geometry:
        """With numbers increased by ``steps``."""
        return self.set({name: getattr(self, name) + step for name, step in steps.items()})

    def generators(self) -> dict[str, np.ndarray]:
        """``(dA/da) A^-1`` [2, 2] of every number of the scan."""
        turn, stretch, slant = self._turn(), self._stretch(), self._slant()
        cos, sin = math.cos(self.rotation), math.sin(self.rotation)
        a, c = self.asymmetry, self.scale
        derivatives = {
            "rotation": np.array([[-sin, -cos], [cos, -sin]]) @ stretch @ slant,
            "scale": turn @ np.diag([1 + a / 2, 1 - a / 2]) @ slant,
            "asymmetry": turn @ np.diag([c / 2, -c / 2]) @ slant,
            "shear": turn @ stretch @ np.array([[0.0, 1.0], [0.0, 0.0]]),
        }
        inverse = np.linalg.inv(self.matrix)
        return {name: derivative @ inverse for name, derivative in derivatives.items()}

    def _turn(self) -> np.ndarray:
        cos, sin = math.cos(self.rotation), math.sin(self.rotation)
        return np.array([[cos, -sin], [sin, cos]])

    def _stretch(self) -> np.ndarray:
        return self.scale * np.diag([1 + self.asymmetry / 2, 1 - self.asymmetry / 2])

    def _slant(self) -> np.ndarray:
        return np.array([[1.0, self.shear], [0.0, 1.0]])


def geometry_of(matrix: np.ndarray) -> Geometry:
    """The numbers of a map A [2, 2] from the nominal raster to the axes of stored patterns.

    A map that mirrors is one to exchanged patterns.
    """
    transpose = bool(np.linalg.det(matrix) < 0)
    found = SWAP @ matrix if transpose else matrix
    rotation = math.atan2(found[1, 0], found[0, 0])
    cos, sin = math.cos(rotation), math.sin(rotation)
    (a, b), (_, d) = np.array([[cos, sin], [-sin, cos]]) @ found
    return Geometry(rotation, (a + d) / 2, 2 * (a - d) / (a + d), b / a, transpose=transpose)
