"""Strain and rotation of a lattice by geometric phase analysis.

As Hytch, Snoeck & Kilaas, Ultramicroscopy 74, 131 (1998). The image is seen through a Gaussian in frequency about each
strong node g of the lattice; the phase of what passes, beyond that of the mean lattice, is P_g(r) = -2 pi g u(r). So
the gradients of the phases give that of the displacement,

    grad P_g = -2 pi (grad u) g,     grad P = Im(conj(f) grad f) / |f|^2,

by least squares over all g, each weighted by its own error: no phase is unwrapped. The Gaussian of sigma s in space has
the sigma 1 / (2 pi s) in frequency. Noise of power P in the image moves the gradient of a phase along an axis by

    sigma = sqrt(P / (16 pi)) / (s^2 A),     A the amplitude of f at r

(f's noise has the variance P / (4 pi s^2), its gradient 1 / (2 s^2) of that, and half of either is across f), and the
strain by what follows through the least squares. Strain is that of the image, relative to the mean lattice: a
distortion of the scan is seen as one, too, and so is a motif that is missing at one end of the Gaussian. With the
spectral prior what repeats in a window is averaged: strain that changes over less than a window is seen smaller than it
is.
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import fft
from scipy.signal.windows import tukey

from .._errors import InputError
from .cell import Lattice
from .frc import remove_plane
from .noise import Conditions
from .spectrum import pixel_size

Floats = NDArray[np.floating]

_NODES = 12
"""The strongest that are used at most."""
_USELESS = 0.05
"""Strain: where the noise alone makes as much, nothing is said."""
_WIDTH = 0.6
"""s times the shortest reciprocal vector: exp(-2 (pi 0.6)^2) = 0.0008 of a neighbour pass."""
_BEYOND = 3.0
"""An amplitude so many times its noise has a phase."""


def strain_map(
    image: xr.DataArray, lattice: Lattice, noise: Conditions, *, resolution: float | None = None
) -> xr.Dataset:
    """Strain and rotation against the mean lattice.

    Parameters
    ----------
    image : (y, x)
        Inside the scan, coordinates in angstrom.
    lattice : Lattice
    noise : Conditions
    resolution : float, optional
        Angstrom: sigma s of the Gaussian that a value is a mean of. By default 0.6 of the widest spacing of the
        lattice's lines: the next node then passes with 0.1 %.

    Returns
    -------
    xarray.Dataset
        ``strain`` (component, y, x): "xx", "yy", "xy" and "rotation" (of the crystal from x towards y, rad), NaN within
        s of the edge and where noise alone makes 5 %; ``error`` (component, y, x), from the
        noise alone; attributes ``resolution_angstrom`` and ``nodes``.

    Raises
    ------
    InputError
        No two nodes in different directions stand above the noise.
    """
    steps = pixel_size(image)
    shortest = min(float(np.linalg.norm(v)) for v in (*lattice.reciprocal, lattice.reciprocal.sum(axis=0)))
    s = _WIDTH / shortest if resolution is None else float(resolution)
    values, inner = _padded(image, steps, s)
    shape = (values.shape[0], values.shape[1])
    y, x = (np.arange(n) * d for n, d in zip(shape, steps, strict=True))
    ky, kx = np.fft.fftfreq(shape[0], steps[0]), np.fft.fftfreq(shape[1], steps[1])
    transform, power = np.fft.fft2(values), noise.power(shape, steps)
    strong = []
    for node in np.unique(lattice.nodes, axis=0):
        g = node @ lattice.reciprocal
        mask = np.exp(-2 * (np.pi * s) ** 2 * ((ky[:, None] - g[0]) ** 2 + (kx[None] - g[1]) ** 2))
        passed = transform * mask
        wave = np.exp(-2j * np.pi * (g[0] * y[:, None] + g[1] * x[None]))[inner]
        f = np.fft.ifft2(passed)[inner] * wave
        slopes = [
            np.fft.ifft2(passed * (2j * np.pi * (k - g[n])))[inner] * wave
            for n, k in enumerate((ky[:, None], kx[None]))
        ]
        at = (round(g[0] * shape[0] * steps[0]), round(g[1] * shape[1] * steps[1]))
        at = at if at[1] >= 0 else (-at[0], -at[1])  # of a real image half of the frequencies are there
        level = float(power[at[0] % shape[0], at[1]]) * steps[0] * steps[1]
        clear = float(np.median(np.abs(f))) / math.sqrt(level / (4 * np.pi * s**2))
        if clear > _BEYOND:
            strong.append((clear, g, f, slopes, level))
    strong = sorted(strong, key=lambda r: -r[0])[:_NODES]
    size_of = image.shape
    normal, right = np.zeros((*size_of, 2, 2)), np.zeros((*size_of, 2, 2))
    for _, g, f, slopes, level in strong:
        size = np.maximum(np.abs(f), 1e-300)
        weight = (s**2 * size) ** 2 / (level / (16 * np.pi))
        normal += weight[..., None, None] * np.outer(g, g)
        gradient = np.stack([(np.conj(f) * d).imag for d in slopes], axis=-1) / size[..., None] ** 2
        right += (weight / (-2 * np.pi))[..., None, None] * gradient[..., :, None] * g
    singular = np.linalg.det(normal) <= 1e-3 * (np.trace(normal, axis1=-2, axis2=-1) / 2) ** 2
    if singular.all():
        raise InputError(
            f"no strain: {len(strong)} of the lattice's {len(lattice.nodes)} peaks stand above the noise through a"
            f" Gaussian of {s:.1f} A, and they must lie in two directions; set a larger resolution"
        )
    normal[singular] = np.eye(2)
    inverse = np.linalg.inv(normal)
    gradient = right @ inverse  # [axis, component]: d u_component / d axis
    tall, wide = y[: size_of[0]], x[: size_of[1]]
    edge = np.minimum.outer(np.minimum(tall, tall[-1] - tall), np.minimum(wide, wide[-1] - wide)) < s
    found = _components(gradient)
    spread = np.diagonal(inverse, axis1=-2, axis2=-1) / (4 * np.pi**2)  # of the components y and x
    half = np.sqrt(spread.sum(axis=-1)) / 2
    error = np.stack([np.sqrt(spread[..., 1]), np.sqrt(spread[..., 0]), half, half])
    nothing = singular | edge | (error.max(axis=0) > _USELESS)
    found[:, nothing], error[:, nothing] = np.nan, np.nan
    names = ["xx", "yy", "xy", "rotation"]
    data = xr.Dataset(
        {"strain": (("component", "y", "x"), found), "error": (("component", "y", "x"), error)},
        {"component": names, "y": image.y.values, "x": image.x.values},
        {"resolution_angstrom": s, "nodes": len(strong)},
    )
    for axis in ("y", "x"):
        data[axis].attrs["units"] = "angstrom"
    return data


def _padded(image: xr.DataArray, steps: tuple[float, float], s: float) -> tuple[Floats, tuple[slice, slice]]:
    """The image under soft edges, with zeros around, so that nothing wraps; and where it is in there.

    A weight that is real leaves phases as they are where they are the same all around.
    """
    values = remove_plane(np.asarray(image.values, float))
    taper = np.outer(*(tukey(n, min(1.0, 2 * s / (n * d))) for n, d in zip(values.shape, steps, strict=True)))
    before = [math.ceil(3 * s / d) for d in steps]
    shape = [fft.next_fast_len(n + 2 * b) for n, b in zip(values.shape, before, strict=True)]
    full = np.zeros(shape)
    inner = (slice(before[0], before[0] + values.shape[0]), slice(before[1], before[1] + values.shape[1]))
    full[inner] = values * taper
    return full, inner


def _components(gradient: Floats) -> Floats:
    """Strains xx, yy, xy and the rotation from x towards y, of d u_component / d axis [h, w, axis, component]."""
    dy, dx = gradient[..., 0, :], gradient[..., 1, :]
    return np.stack([dx[..., 1], dy[..., 0], (dx[..., 0] + dy[..., 1]) / 2, (dx[..., 0] - dy[..., 1]) / 2])
