"""The counts of a dataset block by block, and which of its chunks are damaged."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from .._errors import InputError
from .._numba import njit
from .._text import first_line
from ..counts.events import Events
from ..counts.shift import moved
from ..model.blocks import Block, Box
from ..model.selection import Selection, runs
from .address import Folder, Store, store_at
from .centre import Centre, centre_of
from .dataset import DatasetInfo
from .described.store import ArrayDocument
from .documents import told
from .planes import events_in
from .reading import array_at, open_group
from .shards import Shards, Stored, dense_in, shards_of, stored_chunks

SPARSE = 8
"""Dense bytes over stored ones from which counts are looked for as events."""


def source_of(info: DatasetInfo) -> ZarrBlocks:
    """The counts of what is used of a dataset, its patterns moved to where a calibration found their disk."""
    centre = centre_of(info.attributes, info.detector.pixels)
    return ZarrBlocks(info.path, info.fingerprint, info.selection, centre)


def sources_of(scans: Sequence[DatasetInfo]) -> ZarrBlocks | ScanBlocks:
    """The counts of all scans of one area, or of the only one."""
    sources = tuple(map(source_of, scans))
    return sources[0] if len(sources) == 1 else ScanBlocks(sources)


@dataclass(frozen=True)
class ScanBlocks:
    """Block source over several datasets: a block is read from that of its own scan."""

    sources: tuple[ZarrBlocks, ...]

    @property
    def key(self) -> str:
        """Names the counts."""
        return "+".join(source.key for source in self.sources)

    @property
    def rows(self) -> int:
        """Scan rows at whose multiples chunks end in all datasets, or those of some."""
        sides = [source.rows for source in self.sources]
        return math.gcd(*(side for side in sides if isinstance(side, int)))

    def read(self, block: Block) -> Events | np.ndarray:
        """See :meth:`ZarrBlocks.read`."""
        return self.sources[block.scan].read(block)

    def nbytes(self, block: Block) -> int:
        """See :meth:`ZarrBlocks.nbytes`."""
        return self.sources[block.scan].nbytes(block)


@dataclass(frozen=True)
class ZarrBlocks:
    """Block source over a dataset; small and picklable, every worker opens the store itself."""

    path: str
    fingerprint: str
    """Of the counts in the store, see :func:`ptychodask.io.content.content_digest`."""
    selection: Selection | None = None
    """Blocks and boxes are counted within it."""
    centre: Centre | None = None
    """Where zero angle stands in the stored patterns; None: at N // 2."""

    @cached_property
    def key(self) -> str:
        """Names the counts."""
        if self.selection is None:
            return self.fingerprint
        numbers = repr((self.selection.rows, self.selection.columns)).encode()
        return f"{self.fingerprint}-{hashlib.blake2b(numbers, digest_size=16).hexdigest()}"

    @cached_property
    def _store(self) -> Store:
        return store_at(self.path)

    @cached_property
    def _described(self) -> ArrayDocument:
        with told(f"{self.path} is damaged", "copy or write the dataset again"):
            return array_at(self._store, "counts")

    @cached_property
    def _counts(self) -> zarr.Array:
        array = open_group(self._store)["counts"]
        assert isinstance(array, zarr.Array)
        return array

    @cached_property
    def rows(self) -> int | Collection[int]:
        """Scan rows of an inner chunk, what has to be decoded together; of a selection, the rows at which to cut."""
        side = self._described.chunks[0]
        return side if self.selection is None else self.selection.cuts(side)

    @cached_property
    def _stored_rows(self) -> np.ndarray:
        """Number in the store of every row."""
        return np.arange(self._described.shape[0]) if self.selection is None else np.array(self.selection.rows)

    @cached_property
    def _stored_columns(self) -> np.ndarray:
        return np.arange(self._described.shape[1]) if self.selection is None else np.array(self.selection.columns)

    @cached_property
    def _layout(self) -> Shards | None:
        return shards_of(Path(self.path) / "counts") if isinstance(self._store, Folder) else None

    @property
    def as_we_write(self) -> bool:
        """Are the counts laid out as we write them? If not, Zarr decodes them, which takes longer."""
        return self._layout is not None

    def nbytes(self, block: Block) -> int:
        """Dense counts of a block in bytes, as they are stored."""
        return block.size * math.prod(self._described.shape[2:]) * self._described.itemsize

    def read(self, block: Block) -> Events | np.ndarray:
        """Counts of a block, corner-centred: events where they are stored as bit planes and are few, else dense."""
        return self._centred(block, self._read(block))

    def _read(self, block: Block) -> Events | np.ndarray:
        try:
            counts = None if block.skip or self._layout is None else self._unpacked(self._layout, block)
        except (OSError, RuntimeError, ValueError):
            counts = None  # Zarr reads it after all, or says what is wrong
        return self._dense(block) if counts is None else counts

    def _centred(self, block: Block, counts: Any) -> Any:
        """Every pattern moved by whole pixels to where its disk belongs."""
        if self.centre is None:
            return counts
        rows, columns = self._stored_rows[block.y0 : block.y1], self._stored_columns[block.x0 : block.x1]
        by = np.delete(self.centre.moves(rows, columns).reshape(-1, 2), block.skip, axis=0)
        return moved(counts, by, self.centre.pixels)

    def _unpacked(self, layout: Shards, block: Block) -> Events | np.ndarray:
        """As :meth:`read`, of shards in our layout, without Zarr."""
        n, dtype, patterns = self._described.shape[-1], np.dtype(self._described.data_type), math.prod(layout.chunk)
        chunks = list(self._stored(layout, block))
        # random counts of which more than that is stored take fewer bytes dense
        if max(len(chunk) for chunk, _, _ in chunks) <= patterns * n * n * dtype.itemsize // SPARSE:
            events = events_in(chunks, block.size, n, dtype, patterns)
            if events is not None:
                return events
        return _to_corner(dense_in(chunks, block.size, n, dtype, patterns))

    def _stored(self, layout: Shards, block: Block) -> Iterator[Stored]:
        """The chunks of a block, the patterns wanted of each, and their places in the block."""
        (side_y, side_x), width = layout.chunk, block.x1 - block.x0
        for shard, boxes in self._by_shard(block).items():
            first = [(int(self._stored_rows[y0]), int(self._stored_columns[x0])) for y0, _, x0, _ in boxes]
            wanted = [(y // side_y % layout.grid[0], x // side_x % layout.grid[1]) for y, x in first]
            for chunk, (y0, y1, x0, x1) in zip(
                stored_chunks(Path(self.path) / shard, layout, wanted), boxes, strict=True
            ):
                y, x = np.arange(y0, y1)[:, None], np.arange(x0, x1)
                within = self._stored_rows[y] % side_y * side_x + self._stored_columns[x] % side_x
                yield chunk, within.ravel(), ((y - block.y0) * width + x - block.x0).ravel()

    def _by_shard(self, block: Block) -> dict[str, list[Box]]:
        """The chunks that a block touches, by their file."""
        found: dict[str, list[Box]] = {}
        for box in self._chunks(block):
            (shard,) = self._shards(box)
            found.setdefault(shard, []).append(box)
        return found

    def dense(self, block: Block) -> np.ndarray:
        """Counts [B, N, N] of a block, corner-centred, whatever the layout: Zarr reads them.

        Raises
        ------
        InputError
            If a chunk is damaged (its checksum does not fit) or missing: which one.
        """
        return np.asarray(self._centred(block, self._dense(block)))

    def _dense(self, block: Block) -> np.ndarray:
        box = (block.y0, block.y1, block.x0, block.x1)
        try:
            counts = self._box(box) if not block.skip and self.selection is None else self._around(block)
        except Exception as error:
            raise self._explained(block, error) from error
        counts = counts.reshape(-1, *counts.shape[2:])
        return _to_corner(np.delete(counts, block.skip, axis=0) if block.skip else counts)

    def damaged(self, block: Block) -> tuple[Box, ...]:
        """Chunks of a block (the parts inside it) that are missing or do not decode to what was written.

        Errors of the file system are no damage: they may pass, and what is left out must not depend on the moment.
        """
        return tuple(box for box in self._chunks(block) if self._is_damaged(box))

    def _is_damaged(self, box: Box) -> bool:
        try:
            self._box(box)
        except OSError as error:
            raise InputError(self._unreadable(box, "", error, "check the file system, then try again")) from error
        except Exception:  # checksum, codec or shard index, each with an error of its own
            return True
        return False

    def _box(self, box: Box) -> np.ndarray:
        y0, y1, x0, x1 = box
        for shard in self._shards(box):
            if self._store.size(shard) == 0:
                raise ValueError(f"{shard} is missing or empty")  # Zarr would read zeros
        if self.selection is None:
            return np.asarray(self._counts[y0:y1, x0:x1])
        low_y, high_y, low_x, high_x = self.selection.in_store(box)
        around = np.asarray(self._counts[low_y:high_y, low_x:high_x])
        return around[np.ix_(self._stored_rows[y0:y1] - low_y, self._stored_columns[x0:x1] - low_x)]

    def _around(self, block: Block) -> np.ndarray:
        """Counts [h, w, N, N] of a block, read chunk by chunk where it is not left out altogether."""
        shape = (block.y1 - block.y0, block.x1 - block.x0)
        kept = np.ones(shape, dtype=bool)
        kept.ravel()[list(block.skip)] = False
        counts = np.zeros((*shape, *self._counts.shape[2:]), self._counts.dtype)
        for y0, y1, x0, x1 in self._chunks(block):
            place = (slice(y0 - block.y0, y1 - block.y0), slice(x0 - block.x0, x1 - block.x0))
            if kept[place].any():
                counts[place] = self._box((y0, y1, x0, x1))
        return counts

    def _chunks(self, block: Block) -> Iterator[Box]:
        """The inner chunks that a block touches, cut to the block."""
        side_y, side_x = self._described.chunks[:2]
        x_runs = runs(self._stored_columns, side_x, block.x0, block.x1)
        for y0, y1 in runs(self._stored_rows, side_y, block.y0, block.y1):
            for x0, x1 in x_runs:
                yield y0, y1, x0, x1

    def _shards(self, box: Box) -> list[str]:
        """Files that hold the counts of a box, relative to the dataset."""
        side_y, side_x = self._described.files[:2]
        y0, y1, x0, x1 = box
        key = self._described.key
        rows, columns = self._stored_rows[y0:y1] // side_y, self._stored_columns[x0:x1] // side_x
        return [f"counts/{key((y, x, 0, 0))}" for y in np.unique(rows) for x in np.unique(columns)]

    def _explained(self, block: Block, error: Exception) -> InputError:
        """What cannot be read, in which file, and what to do."""
        whole = (block.y0, block.y1, block.x0, block.x1)
        boxes = [] if isinstance(error, OSError) else self.damaged(block)
        if not boxes:
            return InputError(self._unreadable(whole, "", error, "check the file system, then try again"))
        more = f" and {len(boxes) - 1} more chunks" if len(boxes) > 1 else ""
        remedy = "copy it again, or leave the positions out with --mask-damaged (data.on_damage = mask)"
        return InputError(self._unreadable(boxes[0], more, error, remedy))

    def _unreadable(self, box: Box, more: str, error: Exception, remedy: str) -> str:
        stored = box if self.selection is None else self.selection.in_store(box)
        return (
            f"{self.path}: the counts of scan {where(stored)}{more} cannot be read ({_reason(error)}) from"
            f" {', '.join(self._shards(box))}: {remedy}"
        )

    def __getstate__(self) -> dict[str, Any]:
        # the open array stays behind
        kept = ("path", "fingerprint", "selection", "centre")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _reason(error: Exception) -> str:
    """What is wrong, without the bytes of two checksums."""
    text = first_line(error)
    return "the checksum does not fit" if "checksum" in text else text


def stored_bytes(path: str) -> int:
    """Bytes that the counts of a dataset take where they are stored."""
    source = ZarrBlocks(path, "")
    size = source._store.sizes("counts")
    return sum(size(f"counts/{key}") for key in source._described.keys())  # noqa: SIM118  # a method


def _to_corner(counts: np.ndarray) -> np.ndarray:
    """``ifftshift`` of the last two axes, in place where the sides are even: the counts are large."""
    rows, columns = counts.shape[-2:]
    if rows % 2 or columns % 2 or not (counts.flags.writeable and counts.flags.c_contiguous):
        return np.fft.ifftshift(counts, axes=(-2, -1))
    half_row = columns // 2 * counts.itemsize
    words = np.dtype(np.uint64 if half_row % 8 == 0 and counts.ctypes.data % 8 == 0 else f"u{counts.itemsize}")
    _swap_quadrants(counts.reshape(-1, rows, columns).view(words))
    return counts


@njit(nogil=True)
def _swap_quadrants(counts: Any) -> None:
    rows, columns = counts.shape[1] // 2, counts.shape[2] // 2
    for b in range(len(counts)):
        for y in range(rows):
            for x in range(columns):
                first, last = counts[b, y, x], counts[b, y + rows, x + columns]
                counts[b, y, x], counts[b, y + rows, x + columns] = last, first
            for x in range(columns):
                right, left = counts[b, y, x + columns], counts[b, y + rows, x]
                counts[b, y, x + columns], counts[b, y + rows, x] = left, right


def where(box: Box) -> str:
    """A box in words."""
    y0, y1, x0, x1 = box
    return f"rows {y0} to {y1 - 1}, columns {x0} to {x1 - 1}"
