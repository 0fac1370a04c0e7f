"""Specimens with planted defects, for what an image must not lose: ZIF-8 [001], 34 A, and what may be in its place.

All lie in one super-cell of 6 x 6 cells, of which the scan sees y and x of 0 to 49 A:

    perfect     the crystal
    defective   a zinc column missing, half of one, one moved by 0.7 A; a linker missing, two; a guest (C60) in a pore,
                a cluster of seven Zn in another
    mixed       the crystal at x < 25 A; at larger x vacuum at y < 25 A, and above an amorphous piece, whose atoms are
                the crystal's, each displaced by 5 A rms
    marred      mixed, without a zinc column near its edge, with a C60 in the vacuum and the cluster in the amorphous
    amorphous, vacuum, molecule (a C60 in vacuum), nu-1000

Counts are drawn from patterns without noise that are simulated once: those of two specimens have the same random
numbers for the same seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase
import ase.build
import numpy as np
import xarray as xr

import ptychodask
from ptychodask.io.dataset import dataset_info, read_positions, read_truth
from ptychodask.io.source import ZarrBlocks
from ptychodask.io.writer import DatasetWriter
from ptychodask.io.written import write_shard
from ptychodask.simulation.materials import build_crystal
from ptychodask.simulation.noise import poisson_counts

CELLS = 6
EDGE = 25.0
"""Angstrom: where the areas of the mixed specimen meet."""
KINDS = ("zinc", "half zinc", "moved zinc", "linker", "two linkers", "guest", "cluster")
PLACES = {"zinc": (20.5, 20.5), "half zinc": (41, 20.5), "moved zinc": (8.5, 8.5), "linker": (22, 41),
          "two linkers": (42.5, 42.5), "guest": (30.0, 8.5), "cluster": (8.5, 30.0)}  # fmt: skip
"""Near which each is planted (y, x), angstrom."""


@dataclass(frozen=True)
class Planted:
    """A specimen, and what it has that its twin lacks (y, x), angstrom."""

    atoms: ase.Atoms
    places: dict[str, tuple[float, float]]


def _crystal() -> ase.Atoms:
    return build_crystal("zif-8").repeat((CELLS, CELLS, 2))


def _near(atoms: ase.Atoms, at: tuple[float, float], reach: float) -> np.ndarray:
    return np.hypot(atoms.positions[:, 1] - at[0], atoms.positions[:, 0] - at[1]) < reach


def _column(atoms: ase.Atoms, at: tuple[float, float], element: str) -> tuple[float, float]:
    """The column of most atoms of an element among those near a point."""
    own = atoms.positions[np.array(atoms.get_chemical_symbols()) == element][:, 1::-1]
    crowd = np.array([(np.hypot(*(own - p).T) < 0.6).sum() for p in own])
    full = own[crowd == crowd.max()] if element == "Zn" else own
    y, x = full[np.argmin(np.hypot(*(full - np.array(at)).T))]
    return float(y), float(x)


def _pore(atoms: ase.Atoms, at: tuple[float, float]) -> tuple[float, float]:
    """Where the crystal is emptiest near a point."""
    found = [(y, x) for y in np.arange(at[0] - 6, at[0] + 6, 0.5) for x in np.arange(at[1] - 6, at[1] + 6, 0.5)]
    best = min(found, key=lambda p: (_near(atoms, p, 3.0).sum(), np.hypot(p[0] - at[0], p[1] - at[1])))
    return float(best[0]), float(best[1])


def _put(atoms: ase.Atoms, molecule: ase.Atoms, at: tuple[float, float]) -> ase.Atoms:
    molecule = molecule.copy()
    middle = atoms.cell[2, 2] / 2
    molecule.positions += np.array([at[1], at[0], middle]) - molecule.positions.mean(axis=0)
    return atoms + molecule


def _cluster() -> ase.Atoms:
    """Seven zinc atoms: one and its neighbours in a hexagon, 2.7 A apart, tilted so that they overlap a little."""
    turn = np.arange(6) * np.pi / 3
    ring = 2.7 * np.stack([np.cos(turn), np.sin(turn) * 0.7, np.sin(turn) * 0.7], axis=1)
    return ase.Atoms("Zn7", np.concatenate([np.zeros((1, 3)), ring]))


def _without_zinc(atoms: ase.Atoms, near: tuple[float, float], half: bool = False) -> tuple[np.ndarray, Any]:
    at = _column(atoms, near, "Zn")
    its = _near(atoms, at, 0.6) & (atoms.numbers == 30)
    if half:
        its &= atoms.positions[:, 2] < atoms.cell[2, 2] / 2
    return its, at


def defective() -> Planted:
    """The crystal with one of each kind."""
    atoms = _crystal()
    gone, places = np.zeros(len(atoms), bool), {}
    for kind in ("zinc", "half zinc"):
        its, places[kind] = _without_zinc(atoms, PLACES[kind], kind == "half zinc")
        gone |= its
    organic = np.isin(atoms.get_chemical_symbols(), ["C", "N", "H"])
    for kind in ("linker", "two linkers"):
        its = _near(atoms, _column(atoms, PLACES[kind], "N"), 2.0) & organic
        if kind == "linker":
            its &= atoms.positions[:, 2] < atoms.cell[2, 2] / 2
        gone |= its
        y, x = atoms.positions[its, 1].mean(), atoms.positions[its, 0].mean()
        places[kind] = (float(y), float(x))
    moved, places["moved zinc"] = _without_zinc(atoms, PLACES["moved zinc"])
    places["guest"], places["cluster"] = _pore(atoms, PLACES["guest"]), _pore(atoms, PLACES["cluster"])
    atoms.positions[moved, :2] += 0.7 / np.sqrt(2)
    atoms = _put(_put(atoms[~gone], ase.build.molecule("C60"), places["guest"]), _cluster(), places["cluster"])
    return Planted(atoms, places)


def _amorphous(atoms: ase.Atoms) -> ase.Atoms:
    loose = atoms.copy()
    loose.positions += np.random.default_rng(1).normal(0, 5.0, loose.positions.shape)
    loose.wrap()
    return loose


def mixed() -> ase.Atoms:
    """Half crystal, a quarter vacuum, a quarter amorphous."""
    crystal, side = _crystal(), float(_crystal().cell[0, 0])
    loose = _amorphous(crystal)

    def low(values: np.ndarray) -> np.ndarray:
        return (values < EDGE) | (values > side - EDGE)

    (kx, ky), (lx, ly) = crystal.positions[:, :2].T, loose.positions[:, :2].T
    del ky
    return crystal[low(kx)] + loose[~low(lx) & ~low(ly)]


def marred() -> Planted:
    """The mixed specimen with something in each of its areas."""
    atoms = mixed()
    its, at = _without_zinc(atoms, (27.0, 17.0))
    places = {"zinc near the edge": at, "molecule in vacuum": (12.5, 37.5), "cluster in amorphous": (37.5, 37.5)}
    atoms = _put(atoms[~its], ase.build.molecule("C60"), places["molecule in vacuum"])
    return Planted(_put(atoms, _cluster(), places["cluster in amorphous"]), places)


def _vacuum() -> ase.Atoms:
    """One hydrogen atom out of sight."""
    crystal = _crystal()
    return ase.Atoms("H", [[86.0, 86.0, 1.0]], cell=crystal.cell, pbc=True)


BUILT = {
    "perfect": lambda: _crystal(),
    "defective": lambda: defective().atoms,
    "mixed": mixed,
    "marred": lambda: marred().atoms,
    "amorphous": lambda: _amorphous(_crystal()),
    "vacuum": _vacuum,
    "molecule": lambda: _put(_vacuum(), ase.build.molecule("C60"), (24.0, 24.0)),
}


def without_noise(folder: Path, name: str, **options: Any) -> Path:
    """A dataset of a specimen without noise, made once."""
    target = folder / f"{name}-mean.zarr"
    if target.exists():
        return target
    quiet: dict[str, Any] = {"dose_per_square_angstrom": float("inf"), "slice_thickness_angstrom": 4.0}
    if name == "nu-1000":
        return ptychodask.simulate(target, name, thickness_angstrom=50, progress=False, **quiet, **options)
    structure = folder / f"{name}.xyz"
    BUILT[name]().write(structure, format="extxyz")
    return ptychodask.simulate(target, str(structure), thickness_angstrom=34, progress=False, **quiet, **options)


def counted(mean: Path, target: Path, seed: int, dose: float = 100.0) -> Path:
    """Counts for a seed of a dataset without noise."""
    info, source = dataset_info(mean), ZarrBlocks(str(mean), dataset_info(mean).fingerprint)
    step, attributes = info.scan_step, {k: info.attributes[k] for k in ("thickness_angstrom",)}
    share = dose * step[0] * step[1] / float(info.attributes["electrons_per_pattern"])
    with DatasetWriter(target, info.scan_shape, info.microscope, info.detector, step, dtype="uint8",
                       attributes=attributes, overwrite=True) as writer:  # fmt: skip
        done = []
        for block in writer.blocks:
            intensities = np.fft.fftshift(source.dense(block), axes=(1, 2)) * share  # it gives zero angle in the corner
            counts = poisson_counts(intensities, block.flat(info.scan_shape), seed)
            done.append(write_shard(writer.folder, block, counts.reshape(block.y1 - block.y0, -1, *counts.shape[1:])))
        writer.add(done)
    return target


def truth_of(mean: Path) -> tuple[xr.DataArray, np.ndarray]:
    """Phase and positions."""
    return read_truth(mean)["phase"], read_positions(mean)
