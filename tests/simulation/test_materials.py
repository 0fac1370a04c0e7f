from __future__ import annotations

import itertools
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

ase = pytest.importorskip("ase")
ase_io = pytest.importorskip("ase.io")

from ase.neighborlist import neighbor_list  # noqa: E402

from ptychodask._errors import InputError  # noqa: E402
from ptychodask.simulation.materials import (  # noqa: E402
    build_crystal,
    material_names,
    materials,
    read_crystal,
)

REFERENCES = Path(__file__).parents[2].parent / "shared" / "structures"

# name: status, composition of the built cell, edges in angstrom
BUILT = {
    "zif-8": ("published", "C96H120N48Zn12", (16.991, 16.991, 16.991)),
    "nu-1000": ("published", "C528H264O192Zr36", (39.2679, 39.2679 * 3**0.5, 16.5666)),
    "nu-901": ("model", "C176H88O64Zr12", (20.5469, 33.4799, 16.5666)),
    "zr-btb": ("model", "C108H104O64Zr12", (20.0637 * 3**0.5, 20.0637, 9.15)),
    "mapbi3": ("model", "C4H24I12N4Pb4", (8.806, 8.806, 12.713)),
    "sod-zmof": ("stand-in", "C960H192In96N384O768", (36.0435, 36.0435, 36.0435)),
}

# name, species pair, number of bonds in the built cell, shortest and longest in angstrom
BONDS = [
    ("zif-8", "Zn", "N", 48, 1.98, 2.00),
    ("zif-8", "C", "N", 96, 1.33, 1.38),
    ("nu-1000", "Zr", "Zr", 72, 3.49, 3.55),
    ("nu-1000", "C", "H", 264, 0.92, 0.94),
    ("nu-901", "Zr", "Zr", 24, 3.49, 3.55),
    ("nu-901", "C", "H", 88, 0.92, 0.94),
    ("zr-btb", "Zr", "Zr", 24, 3.49, 3.51),
    ("zr-btb", "C", "H", 60, 1.07, 1.09),
    ("zr-btb", "O", "H", 44, 0.96, 0.98),
    ("mapbi3", "Pb", "I", 24, 3.163, 3.180),
    ("mapbi3", "C", "N", 4, 1.479, 1.481),
    ("mapbi3", "C", "H", 12, 1.089, 1.091),
    ("mapbi3", "N", "H", 12, 1.029, 1.031),
    ("sod-zmof", "In", "N", 384, 2.15, 2.22),
    ("sod-zmof", "In", "O", 192, 2.27, 2.31),
    ("sod-zmof", "C", "H", 192, 0.92, 0.94),
]

# name, reference file, the number of reference cells in the built cell
COMPARED = [
    ("zif-8", "ZIF-8.cif", 1),
    ("nu-1000", "NU-1000.cif", 2),
    ("nu-901", "NU-901_model.cif", 2),
    ("zr-btb", "Zr-BTB_model_hex.cif", 2),
    ("zr-btb", "Zr-BTB_model_orthohex.cif", 1),
    ("sod-zmof", "sod-ZMOF.cif", 4),
]


@pytest.fixture(scope="module")
def built():
    return {name: build_crystal(name) for name in material_names()}


def reference(name):
    path = REFERENCES / name
    if not path.is_file():
        pytest.skip(f"no reference structure {name}")
    with warnings.catch_warnings():  # the files list all atoms and no symmetry, so ASE need not interpret any
        warnings.filterwarnings("ignore", "crystal system .* is not interpreted for space group Spacegroup\\(1,")
        return ase_io.read(path)


def all_pair_distances(atoms, cutoff):
    """Sorted distances in angstrom of each species pair, every pair listed from both ends."""
    i, j, d = neighbor_list("ijd", atoms, cutoff)
    symbols = np.array(atoms.get_chemical_symbols())
    names = np.unique(symbols)
    return {(a, b): np.sort(d[(symbols[i] == a) & (symbols[j] == b)]) for a, b in itertools.product(names, names)}


def pair_distances(atoms, first, second, cutoff):
    return all_pair_distances(atoms, cutoff)[first, second]


def test_every_material_is_listed_with_status_and_source():
    assert material_names() == tuple(BUILT)
    assert [(m.name, m.status) for m in materials()] == [(name, row[0]) for name, row in BUILT.items()]
    for material in materials():
        assert material.title and material.zone_axis.startswith("[")
        if material.status == "published":
            assert "(20" in material.source  # a year
        else:
            words = {"model": "model", "stand-in": "stand-in"}
            assert words[material.status] in material.source.lower()


@pytest.mark.parametrize("name", BUILT)
def test_composition_and_cell(built, name):
    atoms = built[name]
    _, formula, edges = BUILT[name]
    assert atoms.get_chemical_formula() == formula
    np.testing.assert_allclose(atoms.cell.array, np.diag(edges), atol=1e-3)
    assert np.array_equal(atoms.cell.array, np.diag(np.diag(atoms.cell.array)))  # exactly diagonal
    assert np.linalg.det(atoms.cell.array) > 0
    assert atoms.pbc.all()
    assert (atoms.positions >= 0).all()
    assert (atoms.positions < np.diag(atoms.cell.array)).all()


@pytest.mark.parametrize("name", BUILT)
def test_no_two_atoms_overlap(built, name):
    assert neighbor_list("d", built[name], 0.85).size == 0


@pytest.mark.parametrize(("name", "first", "second", "count", "low", "high"), BONDS)
def test_bonds(built, name, first, second, count, low, high):
    cutoff = {"Zr": 3.7, "Pb": 3.5, "In": 2.6, "Zn": 2.3}.get(first, 1.6 if second == "N" else 1.25)
    lengths = pair_distances(built[name], first, second, cutoff)
    if first == second:
        lengths = lengths[::2]  # each pair is listed from both ends
    assert len(lengths) == count
    assert low < lengths[0] and lengths[-1] < high


def test_zif8_methyl_is_tetrahedral_at_1_09_angstrom(built):
    atoms = built["zif-8"]
    i, j, d = neighbor_list("ijD", atoms, {("C", "H"): 1.15})
    symbols = np.array(atoms.get_chemical_symbols())
    methyls = [c for c in np.unique(i[symbols[i] == "C"]) if np.count_nonzero(i == c) == 3]
    assert len(methyls) == 24
    for carbon in methyls:
        arms = d[i == carbon]
        np.testing.assert_allclose(np.linalg.norm(arms, axis=1), 1.09, atol=1e-3)
        cosines = (arms @ arms.T)[np.triu_indices(3, 1)] / 1.09**2
        np.testing.assert_allclose(cosines, -1 / 3, atol=2e-3)
    assert (symbols[j[i == methyls[0]]] == "H").all()


def test_zif8_methyl_hydrogens_are_one_published_orientation(built):
    published = reference("ZIF-8.cif")
    atoms = built["zif-8"]
    edge = atoms.cell.lengths()[0]
    known = published.get_scaled_positions()[published.numbers == 1]
    # the file chose one orientation at random for each methyl; the mirrors of I-43m give the others
    known = np.vstack([known[:, order] for order in itertools.permutations(range(3))])
    for site in atoms.get_scaled_positions()[atoms.numbers == 1]:
        gap = known - site
        gap -= np.round(gap)
        # 1.09 A against the file's 0.96 A
        assert np.linalg.norm(gap, axis=1).min() * edge < 0.16


def test_nu1000_and_nu901_share_the_axis_along_the_beam(built):
    assert built["nu-1000"].cell[2, 2] == built["nu-901"].cell[2, 2]


def test_zr_btb_is_viewed_along_its_stacking_axis(built):
    # In projection along the beam the Zr6 clusters sit on a hexagonal lattice of 20.06 A; z spans one layer.
    atoms = built["zr-btb"]
    zr = atoms.positions[atoms.numbers == 40]
    z = (zr[:, 2] + 4.575) % 9.15 - 4.575
    np.testing.assert_allclose(np.abs(z), 1.43, atol=0.01)
    edges = atoms.cell.lengths()
    # d(024) of the orthohexagonal setting (stacking, 34.75, 20.06), that the literature quotes as 4.8 A
    assert 1 / np.hypot(2 / edges[0], 4 / edges[1]) == pytest.approx(4.82, abs=0.01)


def test_mapbi3_cations_are_ordered_without_a_dipole(built):
    atoms = built["mapbi3"]
    i, j, d = neighbor_list("ijD", atoms, {("C", "N"): 1.6})
    bonds = d[(atoms.numbers[i] == 6) & (atoms.numbers[j] == 7)]
    np.testing.assert_allclose(bonds.sum(axis=0), 0, atol=1e-9)
    assert pair_distances(atoms, "H", "I", 3.2)[0] > 2.5  # hydrogen bonds, no collision


def test_mapbi3_resembles_the_computed_structure(built):
    computed = reference("MAPbI3_tetragonal.cif")
    atoms = built["mapbi3"]
    assert atoms.get_chemical_formula() == computed.get_chemical_formula()
    ours, theirs = (pair_distances(a, "Pb", "I", 3.5) for a in (atoms, computed))
    assert len(ours) == len(theirs) == 24
    np.testing.assert_allclose(ours, theirs, atol=0.1)
    assert atoms.get_volume() == pytest.approx(computed.get_volume(), rel=0.03)


@pytest.mark.parametrize(("name", "file", "cells"), COMPARED)
def test_same_atoms_as_the_reference(built, name, file, cells):
    atoms, known = built[name], reference(file)
    assert atoms.get_volume() == pytest.approx(cells * known.get_volume(), rel=1e-4)
    numbers, counts = np.unique(atoms.numbers, return_counts=True)
    known_numbers, known_counts = np.unique(known.numbers, return_counts=True)
    assert np.array_equal(numbers, known_numbers) and np.array_equal(counts, cells * known_counts)
    if name == "zif-8":  # the methyl hydrogens are placed differently on purpose
        atoms, known = atoms[atoms.numbers != 1], known[known.numbers != 1]
    # distances do not depend on origin or axes; a margin at the cutoff keeps pairs from slipping out
    ours, theirs = all_pair_distances(atoms, 6.1), all_pair_distances(known, 6.1)
    assert ours.keys() == theirs.keys()
    for pair in ours:
        expected = np.repeat(theirs[pair], cells)
        expected = expected[expected < 6.0]
        np.testing.assert_allclose(ours[pair][: len(expected)], expected, atol=0.05, err_msg=str(pair))


def test_same_handedness_as_the_reference(built):
    # Pair distances cannot tell a crystal from its mirror image; in Zr-BTB the clusters and protons can.
    from ase.geometry import get_distances

    known = reference("Zr-BTB_model_orthohex.cif")
    atoms = built["zr-btb"]
    turned = known.get_scaled_positions()[:, [1, 2, 0]]  # b, c, a: the cyclic permutation
    edges = atoms.cell.lengths()
    best = np.inf
    for shift in ((0, 0, 0), (0.5, 0.5, 0)):  # the same point of the C-centred cell
        worst = 0.0
        for number in np.unique(atoms.numbers):
            target = ((turned[known.numbers == number] + shift) % 1) * edges
            _, lengths = get_distances(target, atoms.positions[atoms.numbers == number], cell=atoms.cell, pbc=True)
            worst = max(worst, lengths.min(axis=1).max())
        best = min(best, worst)
    assert best < 0.01


@pytest.mark.parametrize(
    ("name", "suggestion"), [("zif8", "zif-8"), ("ZIF_8", "zif-8"), ("nu1000", "nu-1000"), ("uio-66", None)]
)
def test_unknown_name(name, suggestion):
    with pytest.raises(InputError) as caught:
        build_crystal(name)
    message = str(caught.value)
    assert f"'{name}'" in message and "\n" not in message
    assert all(known in message for known in BUILT)
    assert (f"did you mean '{suggestion}'?" in message) == (suggestion is not None)


def test_reads_an_orthogonal_file_as_it_is(tmp_path):
    atoms = build_crystal("mapbi3")
    atoms.write(tmp_path / "perovskite.cif")
    read = read_crystal(tmp_path / "perovskite.cif")
    np.testing.assert_allclose(read.cell.array, atoms.cell.array, atol=1e-6)
    np.testing.assert_allclose(np.sort(read.positions, axis=0), np.sort(atoms.positions, axis=0), atol=1e-6)


@pytest.mark.parametrize(
    ("cell", "edges"),
    [
        ([5, 5, 7, 90, 90, 120], {5.0, 5 * 3**0.5, 7.0}),  # hexagonal
        ([5, 5, 5, 60, 60, 60], {5.0, 5 * 2**0.5}),  # primitive face-centred cubic, c along [110]
        ([19.641, 19.641, 16.5666, 90, 90, 63.0757], {20.5469, 33.4799, 16.5666}),  # rhombic
    ],
)
def test_reads_a_lattice_that_allows_an_orthogonal_cell(tmp_path, cell, edges):
    motif = ase.Atoms("SiOO", scaled_positions=[(0.1, 0.2, 0.3), (0.4, 0.15, 0.6), (0, 0, 0)], cell=cell, pbc=True)
    motif.write(tmp_path / "motif.cif")
    atoms = read_crystal(tmp_path / "motif.cif")
    assert np.array_equal(atoms.cell.array, np.diag(np.diag(atoms.cell.array)))
    assert {min(edges, key=lambda e: abs(e - x)) for x in atoms.cell.lengths()} == edges
    assert all(min(abs(e - x) for e in edges) < 1e-3 for x in atoms.cell.lengths())
    cells = round(atoms.get_volume() / motif.get_volume())
    assert len(atoms) == cells * len(motif)
    assert atoms.cell[2, 2] == pytest.approx(cell[2])  # c stays along the beam
    if cell[3:] == [90, 90, 120]:
        assert atoms.cell[0, 0] == pytest.approx(cell[0])  # and a along x
    for first, second in (("Si", "O"), ("O", "O")):
        ours = pair_distances(atoms, first, second, 9.0)
        np.testing.assert_allclose(ours, np.repeat(pair_distances(motif, first, second, 9.0), cells), atol=1e-3)
    assert handed(atoms) == handed(motif)


def handed(atoms):
    """Sign of the triple product of the directions from a silicon to its three nearest oxygens."""
    i, j, d, r = neighbor_list("ijdD", atoms, 25.0)
    n = np.flatnonzero(atoms.numbers == 14)[0]
    mine = (i == n) & (atoms.numbers[j] == 8)
    volume = np.linalg.det(r[mine][np.argsort(d[mine])[:3]])
    assert abs(volume) > 1e-3  # else the motif is no test of handedness
    return np.sign(volume)


def test_a_left_handed_lattice_is_not_mirrored(tmp_path):
    cell = np.array([[0, 5, 0], [4, 0, 0], [0, 0, 6.0]])
    motif = ase.Atoms("SiOOO", positions=[(1, 1, 1), (2.5, 1, 1), (1, 2.7, 1), (1, 1, 2.9)], cell=cell, pbc=True)
    motif.write(tmp_path / "POSCAR", format="vasp")
    atoms = read_crystal(tmp_path / "POSCAR")
    assert handed(atoms) == handed(motif)
    assert sorted(atoms.cell.lengths()) == pytest.approx([4, 5, 6])


def test_a_triclinic_file_is_refused_with_its_angles(tmp_path):
    motif = ase.Atoms("Si", cell=[5.1, 6.3, 7.7, 81.3, 94.7, 103.9], pbc=True)
    motif.write(tmp_path / "triclinic.cif")
    with pytest.raises(InputError, match=r"81\.30, 94\.70, 103\.90 degrees.*give an orthogonal"):
        read_crystal(tmp_path / "triclinic.cif")


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(InputError, match=r"'.*nowhere\.cif' does not exist"):
        read_crystal(tmp_path / "nowhere.cif")
    (tmp_path / "bad.cif").write_text("no crystal here\n")
    with pytest.raises(InputError, match=r"cannot read structure file '.*bad\.cif'") as caught:
        read_crystal(tmp_path / "bad.cif")
    assert "\n" not in str(caught.value) and "(it is not written as its ending says)" in str(caught.value)
    assert "Error" not in str(caught.value)
    with pytest.raises(InputError, match="is a folder: give the path of a CIF"):
        read_crystal(tmp_path)
    ase.Atoms("CO", positions=[(0, 0, 0), (0, 0, 1.1)]).write(tmp_path / "molecule.xyz")
    with pytest.raises(InputError, match="2 atoms and 0 cell vectors"):
        read_crystal(tmp_path / "molecule.xyz")


def test_without_ase_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ase", None)
    with pytest.raises(InputError, match=r"pip install 'ptychodask\[simulate\]'"):
        build_crystal("zif-8")


def test_importing_does_not_import_ase():
    code = "import sys, ptychodask.simulation.materials as m; m.materials(); sys.exit('ase' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
