"""Does a set of diffraction peaks lie on one lattice?"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

Floats = NDArray[np.floating]

_TOLERANCE = 0.6
"""In Fourier pixels: a peak as near to a node lies on it. Peaks are placed to a few tenths of a pixel."""
_SEEDS = 7
"""So many of the strongest, and of the innermost, peaks are taken, of which two span the lattice that is tried."""
_CLOSEST = 3.0
"""In Fourier pixels: nodes closer than this are as good as everywhere."""
_FALSE_LATTICES = 0.01
"""Accepted number of images without a lattice in which one is found."""
_DIRECTIONS = 3
"""A lattice has peaks in many directions; the spectrum of a letter or of an edge has its lobes along one or two."""


def on_lattice(peaks: Floats, strength: Floats) -> tuple[NDArray[np.bool_], float]:
    """Which peaks lie on one 2D lattice, if there is one.

    Every pair of the strongest and innermost peaks spans a lattice; the one on which the most peaks lie beyond what
    chance would put there is fitted to them by least squares. It is accepted where chance, over all pairs tried,
    would reach as many in less than one of a hundred images, and where at least half of the peaks lie on it, in three
    directions or more.

    Parameters
    ----------
    peaks : array (n, 2), Fourier pixels
        Frequencies (y, x), one of each Friedel pair.
    strength : array (n,)
        Their power; the strongest are tried as basis.

    Returns
    -------
    bool array (n,)
        All False where there is no lattice.
    float
        Length of the longer basis vector in Fourier pixels; nan without a lattice.
    """
    near, basis = fitted_lattice(peaks, strength)
    return near, float("nan") if basis is None else float(np.linalg.norm(basis, axis=1).max())


def fitted_lattice(
    peaks: Floats, strength: Floats, seeds: Floats | None = None
) -> tuple[NDArray[np.bool_], NDArray[Any] | None]:
    """As :func:`on_lattice`, with the basis (2, 2) in Fourier pixels, one vector (y, x) a row; None without a lattice.

    ``seeds`` (m, 2) are further vectors of which two may span the lattice, such as differences of peaks.
    """
    none = np.zeros(len(peaks), dtype=bool), None
    if len(peaks) < _DIRECTIONS:
        return none
    orders = (np.argsort(key, kind="stable")[:_SEEDS] for key in (-strength, np.linalg.norm(peaks, axis=1)))
    tried = peaks[np.unique(np.concatenate(list(orders)))]
    tried = tried if seeds is None else np.concatenate([tried, seeds])
    pairs = list(combinations(range(len(tried)), 2))
    best, chance = none[0], 1.0
    fitted: NDArray[Any] = np.zeros((2, 2))
    for i, j in pairs:
        basis = reduced(tried[[i, j]], _CLOSEST)
        if basis is None:
            continue
        for order in (2, 5, np.inf, np.inf):  # two peaks place the nodes near them, these the ones further out
            nodes, near = _nodes(peaks, basis)
            near &= np.abs(nodes).max(axis=1) <= order
            if np.linalg.matrix_rank(nodes[near]) == 2:
                basis = np.linalg.lstsq(nodes[near], peaks[near], rcond=None)[0]
        nodes, near = _nodes(peaks, basis)
        cell = abs(np.linalg.det(basis))
        if cell < _CLOSEST**2:
            continue
        share = min(1.0, np.pi * _TOLERANCE**2 / cell)
        # two peaks lie on any lattice that they span
        odds = float(binom.sf(near.sum() - 3, len(peaks) - 2, share)) * len(pairs)
        if odds < chance and _directions(nodes[near]) >= _DIRECTIONS:
            best, fitted, chance = near, basis, odds
    if chance > _FALSE_LATTICES or best.sum() < 0.5 * len(peaks):
        return none
    return best, fitted


def _nodes(peaks: Floats, basis: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Nearest node (n, 2) of every peak in units of the basis, and whether the peak lies on it."""
    nodes = np.rint(peaks @ np.linalg.inv(basis))
    return nodes, (np.linalg.norm(peaks - nodes @ basis, axis=1) < _TOLERANCE) & nodes.any(axis=1)


def reduced(basis: NDArray[Any], closest: float = 0.0) -> NDArray[Any] | None:
    """The two shortest vectors of the lattice (Gauss), None where one is shorter than ``closest``, or it is a line."""
    a, b = basis
    for _ in range(50):
        if a @ a > b @ b:
            a, b = b, a
        if a @ a <= closest**2:
            return None
        turns = np.rint(a @ b / (a @ a))
        if turns == 0:
            break
        b = b - turns * a
    return np.stack([a, b]) if abs(np.linalg.det(np.stack([a, b]))) > 1e-6 else None


def _directions(nodes: Floats) -> int:
    """Number of lines through the origin on which nodes lie."""
    whole = nodes.astype(int)
    steps = whole // np.gcd(whole[:, 0], whole[:, 1])[:, None]
    upper = np.where((steps[:, :1] < 0) | ((steps[:, :1] == 0) & (steps[:, 1:] < 0)), -steps, steps)
    return len(np.unique(upper, axis=0))
