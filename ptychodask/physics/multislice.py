"""Multislice forward model, its adjoint and its tangent, for S slices and M incoherent probe modes.

u_0 = T P;   u_{s+1} = F^-1 H_s F (u_s O_s);   psi = F (u_{S-1} O_{S-1});   I = sum_m |psi_m|^2
"""

from __future__ import annotations

from collections.abc import Iterator

from .._array import Array, fft2, ifft2


def forward(views: Array, probes: Array, propagators: Array) -> tuple[list[Array], Array]:
    """Waves through the object.

    Parameters
    ----------
    views : complex array [S, B, N, N]
        Transmission of the slices, cut at the positions.
    probes : complex array [B, M, N, N]
        Shifted probe modes at the entrance surface.
    propagators : complex array [S - 1, N, N]
        Between one slice and the next.

    Returns
    -------
    waves : list of S arrays [B, M, N, N]
        Incident wave on every slice.
    psi : complex array [B, M, N, N]
        Waves on the detector, corner-centred.
    """
    waves = [probes]
    for view, propagator in zip(views[:-1], propagators, strict=True):
        spectrum = fft2(waves[-1] * view[:, None], overwrite=True)
        spectrum *= propagator
        waves.append(ifft2(spectrum, overwrite=True))
    return waves, fft2(waves[-1] * views[-1][:, None], overwrite=True)


def intensity(psi: Array) -> Array:
    """Incoherent sum over modes, [B, N, N]."""
    return (psi.real**2 + psi.imag**2).sum(axis=1)


def backward(
    waves: list[Array], views: Array, propagators: Array, residual: Array
) -> Iterator[tuple[Array, Array, Array]]:
    """Propagate the residual wave on the detector back to the entrance, last slice first.

    Parameters
    ----------
    waves, views, propagators
        As in and from :func:`forward`.
    residual : complex array [B, M, N, N]
        ``chi = -dL/d psi^*`` on the detector; it is destroyed.

    Yields
    ------
    gradient : complex array [B, N, N]
        ``sum_m conj(u_s) chi_s``, so that ``dL = -2 Re <gradient, dO_s>``.
    illumination : real array [B, N, N]
        ``sum_m |u_s|^2``.
    entering : complex array [B, M, N, N]
        ``conj(O_s) chi_s``; for slice 0 it is minus the gradient for the probe.
    """
    chi = ifft2(residual, overwrite=True)
    for s in range(len(waves) - 1, -1, -1):
        wave = waves[s]
        gradient = (wave.conj() * chi).sum(axis=1)
        entering = chi * views[s].conj()[:, None]
        yield gradient, intensity(wave), entering
        if s > 0:
            spectrum = fft2(entering, overwrite=True)
            spectrum *= propagators[s - 1].conj()
            chi = ifft2(spectrum, overwrite=True)


def tangent(
    waves: list[Array], views: Array, propagators: Array, d_views: Array | None, d_probes: Array | None
) -> Array:
    """Derivative of psi [..., B, M, N, N] along a direction of object and probe, or along several at once.

    Algorithm: differentiate :func:`forward`.

    Parameters
    ----------
    d_views : complex array [S, ..., B, N, N] or None
        Directions of the transmission in the views; None where the object is fixed.
    d_probes : complex array [..., B, M, N, N] or None
        Directions of the shifted probes; None where the probe is fixed.

    Raises
    ------
    ValueError
        If nothing moves.
    """
    d_wave = d_probes
    last = len(waves) - 1
    for s, wave in enumerate(waves):
        parts = [] if d_views is None else [wave * d_views[s][..., None, :, :]]
        parts += [] if d_wave is None else [d_wave * views[s][:, None]]
        if not parts:
            raise ValueError("neither object nor probe has a direction")
        exit_wave = sum(parts[1:], parts[0])
        spectrum = fft2(exit_wave, overwrite=True)
        if s == last:
            return spectrum
        spectrum *= propagators[s]
        d_wave = ifft2(spectrum, overwrite=True)
    raise AssertionError("unreachable: there is at least one slice")
