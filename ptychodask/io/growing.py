"""A dataset that is not whole yet: shards become visible whole, with a manifest, so that a kill loses none of them.

``<dataset>.growing`` lies beside the dataset until that is whole: ``scan.zarr`` is laid out for the whole scan and
holds the shards that are there, ``growing.json`` lists them, ``iteration-NNNNNN.zarr`` is the newest state of what is
reconstructed of them. A shard that the manifest does not list is written again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from .._errors import InputError
from ..model.blocks import make_blocks
from .atomic import check_folder, check_output, discard, heal, hidden_beside, remove, resolved
from .bands import Source, shards_in
from .checkpoint import RunFolder
from .dataset import dataset_info, labelled
from .described.growing import GrowingFile
from .kinds import DATASET
from .seal import RESERVED
from .writer import DatasetWriter
from .written import ShardSummary

_MANIFEST, _SCAN = "growing.json", "scan.zarr"
_OURS = re.compile("|".join(map(re.escape, (_MANIFEST, _SCAN))))


@dataclass(frozen=True)
class GrowingFolder:
    """Where a dataset grows.

    Parameters
    ----------
    dataset : Path
        What it will be.
    states : RunFolder
        The folder; checkpoints and the lock are as in that of a run.
    """

    dataset: Path
    states: RunFolder

    @classmethod
    def of(cls, dataset: Path) -> GrowingFolder:
        """That of a dataset."""
        target = resolved(dataset)
        return cls(target, RunFolder(target.with_name(f"{target.name}.growing"), target.name))

    @property
    def scan(self) -> Path:
        """The dataset while it grows."""
        return self.states.path / _SCAN

    @contextmanager
    def hold(self) -> Iterator[str | None]:
        """Lock it, see :meth:`RunFolder.hold`.

        Raises
        ------
        InputError
            If another process has it, or somebody keeps other files in a folder of this name.
        """
        check_folder(self.dataset.parent)
        with self.states.hold() as note:
            heal(self.states.path, _OURS)
            if not (self.states.path / _MANIFEST).exists() and self.scan.exists():
                self._drop(self.scan)  # killed between layout and manifest, or while it was emptied
            yield note

    def check(self) -> None:
        """Refuse a folder of this name in which somebody keeps other files."""
        names = (path.name for path in self.states.path.iterdir())
        if stray := next((name for name in sorted(names) if name != "lock"), None):
            raise InputError(f"{self.states.path} holds {stray}, and the watch needs this folder: move it away")

    def read(self) -> GrowingFile | None:
        """What is there; None where nothing is."""
        there = (self.states.path / _MANIFEST).exists()
        return self.states.read(_MANIFEST, GrowingFile) if there else None

    def write(
        self, manifest: GrowingFile, shards: Collection[ShardSummary] | None = None, **changed: Any
    ) -> GrowingFile:
        """Replace the manifest; returns what it is now."""
        listed = manifest.shards if shards is None else tuple(astuple(shard) for shard in shards)
        made = manifest.model_copy(update={"shards": listed, **changed})
        self.states.write_json(_MANIFEST, made.model_dump(by_alias=True))
        return made

    def rows(self, manifest: GrowingFile) -> int:
        """Rows of the scan whose shards are all there, from the first on."""
        if not manifest.shards:
            return 0
        info, there = dataset_info(self.scan, whole=False), summaries(manifest)
        missing = (block.y0 for block in make_blocks(info.scan_shape, info.shard) if block.index not in there)
        return min(missing, default=info.scan_shape[0])

    def copy(self, rows: int) -> None:
        """Make the dataset of the first rows that are there, whatever became of the file."""
        info = dataset_info(self.scan, whole=False)
        data = labelled(info).isel(scan_y=slice(0, rows))
        writer = DatasetWriter(
            self.dataset, (rows, info.scan_shape[1]), info.microscope, info.detector, info.scan_step,
            dtype=info.dtype, positions_angstrom=data["positions"].values, mask=data["mask"].values,
            attributes={name: value for name, value in info.attributes.items() if name not in RESERVED},
            overwrite=True,
        )  # fmt: skip
        with writer:
            for block, counts in shards_in(Source.of(data["counts"].data), writer.shard):
                writer.write(block, counts)

    def begin(self, writer: DatasetWriter) -> None:
        """Lay out the dataset, where that was not done."""
        if not self.scan.exists():
            part = hidden_beside(self.scan)
            try:
                writer.begin(part)
                part.rename(self.scan)
            finally:
                remove(part)
        writer.folder = self.scan

    def publish(self) -> None:
        """Put the dataset where it belongs; again, if a kill came between."""
        if self.scan.exists():
            check_output(self.dataset, DATASET, overwrite=True)
            discard(self.dataset)
            self.scan.rename(self.dataset)
        elif not self.dataset.exists():
            raise InputError(f"{self.dataset} is gone: watch the file again with --overwrite")

    def empty(self) -> None:
        """Drop all that is in it; the lock stays."""
        (self.states.path / _MANIFEST).unlink(missing_ok=True)
        self.states.forget(self.states.checkpoints())
        self._drop(self.scan)

    def _drop(self, path: Path) -> None:
        if path.exists():
            discard(path)


def summaries(manifest: GrowingFile) -> dict[int, ShardSummary]:
    """The shards that a manifest lists, by their index."""
    return {shard[0]: ShardSummary(*shard) for shard in manifest.shards}
