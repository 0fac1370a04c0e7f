"""The rows of a scan that are there: imported as whole rows of shards, with a manifest that a kill leaves whole."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from typing import Any

from ...distributed.cluster import describe
from ...io.dataset import DatasetInfo, dataset_info
from ...io.described.growing import GrowingFile
from ...io.described.run import RefinedOf
from ...io.growing import GrowingFolder, summaries
from ...io.writer import DatasetWriter
from ...io.written import ShardSummary
from ...model.refining import Refined
from .origin import Origin


class Grown:
    """A dataset while it grows.

    Parameters
    ----------
    client : distributed.Client
    folder : GrowingFolder
    manifest : GrowingFile
        What is there already.
    origin : Origin
        What it comes from.
    scan : (int, int)
        Rows and columns of the whole scan.
    """

    def __init__(
        self, client: Any, folder: GrowingFolder, manifest: GrowingFile, origin: Origin, scan: tuple[int, int]
    ) -> None:
        self.client, self.folder, self.scan, self.name = client, folder, scan, origin.path.name
        self._manifest = manifest
        shard = self.info.shard if manifest.shards else None  # whatever the workers are now
        self.intake = origin.opened(folder.dataset, scan, shard, describe(client))
        self.writer: DatasetWriter = self.intake.writer
        self._shards: dict[int, ShardSummary] = summaries(manifest)
        self.writer.add(self._shards.values())
        folder.begin(self.writer)

    @property
    def file(self) -> str:
        """What the file was at first, see :class:`~ptychodask.jobs.watching.origin.Seen`."""
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
        wanted = [block for block in self.writer.blocks if block.index not in self._shards and block.y1 <= rows]
        return self.intake.write(self.client, wanted, rows, self.folder.scan)

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
