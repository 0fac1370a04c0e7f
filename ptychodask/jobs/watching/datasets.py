"""A dataset to which another process appends: its shards are copied when they are listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..._errors import InputError
from ...io.appended import Listed, is_there, listed
from ...io.dataset import labelled
from ...io.seal import RESERVED
from ...io.writer import DatasetWriter
from ...io.written import ShardSummary, in_scan, write_shard
from ...model.blocks import Block
from ..importing.prepare import Options, Prepared
from ..observers import Report
from .origin import BEGIN_BYTES, Seen, identity

FIRST = Path("counts", "c", "0", "0", "0", "0")
"""File of the first shard."""
MOVED = ("calibration", "scan_affine", "disk_centre")
"""What a dataset has that was calibrated, which its counts alone do not say."""


@dataclass(frozen=True)
class AppendedDataset:
    """A dataset, see :class:`~ptychodask.jobs.watching.origin.Origin`.

    Parameters
    ----------
    path : Path
        Where it will be when it is whole.
    """

    path: Path

    @classmethod
    def of(cls, path: Path, given: Options) -> AppendedDataset:
        """It says itself what an import has to be told."""
        nothing = vars(Options().checked())
        said = [
            name for name, value in vars(given).items()
            if isinstance(value, np.ndarray) or value not in (nothing[name], {})
        ]  # fmt: skip
        if said:
            raise InputError(f"{path} is a dataset, which says all of its scan itself: leave {', '.join(said)} out")
        return cls(path)

    def exists(self) -> bool:
        return is_there(self.path)

    def look(self) -> Seen:
        found = self._listed()
        where, scan, rows = Path(found.info.path), found.info.scan_shape, found.rows
        try:
            file = identity(where, where / FIRST, 0, BEGIN_BYTES) if rows else ""
        except OSError as error:
            raise InputError(f"{self.path} vanished ({error.strerror}): check its folder") from None
        return Seen(rows * scan[1], scan, file, rows if found.shards is None else len(found.shards))

    def first_rows(self, scan: tuple[int, int]) -> int:
        return min(scan[0], self._listed().info.shard[0])

    def opened(
        self, target: Path, scan: tuple[int, int], shard: tuple[int, int] | None, place: dict[str, Any]
    ) -> DatasetIntake:
        info = self._listed().info
        data = labelled(info)[["positions", "mask"]].load(scheduler="synchronous")
        writer = DatasetWriter(
            target, info.scan_shape, info.microscope, info.detector, info.scan_step, dtype=info.dtype,
            chunks=info.shard, positions_angstrom=data["positions"].values, mask=data["mask"].values,
            attributes={name: value for name, value in info.attributes.items() if name not in RESERVED},
            overwrite=True,
        )  # fmt: skip
        return DatasetIntake(self.path, writer)

    def _listed(self) -> Listed:
        found = listed(self.path)
        if moved := [name for name in MOVED if name in found.info.attributes]:
            raise InputError(f"{self.path} is whole and has a {moved[0]}: give it to 'ptychodask reconstruct'")
        return found


@dataclass(frozen=True)
class DatasetIntake:
    """A dataset whose shards are copied, see :class:`~ptychodask.jobs.watching.origin.Intake`."""

    path: Path
    writer: DatasetWriter

    def write(self, client: Any, wanted: Sequence[Block], rows: int, folder: Path) -> list[ShardSummary]:
        return [self._copy(block, folder) for block in wanted]

    def _copy(self, block: Block, folder: Path) -> ShardSummary:
        for last in (False, True):
            its = listed(self.path)
            try:
                copied = write_shard(folder, block, its.counts(block))
            except InputError:
                if last:
                    raise
                continue  # it has just gone to its place
            if its.shards is None or its.shards.get(block.index) == copied.digest:
                return copied
        raise InputError(f"{self.path}: the shard {in_scan(block)} is not what was listed: write the dataset again")

    def again(self, rows: int | None, report: Report) -> Prepared | None:
        return None  # what was copied is what there is

    def differs(self, made: Prepared) -> str:
        return ""
