"""Hydrogens placed by geometry, where diffraction does not see them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def cap(base: ArrayLike, outward: ArrayLike, reference: ArrayLike, bond: float) -> NDArray[np.float64]:
    """Place the three hydrogens of a CH3 or NH3 group.

    Parameters
    ----------
    base : (3,) array_like
        Cartesian position of the carbon or nitrogen, in angstrom.
    outward : (3,) array_like
        Direction from its one heavy neighbour to ``base``.
    reference : (3,) array_like
        The first hydrogen lies in the half plane of ``outward`` and this direction.
    bond : float
        Bond length in angstrom.

    Returns
    -------
    (3, 3) ndarray
        Cartesian positions in angstrom; all angles at ``base`` are tetrahedral.
    """
    axis = np.asarray(outward, float) / np.linalg.norm(outward)
    u = np.asarray(reference, float) - np.dot(reference, axis) * axis
    u /= np.linalg.norm(u)
    v = np.cross(axis, u)
    turn = 2 * np.pi * np.arange(3)[:, None] / 3
    radial = np.cos(turn) * u + np.sin(turn) * v
    return np.asarray(base, float) + bond * (axis + np.sqrt(8) * radial) / 3
