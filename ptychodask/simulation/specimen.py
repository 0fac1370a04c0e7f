"""A crystal cut to the canvas: the atoms that the beam meets, in the frame of the scan positions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .._errors import InputError
from ..counts.streams import PHONONS, generator
from .materials import build_crystal, material_names, read_crystal

if TYPE_CHECKING:
    import ase


@dataclass(frozen=True)
class Specimen:
    """What is in the microscope.

    Parameters
    ----------
    material : str
        Name of a material, or the path of a structure file that ASE reads; the beam runs along +z.
    thickness_angstrom : float
        Wanted thickness. A crystal is whole repeats along the beam, at least one, so the real one is the nearest
        multiple of the period.
    phonons : int
        Frozen-phonon configurations to average over; 0 keeps the atoms still.
    phonon_sigma_angstrom : float
        RMS displacement per axis of every atom (Einstein model, the same for all elements).
    seed : int
        Of the displacements.
    """

    material: str
    thickness_angstrom: float
    phonons: int = 0
    phonon_sigma_angstrom: float = 0.1
    seed: int = 0


def crystal(material: str) -> ase.Atoms:
    """The orthogonal cell of a material by name or of a structure file."""
    if material in material_names():
        return build_crystal(material)
    if Path(material).suffix or Path(material).exists():
        return read_crystal(material)
    return build_crystal(material)  # raises the error that lists the names


def repeats(cell_height: float, thickness: float) -> int:
    """Whole repeats along the beam nearest to the wanted thickness."""
    if not (np.isfinite(thickness) and thickness > 0):
        raise InputError(f"thickness_angstrom = {thickness}: give the specimen's thickness in angstrom, above 0")
    return max(1, round(thickness / cell_height))


def fill_box(
    specimen: Specimen, origin: tuple[float, float], extent: tuple[float, float], configuration: int = 0
) -> ase.Atoms:
    """Atoms of the crystal inside a box, the box's corner moved to (0, 0).

    Parameters
    ----------
    specimen : Specimen
    origin, extent : (float, float)
        Corner and size (y, x) of the box in angstrom in the frame of the scan positions, where one lattice point of the
        crystal lies at (0, 0).
    configuration : int
        Number of the frozen-phonon configuration.

    Returns
    -------
    ase.Atoms
        With cell (extent x, extent y, thickness). The content is not periodic: keep a margin to the edges.
    """
    import ase

    unit = crystal(specimen.material)
    size = np.diag(unit.cell.array)
    layers = repeats(size[2], specimen.thickness_angstrom)
    low = np.array([origin[1], origin[0]])
    span = np.array([extent[1], extent[0]])
    first = np.floor(low / size[:2]).astype(int)
    last = np.ceil((low + span) / size[:2]).astype(int)
    nx, ny = (last - first).tolist()
    full = unit.repeat((nx, ny, layers))
    positions = full.positions + np.array([*(first * size[:2] - low), 0.0])
    if specimen.phonons:
        rng = generator(specimen.seed, PHONONS, configuration)
        positions = positions + rng.normal(0, specimen.phonon_sigma_angstrom, positions.shape)
    thickness = size[2] * layers
    positions[:, 2] %= thickness  # a displaced atom of the first layer stays in the box
    inside = ((positions[:, :2] >= 0) & (positions[:, :2] < span)).all(axis=1)
    return ase.Atoms(full.numbers[inside], positions[inside], cell=[*span, thickness], pbc=True)


def crystal_thickness(specimen: Specimen) -> float:
    """Thickness in angstrom of the whole repeats that are simulated."""
    height = float(crystal(specimen.material).cell.array[2, 2])
    return height * repeats(height, specimen.thickness_angstrom)
