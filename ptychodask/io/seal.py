"""The seal: attributes that make a group a dataset. It is set last, and without it nothing opens."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from .. import _arguments as arguments
from .._errors import InputError
from .described.dataset import SCHEMA, DatasetAttributes
from .documents import Damage, described
from .skeleton import Layout
from .written import ShardSummary

SIGNS = (
    "Krivanek: chi = 2 pi / lambda sum C_nm theta^(n+1) cos(m (phi - phi_nm)) / (n+1), probe exp(-i chi), "
    "C10 = -defocus, defocus > 0 is underfocus, phi = atan2(ky, kx); coefficients in angstrom, phi in rad"
)

RESERVED: dict[str, str] = {
    "schema": "",
    "energy_ev": "energy_ev",
    "semi_angle_mrad": "semi_angle_mrad",
    "aberrations": "defocus_angstrom and aberrations",
    "aberration_convention": "",
    "angular_step_mrad": "angular_step_mrad",
    "scan_step_angstrom": "scan_step_angstrom",
    "electrons_per_pattern": "",
    "dose_per_square_angstrom": "",
    "brightest_pixel": "",
    "fingerprint": "",
    "scan_affine": "positions_angstrom",
    "row_drift": "",
    "disk_centre": "",
    "calibration": "",
    "path": "",
}
"""Attributes that every dataset says of itself (``path`` when it is opened), and the argument that each comes from."""


def free_attributes(attributes: Any) -> dict[str, Any]:
    """The argument ``attributes`` as JSON keeps it.

    Raises
    ------
    InputError
        If one cannot be stored, or would say of a dataset what it says of itself.
    """
    kept = arguments.plain(arguments.mapping(attributes, "attributes", "what to keep"), "attributes")
    taken = [name for name in RESERVED if name in kept]
    if taken:
        given = [RESERVED[name] for name in taken if RESERVED[name]]
        told = f", and give {', '.join(given)} as arguments" if given else ""
        raise InputError(
            f"attributes hold {', '.join(taken)}, which a dataset says of itself: leave"
            f" {'them' if len(taken) > 1 else 'it'} out{told}"
        )
    if (thickness := kept.get("thickness_angstrom")) is not None:  # a reconstruction goes by it
        wanted = "the specimen's thickness in angstrom"
        arguments.number(thickness, "attributes['thickness_angstrom']", wanted, above=0, high=1e5)
    return kept


def seal(
    path: Path, layout: Layout, shards: Collection[ShardSummary], attributes: dict[str, Any], patterns: int
) -> None:
    """Write the attributes of a dataset: shards in the order of their blocks, which hold so many patterns, attributes
    by :func:`free_attributes`."""
    total = sum(shard.electrons for shard in shards)
    if total <= 0:
        raise InputError(
            "the counts are all zero: there is nothing to reconstruct (wrong file, or the beam was blanked)"
        )
    per_pattern = total / patterns
    said = {
        "schema": SCHEMA,
        "energy_ev": layout.microscope.energy_ev,
        "semi_angle_mrad": layout.microscope.semi_angle_mrad,
        "aberrations": dict(layout.microscope.aberrations),
        "aberration_convention": SIGNS,
        "angular_step_mrad": layout.detector.angular_step_mrad,
        "scan_step_angstrom": list(layout.scan_step),
        "electrons_per_pattern": per_pattern,
        "dose_per_square_angstrom": per_pattern / (layout.scan_step[0] * layout.scan_step[1]),
        "brightest_pixel": max(shard.brightest for shard in shards),
        **attributes,
    }
    try:  # nothing is written that would not open
        described(DatasetAttributes, {**said, "fingerprint": "to be made"}, "attributes")
    except Damage as damage:
        raise InputError(
            f"the dataset cannot be described ({damage}): give numbers in the units of their names"
        ) from None
    digest = hashlib.blake2b(digest_size=16)
    for shard in shards:
        digest.update(shard.digest.encode())
    group = zarr.open_group(str(path), mode="r+")
    for name in ("positions", "mask"):
        digest.update(np.ascontiguousarray(group[name][...]).tobytes())  # type: ignore[index]
    digest.update(repr(sorted((k, v) for k, v in said.items() if k != "source")).encode())
    group.attrs.update({**said, "fingerprint": digest.hexdigest()})
