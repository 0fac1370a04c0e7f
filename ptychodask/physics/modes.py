"""Probe modes: make a start from one probe, orthogonalise them, keep their power and their aperture."""

from __future__ import annotations

import numpy as np

from .._array import Array, fft2, ifft2, namespace


def hermite_modes(probe: Array, modes: int, power: float) -> Array:
    """Start for M incoherent modes from one probe.

    ``h_ab = (y - c_y)^a (x - c_x)^b P exp(-(x - c_x)^2 / 2 v_x - (y - c_y)^2 / 2 v_y)`` for a + b > 0 with the centre
    and the variances of |P|^2, Gram-Schmidt in the order of a + b.

    Parameters
    ----------
    probe : complex array [N, N]
    modes : int
        M, at least 1.
    power : float
        Share of the power that every mode after the first gets.

    Returns
    -------
    complex array [M, N, N] with the power of ``probe``.
    """
    xp = namespace(probe)
    weight = xp.abs(probe) ** 2
    power_total = weight.sum()
    y, x = xp.meshgrid(xp.arange(probe.shape[0]), xp.arange(probe.shape[1]), indexing="ij")
    y = y - (weight * y).sum() / power_total
    x = x - (weight * x).sum() / power_total
    vy, vx = (weight * y**2).sum() / power_total, (weight * x**2).sum() / power_total
    envelope = xp.exp(-(x**2) / (2 * vx) - y**2 / (2 * vy))
    basis = [probe / xp.sqrt(power_total)]
    order = 1
    while len(basis) < modes:
        for b in range(order + 1):
            if len(basis) == modes:
                break
            mode = y ** (order - b) * x**b * probe * envelope
            for other in basis:
                mode = mode - (other.conj() * mode).sum() * other
            basis.append(mode / xp.sqrt((xp.abs(mode) ** 2).sum()))
        order += 1
    shares = [1 - power * (modes - 1)] + [power] * (modes - 1)
    return xp.stack([mode * xp.sqrt(share * power_total) for mode, share in zip(basis, shares, strict=True)])


def orthogonalise(probe: Array) -> Array:
    """Rotate the modes [M, N, N] to orthogonal ones by falling power; every intensity stays as it is.

    Gram ``G_ab = <P_a, P_b> = V L V^H`` in float64, then ``P'_c = sum_a V_ac P_a``.
    """
    modes = len(probe)
    if modes == 1:
        return probe
    xp = namespace(probe)
    gram = np.empty((modes, modes), dtype=np.complex128)
    for a in range(modes):
        for b in range(modes):
            gram[a, b] = complex((probe[a].conj() * probe[b]).sum(dtype=np.complex128))
    _, vectors = np.linalg.eigh(gram)
    vectors = vectors[:, ::-1]
    # eigenvectors are defined up to a phase; fix it, so that bits do not depend on the LAPACK build's choice
    pivot = vectors[np.abs(vectors).argmax(axis=0), np.arange(modes)]
    vectors = vectors * (np.abs(pivot) / pivot)
    out = xp.zeros_like(probe)
    for c in range(modes):
        for a in range(modes):
            out[c] += probe.dtype.type(vectors[a, c]) * probe[a]
    return out


def aperture_support(probe: Array, allowed: Array) -> Array:
    """Remove what lies outside the aperture from the strongest mode; ``allowed`` [N, N] is corner-centred, 0 or 1."""
    first = ifft2(fft2(probe[0]) * allowed)
    return namespace(probe).concatenate([first[None].astype(probe.dtype), probe[1:]])
