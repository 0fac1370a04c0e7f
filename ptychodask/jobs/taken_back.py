"""The geometry that a reconstruction found, written back into its dataset for the next ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .. import _arguments as arguments
from .._errors import InputError
from ..io.dataset import dataset_info
from ..io.geometry import check_writable, write_geometry
from ..io.result import open_result
from ..io.selected import positions_of
from ..model.refining import Refined
from .figures import dataset_of


def take_back(data: str | Path, result: str | Path, write: bool) -> dict[str, dict[str, Any]]:
    """What a result found of the geometry of its dataset; with ``write``, written into it.

    Raises
    ------
    InputError
        If the result refined nothing, was made from another dataset, or from this one as it was before, and where what
        it found was written already.
    """
    made = open_result(result)
    if not made.geometry:
        raise InputError(
            f"{result} found no geometry: reconstruct with geometry.refine = auto, then take it from there"
        )
    if not write:
        return made.geometry
    target, (known, why) = check_writable(data), dataset_of(made)
    info = dataset_info(target, whole=False)
    values = {name: its for name, its in made.geometry.items() if name != "positions_angstrom"}
    if not values:
        raise InputError(
            f"{result} found where each pattern is, which is this scan's own: reconstruct with its positions"
        )
    written = info.attributes.get("calibration") or {}
    if "from" in written and written.get("values") == arguments.plain(values, "geometry"):
        raise InputError(
            f"{data} has the geometry that {result} found already, written from {written['from']}: there is nothing to"
            " write, 'ptychodask reconstruct' uses it; a new result may be taken back again"
        )
    if known is None or Path(known.path).resolve() != target:
        reason = why or f"its dataset is {made.described.data}"
        raise InputError(
            f"{result} says nothing of {data} as it is now ({reason}): reconstruct it, then take it from there"
        )
    if made.described.selection:
        raise InputError(
            f"{result} used a part of {data} or positions of its own: write what it found with 'ptychodask calibrate'"
            " and the values as options"
        )
    found = Refined.load(json.loads(made.described.geometry))
    assert found is not None
    before, now = positions_of(info, recorded=True), positions_of(info)
    columns = np.concatenate([before, np.ones((len(before), 1))], axis=1)
    # rows that an earlier calibration found are turned with the rest; they and those found now are no part of the map
    rows = np.repeat(
        np.array(info.attributes.get("row_drift", np.zeros((info.scan_shape[0], 2)))), info.scan_shape[1], 0
    )
    straight = now.mean(axis=0) + (now - rows - now.mean(axis=0)) @ np.array(found.matrix).T
    affine, drift = np.linalg.lstsq(columns, straight, rcond=None)[0].T, None
    if rows.any() or found.drift:
        drift = (found.placed(now) - columns @ affine.T).reshape(*info.scan_shape, 2).mean(axis=1)
    aberrations = {**info.microscope.aberrations, **found.aberrations}
    write_geometry(target, affine, aberrations, {"values": values, "from": str(result)}, drift=drift)
    return made.geometry
