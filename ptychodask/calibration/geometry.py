"""The geometry that a calibration finds: it is of the model, because a reconstruction refines the same numbers."""

from __future__ import annotations

from ..model.geometry import NAMES, SCAN, SWAP, Geometry, geometry_of

__all__ = ["NAMES", "SCAN", "SWAP", "Geometry", "geometry_of"]
