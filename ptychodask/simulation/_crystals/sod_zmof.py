"""sod-ZMOF, indium and imidazoledicarboxylate in the sodalite net, a stand-in for In-sod-ZMOF-102."""

from __future__ import annotations

from ptychodask.simulation._crystals._record import Crystal, Material, Part, read_sites

_SITES = read_sites("""
    In 0.875  0.49302 0.24302
    H  0.8237 0.475   0.1691
    C  0.8105 0.0471  0.7116
    C  0.8212 0.0733  0.7423
    C  0.8156 0.4977  0.1783
    C  0.783  0.0473  0.6854
    C  0.7522 0.5742  0.1753
    N  0.8314 0.0156  0.7068
    N  0.787  0.0165  0.665
    O  0.8449 0.0656  0.7645
    O  0.8017 0.1046  0.7413
    O  0.7301 0.5634  0.1514
    O  0.7524 0.6035  0.1924
""")

CRYSTAL = Crystal(
    about=Material(
        name="sod-zmof",
        title="sod-ZMOF, In(4,5-imidazoledicarboxylate)2, for In-sod-ZMOF-102",
        status="stand-in",
        source="A stand-in for In-sod-ZMOF-102, whose coordinates were not found: sod-ZMOF, TEFWOR in CoRE"
        " MOF 2014 (Chung et al., Chem. Mater. 26, 6185, 2014; CC BY 4.0), Fd-3c, without guests.",
        zone_axis="[001]",
    ),
    cell=(36.0435, 36.0435, 36.0435, 90.0, 90.0, 90.0),
    parts=(Part(228, _SITES),),
)
