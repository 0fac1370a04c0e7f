"""Columns of an image, fitted with Gaussians, with errors that follow of the image's noise.

Columns that overlap are fitted together: a place and a height each, a level in common, of the width that columns have
in the mean of the cells. With J the derivatives of the model on the pixels of a patch, and C the covariance of the
image's noise there, which has the power P and so is not white, the covariance of the least squares is

    (J^T J)^-1 J^T C J (J^T J)^-1,        J^T C J = F[J]^* P F[J] / pixels

It holds for columns that are there; those whose height is below three errors have no place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import fft
from scipy.optimize import least_squares
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from .._errors import InputError
from .noise import Conditions
from .spectrum import pixel_size

Floats = NDArray[np.floating]

_TOGETHER = 3.2
"""Widths: columns that are nearer overlap."""
_PATCH = 2.2
"""Widths around the outermost column of a patch."""
_FAR = 1.5
"""Angstrom that a column may lie from where it is looked for."""
_CLEAR = 3.0
"""Errors of a height below which a column has no place."""
MOST = 3000
_GROUP = 40
"""Columns that are fitted together at most."""


@dataclass(frozen=True)
class Column:
    """Where one is looked for, (y, x) in angstrom, and its name."""

    name: str
    place: Floats


def fit_columns(image: xr.DataArray, columns: list[Column], width: float, noise: Conditions) -> xr.Dataset:
    """Places and heights of columns.

    Parameters
    ----------
    image : (y, x)
        Rad, inside the scan, coordinates in angstrom.
    columns : list of Column
        Where they are expected; what is expected too near to the edge is left away.
    width : float
        Angstrom: sigma of a column.
    noise : Conditions

    Returns
    -------
    xarray.Dataset
        By ``column``: ``column_name``; ``column_y``, ``column_x`` (angstrom, nan where none is clear) and
        ``column_sigma_y``, ``column_sigma_x``; ``column_moved_y``, ``column_moved_x`` from where it was expected;
        ``column_height`` (rad) and ``column_sigma_height``.
    """
    steps = pixel_size(image)
    low = np.array([float(image.y[0]), float(image.x[0])])
    high = np.array([float(image.y[-1]), float(image.x[-1])])
    kept = [c for c in columns if (c.place > low + 2 * width).all() and (c.place < high - 2 * width).all()]
    if not kept:
        raise InputError("no column lies inside the image: check the structure, or scan a larger field")
    if len(kept) > MOST:
        raise InputError(f"{len(kept)} columns lie in the image (at most {MOST}): crop it")
    places = np.array([c.place for c in kept])
    pairs = cKDTree(places).query_pairs(_TOGETHER * width, output_type="ndarray")
    ones = np.ones(len(pairs))
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(len(kept), len(kept)))
    count, labels = connected_components(graph, directed=False)
    values = np.asarray(image.values, float)
    table = np.full((len(kept), 6), np.nan)  # y, x, height, and their errors
    for label in range(count):
        its = np.flatnonzero(labels == label)
        for part in np.array_split(its, math.ceil(len(its) / _GROUP)):
            table[part] = _fitted(values, places[part], low, steps, width, noise)
    clear = table[:, 2] > _CLEAR * table[:, 5]
    table[~clear, :2] = table[~clear, 3:5] = np.nan
    moved = table[:, :2] - places
    names = ("y", "x", "height", "sigma_y", "sigma_x", "sigma_height")
    found = {f"column_{name}": ("column", table[:, n]) for n, name in enumerate(names)}
    data = xr.Dataset(
        {
            "column_name": ("column", np.array([c.name for c in kept])),
            **found,
            "column_moved_y": ("column", moved[:, 0]),
            "column_moved_x": ("column", moved[:, 1]),
        },
        attrs={"column_width_angstrom": width},
    )
    for name in data.data_vars:
        if str(name) != "column_name":
            data[name].attrs["units"] = "rad" if "height" in str(name) else "angstrom"
    return data


def _fitted(
    image: Floats, places: Floats, corner: Floats, steps: tuple[float, float], width: float, noise: Conditions
) -> Floats:
    """y, x, height and their standard errors (n, 6) of columns that are fitted together."""
    at = (places - corner) / steps
    reach = np.array([_PATCH * width / d for d in steps])
    first = np.maximum(np.floor(at.min(axis=0) - reach), 0).astype(int)
    last = np.minimum(np.ceil(at.max(axis=0) + reach) + 1, image.shape).astype(int)
    y, x = (corner[n] + np.arange(first[n], last[n]) * steps[n] for n in range(2))
    patch = image[first[0] : last[0], first[1] : last[1]]
    yy, xx = np.meshgrid(y, x, indexing="ij")
    near = np.hypot(yy[..., None] - places[:, 0], xx[..., None] - places[:, 1]).min(axis=-1) < _PATCH * width
    n = len(places)

    def shapes(numbers: Floats) -> Floats:
        ys, xs = numbers[:n], numbers[n : 2 * n]
        return np.exp(-((yy[near][:, None] - ys) ** 2 + (xx[near][:, None] - xs) ** 2) / (2 * width**2))

    def misfit(numbers: Floats) -> Floats:
        return shapes(numbers) @ numbers[2 * n : 3 * n] + numbers[-1] - patch[near]

    def slopes(numbers: Floats) -> Floats:
        its, heights = shapes(numbers), numbers[2 * n : 3 * n]
        dy = its * heights * (yy[near][:, None] - numbers[:n]) / width**2
        dx = its * heights * (xx[near][:, None] - numbers[n : 2 * n]) / width**2
        return np.concatenate([dy, dx, its, np.ones((len(its), 1))], axis=1)

    level = float(np.percentile(patch[near], 5))
    start = np.concatenate([places[:, 0], places[:, 1], np.full(n, np.ptp(patch[near])), [level]])
    bounds = np.concatenate([np.full(2 * n, _FAR), np.full(n + 1, np.inf)])
    solved = least_squares(misfit, start, slopes, bounds=(start - bounds, start + bounds), method="trf")
    jacobian = slopes(solved.x)
    inverse = np.linalg.pinv(jacobian.T @ jacobian)
    full = np.zeros((3 * n + 1, *_padded(near.shape)))
    full[:, : near.shape[0], : near.shape[1]][:, near] = jacobian.T
    shape = full.shape[1:]
    transform = fft.rfft2(full)
    power = noise.power((shape[0], shape[1]), steps) / (shape[0] * shape[1])
    power[:, 1 : (shape[1] + 1) // 2] *= 2  # the other half of the frequencies
    middle = np.einsum("ayx,yx,byx->ab", transform, power, np.conj(transform), optimize=True).real
    covariance = inverse @ middle @ inverse
    sigma = np.sqrt(np.maximum(np.diag(covariance), 0))[: 3 * n]
    return np.concatenate([solved.x[: 3 * n].reshape(3, n), sigma.reshape(3, n)]).T


def _padded(shape: tuple[int, ...]) -> tuple[int, int]:
    """A third more on each axis: noise has a range, and patches do not wrap."""
    return fft.next_fast_len(shape[0] * 4 // 3 + 4), fft.next_fast_len(shape[1] * 4 // 3 + 4)
