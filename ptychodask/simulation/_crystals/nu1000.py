"""NU-1000, zirconium clusters and pyrene linkers on the Kagome lattice."""

from __future__ import annotations

from ptychodask.simulation._crystals._record import Crystal, Material, Part, read_sites

_SITES = read_sites("""
    C  0.49243 0.09362 0.1335
    C  0.49206 0.12536 0.1837
    C  0.4625  0.11563 0.2403
    H  0.44249 0.08967 0.24626
    C  0.463   0.14506 0.2882
    H  0.44325 0.13843 0.32625
    C  0.492   0.18361 0.2802
    C  0.5209  0.19293 0.223
    H  0.54051 0.21898 0.21617
    C  0.521   0.1638  0.1753
    H  0.54086 0.17049 0.13752
    C  0.4925  0.18389 0.4593
    H  0.49321 0.16351 0.43209
    C  0.4916  0.21414 0.4135
    C  0.4911  0.24555 0.4561
    C  0.4932  0.21592 0.3292
    C  0.4934  0.2467  0.2898
    H  0.49371 0.24686 0.23367
    O  0.46673 0.05926 0.1482
    O  0.51888 0.10521 0.08097
    O  0.47156 0.03602 0.0
    O  0.5175  0.03499 0.1074
    O  0.39915 0.0     0.0974
    O  0.45847 0.0     0.2386
    Zr 0.53599 0.07198 0.0
    Zr 0.45497 0.0     0.10671
""")

CRYSTAL = Crystal(
    about=Material(
        name="nu-1000",
        title="NU-1000, Zr6 clusters and tetrakis(benzoate)pyrene, Kagome phase",
        status="published",
        source="Islamoglu et al., CrystEngComm 20, 5913 (2018), COD 7230579, P6/mmm; the hydrogens of the"
        " cluster's water and hydroxide, not located there, are absent.",
        zone_axis="[001]",
    ),
    cell=(39.2679, 39.2679, 16.5666, 90.0, 90.0, 120.0),
    parts=(Part(191, _SITES),),
    axes=((1, 0, 0), (1, 2, 0), (0, 0, 1)),
)
