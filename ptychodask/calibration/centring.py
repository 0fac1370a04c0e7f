"""Where zero angle is in the patterns of a dataset: a rough place from a glance, a better one from all patterns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..io.centre import BY_TURNS, NAME, Centre
from ..io.dataset import DatasetInfo
from ..io.selected import mask_of
from .descan import Plane, fit_plane, window
from .disk import Disk, fit_disk
from .read import BrightField, glance, stored


@dataclass(frozen=True)
class Centring:
    """Where the disk is in stored patterns.

    Parameters
    ----------
    centre : array [2]
        Mean over the scan (y, x), pixels.
    descan : Plane, optional
        Through the centres of mass; None where its slopes are nothing but noise.
    plane : array [2, 3]
        What is written: at the first position, and the change per row and column.
    across : array [2, 2]
        Movement in pixels of (y, x) from the first to the last row and column.
    """

    centre: np.ndarray
    descan: Plane | None
    plane: np.ndarray
    across: np.ndarray


def as_stored(info: DatasetInfo) -> DatasetInfo:
    """The dataset with patterns as they are stored, whatever a calibration said."""
    return replace(info, attributes={name: value for name, value in info.attributes.items() if name != NAME})


def moved_by(info: DatasetInfo, plane: np.ndarray) -> DatasetInfo:
    """The dataset with its patterns moved by whole pixels along a plane [2, 3], neighbours by turns where it slopes:
    the transfer knows of no fraction, and in waves over the scan it would be a lattice."""
    return replace(info, attributes={**info.attributes, NAME: plane.tolist(), BY_TURNS: True})


def used_of(info: DatasetInfo) -> np.ndarray:
    """Pixels [N, N] bool that are used, zero angle in the centre."""
    return np.asarray(np.fft.fftshift(mask_of(info)) > 0)


def rough(info: DatasetInfo) -> tuple[DatasetInfo, Disk]:
    """From a few strips: the dataset with its patterns moved to their centre, and the disk that these then have.

    ``info`` is as stored.
    """
    n, used = info.detector.pixels, used_of(info)
    seen, patterns, places, found = glance(info, np.fft.ifftshift(used))
    disk = fit_disk(seen, used, patterns)
    rows, columns = stored(info)
    extent = (int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1)
    along = fit_plane(places[:, 0], places[:, 1], found, n)
    slopes = along.values[:, 1:] if along.moves(extent) else np.zeros((2, 2))
    for _ in range(2 if slopes.any() else 1):  # the first disk is smeared by what moves it
        plane = _through(disk.centre, slopes, places)
        there = moved_by(info, plane)
        used = used_of(there)
        by = _moves(plane, places, n)
        inside = window(n, (n // 2, n // 2), disk.radius, used)
        seen, patterns, places, found = glance(there, inside)
        disk = fit_disk(seen, used, patterns, smear_of(there))
        if slopes.any():
            slopes = fit_plane(places[:, 0], places[:, 1], _unmoved(found, by), n).values[:, 1:]
        disk_stored = np.array(disk.centre) - by.mean(axis=0)
        disk = replace(disk, centre=(float(disk_stored[0]), float(disk_stored[1])))
    plane = _through(disk.centre, slopes, places)
    moved = np.array(disk.centre) + _moves(plane, places, n).mean(axis=0)
    return moved_by(info, plane), replace(disk, centre=(float(moved[0]), float(moved[1])))


def smear_of(info: DatasetInfo, cells: int = 8) -> np.ndarray | None:
    """Where the disk is from its mean, over the scan, after moves by whole pixels: (y, x, weight) [S, 3]; None where it
    does not move."""
    plane, n = np.array(info.attributes[NAME]), info.detector.pixels
    if not plane[:, 1:].any():
        return None
    rows, columns = stored(info)
    away = _centre(plane, n).left(rows, columns).reshape(-1, 2)
    away -= away.mean(axis=0)
    _, which, number = np.unique(np.floor(away * cells / 2), axis=0, return_inverse=True, return_counts=True)
    mean = np.stack([np.bincount(which.ravel(), axis) / number for axis in away.T], axis=1)
    return np.concatenate([mean, number[:, None] / len(away)], axis=1)


def better(info: DatasetInfo, field: BrightField, disk: Disk, odd: np.ndarray) -> Centring:
    """From all patterns.

    Parameters
    ----------
    info : DatasetInfo
        With its patterns moved, as it was read.
    field : BrightField
    disk : Disk
        Of the moved patterns.
    odd : bool array [J]
        Patterns to leave out.
    """
    n, (rows, columns) = info.detector.pixels, stored(info)
    y0, y1, x0, x1 = field.box
    y, x = np.meshgrid(rows[y0:y1], columns[x0:x1], indexing="ij")
    places = np.stack([y.ravel(), x.ravel()], axis=1)
    by = _moves(np.array(info.attributes[NAME]), places, n)
    centre = np.array(disk.centre) - by.mean(axis=0)
    sound = ~odd
    found = fit_plane(places[sound, 0], places[sound, 1], _unmoved(field.moments[sound], by[sound]), n)
    extent = (int(np.ptp(y)) + 1, int(np.ptp(x)) + 1)
    descan = found if found.moves(extent) else None
    slopes = np.zeros((2, 2)) if descan is None else found.values[:, 1:]
    plane = _through((centre[0], centre[1]), slopes, places)
    across = slopes * np.array([np.ptp(rows), np.ptp(columns)])
    return Centring(centre, descan, plane, across)


def _centre(plane: np.ndarray, pixels: int) -> Centre:
    first, second = (tuple(map(float, row)) for row in plane)
    return Centre((first, second), pixels, by_turns=True)  # type: ignore[arg-type]


def _through(centre: tuple[float, float], slopes: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The plane [2, 3] of these slopes whose mean over places [B, 2] is ``centre``."""
    return np.concatenate([(np.array(centre) - slopes @ places.mean(axis=0))[:, None], slopes], axis=1)


def _moves(plane: np.ndarray, places: np.ndarray, pixels: int) -> np.ndarray:
    """Whole pixels [B, 2] by which the patterns at places [B, 2] are moved."""
    rows, columns = places.astype(np.int64).T
    return _centre(plane, pixels).moves(np.arange(rows.max() + 1), np.arange(columns.max() + 1))[rows, columns]


def _unmoved(found: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Moments [B, 3] of the stored patterns from those of moved ones."""
    return np.concatenate([found[:, :1], found[:, 1:] - found[:, :1] * by], axis=1)
