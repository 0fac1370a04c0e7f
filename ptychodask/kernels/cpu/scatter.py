"""Diffraction patterns of probes in a window of a transmission, by the compiled chain: what a simulation computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...physics.views import split_positions, window
from . import chain, fused
from .block import Window, ramps_of
from .vectors import LANES, compiled
from .workspace import FAR, ProblemPanels, Workspace, maps_from_panels, planes, problem_panels, to_panels, workspace


def diffract(transmission: np.ndarray, positions: np.ndarray, spectra: np.ndarray, propagators: np.ndarray) -> Any:
    """Intensities of probes behind an object, zero angle in the corner.

    Parameters
    ----------
    transmission : complex64 array [S, Y, X]
        Complex transmission of the slices, entrance first; only the window of the probes is read.
    positions : float array [B, 2]
        Probe centres (y, x) in its pixels.
    spectra : complex64 array [M, N, N]
        Unitary spectra of the probe's modes, centred at N/2.
    propagators : complex64 array [S - 1, N, N]

    Returns
    -------
    float32 array [B, N, N]
        In the units of ``sum |spectra|^2``, as by :func:`ptychodask.physics.multislice.forward`.
    """
    n = spectra.shape[-1]
    corners, fractions = split_positions(positions, n)
    y, x = window(corners, n)
    views = np.ascontiguousarray(transmission[:, y, x])
    rows, columns = np.ascontiguousarray((corners - np.array([y.start, x.start])).T.astype(np.int64))
    objects = planes(views, views.shape[2] + LANES)
    panels = to_panels(spectra / np.float32(n))[None]
    seen = Window(objects, rows, columns, ramps_of(fractions, n), panels, np.zeros(len(rows), np.int64))
    tables = problem_panels(propagators, np.ones((n, n), np.float32))
    space = workspace(1, len(spectra), n, pure_phase=False)._replace(ahead=objects.nbytes > FAR)
    out = np.empty((len(positions), *space.intensity.shape), np.float32)
    _scatter(space, tables, seen, np.float32(1 / n**2), out)
    return maps_from_panels(out, n)


@compiled
def _scatter(space: Workspace, tables: ProblemPanels, seen: Window, scale: float, out: np.ndarray) -> None:
    for b in range(out.shape[0]):
        ramp = seen.ramps[b]
        chain.forward(
            space.transforms, seen.spectra[0], ramp[0], ramp[1], seen.objects, seen.rows[b], seen.columns[b],
            tables.propagators, tables.following, space.panels, space.waves, space.chi, space.psi, space.ahead,
        )  # fmt: skip
        fused.predict(space.psi, scale, np.float32(0), out[b])
