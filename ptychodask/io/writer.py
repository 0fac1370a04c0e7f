"""Write a dataset shard by shard: a skeleton, then the shards in any order and from any process, then the seal."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from .._errors import InputError
from ..model.blocks import Block, make_blocks
from ..model.optics import Microscope
from ..model.scan import Detector
from .dataset import DIMS, SCHEMA
from .described.dataset import DatasetAttributes
from .documents import Damage, described
from .stored import checked_encoding
from .stores import writable

INNER = 8
"""Wanted side of the inner chunks in scan positions: what a viewer has to decode to show one pattern.

Every chunk costs Zarr some time of its own: with 4, reading took twice as long.
"""

_WRITE_ALL: Any = {"write_empty_chunks": True}
"""Chunks of zeros are written too, so that a missing file means lost data. It holds for the open array only."""

SIGNS = (
    "Krivanek: chi = 2 pi / lambda sum C_nm theta^(n+1) cos(m (phi - phi_nm)) / (n+1), probe exp(-i chi), "
    "C10 = -defocus, defocus > 0 is underfocus, phi = atan2(ky, kx); coefficients in angstrom, phi in rad"
)

SHARD = "the scan positions (y, x) per shard"
"""What ``chunks`` are."""

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
    "path": "",
}
"""Attributes that every dataset says of itself (``path`` when it is opened), and the argument that each comes from."""


@dataclass(frozen=True)
class Layout:
    """Shape, type and calibration of a dataset to be written."""

    scan_shape: tuple[int, int]
    detector: Detector
    microscope: Microscope
    scan_step: tuple[float, float]
    dtype: str
    shard: tuple[int, int]

    def __post_init__(self) -> None:
        # a shard larger than the scan would only be padded
        shard = tuple(int(min(side, n)) for side, n in zip(self.shard, self.scan_shape, strict=True))
        object.__setattr__(self, "shard", shard)

    def blocks(self) -> tuple[Block, ...]:
        """What the shards hold."""
        return make_blocks(self.scan_shape, self.shard)


@dataclass(frozen=True)
class ShardSummary:
    """What the seal needs to know of a written shard."""

    digest: str
    electrons: float
    brightest: float


def inner_side(side: int) -> int:
    """Side of the inner chunks of a shard: the divisor of its side that is closest to :data:`INNER` as a ratio."""
    divisors = [d for d in range(1, side + 1) if side % d == 0]
    return min(divisors, key=lambda d: abs(math.log(d / INNER)))


def create_skeleton(path: Path, layout: Layout, positions: np.ndarray, mask: np.ndarray | None) -> None:
    """Create all arrays of a dataset but the counts' content."""
    with writable(path, new=True) as store:
        _create(zarr.create_group(store), layout, positions, mask)


def _create(group: zarr.Group, layout: Layout, positions: np.ndarray, mask: np.ndarray | None) -> None:
    n = layout.detector.pixels
    _create_counts(group, layout)
    shape = (*layout.scan_shape, 2)
    safe: dict[str, Any] = {"compressors": [ZstdCodec(), Crc32cCodec()], "config": _WRITE_ALL}
    stored = group.create_array(
        "positions",
        shape=shape,
        dtype="f8",
        dimension_names=("scan_y", "scan_x", "axis"),
        attributes={"units": "angstrom"},
        **safe,
    )
    stored[...] = positions.reshape(shape)
    used = np.ones((n, n), np.uint8) if mask is None else (np.asarray(mask) != 0).astype(np.uint8)
    group.create_array("mask", shape=(n, n), dtype="u1", dimension_names=DIMS[2:], **safe)[...] = used


def _create_counts(group: zarr.Group, layout: Layout) -> None:
    n = layout.detector.pixels
    inner = tuple(inner_side(side) for side in layout.shard)
    group.create_array(
        "counts",
        shape=(*layout.scan_shape, n, n),
        dtype=layout.dtype,
        chunks=(*inner, n, n),
        shards=(*layout.shard, n, n),
        # the checksum finds a flipped bit, which a codec alone may decode to wrong counts
        compressors=[
            BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle", typesize=np.dtype(layout.dtype).itemsize),
            Crc32cCodec(),
        ],
        dimension_names=DIMS,
        attributes={"units": "electron"},
    )


def widen(path: Path, layout: Layout, written: Iterable[Block]) -> dict[int, ShardSummary]:
    """Write the shards that are there once more, in the type of a new layout; their summaries by number."""
    narrow = path / "narrow"
    (path / "counts").rename(narrow)
    with writable(path) as store:
        _create_counts(zarr.open_group(store, mode="r+"), layout)
    stored = zarr.open_array(str(narrow), mode="r")
    shards = {
        block.index: write_shard(path, block, np.asarray(stored[block.y0 : block.y1, block.x0 : block.x1]))
        for block in written
    }
    shutil.rmtree(narrow)
    return shards


def write_shard(path: Path, block: Block, counts: np.ndarray) -> ShardSummary:
    """Write one shard [rows, columns, N, N], zero angle in the centre. Safe in parallel: a shard is a file."""
    with writable(path) as store:
        array = zarr.open_group(store, mode="r+")["counts"]
        assert isinstance(array, zarr.Array)
        array = array.with_config(_WRITE_ALL)
        check_counts(counts, block)
        limit = np.iinfo(array.dtype).max if array.dtype.kind == "u" else np.finfo(array.dtype).max
        if counts.size and counts.max() > limit:
            raise InputError(f"counts up to {counts.max()} {_in_scan(block)} do not fit {array.dtype}")
        counts = counts.astype(array.dtype, copy=False)
        array[block.y0 : block.y1, block.x0 : block.x1] = counts
    digest = hashlib.blake2b(np.ascontiguousarray(counts).data, digest_size=16).hexdigest()
    return ShardSummary(digest, float(counts.sum(dtype=np.float64)), float(counts.max(initial=0)))


def check_counts(counts: np.ndarray, block: Block) -> None:
    """Refuse what no detector counts."""
    if counts.dtype.kind == "f" and not np.isfinite(counts).all():
        raise InputError(
            f"{int((~np.isfinite(counts)).sum())} counts are NaN or infinite {_in_scan(block)}: repair them or mask"
            " their pixels with 0"
        )
    if counts.dtype.kind in "fi" and counts.size and counts.min() < 0:
        raise InputError(
            f"counts as low as {counts.min()} {_in_scan(block)}: counts cannot be negative (subtract less"
            " background, clip at 0, or mask their pixels with 0)"
        )


def _in_scan(block: Block) -> str:
    return f"in scan rows {block.y0} to {block.y1 - 1}, columns {block.x0} to {block.x1 - 1}"


def refuse_reserved(attributes: Mapping[str, Any]) -> None:
    """Refuse attributes that would say of a dataset what it says of itself."""
    taken = [name for name in RESERVED if name in attributes]
    arguments = [RESERVED[name] for name in taken if RESERVED[name]]
    if taken:
        told = f", and give {', '.join(arguments)} as arguments" if arguments else ""
        raise InputError(
            f"attributes hold {', '.join(taken)}, which a dataset says of itself: leave"
            f" {'them' if len(taken) > 1 else 'it'} out{told}"
        )


def seal(path: Path, layout: Layout, shards: list[ShardSummary], attributes: Mapping[str, Any]) -> None:
    """Write the attributes that make the group a dataset; without them it does not open."""
    refuse_reserved(attributes)
    total = sum(shard.electrons for shard in shards)
    if total <= 0:
        raise InputError(
            "the counts are all zero: there is nothing to reconstruct (wrong file, or the beam was blanked)"
        )
    per_pattern = total / math.prod(layout.scan_shape)
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


def write_truth(path: Path, truth: xr.Dataset) -> None:
    """Add the ground truth as the group ``truth``."""
    truth = truth.drop_encoding()
    how: Any = {"consolidated": False, "zarr_format": 3, "write_empty_chunks": True}
    with writable(path) as store:
        truth.to_zarr(store, group="truth", mode="a", encoding=checked_encoding(truth), **how)
