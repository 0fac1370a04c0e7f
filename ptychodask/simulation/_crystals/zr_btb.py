"""Zr-BTB, layers of zirconium clusters and three-armed benzene-tribenzoate linkers."""

from __future__ import annotations

from ptychodask.simulation._crystals._record import Crystal, Material, Part, read_sites

_LINKER = read_sites("""
    C  0.12715 0.25431 0.0
    C  0.17003 0.34006 0.0
    C  0.14753 0.3802  0.90665
    H  0.09904 0.34912 0.83439
    C  0.18767 0.46049 0.90665
    H  0.17026 0.49157 0.83439
    C  0.25031 0.50063 0.0
    C  0.29319 0.58638 0.0
    C  0.37348 0.74695 0.0
    H  0.40455 0.80911 0.0
""")

_CLUSTER = read_sites("""
    Zr 0.09982 0.10182 0.15634
    Zr 0.998   0.09982 0.84366
    O  0.99775 0.11225 0.0879
    O  0.0     0.0     0.73629
    O  0.08444 0.08613 0.93388
    O  0.0     0.0     0.19837
    H  0.99685 0.15749 0.12334
    H  0.0     0.0     0.62999
    O  0.22076 0.14867 0.09787
    O  0.14277 0.22215 0.09787
    O  0.07672 0.22086 0.89503
    O  0.91609 0.13815 0.89503
    O  0.06325 0.14104 0.34697
    H  0.08609 0.19196 0.39003
    H  0.05573 0.12426 0.44806
    O  0.14124 0.06755 0.34697
    H  0.14124 0.06755 0.45299
    O  0.91759 0.06316 0.66013
    H  0.88879 0.08523 0.61707
    H  0.92708 0.05589 0.55904
    O  0.07822 0.14587 0.66013
    H  0.07822 0.14587 0.55412
""")

CRYSTAL = Crystal(
    about=Material(
        name="zr-btb",
        title="Zr-BTB, Zr6 clusters and benzene-tribenzoate in kgd layers, stacked AA",
        status="model",
        source="Our model: the cluster of UiO-66, capped by water and hydroxide, and a geometric linker in a"
        " layer of group p-31m, stacked AA at a chosen 9.15 A; not relaxed, not refined.",
        # of the orthohexagonal setting a = 9.15 A (stacking), b = 34.75 A, c = 20.06 A
        zone_axis="[100]",
    ),
    cell=(20.0637, 20.0637, 9.15, 90.0, 90.0, 120.0),
    # the ordered water and hydroxide, and the slight turn of the cluster, leave only P3 of P-31m
    parts=(Part(162, _LINKER), Part(143, _CLUSTER)),
    # b, c, a of the orthohexagonal setting: a cyclic permutation keeps the handedness
    axes=((1, 2, 0), (-1, 0, 0), (0, 0, 1)),
)
