"""One image onto another: shift, linear map, scale, offset and ramp, whatever of these two images cannot know alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage, optimize

from .._errors import InputError
from .compare import low_pass
from .frc import find_shift, remove_plane
from .spectrum import pixel_size

Floats = NDArray[np.floating]
_MARGIN = 0.1
"""Of each side, left out at every edge: there one image may lack what the other has."""


@dataclass(frozen=True)
class Registration:
    """Where and how the moving image lies on the reference: ``reference(x) = scale moving(A x + t) + plane``.

    Places x are in angstrom from the middle of the images, (y, x).

    Parameters
    ----------
    shift_angstrom : (float, float)
        t.
    matrix : array (2, 2)
        A; the unit matrix without ``affine``.
    scale : float
    image : DataArray (y, x)
        The moving image on the reference, with its scale and plane.
    correlation : float
        Of the two there.
    """

    shift_angstrom: tuple[float, float]
    matrix: Floats
    scale: float
    image: xr.DataArray
    correlation: float


def register(
    moving: xr.DataArray, reference: xr.DataArray, *, affine: bool = False, resolution: float = 2.5,
    most_shift: float = 2.0,
) -> Registration:  # fmt: skip
    """Fit one image onto another on the same pixels by least squares.

    Parameters
    ----------
    moving, reference : DataArray (y, x)
        On coordinates in angstrom, of one shape.
    affine : bool
        Fit a linear map too (rotation, scale, shear), of a few percent at most: it begins from none.
    resolution : float
        Angstrom: both are compared without finer detail.
    most_shift : float
        Angstrom; less than a lattice vector, lest a crystal jump by one.

    Raises
    ------
    InputError
        Images of unlike shape or pixels, or with values that are not finite, or a flat one.
    """
    spacing = pixel_size(reference)
    if moving.shape != reference.shape or not np.allclose(pixel_size(moving), spacing, rtol=1e-3):
        raise InputError(f"images of {moving.shape} and {reference.shape} pixels: resample one to the other's")
    arrays = [np.asarray(i.values, float) for i in (moving, reference)]
    if not all(np.isfinite(a).all() for a in arrays):
        raise InputError("an image has values that are not finite: crop both to the scanned area")
    one, two = (low_pass(remove_plane(a), spacing, resolution) for a in arrays)
    if not (one.std() > 0 and two.std() > 0):
        raise InputError("an image is flat: nothing says where it lies")
    step = np.array(spacing)
    begin = -np.array(find_shift(two, one, (most_shift / step[0], most_shift / step[1]))) * step
    inner = tuple(slice(round(_MARGIN * n), n - round(_MARGIN * n)) for n in two.shape)
    axes = [(np.arange(n) - (n - 1) / 2) * d for n, d in zip(two.shape, spacing, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"))

    def moved(values: Floats, numbers: Floats) -> Floats:
        matrix = np.eye(2) + (numbers[2:].reshape(2, 2) if affine else 0.0)
        at = np.tensordot(matrix, places, 1) + numbers[:2, None, None]
        middle = (np.array(values.shape) - 1) / 2
        pixels = at / step[:, None, None] + middle[:, None, None]
        return ndimage.map_coordinates(values, pixels, order=3, mode="nearest")

    target = remove_plane(two[inner])

    def away(numbers: Floats) -> Floats:
        found = remove_plane(moved(one, numbers)[inner])
        return (_scale(found, target) * found - target).ravel()

    start = np.concatenate([begin, np.zeros(4 if affine else 0)])
    numbers = optimize.least_squares(away, start, x_scale=np.r_[0.1, 0.1, np.full(start.size - 2, 1e-3)]).x
    found = remove_plane(moved(one, numbers)[inner])
    scale = _scale(found, target)
    whole = scale * moved(arrays[0], numbers)
    plane = arrays[1] - remove_plane(arrays[1]) - (whole - remove_plane(whole))
    agree = float((found * target).sum() / np.sqrt((found**2).sum() * (target**2).sum()))
    matrix = np.eye(2) + (numbers[2:].reshape(2, 2) if affine else 0.0)
    shift = (float(numbers[0]), float(numbers[1]))
    return Registration(shift, matrix, scale, reference.copy(data=whole + plane), agree)


def _scale(image: Floats, target: Floats) -> float:
    return float((image * target).sum() / max((image * image).sum(), 1e-300))
