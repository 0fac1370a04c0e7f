"""The crystal cut to a box: whole repeats along the beam, a fixed lattice point, keyed displacements."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ase = pytest.importorskip("ase")
pytest.importorskip("ase.io")

from ptychodask._errors import InputError  # noqa: E402
from ptychodask.simulation.specimen import Specimen, crystal, crystal_thickness, fill_box, repeats  # noqa: E402

CELL = (11.0, 13.0, 6.0)
SITES = {"Au": (2.0, 3.0, 1.5), "Cu": (7.5, 4.2, 4.0), "O": (8.0, 10.0, 0.5)}


@pytest.fixture
def specimen(tmp_path: Path) -> Specimen:
    atoms = ase.Atoms(list(SITES), list(SITES.values()), cell=CELL, pbc=True)
    ase.io.write(tmp_path / "crystal.xyz", atoms, format="extxyz")
    return Specimen(str(tmp_path / "crystal.xyz"), 18.0)


def rows(atoms) -> np.ndarray:
    table = np.column_stack([atoms.numbers, atoms.positions])
    return table[np.lexsort(table.T)]


def test_repeats_are_the_nearest_whole_number():
    assert [repeats(17.0, t) for t in (1.0, 17.0, 25.0, 26.0, 100.0)] == [1, 1, 1, 2, 6]
    for bad in (0.0, -5.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="thickness_angstrom"):
            repeats(17.0, bad)


def test_thickness_is_that_of_the_repeats(specimen):
    assert crystal_thickness(specimen) == pytest.approx(18.0)
    assert crystal_thickness(replace(specimen, thickness_angstrom=20.0)) == pytest.approx(18.0)
    assert crystal_thickness(replace(specimen, thickness_angstrom=1.0)) == pytest.approx(6.0)


def test_the_box_holds_every_atom_of_the_crystal_in_it(specimen):
    origin, extent = (-17.3, 4.9), (31.7, 44.2)  # y, x
    atoms = fill_box(specimen, origin, extent)
    np.testing.assert_allclose(np.diag(atoms.cell.array), (extent[1], extent[0], 18.0))
    expected = []
    for symbol, (x, y, z) in SITES.items():
        for i in range(-9, 10):
            for j in range(-9, 10):
                place = np.array([x + CELL[0] * i - origin[1], y + CELL[1] * j - origin[0]])
                if (place >= 0).all() and (place < extent[::-1]).all():
                    number = ase.data.atomic_numbers[symbol]
                    expected += [(number, *place, z + CELL[2] * layer) for layer in range(3)]
    expected = np.array(expected)
    assert len(atoms) == len(expected)
    np.testing.assert_allclose(rows(atoms), expected[np.lexsort(expected.T)], atol=1e-5)


def test_boxes_share_their_lattice(specimen):
    wide = fill_box(specimen, (-20.0, -20.0), (50.0, 50.0))
    small = fill_box(specimen, (-3.0, 2.0), (20.0, 17.0))
    moved = wide[np.all((wide.positions[:, :2] >= (22, 17)) & (wide.positions[:, :2] < (39, 37)), axis=1)]
    moved.positions[:, :2] -= (22, 17)
    assert len(small) == len(moved) > 0
    np.testing.assert_allclose(rows(small), rows(moved), atol=1e-9)


def test_phonons_displace_by_their_sigma_and_are_keyed(specimen):
    shaken = replace(specimen, phonons=2, phonon_sigma_angstrom=0.08, seed=3)
    origin, extent = (0.0, 0.0), (260.0, 220.0)
    still = fill_box(specimen, origin, extent)
    first = fill_box(shaken, origin, extent, 0)
    np.testing.assert_array_equal(first.positions, fill_box(shaken, origin, extent, 0).positions)
    for other in (fill_box(shaken, origin, extent, 1), fill_box(replace(shaken, seed=4), origin, extent, 0)):
        assert other.positions.shape != first.positions.shape or not np.allclose(other.positions, first.positions)
    assert ((first.positions[:, 2] >= 0) & (first.positions[:, 2] < 18.0)).all()
    # atoms well inside the box are all there; the nearest of the same kind is the one at rest
    inner = np.all((still.positions[:, :2] > 2) & (still.positions[:, :2] < np.array(extent[::-1]) - 2), axis=1)
    gaps = []
    for number, place in zip(still.numbers[inner][:600], still.positions[inner][:600], strict=True):
        gap = first.positions[first.numbers == number] - place
        gaps.append(gap[np.argmin((gap**2).sum(axis=1))])
    sigma = np.std(gaps, axis=0)
    np.testing.assert_allclose(sigma, 0.08, rtol=5 / np.sqrt(2 * len(gaps)))
    assert np.abs(gaps).max() < 0.08 * 6


def test_materials_files_and_mistakes(specimen, tmp_path):
    assert crystal("zif-8").get_chemical_formula() == "C96H120N48Zn12"
    assert sorted(crystal(specimen.material).symbols) == sorted(SITES)
    ase.io.write(tmp_path / "again.cif", crystal(specimen.material))
    assert sorted(crystal(str(tmp_path / "again.cif")).symbols) == sorted(SITES)
    with pytest.raises(InputError, match="did you mean 'zif-8'"):
        crystal("zif8")
    with pytest.raises(InputError, match="does not exist"):
        crystal("absent.cif")
