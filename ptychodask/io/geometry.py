"""The geometry of a dataset, written into it afterwards: a map of its recorded positions, aberrations, and the place of
the disk on the detector.

All are attributes in the one document of the group, which is replaced in one step: a reader finds the old geometry or
the new one, whole. Counts, mask and recorded positions are not touched, and the attribute ``calibration`` says what was
found how, and what was recorded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import _arguments as arguments
from .._errors import InputError
from ..model.optics import Microscope
from .address import refuse_address
from .atomic import hidden_beside, remove, resolved
from .centre import NAME
from .dataset import dataset_info
from .described.dataset import DatasetAttributes
from .documents import Damage, described

KEPT = ("aberrations", "angular_step_mrad")
"""Attributes of which a calibration keeps what was recorded; of several calibrations the first one knows it."""


def check_writable(path: str | Path) -> Path:
    """The folder of a dataset whose geometry can be written.

    Raises
    ------
    InputError
        For an address, a zip file, or a folder that cannot be written.
    """
    refuse_address(path)
    target = resolved(path)
    dataset_info(target, whole=False)
    if not target.is_dir():
        raise InputError(f"{path} is one file, whose geometry cannot be replaced: unpack it, then give the folder")
    try:
        part = hidden_beside(target)
        part.touch()
        part.unlink()
        (target / "zarr.json").open("r+b").close()
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}): calibrate a copy that is yours, or leave --write out"
        ) from None
    return target


def write_geometry(
    path: str | Path,
    affine: np.ndarray,
    aberrations: Mapping[str, float],
    calibration: Mapping[str, Any],
    *,
    drift: np.ndarray | None = None,
    centre: np.ndarray | None = None,
    angular_step_mrad: float | None = None,
    thickness_angstrom: float | None = None,
) -> None:
    """Write a geometry into a dataset.

    Parameters
    ----------
    path : path
    affine : array [2, 3]
        From recorded positions (y, x, 1) in angstrom to those in the axes of the detector.
    aberrations : mapping
        Krivanek coefficients, all of them.
    calibration : mapping
        How it was found: numbers, text, lists and dictionaries.
    drift : array [scan_y, 2], optional
        Of the rows, angstrom in the axes of the detector, added after the map. One that an earlier calibration wrote is
        removed where there is none.
    centre : array [2, 3], optional
        Plane of the disk's centre, see :class:`ptychodask.io.centre.Centre`.
    angular_step_mrad : float, optional
        Of a detector pixel, if another one was found.
    thickness_angstrom : float, optional
        Of the specimen, if another one was given: the defocus is that of its entrance.

    Raises
    ------
    InputError
        For numbers that no dataset may have; nothing is changed.
    OSError
        The disk is full, or cannot be written; nothing is changed.
    """
    target = check_writable(path)
    document = json.loads((target / "zarr.json").read_bytes())
    attributes = document["attributes"]
    microscope = Microscope(attributes["energy_ev"], attributes["semi_angle_mrad"], aberrations)
    said: dict[str, Any] = {
        "aberrations": dict(microscope.aberrations),
        "scan_affine": np.asarray(affine, float).tolist(),
    }
    if drift is not None:
        said["row_drift"] = np.asarray(drift, float).tolist()
    if centre is not None:
        said[NAME] = np.asarray(centre, float).tolist()
    if angular_step_mrad is not None:
        said["angular_step_mrad"] = float(angular_step_mrad)
    if thickness_angstrom is not None:
        said["thickness_angstrom"] = float(thickness_angstrom)
    before = (attributes.get("calibration") or {}).get("before")
    recorded = {name: attributes[name] for name in KEPT if name in said and name in attributes}
    before = {**recorded, **(before if isinstance(before, dict) else {})}
    said["calibration"] = {**arguments.plain(calibration, "calibration"), "before": before}
    text = json.dumps([attributes["fingerprint"], said], sort_keys=True).encode()
    said["fingerprint"] = hashlib.blake2b(text, digest_size=16).hexdigest()  # caches know a dataset by it
    document["attributes"] = {**{k: v for k, v in attributes.items() if k != "row_drift"}, **said}
    try:  # nothing is written that would not open
        described(DatasetAttributes, document["attributes"], "zarr.json")
    except Damage as damage:
        raise InputError(f"the geometry cannot be stored ({damage}): calibrate again") from None
    part = hidden_beside(target)
    try:
        part.write_text(json.dumps(document, indent=2), encoding="utf-8")
        part.replace(target / "zarr.json")
    finally:
        if part.exists():
            remove(part)
