"""NU-1000 [001] with planted defects, and its intergrowth with NU-901: what ``local_structure`` images.

The crystal is cut into its clusters (Zr and O, on the sites of a Kagome lattice) and its linkers (C and H, on the
edges between them), each once per layer of 16.6 A, of which there are three. The specimens lie in one super-cell of
157 x 136 A, of which the scan sees the first 117 A:

    perfect         the crystal
    planted         clusters in hexagonal channels (in 3, 3, 2 and 1 of the layers), linkers missing (in 3, 3, 2, 2, 1
                    and 1), two clusters missing
    intergrowth     NU-1000; from x = 60 A on its clusters fill the hexagonal channels too, in the order of NU-901,
                    whose linkers run along two of the three directions (at NU-1000's distances and angles, which are 3
                    degrees away from its own); at y > 96 A vacuum: the crystal ends
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ase
import numpy as np
import specimens

import ptychodask
from ptychodask.simulation.materials import build_crystal

LAYERS, COLUMNS, ROWS = 3, 4, 2
BORDER, END = 60.0, 96.0
"""Angstrom: x from which there is NU-901; y from which there is nothing."""
SEEN = 116.55


@dataclass(frozen=True)
class Framework:
    """A specimen, and the share of its layers in which every site differs from the crystal.

    Parameters
    ----------
    atoms : ase.Atoms
    changed : dict
        ``(kind, y, x)``, kind being "channel", "linker" or "cluster", to the share: 1 is all layers.
    """

    atoms: ase.Atoms
    changed: dict[tuple[str, float, float], float] = field(default_factory=dict)


@dataclass(frozen=True)
class Piece:
    """A cluster or linker of the primitive cell: where it stands (x, y), its atoms about there, its lines' numbers."""

    at: np.ndarray
    symbols: np.ndarray
    offsets: np.ndarray
    along: frozenset[int]


def basis() -> np.ndarray:
    """The primitive vectors a, b [2, 2] (x, y)."""
    cell = build_crystal("nu-1000").cell.lengths()
    return np.array([[cell[0], 0], [-cell[0] / 2, cell[1] / 2]])


def pieces() -> tuple[list[Piece], list[Piece]]:
    """Clusters and linkers of one primitive cell and one layer."""
    crystal, own = build_crystal("nu-1000").repeat((3, 3, 1)), basis()
    symbols = np.array(crystal.get_chemical_symbols())
    flat = crystal.positions[:, :2]
    metal = np.isin(symbols, ["Zr", "O"])
    origin = np.rint(np.array([58, 100]) @ np.linalg.inv(own)) @ own  # a hexagonal channel
    directions = np.array([own[0], own[1], own[0] + own[1]])
    clusters, linkers = [], []
    # (1/2, 0) lies on the lines along b and a + b, and so on
    lines = {(0.5, 0): (1, 2), (0, 0.5): (0, 2), (0.5, 0.5): (0, 1)}
    for fraction, along in lines.items():
        at = origin + np.array(fraction) @ own
        its = metal & (np.hypot(*(flat - at).T) < 8)
        clusters.append(Piece(at - origin, symbols[its], crystal.positions[its] - np.array([*at, 0]), frozenset(along)))
        for line in along:
            middle = at + directions[line] / 4
            away = flat - middle
            unit = directions[line] / np.linalg.norm(directions[line])
            near = (np.abs(away @ unit) < 9) & (np.abs(away @ [-unit[1], unit[0]]) < 2.6) & np.isin(symbols, ["C", "H"])
            linkers.append(
                Piece(
                    middle - origin, symbols[near], crystal.positions[near] - np.array([*middle, 0]), frozenset([line])
                )
            )
    total = sum(len(p.symbols) for p in (*clusters, *linkers))
    if 2 * total != len(build_crystal("nu-1000")):
        raise AssertionError(f"{total} atoms of a cell are in pieces")
    return clusters, linkers


def _all_sites() -> list[tuple[str, Piece, np.ndarray]]:
    """Every site of the super-cell: kind, piece, place (x, y). Channels take the cluster on lines 0 and 1."""
    clusters, linkers = pieces()
    own = basis()
    size = np.array([COLUMNS * own[0, 0], ROWS * 2 * own[1, 1]])
    third = next(c for c in clusters if c.along == {0, 1})
    found = []
    for i in range(-8, 9):
        for j in range(-1, 2 * ROWS + 1):
            corner = i * own[0] + j * own[1]
            kinds = [("cluster", c, c.at) for c in clusters] + [("linker", k, k.at) for k in linkers]
            for kind, piece, at in [*kinds, ("channel", third, np.zeros(2))]:
                place = corner + at
                if (place >= -1e-6).all() and (place < size - 1e-6).all():
                    found.append((kind, piece, place))
    return found


def _assembled(sites: list[tuple[Piece, np.ndarray, int]]) -> ase.Atoms:
    """Atoms of pieces in so many layers."""
    own, height = basis(), build_crystal("nu-1000").cell.lengths()[2]
    cell = [COLUMNS * own[0, 0], ROWS * 2 * own[1, 1], LAYERS * height]
    symbols, positions = [], []
    for piece, at, layers in sites:
        for layer in range(layers):
            symbols.append(piece.symbols)
            positions.append(piece.offsets + np.array([*at, layer * height]))
    atoms = ase.Atoms(np.concatenate(symbols), np.concatenate(positions), cell=cell, pbc=True)
    atoms.wrap()
    return atoms


def _where(place: np.ndarray) -> tuple[float, float]:
    return round(float(place[1]), 3), round(float(place[0]), 3)


def planted() -> Framework:
    """See above; which sites are drawn by lot, the same for every seed of the noise."""
    sites, rng = _all_sites(), np.random.default_rng(5)
    layers = {}
    for kind, shares in (("channel", (3, 3, 2, 1)), ("linker", (3, 3, 2, 2, 1, 1)), ("cluster", (3, 3))):
        margin = 8.0 if kind != "linker" else 5.0
        inside = [
            n for n, s in enumerate(sites) if s[0] == kind and (s[2] > margin).all() and (s[2] < SEEN - margin).all()
        ]
        for n, share in zip(rng.choice(inside, len(shares), replace=False), shares, strict=True):
            layers[int(n)] = min(share, LAYERS)
    whole, changed = [], {}
    for n, (kind, piece, place) in enumerate(sites):
        its = layers.get(n, 0)
        whole.append((piece, place, its if kind == "channel" else LAYERS - its))
        if its:
            changed[kind, *_where(place)] = its / LAYERS
    return Framework(_assembled(whole), changed)


def perfect() -> Framework:
    """The crystal."""
    return Framework(_assembled([(p, at, LAYERS) for kind, p, at in _all_sites() if kind != "channel"]))


def intergrowth() -> Framework:
    """See above."""
    clusters, linkers = pieces()
    own = basis()
    node = next(c for c in clusters if c.along == {0, 1})
    two = {line: next(k for k in linkers if k.along == {line}) for line in (0, 1)}
    whole, changed = [], {}
    for kind, piece, place in _all_sites():
        ends, new = place[1] > END or place[1] < 0, place[0] > BORDER
        empty = kind == "channel"
        if ends:
            if not empty:
                changed[kind, *_where(place)] = 1.0
            continue
        if not new:
            if not empty:
                whole.append((piece, place, LAYERS))
            continue
        if kind == "linker" and piece.along == {2}:
            changed[kind, *_where(place)] = 1.0
            continue
        if empty:
            changed[kind, *_where(place)] = 1.0
            whole.append((node, place, LAYERS))
            for line, linker in two.items():
                for sign in (1, -1):
                    middle = place + sign * own[line] / 4
                    if middle[0] > BORDER and 0 <= middle[1] < END:
                        whole.append((linker, middle, LAYERS))
        else:
            whole.append((node if kind == "cluster" else piece, place, LAYERS))
    return Framework(_assembled(whole), changed)


BUILT = {"perfect": perfect, "planted": planted, "intergrowth": intergrowth}


def mean_scan(folder: Path, name: str, **options: Any) -> Path:
    """A dataset of a specimen without noise, made once."""
    target = folder / f"{name}-mean.zarr"
    if not target.exists():
        structure = folder / f"{name}.xyz"
        BUILT[name]().atoms.write(structure, format="extxyz")
        quiet: dict[str, Any] = {"dose_per_square_angstrom": float("inf"), "slice_thickness_angstrom": 4.2}
        ptychodask.simulate(
            target, str(structure), thickness_angstrom=LAYERS * 16.57, progress=False, **quiet, **options
        )
    return target


def counted(mean: Path, target: Path, seed: int, dose: float = 100.0) -> Path:
    """Counts for a seed."""
    return specimens.counted(mean, target, seed, dose)
