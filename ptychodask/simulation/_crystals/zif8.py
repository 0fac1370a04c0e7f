"""ZIF-8, the sodalite framework of zinc and 2-methylimidazolate."""

from __future__ import annotations

import numpy as np

from ptychodask.simulation._crystals._geometry import cap
from ptychodask.simulation._crystals._record import Crystal, Material, Part, Site, read_sites

_A = 16.991  # angstrom

_FRAMEWORK = read_sites("""
    Zn 0.5     0.25    0.0
    N  0.40973 0.31722 0.03168
    C  0.37705 0.62295 0.0079
    C  0.36851 0.3125  0.10086
    H  0.3777  0.2766  0.1411
    C  0.4061  0.4061  0.9145
""")


def _methyl() -> tuple[Site, ...]:
    # X-rays see the methyl hydrogens in two half-occupied orientations, which the mirror of I-43m exchanges.
    # We take one: the turn about the C-C bond is the published one, the C-H bond is the nuclear 1.09 A.
    carbon = np.array([0.4061, 0.4061, 0.9145])
    ring_carbon = np.array([0.37705, 0.37705, 0.9921])
    published = np.array([0.4058, 0.3636, 0.8772])  # one of the six half hydrogens, gives the turn only
    hydrogens = cap(carbon * _A, carbon - ring_carbon, published - carbon, bond=1.09) / _A
    return tuple(("H", float(x), float(y), float(z)) for x, y, z in hydrogens)


CRYSTAL = Crystal(
    about=Material(
        name="zif-8",
        title="ZIF-8, Zn(2-methylimidazolate)2",
        status="published",
        source="Park et al., PNAS 103, 10186 (2006), I-43m; the methyl hydrogens, disordered over two"
        " orientations there, are placed by geometry in one of them (C-H 1.09 A).",
        zone_axis="[001]",
    ),
    cell=(_A, _A, _A, 90.0, 90.0, 90.0),
    # I23 is I-43m without the mirrors, so that all methyl groups turn the same way
    parts=(Part(217, _FRAMEWORK), Part(197, _methyl())),
)
