"""The crystals that ``ptychodask.simulation.materials`` builds, one module each."""

from __future__ import annotations

from ptychodask.simulation._crystals import mapbi3, nu901, nu1000, sod_zmof, zif8, zr_btb
from ptychodask.simulation._crystals._record import Crystal, Material

CRYSTALS: dict[str, Crystal] = {
    module.CRYSTAL.about.name: module.CRYSTAL for module in (zif8, nu1000, nu901, zr_btb, mapbi3, sod_zmof)
}

__all__ = ["CRYSTALS", "Crystal", "Material"]
