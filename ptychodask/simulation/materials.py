"""Crystals to simulate: the package's own materials by name, or a structure file of the user's."""

from __future__ import annotations

import difflib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from ptychodask._errors import InputError
from ptychodask.simulation._crystals import CRYSTALS, Crystal, Material

if TYPE_CHECKING:
    import ase

__all__ = ["Material", "build_crystal", "material_names", "materials", "read_crystal"]

# two axes count as perpendicular below this cosine (0.03 degrees): what rounded cell angles leave behind
_SQUARE = 5e-4
# the search for perpendicular axes sums each lattice vector at most this often: enough for centred,
# hexagonal and rhombohedral cells in their usual settings
_REACH = 4


def materials() -> tuple[Material, ...]:
    """List the materials that ``build_crystal`` knows, with their sources."""
    return tuple(crystal.about for crystal in CRYSTALS.values())


def material_names() -> tuple[str, ...]:
    """List the names that ``build_crystal`` takes."""
    return tuple(CRYSTALS)


def build_crystal(name: str) -> ase.Atoms:
    """Build the periodic cell of a material, with its zone axis along the beam.

    Parameters
    ----------
    name : str
        One of ``material_names()``.

    Returns
    -------
    ase.Atoms
        Orthogonal periodic cell (a diagonal matrix, in angstrom) with the zone axis along +z and all
        positions inside the cell.

    Raises
    ------
    InputError
        If the name is unknown, or ASE is not installed.
    """
    if name not in CRYSTALS:
        close = difflib.get_close_matches(str(name).lower().replace("_", "-"), CRYSTALS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else "choose one, or read a structure file"
        raise InputError(f"unknown material '{name}' (known: {', '.join(CRYSTALS)}): {hint}")
    _require_ase()
    crystal = CRYSTALS[name]
    return _along_axes(_expand(crystal), np.array(crystal.axes))


def read_crystal(path: str | Path) -> ase.Atoms:
    """Read a crystal from a structure file (CIF, POSCAR, extended XYZ or any other format that ASE reads).

    The c axis of the file lies along the beam where the lattice has a plane perpendicular to it; otherwise
    the orthogonal axis nearest to c does.

    Parameters
    ----------
    path : str or Path
        The structure file; of several frames the last is read.

    Returns
    -------
    ase.Atoms
        Orthogonal periodic cell (a diagonal matrix, in angstrom), the smallest that the lattice allows, with
        all positions inside the cell.

    Raises
    ------
    InputError
        If the file is missing or unreadable, has no atoms or no cell, or its lattice has no orthogonal cell;
        or if ASE is not installed.
    """
    _require_ase()
    import ase.io

    path = Path(path)
    if path.is_dir():
        raise InputError(f"structure file '{path}' is a folder: give the path of a CIF or other structure in it")
    if not path.is_file():
        raise InputError(f"structure file '{path}' does not exist: give the path of a CIF or other structure")
    try:
        atoms = cast("ase.Atoms", ase.io.read(path))  # a list only where several frames are asked for
    except Exception as error:  # ASE's readers raise whatever a bad line makes them raise
        reason = next(iter(str(error).splitlines()), "") or "it is not written as its ending says"
        raise InputError(f"cannot read structure file '{path}' ({reason}): give a valid CIF") from error
    if not len(atoms) or atoms.cell.rank < 3:
        held = f"{len(atoms)} atoms and {atoms.cell.rank} cell vectors"
        raise InputError(f"structure file '{path}' holds {held}: give a crystal with atoms and 3 cell vectors")
    return _along_axes(atoms, _orthogonal_axes(atoms.cell.array, path))


def _require_ase() -> None:
    try:
        import ase  # noqa: F401
    except ImportError as error:
        raise InputError("simulation needs abTEM and ASE: pip install 'ptychodask[simulate]'") from error


def _expand(crystal: Crystal) -> ase.Atoms:
    """Apply each part's space group to its sites."""
    import ase
    from ase.spacegroup import Spacegroup

    symbols: list[str] = []
    positions = []
    for part in crystal.parts:
        operations = Spacegroup(part.group, part.setting).get_op()
        for symbol, *site in part.sites:
            orbit = operations[0] @ np.array(site) + operations[1]
            orbit -= np.floor(orbit)
            # a special position is its own image under some operations; tables round it to five digits,
            # and 1e-3 of a cell edge is far below any distance between atoms
            gap = orbit[:, None] - orbit[None]
            same = np.all(np.abs(gap - np.round(gap)) < 1e-3, axis=-1)
            orbit = orbit[np.argmax(same, axis=1) == np.arange(len(orbit))]
            symbols += [symbol] * len(orbit)
            positions.append(orbit)
    return ase.Atoms(symbols, scaled_positions=np.vstack(positions), cell=crystal.cell, pbc=True)


def _along_axes(atoms: ase.Atoms, axes: NDArray[np.int_]) -> ase.Atoms:
    """Repeat the crystal over the cell of the given axes (integer rows) and lay these along x, y and z."""
    import ase
    from ase.build import make_supercell

    repeated = make_supercell(atoms, axes)
    fraction = np.linalg.solve(repeated.cell.array.T, repeated.positions.T).T
    fraction -= np.floor(fraction + 1e-9)  # -1e-17 belongs at 0, not at 1
    edges = np.linalg.norm(repeated.cell.array, axis=1)
    return ase.Atoms(repeated.numbers, positions=np.clip(fraction, 0, None) * edges, cell=edges, pbc=True)


def _orthogonal_axes(cell: NDArray[np.float64], path: Path) -> NDArray[np.int_]:
    """Find the smallest orthogonal cell of a lattice as integer rows: right-handed, x near a, z near c."""
    sums = np.array(list(itertools.product(range(-_REACH, _REACH + 1), repeat=3)))
    first = np.array([next((n for n in row if n), 0) for row in sums])
    sums = sums[(np.gcd.reduce(sums, axis=1) == 1) & (first > 0)]  # the shortest of each line, one sign
    unit = sums @ cell
    length = np.linalg.norm(unit, axis=1)
    unit /= length[:, None]
    square = np.abs(unit @ unit.T) < _SQUARE
    triples = [
        (int(i), int(j), int(k))
        for i, j in zip(*np.nonzero(np.triu(square)), strict=True)
        for k in np.nonzero(square[i] & square[j])[0]
        if k > j
    ]
    if not triples:
        lacks = f"cell angles {_angles(cell)} degrees and no orthogonal cell within {_REACH} repeats"
        remedy = "give an orthogonal supercell (abtem.orthogonalize_cell makes a strained one)"
        raise InputError(f"structure file '{path}' has {lacks}: {remedy}")
    directions = cell / np.linalg.norm(cell, axis=1)[:, None]
    along = np.abs(unit @ directions.T)

    def cost(triple: tuple[int, int, int]) -> tuple[bool, float, float, float]:
        volume = float(np.prod(length[list(triple)]))
        near_a, _, near_c = along[list(triple)].max(axis=0)
        return near_c < 1 - _SQUARE, round(volume, 3), -round(near_c, 6), -round(near_a, 6)

    best = min(triples, key=cost)
    rows = list(best)
    z = rows.pop(int(np.argmax(along[rows, 2])))
    x = rows.pop(int(np.argmax(along[rows, 0])))
    y = rows.pop()
    signs = [1 if unit[axis] @ directions[n] >= 0 else -1 for n, axis in ((0, x), (2, z))]
    axes = np.array([signs[0] * sums[x], sums[y], signs[1] * sums[z]])
    axes[1] *= 1 if np.linalg.det(axes @ cell) > 0 else -1  # never a mirror image of the file's crystal
    return axes


def _angles(cell: NDArray[np.float64]) -> str:
    from ase.geometry import cell_to_cellpar

    return ", ".join(f"{angle:.2f}" for angle in cell_to_cellpar(cell)[3:])
