"""Do the recorded positions belong to the scan that the dataset describes?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

_OFF = 0.25
"""Relative difference between recorded and nominal step, or extent, that drift and distortion do not explain."""
_SAME = 1e-3
"""In scan steps: positions nearer than this are one."""
_AXES = ("scan_y", "scan_x")


def position_warnings(positions: Floats, step: tuple[float, float]) -> list[str]:
    """What is wrong with recorded positions: unit, order, direction, repetition.

    A rotation of the scan, jitter, and rows that run to and fro are no fault.

    Parameters
    ----------
    positions : array (scan_y, scan_x, 2), angstrom, (y, x).
    step : (y, x), angstrom
        The scan step that the dataset names.

    Returns
    -------
    list of str
        One line per fault, with the value, the bound and the remedy.
    """
    values = np.asarray(positions, dtype=float)
    if bad := int((~np.isfinite(values)).any(axis=-1).sum()):
        return [f"{bad} of {values[..., 0].size} recorded positions are not finite: repair or drop them"]
    if repeated := _repeated(values, min(step)):
        if repeated == values[..., 0].size:
            return [f"all {repeated} recorded positions are equal: record them, or leave them out for a raster"]
        return [
            f"{repeated} of {values[..., 0].size} recorded positions are the same as another one: check"
            " positions_angstrom, which gives one place (y, x) for every pattern"
        ]
    found = [text for axis in (0, 1) if (text := _advance(values, axis, step[axis]))]
    return found or _direction(values, step)


def _repeated(values: Floats, step: float) -> int:
    cells = np.rint(values.reshape(-1, 2) / (_SAME * step))
    _, counts = np.unique(cells, axis=0, return_counts=True)
    return int(counts[counts > 1].sum())


def _advance(values: Floats, axis: int, step: float) -> str:
    """A median step, or an extent, that is not the nominal one."""
    count = values.shape[axis]
    if count < 2:
        return ""
    steps = np.diff(values, axis=axis)
    # where rows run to and fro, places in a row do not lie above each other, but the rows themselves do
    lengths = [float(np.median(np.hypot(d[..., 0], d[..., 1]))) for d in (steps, steps.mean(axis=1 - axis))]
    found = min(lengths, key=lambda length: abs(length - step))
    if abs(found / step - 1) > _OFF:
        return (
            f"the recorded positions advance by {found:.4g} A along {_AXES[axis]}, the scan step is {step:.4g} A"
            f" ({found / step:.3g} times): check that positions_angstrom and scan_step_angstrom are in angstrom and in"
            " the order (y, x)"
        )
    # a scan of one row may be a spiral, whose ends lie anywhere
    if min(values.shape[:2]) < 2 or not _along(values, axis, found).any():
        return ""
    ends = np.take(values, -1, axis).mean(axis=0) - np.take(values, 0, axis).mean(axis=0)
    extent, nominal = float(np.hypot(*ends)), (count - 1) * step
    if abs(extent / nominal - 1) > _OFF:
        return (
            f"the recorded positions extend over {extent:.4g} A along {_AXES[axis]}, {count} steps of {step:.4g} A"
            f" over {nominal:.4g} A: check their order and unit"
        )
    return ""


def _along(values: Floats, axis: int, length: float) -> Floats:
    """Common direction (y, x) of the steps along an axis, 0 where rows run to and fro."""
    mean = np.median(np.diff(values, axis=axis), axis=(0, 1))
    return mean if np.hypot(*mean) > 0.5 * length else np.zeros(2)


def _direction(values: Floats, step: tuple[float, float]) -> list[str]:
    """Columns in the wrong order, or a wrong sign: the scan is mirrored, or runs backwards."""
    if min(values.shape[:2]) < 2:
        return []
    down, right = (_along(values, axis, step[axis]) for axis in (0, 1))
    if not (down.any() and right.any()):
        return []
    turned = math.hypot(down[1], right[0]) > math.hypot(down[0], right[1])
    mirrored = down[0] * right[1] - down[1] * right[0] < 0
    if mirrored and turned:
        return [
            "the recorded positions run along x where the scan runs along scan_y: their columns are swapped, give"
            " them in the order (y, x)"
        ]
    backwards = [name for name, part in zip(_AXES, (down[0], right[1]), strict=True) if part < 0]
    if mirrored or (backwards and not turned):
        along = " and ".join(backwards)
        return [f"the recorded positions decrease along {along}: check the sign of positions_angstrom"]
    return []
