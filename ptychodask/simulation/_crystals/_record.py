"""How a crystal is written down here: space group, cell and asymmetric unit, with its publication."""

from __future__ import annotations

from dataclasses import dataclass

Site = tuple[str, float, float, float]

CONVENTIONAL = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


@dataclass(frozen=True)
class Material:
    """What a user needs to know of a material before simulating it.

    Attributes
    ----------
    name : str
        The name that ``build_crystal`` takes, such as 'zif-8'.
    title : str
        The name and formula in words.
    status : str
        'published' (coordinates from a publication), 'model' (made by geometry, not refined against data)
        or 'stand-in' (a published crystal used for a related one whose coordinates were not found).
    source : str
        The publication, or how the model was made.
    zone_axis : str
        The zone axis that ``build_crystal`` lays along the beam (+z).
    """

    name: str
    title: str
    status: str
    source: str
    zone_axis: str


@dataclass(frozen=True)
class Part:
    """Sites that share one space group; a crystal whose hydrogens break its symmetry has several parts.

    Attributes
    ----------
    group : int
        Number in the International Tables, volume A.
    sites : tuple of Site
        Element and fractional coordinates of the asymmetric unit.
    setting : int
        1, or 2 for the second origin choice.
    """

    group: int
    sites: tuple[Site, ...]
    setting: int = 1


@dataclass(frozen=True)
class Crystal:
    """A material with its cell and its parts.

    Attributes
    ----------
    about : Material
        Title, status and source.
    cell : tuple of float
        a, b, c in angstrom and alpha, beta, gamma in degrees.
    parts : tuple of Part
        Parts in that cell, all with the same origin.
    axes : tuple of tuple of int
        Rows are the three orthogonal axes of the built cell, as integer sums of a, b, c; the third is the
        zone axis.
    """

    about: Material
    cell: tuple[float, float, float, float, float, float]
    parts: tuple[Part, ...]
    axes: tuple[tuple[int, int, int], ...] = CONVENTIONAL


def read_sites(table: str) -> tuple[Site, ...]:
    """Read a table of 'element x y z' lines, fractional coordinates."""
    rows = (line.split() for line in table.strip().splitlines())
    return tuple((symbol, float(x), float(y), float(z)) for symbol, x, y, z in rows)
