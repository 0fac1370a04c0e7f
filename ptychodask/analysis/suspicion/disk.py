"""Where the bright-field disk is, and how large: the calibration of the detector against the mean pattern."""

from __future__ import annotations

import math

import numpy as np

from .survey import Survey, bins_of

OFF_CENTRE = 0.4
"""Pixels from the centre that are worth a warning; sound scans of 576 patterns stayed below 0.1."""
WRONG_RADIUS = 0.06
"""Relative error of the radius that is; a pixel at least."""
ELLIPTIC = 0.08
"""Difference of the axes over their mean that is."""
MOVES, CELLS = 1.5, 4
"""Pixels by which a disk may move over the region, and squares along each axis of it in which its place is averaged."""
SURE = 6
"""Standard errors above which a deviation is no accident."""


def disk_warnings(survey: Survey) -> list[str]:
    """Patterns that are corner-centred, a disk off centre, of another size, or an ellipse."""
    if corner_centred(survey):
        return [
            "the electrons stand in the corners of the patterns, zero angle must be in their centre (pixel N/2): store"
            " np.fft.fftshift(counts, axes=(2, 3))"
        ]
    disk = survey.disk
    if disk is None:
        return []
    found = []
    away = [c - known for c, known in zip(disk.centre, survey.centre, strict=True)]
    if math.hypot(*away) > max(OFF_CENTRE, SURE * math.hypot(*disk.errors[:2])):
        shift = tuple(-round(c) for c in disk.centre)
        whole = all(abs(c + s) < 0.3 for c, s in zip(disk.centre, shift, strict=True))
        remedy = f"shift the patterns, np.roll(counts, {shift}, axis=(2, 3)), or " if whole else ""
        found.append(
            f"the bright-field disk is off centre by ({disk.centre[0]:+.2f}, {disk.centre[1]:+.2f}) pixels (ky, kx), at"
            f" most {OFF_CENTRE:g} is usual: {remedy}let ptychodask calibrate --write say where it is"
        )
    elif (descan := _moves(survey)) is not None:
        height, width = survey.disks.shape[:2]
        found.append(
            f"the bright-field disk moves by about {descan:.1f} pixels over {height} x {width} positions (at most"
            f" {MOVES:g} is usual), its beam does not come back (descan): let ptychodask calibrate --write follow it"
        )
    expected = survey.radius
    if abs(disk.radius - expected) > max(WRONG_RADIUS * expected, 1.0, SURE * disk.errors[2]):
        angle = disk.radius * survey.angular_step_mrad
        step = survey.microscope.semi_angle_mrad / disk.radius
        found.append(
            f"the bright-field disk has a radius of {disk.radius:.1f} pixels, semi_angle_mrad / angular_step_mrad ="
            f" {expected:.1f} (within {max(WRONG_RADIUS, 1 / expected):.0%} is usual): check them,"
            f" angular_step_mrad = {step:.4g} or semi_angle_mrad = {angle:.4g} would fit"
        )
    elif disk.ellipticity > max(ELLIPTIC, 1 / expected, SURE * disk.errors[3]):
        found.append(
            f"the bright-field disk is an ellipse whose axes differ by {disk.ellipticity:.0%} (at most"
            f" {max(ELLIPTIC, 1 / expected):.0%} is usual): correct the distortion of the patterns"
        )
    return found


def _moves(survey: Survey) -> float | None:
    """Pixels by which the disk moves over the region, if that is more than the specimen and noise make of it.

    The centre of mass is averaged in squares, in which lattices average out, and their scatter about a plane says how
    much that is worth. Bins end a pixel beyond the disk, so what moves further is seen to move less.
    """
    disks = survey.disks
    if min(disks.shape[:2]) < 4 * CELLS or survey.radius < 2:
        return None
    places, _ = bins_of(survey)
    sums = np.nan_to_num(disks).astype(np.float64)
    cells = np.stack([
        part[:, columns].reshape(-1, sums.shape[-1]).sum(axis=0)
        for part in np.array_split(sums, CELLS, axis=0)
        for columns in np.array_split(np.arange(sums.shape[1]), CELLS)
    ])  # fmt: skip
    if (cells.sum(axis=1) < 1).any():
        return None
    centre = (cells @ places) / cells.sum(axis=1, keepdims=True)
    t = np.linspace(-0.5, 0.5, CELLS)
    y, x = (axis.ravel() for axis in np.meshgrid(t, t, indexing="ij"))
    design = np.stack([np.ones(CELLS**2), y, x], axis=1)
    slopes = np.linalg.lstsq(design, centre, rcond=None)[0]
    left = centre - design @ slopes
    errors = np.sqrt((left**2).sum(axis=0) / (CELLS**2 - 3) / (y @ y))
    across = np.abs(slopes[1:]) * CELLS / (CELLS - 1)  # from edge to edge, not from cell to cell
    clear = (across > MOVES) & (across > SURE * errors)
    return float(np.linalg.norm(across[clear])) if clear.any() else None


def corner_centred(survey: Survey) -> bool:
    """Does the power stand around the corners, or the middle of two sides, and not around the centre?"""
    n = len(survey.pattern)
    k = np.arange(n) - n // 2
    away = np.minimum(np.abs(k), n - np.abs(k)), np.abs(np.abs(k) - n // 2)
    total = survey.pattern.sum()

    def share(y: np.ndarray, x: np.ndarray) -> float:
        return float(survey.pattern[np.hypot(y[:, None], x[None, :]) < survey.radius + 1].sum() / total)

    centre = share(away[0], away[0])
    others = [share(away[a], away[b]) for a, b in ((1, 1), (0, 1), (1, 0))]
    return max(others) > 0.5 and max(others) > 2 * centre
