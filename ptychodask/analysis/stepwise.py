"""Which of many overlapping templates differ? One after another, the clearest first.

All templates at once would be told apart at the price of their noise: where a zinc column lies on a linker, twice the
error. But few differ. So every template is tested alone, beside the levels of all kinds and those templates that were
found before (forward selection with the thresholds of Benjamini & Hochberg):

    y = sum_k level_k M_k + sum_A c_i m_i,        M_k: all templates of kind k together

raw = M^T N^-1 y and G = M^T N^-1 M are all that is needed: with B the levels and A, the rest of template i is
``raw_i - G_iB b`` with variance ``G_ii - G_iB G_BB^-1 G_Bi``, and its amplitude the first over the second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.special import erfc

Floats = NDArray[np.floating]

FALSE_SHARE = 0.05
"""Of what is said to differ, so much may be noise."""
_OWN = 1e-3
"""Of a template that must be its own, beside what was found: less cannot be told from it."""


@dataclass(frozen=True)
class Differences:
    """Of every template.

    Parameters
    ----------
    change, sigma : array (n,)
        Amplitude beyond its kind's level, and standard error; nan and infinite where a template is not its own.
    scatter : float
        Of those that do not differ, over what noise gives them; ``sigma`` does not contain it.
    levels : array (kinds,)
        From which changes are counted.
    plain : bool array (n,)
        Those that were not found to differ.
    """

    change: Floats
    sigma: Floats
    scatter: float
    levels: Floats
    plain: NDArray[np.bool_]

    @property
    def z(self) -> Floats:
        """In standard deviations, which are widened where all scatter more than noise does."""
        return np.nan_to_num(self.change / (self.sigma * max(self.scatter, 1.0)))

    @property
    def p(self) -> Floats:
        """Two-sided."""
        return erfc(np.abs(self.z) / math.sqrt(2))


def differences(raw: Floats, gram: Floats, kinds: NDArray[np.integer], share: float = FALSE_SHARE) -> Differences:
    """Templates that differ from the level of their kind.

    Parameters
    ----------
    raw : array (n,)
    gram : array (n, n)
    kinds : int array (n,)
        0, 1, ...
    share : float
        Of false ones.
    """
    count = len(raw)
    levels = np.equal.outer(kinds, np.arange(int(kinds.max()) + 1)).astype(float)
    found: list[int] = []
    while True:
        chosen = np.concatenate([levels, np.eye(count)[:, found]], axis=1)
        solved = _solved(raw, gram, chosen, levels.shape[1], found)
        fresh = np.setdiff1d(np.arange(count), found)
        if not len(fresh) or len(found) > count // 2:
            return solved
        p = np.where(np.isin(np.arange(count), found), 2.0, solved.p)
        best = int(p.argmin())
        if p[best] > share * (len(found) + 1) / count:
            return solved
        found.append(best)


def _solved(raw: Floats, gram: Floats, chosen: Floats, kinds: int, found: list[int]) -> Differences:
    cross = gram @ chosen
    inverse = linalg.pinvh(chosen.T @ cross)
    fit = inverse @ (chosen.T @ raw)
    own = np.diag(gram)
    rest = own - np.einsum("ij,jk,ik->i", cross, inverse, cross)
    told = rest > _OWN * own
    safe = np.where(told, rest, 1.0)
    change = np.where(told, (raw - cross @ fit) / safe, np.nan)
    sigma = np.where(told, 1 / np.sqrt(safe), np.inf)
    plain = np.ones(len(raw), bool)
    for n, index in enumerate(found):
        change[index], sigma[index] = fit[kinds + n], math.sqrt(max(inverse[kinds + n, kinds + n], 1e-300))
        plain[index] = False
    plain &= told
    scatter = 1.4826 * float(np.median(np.abs(change[plain] / sigma[plain]))) if plain.any() else 1.0
    return Differences(change, sigma, scatter, fit[:kinds], plain)


def stands_out(p: Floats, share: float = FALSE_SHARE) -> NDArray[np.bool_]:
    """Which of many tests to believe, so that a share of them at most is false."""
    order = np.argsort(p, kind="stable")
    below = p[order] <= share * np.arange(1, len(p) + 1) / len(p)
    told = np.zeros(len(p), bool)
    if below.any():
        told[order[: int(np.flatnonzero(below)[-1]) + 1]] = True
    return told
