"""A dataset that is watched while it is written: its writer lists every shard when it is whole, and may be killed."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from .._errors import InputError
from .._warnings import warn
from ..model.blocks import Block, make_blocks
from .atomic import check_output
from .dataset import DatasetInfo, dataset_info, documents_of
from .described.growing import GrowingFile
from .growing import GrowingFolder, summaries
from .kinds import DATASET
from .reading import open_group, read_values
from .writer import DatasetWriter
from .written import in_scan

WHOLE = "all shards are there"


class GrowingDataset:
    """Writes a dataset that others may follow meanwhile (:func:`ptychodask.watch`), and that a kill leaves as it is.

    Until it is whole it lies in ``<path>.growing``; then it goes to its place. Whoever opens it again with the same
    writer after a kill or an error finds the shards that were written.

    Parameters
    ----------
    writer : DatasetWriter
        What is to be written, with a ``dtype``.

    Attributes
    ----------
    missing : tuple of Block
        What is not written yet, inside the block.

    Raises
    ------
    InputError
        When the block is entered: for a writer without a ``dtype``, an output that exists, another writer than that of
        the shards that are there, or a process that writes it. At its end if a shard is missing.

    Examples
    --------
    >>> scope = ptychodask.Microscope.of(300e3, 10, defocus_angstrom=600)
    >>> detector = ptychodask.Detector(128, 0.47)
    >>> writer = ptychodask.DatasetWriter("scan.zarr", (64, 64), scope, detector, 1.05, dtype="uint8")
    >>> with ptychodask.GrowingDataset(writer) as scan:
    ...     for block in scan.missing:
    ...         scan.write(block, camera[block.y0 : block.y1, block.x0 : block.x1])
    """

    def __init__(self, writer: DatasetWriter) -> None:
        if not isinstance(writer, DatasetWriter):
            raise InputError(
                f"GrowingDataset({writer!r}): give a ptychodask.DatasetWriter, which says what is to be written where"
            )
        self._writer, self._folder, self._held = writer, GrowingFolder.of(writer.path), ExitStack()
        self._manifest = GrowingFile(settings="")

    def __enter__(self) -> GrowingDataset:
        if self._writer.widens:
            raise InputError("a dataset that grows is read before its brightest count is known: give a dtype")
        with ExitStack() as held:
            if note := held.enter_context(self._folder.hold()):
                warn(note)
            self._begin()
            self._held = held.pop_all()
        return self

    def _begin(self) -> None:
        folder, writer, settings = self._folder, self._writer, settings_of(self._writer)
        found = folder.read()
        if found is not None and found.settings != settings and writer.overwrites:
            folder.empty()
            found = None
        if found is not None and found.settings != settings:
            raise InputError(
                f"{folder.states.path} holds shards of another writer: give the same arguments, or overwrite = True to"
                " begin anew"
            )
        if found is None:
            folder.check()
            check_output(folder.dataset, DATASET, writer.overwrites)
        self._manifest = found or folder.write(GrowingFile(settings=settings))
        writer.add(summaries(self._manifest).values())
        if not self._manifest.publishes:
            folder.begin(writer)

    def __exit__(self, *error: Any) -> None:
        with self._held:
            if error[0] is not None:
                return
            if missing := self.missing:
                raise InputError(
                    f"{len(missing)} of {len(self._writer.blocks)} shards were not written, the first"
                    f" {in_scan(missing[0])}: those that were are kept, write the others"
                )
            if not self._manifest.publishes:
                self._writer.seal(self._folder.scan)
                self._manifest = self._folder.write(self._manifest, ended=WHOLE, publishes=True)
            self._folder.publish()
            self._folder.empty()

    @property
    def missing(self) -> tuple[Block, ...]:
        """What is not written yet."""
        there = summaries(self._manifest)
        return tuple(block for block in self._writer.blocks if block.index not in there)

    def write(self, block: Block, counts: np.ndarray) -> None:
        """Write the counts of one of :attr:`missing` and list it, see :meth:`DatasetWriter.write`; from one thread."""
        dark = not _lit(self._manifest)
        self._writer.write(block, counts)
        if dark and any(shard.electrons for shard in self._writer.written):
            self._writer.seal(self._folder.scan)  # what it says of its dose is that of these, until all are there
        self._manifest = self._folder.write(self._manifest, self._writer.written)


def _lit(manifest: GrowingFile) -> bool:
    """Are there electrons? Before that nothing opens."""
    return any(electrons > 0 for _, _, electrons, _ in manifest.shards)


def settings_of(writer: DatasetWriter) -> str:
    """What a writer that goes on must not change, as JSON."""
    return json.dumps({"writer": hashlib.blake2b(repr(writer.same_as).encode(), digest_size=16).hexdigest()})


@dataclass(frozen=True)
class Listed:
    """What is listed of a dataset that grows, or has grown.

    Parameters
    ----------
    info : DatasetInfo
        Of where it lies now.
    shards : mapping of digests by the index of a block, or None for all
    """

    info: DatasetInfo
    shards: dict[int, str] | None

    @property
    def rows(self) -> int:
        """Rows of the scan whose shards are all there, from the first on."""
        blocks, known = make_blocks(self.info.scan_shape, self.info.shard), self.shards
        missing = [] if known is None else [block.y0 for block in blocks if block.index not in known]
        return min(missing, default=self.info.scan_shape[0])

    def counts(self, block: Block) -> np.ndarray:
        """Counts [rows, columns, N, N] of a shard that is there."""
        store, _, _ = documents_of(self.info.path)
        array = open_group(store)["counts"]
        assert isinstance(array, zarr.Array)
        box = (slice(block.y0, block.y1), slice(block.x0, block.x1))
        return read_values(array, box, f"{store.address}: counts {in_scan(block)}", "write the dataset again")


def is_there(path: Path) -> bool:
    """Is there a dataset, or one that grows and has electrons?"""
    folder = GrowingFolder.of(path)
    try:
        manifest = folder.read()
    except InputError:
        return True  # whoever reads it says what is wrong
    return folder.dataset.exists() or (manifest is not None and _lit(manifest))


def listed(path: Path) -> Listed:
    """What is there of a dataset that another process writes with :class:`GrowingDataset`, or wrote.

    Raises
    ------
    InputError
        If there is nothing yet, or what is there cannot be read.
    """
    folder = GrowingFolder.of(path)
    manifest = folder.read()
    if manifest is not None and manifest.publishes and folder.scan.exists():  # what it replaces may still be there
        return Listed(dataset_info(folder.scan), None)
    if manifest is not None and not manifest.publishes:
        if not _lit(manifest):
            raise InputError(f"{folder.states.path} lists no shard with electrons yet: check what writes it")
        shards = {index: digest for index, digest, _, _ in manifest.shards}
        return Listed(dataset_info(folder.scan, whole=False), shards)
    return Listed(dataset_info(folder.dataset), None)
