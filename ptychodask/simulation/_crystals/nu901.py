"""NU-901, the same node and linker as NU-1000 on a rhombic lattice."""

from __future__ import annotations

from ptychodask.simulation._crystals._record import Crystal, Material, Part, read_sites

# in the rectangular centred cell, whose axes are the two diagonals of the 19.64 A rhombus
_SITES = read_sites("""
    C  0.39607 0.59509 0.1335
    C  0.36504 0.62733 0.1837
    C  0.31784 0.61745 0.2403
    H  0.3044  0.59108 0.24626
    C  0.29067 0.64734 0.2882
    H  0.25926 0.64061 0.32625
    C  0.30926 0.6865  0.2802
    C  0.85559 0.19597 0.223
    H  0.86817 0.22243 0.21617
    C  0.88361 0.16638 0.1753
    H  0.91518 0.17318 0.13752
    C  0.30995 0.68679 0.4593
    H  0.33078 0.66608 0.43209
    C  0.27932 0.71751 0.4135
    C  0.28068 0.71932 0.3292
    O  0.37979 0.56019 0.1482
    O  0.93555 0.10687 0.08097
    O  0.41123 0.53659 0.0
    O  0.0     0.03554 0.1074
    Zr 0.0     0.07311 0.0
    C  0.75    0.25    0.4561
    C  0.25    0.75    0.2898
    H  0.25    0.75    0.23367
    O  0.69274 0.5     0.0974
    O  0.57937 0.5     0.2386
    Zr 0.58606 0.5     0.10671
""")

CRYSTAL = Crystal(
    about=Material(
        name="nu-901",
        title="NU-901, Zr6 clusters and tetrakis(benzoate)pyrene, rhombic phase",
        status="model",
        source="Our model: the node and linker of NU-1000 (CrystEngComm 20, 5913, 2018) placed on a rhombic"
        " lattice with NU-1000's c and symmetrised to Cmmm; not relaxed, not refined.",
        zone_axis="[001]",
    ),
    cell=(20.5469, 33.4799, 16.5666, 90.0, 90.0, 90.0),
    parts=(Part(65, _SITES),),
)
