"""CH3NH3PbI3, the tetragonal perovskite at room temperature, with its cations ordered by hand."""

from __future__ import annotations

import numpy as np

from ptychodask.simulation._crystals._geometry import cap
from ptychodask.simulation._crystals._record import Crystal, Material, Part, Site, read_sites

_A, _C = 8.806, 12.713  # angstrom

_FRAMEWORK = read_sites("""
    Pb 0.0    0.0    0.0
    I  0.0    0.0    0.25
    I  0.2039 0.7039 0.0
""")

# The A sites, each with the direction of its C-N bond: towards a face of the cage of eight Pb. Neighbours
# within a layer are antiparallel and the next layer is turned by 90 degrees, so the cell has no dipole.
_CATIONS = (
    ((0.0, 0.5, 0.25), (1, 1, 0)),
    ((0.5, 0.0, 0.25), (-1, -1, 0)),
    ((0.0, 0.5, 0.75), (1, -1, 0)),
    ((0.5, 0.0, 0.75), (-1, 1, 0)),
)


def _cation(site: tuple[float, float, float], direction: tuple[int, int, int]) -> list[Site]:
    edges = np.array([_A, _A, _C])
    axis = np.array(direction) / np.linalg.norm(direction)
    carbon = np.array(site) * edges - axis * 1.48 / 2
    nitrogen = carbon + axis * 1.48
    # +z and -z: the two ends are staggered
    methyl = cap(carbon, -axis, (0, 0, 1), bond=1.09)
    ammonium = cap(nitrogen, axis, (0, 0, -1), bond=1.03)
    positions = np.vstack([carbon, nitrogen, methyl, ammonium]) / edges
    return [(s, float(x), float(y), float(z)) for s, (x, y, z) in zip("CNHHHHHH", positions, strict=True)]


CRYSTAL = Crystal(
    about=Material(
        name="mapbi3",
        title="CH3NH3PbI3, tetragonal methylammonium lead iodide",
        status="model",
        source="Framework: I4/mcm, a = 8.806 A, c = 12.713 A, Kawamura, Mashiyama & Hasebe, J. Phys. Soc."
        " Jpn. 71, 1694 (2002). The cations, disordered in the crystal, are our model: ordered and placed by"
        " geometry, not relaxed.",
        zone_axis="[001]",
    ),
    cell=(_A, _A, _C, 90.0, 90.0, 90.0),
    parts=(Part(140, _FRAMEWORK), Part(1, tuple(site for cation in _CATIONS for site in _cation(*cation)))),
)
