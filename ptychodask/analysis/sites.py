"""Motifs of a structure, and where they lie in an image: clusters, linkers, channels.

A structure is cut by its chemistry: metal atoms that are closer than 4.2 A make a cluster with the atoms bound to
them but for carbon and hydrogen; what else hangs together by bonds is a linker or a guest; the widest places without
atoms are channels. What lies above each other along the beam is one site. The structure is laid on the image by its
lattice: every rotation, with and without a mirror (a crystal may lie upside down), that brings its cell on vectors of
the measured lattice within 5 %, is tried, and moved to where its atoms correlate best with the mean of the cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import nnls
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from .._errors import InputError
from .average import CellMean, cell_mean
from .cell import Lattice

Floats = NDArray[np.floating]

_NONMETALS = frozenset((1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 33, 34, 35, 36, 52, 53, 54))
_CLUSTER, _BOUND, _BOND = 4.2, 2.7, 1.75
"""Angstrom: metal to metal, metal to what is bound to it, and between atoms of a molecule."""
_STRAIN = 0.05
_SAME = 1.5
"""Angstrom: motifs of one kind that are nearer in projection are one site."""
_WIDE = 4.0
"""Angstrom: radius from which an empty place is a channel."""
_FITS = 0.3
"""Correlation with the mean of the cells below which a structure does not fit."""
_PEAK, _SHARE = 0.7, 1 / 3
"""Angstrom: sigma with which peaks of the mean are looked for; share of the highest that a peak must have."""
_CENTRED = 0.93
"""Correlation of a structure with itself, moved, from which the move is one of its lattice."""
_GRID = 0.4
_BLUR = 0.8
"""Angstrom: sigma of an atom in the picture of a structure."""


@dataclass(frozen=True)
class Structure:
    """A crystal with a rectangular cell in projection.

    Parameters
    ----------
    numbers : int array (n,)
    positions : array (n, 3)
        x, y, z in angstrom, the beam along z.
    cell : array (3,)
        Edges.
    """

    numbers: NDArray[np.integer]
    positions: Floats
    cell: Floats


@dataclass(frozen=True)
class Motif:
    """One site of a cell: what it is, where, and what belongs to it.

    Parameters
    ----------
    kind : str
    place : array (2,)
        (y, x) in angstrom, in the frame of the structure.
    atoms : array (n, 2)
        (y, x) about there; none in a channel.
    radius : float
        Of a circle that holds it.
    guest : bool
        May one of these stand in a channel?
    weights : array (n,)
        Atomic numbers; empty where there is no structure.
    reach : float
        Angstrom about its middle that belong to it where there is no structure.
    """

    kind: str
    place: Floats
    atoms: Floats
    radius: float
    guest: bool = False
    weights: Floats = field(default_factory=lambda: np.zeros(0))
    reach: float = 0.0


@dataclass(frozen=True)
class Placed:
    """A structure on an image: ``place = origin + (y, x) @ turn``.

    Parameters
    ----------
    motifs : sequence of Motif
        In the frame of the structure.
    cell : array (2, 2)
        Its vectors (y, x) in the image, y first.
    turn : array (2, 2)
        From the structure's (y, x) to the image's, stretched as the image is.
    origin : array (2,)
    correlation : float
        Of its atoms with the mean of the cells.
    blur : float
        Angstrom: sigma of an atom in the mean of the cells.
    phases : dict
        Rad square angstrom per unit of atomic number, by kind.
    """

    motifs: tuple[Motif, ...]
    cell: Floats
    turn: Floats
    origin: Floats
    correlation: float
    blur: float = 0.0
    phases: Mapping[str, float] = field(default_factory=dict)


def motifs_of(structure: Structure) -> tuple[Motif, ...]:
    """Sites of a cell, see above."""
    numbers, box = structure.numbers, np.asarray(structure.cell, float)
    positions = np.mod(structure.positions, box)
    positions = np.where(positions >= box, 0.0, positions)
    metal = ~np.isin(numbers, sorted(_NONMETALS))
    tree = cKDTree(positions, boxsize=box)
    reach = min(_CLUSTER, 0.49 * float(box.min()))
    pairs = tree.query_pairs(reach, output_type="ndarray")
    length = np.linalg.norm(_wrapped(positions[pairs[:, 0]] - positions[pairs[:, 1]], box), axis=1)
    both, one = metal[pairs].all(axis=1), metal[pairs].any(axis=1)
    light = np.isin(numbers, (1, 6))[pairs].any(axis=1)
    bound = both | (one & ~both & ~light & (length < _BOUND))
    bound[one & ~both & (length >= _BOUND)] = False
    anion = np.zeros(len(numbers), bool)
    anion[pairs[bound & ~both].ravel()] = True
    anion &= ~metal
    alone = numbers[pairs] == 1
    molecule = ~one & (length < np.where(alone.any(axis=1), 1.3, _BOND)) & ~anion[pairs].any(axis=1)
    # in an imidazolate the nitrogen is bound to metal and ring alike: it stays with the ring
    ring = ~one & (length < _BOND) & anion[pairs].any(axis=1) & (numbers[pairs] == 7).any(axis=1)
    anion[pairs[ring].ravel()] &= numbers[pairs[ring].ravel()] != 7
    molecule |= ring
    bound &= both | anion[pairs].any(axis=1)
    groups = _groups(pairs[bound | molecule], len(numbers))
    found: list[Motif] = []
    for label in range(int(groups.max()) + 1):
        its = np.flatnonzero(groups == label)
        heavy = its[metal[its]]
        if np.isin(numbers[its], (1, 8)).all():
            continue  # water, hydroxide
        core = heavy if len(heavy) else its[numbers[its] != 1]
        away = _unwrapped(positions[its], positions[core[0]], box)
        place = np.average(away[np.isin(its, core)][:, 1::-1], axis=0, weights=numbers[core])
        kind = _name(numbers[core])
        atoms = away[:, 1::-1] - place
        found.append(
            Motif(kind, np.mod(place, box[1::-1]), atoms, _radius(atoms), bool(len(heavy)), numbers[its].astype(float))
        )
    merged = _above_each_other(found, box[1::-1])
    return tuple(merged + (_channels(positions[numbers != 1], box) if any(m.guest for m in merged) else []))


def _wrapped(away: Floats, box: Floats) -> Floats:
    return away - box * np.rint(away / box)


def _unwrapped(positions: Floats, first: Floats, box: Floats) -> Floats:
    """A group as one piece: each atom at the image nearest to the first, then to the middle of what is there."""
    near = first + _wrapped(positions - first, box)
    return near.mean(axis=0) + _wrapped(near - near.mean(axis=0), box)


def _groups(pairs: NDArray[np.integer], count: int) -> NDArray[np.integer]:
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def _name(numbers: NDArray[np.integer]) -> str:
    """A formula, metals as they are counted, such as Zr6 or C44O8."""
    from ase.data import chemical_symbols

    parts = sorted((chemical_symbols[n], int((numbers == n).sum())) for n in np.unique(numbers))
    return "".join(s + (str(c) if c > 1 else "") for s, c in parts)


def _radius(atoms: Floats) -> float:
    return float(np.hypot(atoms[:, 0], atoms[:, 1]).max()) + 1.0


def _above_each_other(found: Sequence[Motif], box: Floats) -> list[Motif]:
    """One motif for all of a kind that lie at one place in projection."""
    merged: list[Motif] = []
    for motif in found:
        for n, its in enumerate(merged):
            away = _wrapped(motif.place - its.place, box)
            if its.kind == motif.kind and np.hypot(*away) < _SAME:
                atoms = np.vstack([its.atoms, motif.atoms + away])
                weights = np.concatenate([its.weights, motif.weights])
                merged[n] = replace(its, atoms=atoms, radius=max(its.radius, motif.radius), weights=weights)
                break
        else:
            merged.append(motif)
    return merged


def _channels(positions: Floats, box: Floats) -> list[Motif]:
    """Empty places: maxima of the distance to the nearest atom in projection, each larger than what it overlaps."""
    flat, size = positions[:, 1::-1], box[1::-1]
    shape = np.maximum(8, np.ceil(size / _GRID)).astype(int)
    y, x = np.meshgrid(*(np.arange(n) * s / n for n, s in zip(shape, size, strict=True)), indexing="ij")
    distance = cKDTree(np.mod(flat, size), boxsize=size * (1 + 1e-12)).query(np.stack([y, x], axis=-1))[0]
    top = (distance == ndimage.maximum_filter(distance, 9, mode="wrap")) & (distance > _WIDE)
    at = np.argwhere(top)
    kept: list[Motif] = []
    for i, j in at[np.argsort(-distance[top], kind="stable")]:
        place, radius = np.array([y[i, j], x[i, j]]), float(distance[i, j])
        if all(np.hypot(*_wrapped(place - m.place, size)) > 0.8 * max(m.radius, radius) for m in kept):
            kept.append(Motif(f"channel {2 * radius:.0f} Å", place, np.zeros((0, 2)), radius))
    names: list[float] = []  # of channels that are the same but for the grid
    for n, motif in enumerate(kept):
        known = [r for r in names if abs(r - motif.radius) < 0.6]
        names += [] if known else [motif.radius]
        wide = known[0] if known else motif.radius
        kept[n] = replace(motif, kind=f"channel {2 * wide:.0f} Å")
    return kept


def place_structure(structure: Structure, image: xr.DataArray, lattice: Lattice) -> tuple[Placed, CellMean]:
    """Lay a structure on an image, and take the mean over its primitive cell, which may hold several of the lattice's.

    Where clusters are also in the channels of half of the field, the lattice that most peaks lie on is a finer one.

    Raises
    ------
    InputError
        Its cell does not fit the lattice, the field is too small for a mean over it, or its atoms do not fit the image.
    """
    own = np.diag(np.asarray(structure.cell[1::-1], float))
    reach = int(np.ceil(1.2 * own.max() / np.linalg.norm(lattice.basis, axis=1).min())) + 2
    steps = np.array([(i, j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1)])
    vectors = steps @ lattice.basis
    lengths = np.linalg.norm(vectors, axis=1)
    near = [vectors[np.abs(lengths / side - 1) < _STRAIN] for side in np.diag(own)]
    cells = [np.stack([first, second]) for first in near[0] for second in near[1]]
    square = [c for c in cells if abs(c[0] @ c[1]) < _STRAIN * np.linalg.norm(c[0]) * np.linalg.norm(c[1])]
    if not square:
        a, b, gamma = (lattice.constants[n][0] for n in ("a", "b", "gamma"))
        raise InputError(
            f"the structure's cell of {own[1, 1]:.2f} x {own[0, 0]:.2f} A in projection does not fit the lattice of the"
            f" image ({a:.2f} x {b:.2f} A, {gamma:.1f} degrees) within {100 * _STRAIN:.0f} %: give the phase that is"
            " in the image, its c axis along the beam, and check the scan step"
        )
    shape = np.ceil(np.diag(own) / _GRID).astype(int)
    picture = _picture(structure, shape)
    primitive = _primitive(picture, shape, own)
    inside = np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), axis=-1)
    means: dict[bytes, CellMean] = {}
    best: tuple[float, Floats, Floats, CellMean] | None = None
    for cell in square:
        whole = np.rint(primitive @ np.linalg.inv(own) @ cell @ np.linalg.inv(lattice.basis))
        coarse = lattice.multiple(whole)
        # rotations of a cell onto itself share a lattice, and so a mean
        name = np.round(coarse.basis, 6).tobytes()
        if name not in means:
            means[name] = cell_mean(image, coarse)
        mean = means[name]
        seen = mean.at(mean.origin + inside @ cell)
        seen = seen - seen.mean()
        moved = np.fft.irfft2(np.fft.rfft2(seen) * np.conj(picture), seen.shape)
        at = np.unravel_index(int(moved.argmax()), moved.shape)
        value = float(moved[at]) / float(np.sqrt((seen**2).sum()) + 1e-300)
        if best is None or value > best[0] + 1e-6:
            best = value, cell, mean.origin + (np.array(at) / shape) @ cell, mean
    assert best is not None
    if best[0] < _FITS:
        raise InputError(
            f"the structure does not look like the image: its atoms correlate {best[0]:.2f} with the mean of the cells"
            f" (at least {_FITS}): give the phase that is in the image, its c axis along the beam"
        )
    value, cell, origin, mean = best
    placed = Placed(motifs_of(structure), cell, np.linalg.inv(own) @ cell, origin, value)
    return _as_bright(placed, mean.at(origin + inside @ cell), np.diag(own)), mean


def _primitive(picture: NDArray[np.complexfloating], shape: NDArray[np.integer], own: Floats) -> Floats:
    """Vectors (2, 2) of the smallest cell of a structure whose rectangular cell may be centred."""
    alike = np.fft.irfft2(np.abs(picture) ** 2, tuple(shape))
    top = (alike == ndimage.maximum_filter(alike, 3, mode="wrap")) & (alike > _CENTRED * alike[0, 0])
    centres = np.rint(12 * np.argwhere(top) / shape) / 12  # centring is by halves and thirds
    vectors = np.concatenate([*(centres + np.array(c) for c in ((-1, -1), (-1, 0), (0, -1), (0, 0))), np.eye(2)]) @ own
    vectors = vectors[np.linalg.norm(vectors, axis=1) > 1e-6]
    vectors = vectors[np.argsort(np.linalg.norm(vectors, axis=1), kind="stable")]
    area = abs(np.linalg.det(own)) / len(centres)
    for n, first in enumerate(vectors):
        for second in vectors[:n]:
            if abs(abs(np.linalg.det(np.stack([second, first]))) / area - 1) < 0.01:
                return np.stack([second, first])
    return own


def _as_bright(placed: Placed, seen: Floats, size: Floats) -> Placed:
    """With the phases of its kinds, and the blur of its atoms, that fit the mean of the cells (h, w) best."""
    shape = np.array(seen.shape)
    kinds = list(dict.fromkeys(m.kind for m in placed.motifs if len(m.atoms)))
    pictures = np.zeros((len(kinds), *shape))
    for motif in placed.motifs:
        if len(motif.atoms):
            at = np.rint(np.mod((motif.place + motif.atoms) / size, 1.0) * shape).astype(int) % shape
            np.add.at(pictures[kinds.index(motif.kind)], tuple(at.T), motif.weights)
    pictures /= np.prod(size / shape)
    best: tuple[float, float, Floats] | None = None
    for blur in np.arange(0.4, 1.65, 0.1):
        columns = [ndimage.gaussian_filter(p, blur * shape / size, mode="wrap").ravel() for p in pictures]
        matrix = np.stack([np.ones(seen.size), -np.ones(seen.size), *columns], axis=1)
        fit, misfit = nnls(matrix.T @ matrix, matrix.T @ seen.ravel())
        misfit = float(np.sum((matrix @ fit - seen.ravel()) ** 2))
        if best is None or misfit < best[0]:
            best = misfit, float(blur), fit[2:]
    assert best is not None
    return replace(placed, blur=best[1], phases=dict(zip(kinds, best[2].tolist(), strict=True)))


def sites_of_mean(mean: CellMean) -> Placed:
    """Sites of the mean itself, where no structure is given: its peaks, and its wide hollows.

    Peaks are the maxima of at least a third of the highest, above the level between, that are higher than their
    surroundings by three errors; each reaches half way to the next. Hollows are the minima at the scale of a channel.
    """
    lattice = mean.lattice
    nb, na = mean.mean.shape
    steps = np.array([np.linalg.norm(lattice.basis[1]) / nb, np.linalg.norm(lattice.basis[0]) / na])
    smooth = ndimage.gaussian_filter(mean.mean, _PEAK / steps, mode="wrap")
    level = float(np.percentile(smooth, 2))
    size = np.maximum(3, 2 * np.rint(_SAME / steps).astype(int) + 1)
    top = (smooth == ndimage.maximum_filter(smooth, tuple(size), mode="wrap")) & (
        smooth - level > max(_SHARE * (float(smooth.max()) - level), 3 * float(np.median(mean.error)))
    )
    at = np.argwhere(top)
    at = at[np.argsort(-smooth[top], kind="stable")]
    places = (at[:, 1:] / na) @ lattice.basis[:1] + (at[:, :1] / nb) @ lattice.basis[1:]
    steps_out = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]) @ lattice.basis
    others = (places[None] + steps_out[:, None]).reshape(-1, 2)
    motifs: list[Motif] = []
    names: list[float] = []
    for place, (i, j) in zip(places, at, strict=True):
        away = np.hypot(*(others - place).T)
        half = float(np.clip(away[away > 1e-6].min() / 2, 1.0, 5.0))
        height = float(smooth[i, j]) - level
        # what is as high within a tenth is one kind
        known = next((n for n, h in enumerate(names) if abs(h - height) < 0.1 * names[0]), None)
        if known is None:
            names.append(height)
            known = len(names) - 1
        kind = f"peak {known + 1}"
        motifs.append(Motif(kind, place, np.zeros((1, 2)), half, guest=known == 0, reach=half))
    wide = ndimage.gaussian_filter(mean.mean, _WIDE / 2 / steps, mode="wrap")
    size = np.maximum(3, 2 * np.rint(_WIDE / steps).astype(int) + 1)
    low = (wide == ndimage.minimum_filter(wide, tuple(size), mode="wrap")) & (
        wide - level < _SHARE * (float(smooth.max()) - level)
    )
    for i, j in np.argwhere(low):
        place = (j / na) * lattice.basis[0] + (i / nb) * lattice.basis[1]
        if len(others) and np.hypot(*(others - place).T).min() > _WIDE:
            motifs.append(Motif("hollow", place, np.zeros((0, 2)), _WIDE))
    return Placed(tuple(motifs), lattice.basis, np.eye(2), mean.origin, 1.0)


def _picture(structure: Structure, shape: NDArray[np.integer]) -> NDArray[np.complexfloating]:
    """Transform of the atoms as Gaussians of weight Z, without mean and of norm 1."""
    size = np.asarray(structure.cell[1::-1], float)
    at = np.mod(structure.positions[:, 1::-1] / size, 1.0)
    picture = np.zeros(tuple(shape))
    np.add.at(picture, tuple((np.rint(at * shape).astype(int) % shape).T), structure.numbers.astype(float))
    picture = ndimage.gaussian_filter(picture, _BLUR * shape / size, mode="wrap")
    picture -= picture.mean()
    return np.fft.rfft2(picture / np.sqrt((picture**2).sum()))
