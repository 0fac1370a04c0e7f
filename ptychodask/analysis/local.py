"""Local structure of an image: lattice, mean of its cells, motifs, strain, columns, in one Dataset."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .._errors import InputError
from .average import CellMean, cell_mean
from .cell import Lattice, find_lattice
from .columns import Column, fit_columns
from .motifs import score_sites, sites_in
from .noise import Conditions, read_off
from .sites import Placed, Structure, place_structure, sites_of_mean
from .spectrum import crop_to_scan
from .strain import strain_map
from .transfer import SPOTS, Transfer

Floats = NDArray[np.floating]

_SEPARATE = 1.0
"""Angstrom: columns of a structure that are nearer are one."""
_METAL = 20
"""Atomic number from which an atom's column is fitted, of structures that have any."""


def local_structure(
    phase: xr.DataArray,
    positions: Floats,
    *,
    transfer: Transfer | None = None,
    structure: Structure | None = None,
    resolution: float | None = None,
) -> xr.Dataset:
    """Everything of this package that a lattice lets one say of a single place.

    Parameters
    ----------
    phase : (y, x)
        Rad, coordinates in angstrom.
    positions : array (..., 2)
        Angstrom, (y, x): what is outside of the scan is left away.
    transfer : Transfer, optional
        Of a result of the spectral prior: noise then follows of the dose; otherwise it is read off the image.
    structure : Structure, optional
        What the crystal should be: motifs are then its clusters, linkers and channels, else the peaks of the mean of
        the cells and its hollows.
    resolution : float, optional
        Of the strain, angstrom.

    Returns
    -------
    xarray.Dataset
        ``phase`` (y, x), what was looked at, and ``difference``, the same less the mean of the cells. ``lattice``
        (vector, axis) in angstrom; attributes ``a``, ``b``, ``gamma``, ``direction`` and ``..._sigma``. ``cell_mean``,
        ``cell_error``, ``cell_count`` (along_b, along_a). Sites as :func:`~ptychodask.analysis.motifs.score_sites` has
        them, ``strain`` and ``strain_error`` as :func:`~ptychodask.analysis.strain.strain_map`, columns as
        :func:`~ptychodask.analysis.columns.fit_columns`. ``kept`` (spot): share of the contrast that spots of so many
        angstrom keep which are there once; nan where no prior says. Attribute ``notes``: what could not be had, and
        why.

    Raises
    ------
    InputError
        There is no lattice, the field is too small for a mean of cells, or the structure does not fit.
    """
    image = crop_to_scan(phase, positions).astype(float)
    known = None if transfer is None else Conditions(transfer, np.zeros(1), np.zeros(1))
    lattice = find_lattice(image, known)
    if structure is None:
        mean = cell_mean(image, lattice)
        placed = sites_of_mean(mean)
    else:
        placed, mean = place_structure(structure, image, lattice)
        lattice = mean.lattice
    left = image.copy(data=image.values - mean.on(image).values)
    noise = known if known is not None else read_off(left, float(mean.count.mean()))
    found = score_sites(image, mean, sites_in(placed, image), placed, noise)
    notes = []
    try:
        strain = strain_map(image, lattice, noise, resolution=resolution)
        found = found.merge(strain.rename(error="strain_error"))
        found.attrs |= {f"strain_{k}": v for k, v in strain.attrs.items()}
    except InputError as error:
        notes.append(str(error))
    width = placed.blur or _width(mean, placed)
    try:
        columns = fit_columns(image, _columns(placed, structure, image), width, noise)
        found = found.merge(columns)
        found.attrs |= columns.attrs
    except InputError as error:
        notes.append(str(error))
    return _with_lattice(found, image, left, lattice, mean, placed, transfer, notes)


def _with_lattice(
    found: xr.Dataset, image: xr.DataArray, left: xr.DataArray, lattice: Lattice, mean: CellMean, placed: Placed,
    transfer: Transfer | None, notes: list[str],
) -> xr.Dataset:  # fmt: skip
    kept = [math.nan if transfer is None else transfer.kept_of_spot(s) for s in SPOTS]
    cell = ("along_b", "along_a")
    found = found.assign(
        phase=image.assign_attrs(units="rad"),
        difference=left.assign_attrs(units="rad"),
        lattice=(("vector", "axis"), lattice.basis, {"units": "angstrom"}),
        cell_mean=(cell, mean.mean, {"units": "rad"}),
        cell_error=(cell, mean.error, {"units": "rad"}),
        cell_count=(cell, mean.count),
        kept=("spot", np.array(kept)),
    ).assign_coords(spot=("spot", np.array(SPOTS), {"units": "angstrom"}), vector=["a", "b"], axis=["y", "x"])
    for name, (value, sigma) in lattice.constants.items():
        found.attrs |= {name: value, f"{name}_sigma": sigma}
    found.attrs |= {
        "lattice_peaks": len(lattice.nodes),
        "lattice_misfit": lattice.misfit,
        "origin": placed.origin.tolist(),
        "noise": "of the dose, information and prior" if transfer is not None else "read off the image",
        "notes": notes,
    }
    if placed.blur:
        found.attrs |= {"structure_correlation": placed.correlation, "structure_cell": placed.cell.tolist()}
    return found


def _width(mean: CellMean, placed: Placed) -> float:
    """Sigma of the highest peak of the mean, from its curvature."""
    peak = next((m for m in placed.motifs if m.guest), None)
    if peak is None:
        return 1.0
    middle, h = placed.origin + peak.place, 0.4
    around = np.array([[0, 0], [h, 0], [-h, 0], [0, h], [0, -h]])
    value, *sides = mean.at(middle + around) - np.percentile(mean.mean, 2)
    curvature = (4 * value - sum(sides)) / (2 * h**2)
    return float(np.clip(math.sqrt(value / curvature), 0.5, 2.5)) if curvature > 0 < value else 1.0


def _columns(placed: Placed, structure: Structure | None, image: xr.DataArray) -> list[Column]:
    """Where columns are looked for: those of the heavy atoms of a structure, or the peaks of the mean."""
    peaks = [(m.kind, m.place) for m in placed.motifs if len(m.atoms)]
    base = peaks if structure is None else _heavy(structure)
    low, high = (np.array([float(image.y[n]), float(image.x[n])]) for n in (0, -1))
    corners = np.array([(y, x) for y in (low[0], high[0]) for x in (low[1], high[1])]) - placed.origin
    along = corners @ np.linalg.inv(placed.cell)
    first, last = np.floor(along.min(axis=0)).astype(int) - 1, np.ceil(along.max(axis=0)).astype(int) + 1
    found = []
    for i in range(first[0], last[0] + 1):
        for j in range(first[1], last[1] + 1):
            shift = placed.origin + np.array([i, j]) @ placed.cell
            places = [(name, shift + place @ placed.turn) for name, place in base]
            found += [Column(n, p) for n, p in places if (p > low).all() and (p < high).all()]
    return sorted(found, key=lambda c: (c.name, c.place[0], c.place[1]))


def _heavy(structure: Structure) -> list[tuple[str, Floats]]:
    """Columns (name, place) of the heavy atoms of a cell, each once, named by their atoms such as Zr2."""
    from ase.data import chemical_symbols

    numbers = structure.numbers
    its = np.flatnonzero(numbers >= (_METAL if (numbers >= _METAL).any() else 6))
    box = np.asarray(structure.cell[1::-1], float)
    groups: list[list[int]] = []
    flat = structure.positions[:, 1::-1]
    for n in its:
        for group in groups:
            away = flat[n] - flat[group[0]]
            if numbers[group[0]] == numbers[n] and np.hypot(*(away - box * np.rint(away / box))) < _SEPARATE:
                group.append(int(n))
                break
        else:
            groups.append([int(n)])
    columns = []
    for group in groups:
        away = flat[group] - flat[group[0]]
        place = flat[group[0]] + (away - box * np.rint(away / box)).mean(axis=0)
        name = chemical_symbols[numbers[group[0]]]
        columns.append((f"{name}{len(group)}" if len(group) > 1 else name, place))
    return columns
