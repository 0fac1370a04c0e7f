"""What is read of another program's result, in our conventions but for its place, and that place.

None of these files says where its object lies in the frame of our positions; each says where its probe stood on its
object. Scan and order being the same, the mean of its positions is laid on the mean of ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from ..._errors import InputError
from ..._tables import counted

SAME = 1e-3
"""Share by which pixels along y and x may differ."""
APART = 0.1
"""Distance (rms) of its positions from ours, in that of ours from their mean: a turn of 6 degrees, a step 10 % off."""
LEAST_MODULUS = 1e-3
"""Of a transmission, whose logarithm is taken."""
LOWEST = 1.0
"""Percentile of the phase in the scanned area that is lifted to 0 where it is below."""


@dataclass(frozen=True)
class Found:
    """Object and probe of another program's result.

    Parameters
    ----------
    maker : str
        The program, with its version where the file says it.
    energy_ev : float
    pixel : float
        Of object and probe, angstrom.
    phases : array [S, Oy, Ox], optional
        Phase in rad, complex where the modulus is ``exp(-Im)``; slices along the beam. None where there is no object.
    waves : complex array [M, N, N], optional
        Probe in real space, its centre at N // 2, of any brightness; None where there is none.
    centres : float64 array [J, 2]
        Where that centre stood on the object (y, x), in its pixels; in the order of the scan.
    """

    maker: str
    energy_ev: float
    pixel: float
    phases: np.ndarray | None
    waves: np.ndarray | None
    centres: np.ndarray

    @cached_property
    def probe(self) -> xr.DataArray | None:
        """``(mode, probe_y, probe_x)`` with coordinates in angstrom."""
        if self.waves is None:
            return None
        modes = self.waves.astype(np.complex64)
        centred = [self.pixel * (np.arange(n) - n // 2) for n in modes.shape[-2:]]
        axes = dict(zip(("probe_y", "probe_x"), centred, strict=True))
        return xr.DataArray(modes, axes, ("mode", *axes))


def placed(found: Found, positions: np.ndarray) -> xr.DataArray:
    """The object (slice, y, x) with coordinates in angstrom in the frame of ``positions``.

    A constant phase means nothing: a slice that is below 0 in the scanned area is lifted, because a run that wants
    positive phases would cut it off.

    Parameters
    ----------
    found : Found
        With an object.
    positions : array [J, 2]
        Ours (y, x) in angstrom, of the scan that it was made of, in the same order.

    Raises
    ------
    InputError
        If there are more or fewer positions in it, or they lie elsewhere once the means agree.
    """
    assert found.phases is not None
    if len(found.centres) != len(positions):
        raise InputError(
            f"it was made of {counted(len(found.centres), 'position')}, this scan has {len(positions)}: where its"
            " object lies is not known, give one that was made of the same scan"
        )
    its = found.centres * found.pixel
    origin = (positions - its).mean(axis=0)
    away = math.sqrt(((its + origin - positions) ** 2).sum(axis=1).mean())
    spread = math.sqrt(((positions - positions.mean(axis=0)) ** 2).sum(axis=1).mean())
    if away > max(APART * spread, found.pixel):
        raise InputError(
            f"its positions are {away:.3g} A (rms) from those of this scan once their means agree, at most"
            f" {max(APART * spread, found.pixel):.3g} A are taken: it is turned, mirrored or of another step, give one"
            " of the same geometry"
        )
    seen = scanned(found.phases, found.centres)
    lift = np.maximum(0.0, -np.percentile(seen.real, LOWEST, axis=(1, 2)))
    maps = found.phases + lift.astype(seen.real.dtype)[:, None, None]
    along = [origin[axis] + found.pixel * np.arange(maps.shape[1 + axis]) for axis in (0, 1)]
    axes = dict(zip(("y", "x"), along, strict=True))
    return xr.DataArray(maps, axes, ("slice", *axes))


def scanned(maps: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The part of maps [S, Oy, Ox] over which the probe's centre went, which is at ``centres`` [J, 2] in pixels."""
    low, high = np.floor(centres.min(axis=0)), np.ceil(centres.max(axis=0))
    seen = maps[:, *(slice(max(0, int(a)), max(0, int(b) + 1)) for a, b in zip(low, high, strict=True))]
    if not seen.size:
        raise InputError("its positions lie outside of its object: it is damaged, give another file")
    return seen


def phases_of(transmission: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Phase [S, Oy, Ox] in rad, with modulus ``exp(-Im)``, of complex transmissions.

    Measured from the mean of every slice where it was scanned: a constant, which is free, makes nothing jump by 2 pi.
    """
    turn = np.angle(scanned(transmission, centres).mean(axis=(1, 2), keepdims=True))
    phase = np.angle(transmission * np.exp(-1j * turn)) + turn
    return phase - 1j * log_of(np.abs(transmission))


def log_of(modulus: np.ndarray) -> np.ndarray:
    """Logarithm of a modulus, which may be 0."""
    return np.log(np.maximum(modulus, LEAST_MODULUS))


def square(step: np.ndarray) -> float:
    """One pixel in angstrom of those along y and x."""
    y, x = np.broadcast_to(np.asarray(step, dtype=np.float64), 2).tolist()
    if not (0 < y < math.inf and abs(x / y - 1) <= SAME):
        raise InputError(f"its pixels are {y:.4g} x {x:.4g} A, square ones are taken: give another file")
    return y


def shaped(array: np.ndarray, name: str, axes: tuple[str, ...]) -> np.ndarray:
    """An array of numbers with those axes, all finite."""
    if array.ndim != len(axes) or not array.size or array.dtype.kind not in "fc":
        raise InputError(f"its {name} is {array.dtype} {array.shape}, expected ({', '.join(axes)}): give another file")
    if not np.isfinite(array).all():
        raise InputError(f"its {name} has values that are not finite: give another file")
    return array


def finite(centres: np.ndarray) -> np.ndarray:
    """Positions [J, 2] as float64, all finite."""
    if centres.ndim != 2 or centres.shape[-1] != 2 or not len(centres) or not np.isfinite(centres).all():
        raise InputError(f"its positions are {centres.shape} or not finite, (position, 2) expected: give another file")
    return centres.astype(np.float64)
