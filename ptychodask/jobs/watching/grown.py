"""The rows of a scan that are there: imported as whole rows of shards, with a manifest that a kill leaves whole."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ...io.dataset import DatasetInfo, dataset_info
from ...io.described.growing import GrowingFile
from ...io.described.run import RefinedOf
from ...io.growing import GrowingFolder, summaries
from ...io.writer import DatasetWriter
from ...io.written import ShardSummary
from ...model.blocks import default_shard
from ...model.refining import Refined
from ...readers.registry import open_counts
from ..importing.prepare import Options, Prepared, prepare
from ..importing.run import parts_of, write_shards


class Grown:
    """A dataset while it grows.

    What is looked at before the first shard are frames of the first rows, whenever that is: who goes on after a kill
    decides the same.

    Parameters
    ----------
    client : distributed.Client
    folder : GrowingFolder
    manifest : GrowingFile
        What is there already.
    path : path
        Of the file.
    given : Options
        That were checked.
    scan : (int, int)
        Rows and columns of the whole scan.
    place : mapping
        What :func:`ptychodask.distributed.cluster.describe` says of the client.
    """

    def __init__(
        self,
        client: Any,
        folder: GrowingFolder,
        manifest: GrowingFile,
        path: Path,
        given: Options,
        scan: tuple[int, int],
        place: dict[str, Any],
    ) -> None:
        self.client, self.folder, self.scan = client, folder, scan
        self._manifest = manifest
        if manifest.shards:
            given = replace(given, chunks=self.info.shard)  # whatever the workers are now
        asked = replace(given.asked(), growing=first_rows(given, scan) * scan[1])
        self.made: Prepared = prepare(path, folder.dataset, given, asked, overwrite=True).at(place)
        self.writer: DatasetWriter = self.made.writer()
        self._shards: dict[int, ShardSummary] = summaries(manifest)
        self.writer.add(self._shards.values())
        folder.begin(self.writer)

    @property
    def file(self) -> str:
        """Device and inode of the file."""
        return self._manifest.file

    @property
    def geometry(self) -> Refined | None:
        """What a calibration of the first rows found."""
        found = self._manifest.geometry
        return None if found is None else Refined.load(found.model_dump())

    def calibrated(self, found: Refined) -> None:
        """Keep that; states from before it are of another canvas."""
        self.folder.states.forget(self.folder.states.checkpoints())
        self._manifest = self.folder.write(self._manifest, geometry=RefinedOf(**asdict(found)))

    @property
    def rows(self) -> int:
        """Rows of the scan whose shards are all there, from the first on."""
        missing = [block.y0 for block in self.writer.blocks if block.index not in self._shards]
        return min(missing, default=self.scan[0])

    def ready(self, frames: int) -> int:
        """Rows that can be there when the file holds so many frames."""
        rows = min(self.scan[0], frames // self.scan[1])
        return rows if rows == self.scan[0] else rows // self.writer.shard[0] * self.writer.shard[0]

    def take(self, rows: int) -> list[ShardSummary]:
        """Write all shards up to a row that are not there; they count once they are kept."""
        order = replace(self.made.order, asked=replace(self.made.order.asked, growing=rows * self.scan[1]))
        counted = order.counted(open_counts(order.path, order.name, order.asked))
        wanted = [
            part for part in parts_of(counted, self.writer)
            if any(b.index not in self._shards for b in part[1]) and all(b.y1 <= rows for b in part[1])
        ]  # fmt: skip
        seen = write_shards(self.client, order, counted, self.folder.scan, wanted, lambda label, done, of: None)
        return list(seen.shards)

    def keep(self, shards: list[ShardSummary]) -> None:
        """Note shards that are whole, on disk too."""
        self.writer.add(shards)
        first = not self._shards
        self._shards |= {shard.index: shard for shard in shards}
        if first:  # what it says of its dose is that of the first rows, until all are there
            self.writer.seal(self.folder.scan)
        self._manifest = self.folder.write(self._manifest, self._shards.values())

    def end(self, ended: str, publishes: bool = False) -> None:
        """Note that the dataset is what it will be, or the one that grew will be it."""
        self._manifest = self.folder.write(self._manifest, ended=ended, publishes=publishes)

    @cached_property
    def info(self) -> DatasetInfo:
        """Of the whole scan, once there are shards."""
        return dataset_info(self.folder.scan, whole=False)

    def electrons_per_pattern(self) -> float:
        """Mean over what is there."""
        patterns = sum(block.size for block in self.writer.blocks if block.index in self._shards)
        return sum(shard.electrons for shard in self._shards.values()) / patterns


def first_rows(given: Options, scan: tuple[int, int]) -> int:
    """Rows that have to be there before any of them is imported: at least those of a shard."""
    return min(scan[0], (given.chunks or default_shard(scan))[0])
