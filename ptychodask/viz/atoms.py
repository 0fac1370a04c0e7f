"""A crystal over an image: projected atoms, one cell, and which colour is which element."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Circle, Patch, Polygon

from .. import _arguments as arguments
from .._errors import InputError
from ..simulation.specimen import crystal
from .draw import INK, SMALL

MOST = 20_000
"""Atoms that are drawn; more are a grey cloud."""
SHARE = 0.33
"""Of the covalent radius."""
_APART = 0.3
"""Angstrom: atoms of one element that are closer in projection are drawn once."""


def draw_structure(
    ax: Axes,
    material: Any,
    origin: Any,
    rotation: Any,
    elements: Any,
    size: Any,
    cell: Any,
    legend: Any,
) -> None:
    """See :func:`ptychodask.plots.structure`."""
    atoms = atoms_of(material)
    from ase.data import covalent_radii
    from ase.data.colors import jmol_colors

    y0, x0 = arguments.pair(origin, "origin_angstrom", "where a corner of the cell lies, (y, x) in angstrom", -1e6, 1e6)
    angle = math.radians(arguments.number(rotation, "rotation_degrees", "an angle in degrees", -360, 360))
    factor = arguments.number(size, "size", "a factor on the radii", above=0, high=20)
    symbols = np.array(atoms.get_chemical_symbols())
    wanted = set(symbols) - {"H"} if elements is None else {elements} if isinstance(elements, str) else set(elements)
    if missing := wanted - set(symbols):
        raise InputError(f"elements = {sorted(missing)}: the crystal has {', '.join(sorted(set(symbols)))}")
    kept = np.isin(symbols, sorted(wanted))
    # x to the right, y down; rotated from x towards y
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    basis = atoms.cell.array[:2, :2] @ turn.T
    view = ax.get_xlim(), ax.get_ylim()
    left, right, bottom, top = (*sorted(view[0]), *sorted(view[1], reverse=True))
    if abs(np.linalg.det(basis)) < 1e-6:
        raise InputError(
            "the first two cell vectors span no area in projection: give a crystal whose beam runs along z"
        )
    corners = np.array([(x, y) for x in (left, right) for y in (top, bottom)]) - (x0, y0)
    inside = corners @ np.linalg.inv(basis)
    first, last = np.floor(inside.min(axis=0)).astype(int) - 1, np.ceil(inside.max(axis=0)).astype(int) + 1
    shifts = np.array([(i, j) for i in range(first[0], last[0]) for j in range(first[1], last[1])]) @ basis
    single, numbers = _seen_along_z(atoms.positions[kept][:, :2] @ turn.T, atoms.numbers[kept])
    if len(single) * len(shifts) > 20 * MOST:
        raise InputError(f"{len(single) * len(shifts)} atoms would be drawn (at most {20 * MOST}): draw a smaller area")
    at = (single[None] + shifts[:, None]).reshape(-1, 2) + np.array([x0, y0])
    which = np.tile(numbers, len(shifts))
    seen = (at[:, 0] > left) & (at[:, 0] < right) & (at[:, 1] > top) & (at[:, 1] < bottom)
    if seen.sum() > MOST:
        raise InputError(f"{int(seen.sum())} atoms are in view (at most {MOST}): name fewer elements, or zoom in")
    for number in sorted(set(which[seen]), key=lambda n: covalent_radii[n]):
        radius = SHARE * factor * float(covalent_radii[number])
        circles = [Circle((float(x), float(y)), radius) for x, y in at[seen & (which == number)]]
        face = tuple(jmol_colors[number])
        ax.add_collection(
            PatchCollection(circles, facecolor=face, edgecolor="black", linewidth=0.4, alpha=0.85, zorder=4)
        )
    ax.set_xlim(view[0])  # matplotlib makes room for what is added
    ax.set_ylim(view[1])
    if cell:
        _draw_cell(ax, basis, (x0, y0), (left, right, top, bottom))
    if legend:
        from ase.data import chemical_symbols

        order = sorted(set(which[seen]), reverse=True)
        marks = [Patch(facecolor=tuple(jmol_colors[n]), edgecolor=INK, label=chemical_symbols[n]) for n in order]
        ax.legend(
            handles=marks, loc="upper right", fontsize=SMALL, framealpha=0.85, ncols=len(marks), handlelength=0.8,
            handleheight=0.8, columnspacing=0.8, handletextpad=0.3, borderpad=0.3,
        )  # fmt: skip


def atoms_of(material: Any) -> Any:
    """The crystal that is meant: atoms, a material's name, or the path of a structure file."""
    if hasattr(material, "get_chemical_symbols"):
        if not len(material) or material.cell.rank < 2:
            raise InputError("the atoms have no cell: give a crystal")
        return material
    if isinstance(material, Path):
        material = str(material)
    return crystal(arguments.text(material, "material", "ase.Atoms, a material's name or the path of a structure file"))


def _seen_along_z(at: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places [n, 2] and atomic numbers, atoms of an element above each other once."""
    kept: list[int] = []
    for number in np.unique(numbers):
        mine: list[int] = []
        for i in np.flatnonzero(numbers == number):
            if not mine or np.hypot(*(at[mine] - at[i]).T).min() > _APART:
                mine.append(int(i))
        kept += mine
    return at[kept], numbers[kept]


def _draw_cell(
    ax: Axes, basis: np.ndarray, origin: tuple[float, float], view: tuple[float, float, float, float]
) -> None:
    """The cell whose middle is nearest to that of the picture."""
    middle = np.array([(view[0] + view[1]) / 2, (view[2] + view[3]) / 2])
    node = np.rint((middle - origin - basis.sum(axis=0) / 2) @ np.linalg.inv(basis)) @ basis + origin
    corners = np.array([node, node + basis[0], node + basis[0] + basis[1], node + basis[1]])
    ax.add_patch(Polygon(corners, closed=True, fill=False, edgecolor="#ffd23f", linewidth=1.3, zorder=5))
