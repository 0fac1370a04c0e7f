"""The mean of the cells of an image, its standard error, and how many cells were there.

Every point u of the cell is looked up in all its translates inside the image (cubic splines): mean and standard
deviation / sqrt(n) over those n, which need not be whole cells. The error is what the cells say of themselves: noise,
and whatever differs between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

from .._errors import InputError
from .cell import Lattice
from .spectrum import pixel_size

Floats = NDArray[np.floating]

_LEAST = 3
"""Translates of every point of the cell: fewer have no error worth the name."""


@dataclass(frozen=True)
class CellMean:
    """Mean of the cells; node (0, 0) of the lattice lies at ``origin``.

    Parameters
    ----------
    lattice : Lattice
    origin : array (2,)
        (y, x) in angstrom.
    mean, error : array (nb, na)
        Rad; at ``j / nb`` along b and ``i / na`` along a.
    count : int array (nb, na)
        Translates.
    """

    lattice: Lattice
    origin: Floats
    mean: Floats
    error: Floats
    count: NDArray[np.integer]

    def at(self, places: Floats, values: Floats | None = None) -> Floats:
        """Mean, or other values on its grid, at places (..., 2), (y, x) in angstrom."""
        grid = self.mean if values is None else values
        along = (np.asarray(places) - self.origin) @ self.lattice.reciprocal.T
        nb, na = grid.shape
        return ndimage.map_coordinates(grid, [along[..., 1] * nb, along[..., 0] * na], order=3, mode="grid-wrap")

    def on(self, image: xr.DataArray) -> xr.DataArray:
        """The mean on the pixels of an image."""
        y, x = np.meshgrid(image.y.values, image.x.values, indexing="ij")
        return image.copy(data=self.at(np.stack([y, x], axis=-1)))


def cell_mean(image: xr.DataArray, lattice: Lattice) -> CellMean:
    """Mean of the cells of an image; its origin is the image's middle.

    Raises
    ------
    InputError
        Where some point of the cell is seen less than three times.
    """
    steps, corner = pixel_size(image), np.array([float(image.y[0]), float(image.x[0])])
    size = np.array([(n - 1) * d for n, d in zip(image.shape, steps, strict=True)])
    origin = corner + size / 2
    a, b = (float(np.linalg.norm(v)) for v in lattice.basis)
    na, nb = (max(4, int(np.ceil(length / min(steps)))) for length in (a, b))
    v, u = np.meshgrid(np.arange(nb) / nb, np.arange(na) / na, indexing="ij")
    first = origin + u[..., None] * lattice.basis[0] + v[..., None] * lattice.basis[1]
    corners = np.array([(y, x) for y in (0, size[0]) for x in (0, size[1])]) + corner - origin
    along = corners @ lattice.reciprocal.T
    low, high = np.floor(along.min(axis=0)).astype(int) - 1, np.ceil(along.max(axis=0)).astype(int) + 1
    spline = ndimage.spline_filter(np.asarray(image.values, float), 3, mode="mirror")
    total, square = np.zeros((2, nb, na))
    count = np.zeros((nb, na), int)
    for i in range(low[0], high[0]):
        for j in range(low[1], high[1]):
            place = first + i * lattice.basis[0] + j * lattice.basis[1] - corner
            seen = ((place >= 0) & (place <= size)).all(axis=-1)
            if seen.any():
                found = ndimage.map_coordinates(
                    spline, (place[seen] / steps).T, order=3, mode="mirror", prefilter=False
                )
                total[seen] += found
                square[seen] += found**2
                count[seen] += 1
    if count.min() < _LEAST:
        raise InputError(
            f"the image of {size[0]:.0f} x {size[1]:.0f} A sees some part of the cell ({a:.1f} x {b:.1f} A)"
            f" {count.min()} times: a mean of cells needs at least {_LEAST}; scan a larger field"
        )
    mean = total / count
    spread = np.sqrt(np.maximum(square / count - mean**2, 0) * count / (count - 1))
    return CellMean(lattice, origin, mean, spread / np.sqrt(count), count)
