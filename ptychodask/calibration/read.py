"""One pass over the counts of a scan: the sum of all patterns, and the bright field of every position in bins.

Blocks are read and binned where the client's workers are, or by threads of this process. A scan whose bins would take
more than :data:`MOST_BYTES` is read in its middle only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..io.dataset import DatasetInfo
from ..io.source import ZarrBlocks, source_of
from ..model.blocks import Block, Box, make_blocks
from ..model.place import Place
from .bright_field import Bins, binned
from .descan import moments

MOST_BYTES = 2**29
"""Of the bright field in memory; twice as many while it is put together."""
PIECES = 64
"""At most, about, in which the scan is read."""
GLANCES = 8
"""Blocks of which a strip is read to find the disk."""
Steps = Callable[[str, int, int], None]


@dataclass(frozen=True)
class BrightField:
    """What is kept of a scan.

    Parameters
    ----------
    electrons : uint16 or float32 array [J, K]
        In every bin, in the order of the scan's part in ``box``.
    totals : float64 array [J]
        Electrons of every pattern.
    pattern : float64 array [N, N]
        Sum of the patterns of all blocks that were read, zero angle in the centre.
    patterns : int
        How many these are.
    box : (y0, y1, x0, x1)
        Part of the scan that was read.
    moments : float64 array [J, 3]
        Electrons about the disk, and these times their pixel (y, x) from zero angle.
    """

    electrons: np.ndarray
    totals: np.ndarray
    pattern: np.ndarray
    patterns: int
    box: Box
    moments: np.ndarray

    @property
    def scan_shape(self) -> tuple[int, int]:
        """Positions (y, x)."""
        return self.box[1] - self.box[0], self.box[3] - self.box[2]


def blocks_of(info: DatasetInfo) -> tuple[Block, ...]:
    """The shards of what is used of a dataset."""
    return make_blocks(info.scan_shape, info.shard, selection=info.selection)


def glance(info: DatasetInfo, inside: np.ndarray) -> tuple[np.ndarray, int, np.ndarray, np.ndarray]:
    """A few strips spread over the scan: sum of their patterns [N, N], zero angle in the centre, how many these are,
    their rows and columns in the stored scan [B, 2], and their moments [B, 3] within ``inside`` [N, N]."""
    source = source_of(info)
    strips = [strip for block in blocks_of(info) for strip in block.strips(source.rows)]
    pattern = np.zeros((info.detector.pixels,) * 2)
    rows, columns = stored(info)
    places, found = [], []
    for s in sorted({round(k * (len(strips) - 1) / (GLANCES - 1)) for k in range(GLANCES)}):
        strip = strips[s]
        counts = source.dense(strip)
        pattern += counts.sum(axis=0, dtype=np.float64)
        found.append(moments(counts, inside))
        y, x = np.divmod(strip.flat(info.scan_shape), info.scan_shape[1])
        places.append(np.stack([rows[y], columns[x]], axis=1))
    return np.fft.fftshift(pattern), sum(map(len, found)), np.concatenate(places), np.concatenate(found)


def stored(info: DatasetInfo) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of rows and columns in the stored scan."""
    if info.selection is not None:
        return np.array(info.selection.rows), np.array(info.selection.columns)
    return np.arange(info.scan_shape[0]), np.arange(info.scan_shape[1])


def middle(scan_shape: tuple[int, int], bins: int, itemsize: int = 4, most: int = MOST_BYTES) -> Box:
    """The largest part about the middle of a scan, of its shape, whose bright field takes ``most`` bytes."""
    share = math.sqrt(min(1.0, most / (itemsize * bins * math.prod(scan_shape))))
    (y0, y1), (x0, x1) = (((n - max(1, int(n * share))) // 2, (n + max(1, int(n * share))) // 2) for n in scan_shape)
    return y0, y1, x0, x1


def read_bright_field(
    info: DatasetInfo,
    bins: Bins,
    client: Any = None,
    workers: int | None = None,
    progress: Steps | None = None,
    inside: np.ndarray | None = None,
) -> BrightField:
    """Read the scan once.

    Parameters
    ----------
    info : DatasetInfo
    bins : Bins
    client, workers
        Where to read: a client, or so many local processes, or threads of this process.
    progress : callable, optional
        Called with a label, the number of finished and of all steps.
    inside : bool array [N, N], optional
        Pixels for the moments, corner-centred; those of the bins by default.
    """
    inside = bins.label < bins.number if inside is None else inside
    # counts of one byte cannot outgrow two bytes in a bin
    kind = np.dtype(np.uint16 if info.dtype == "uint8" and bins.side <= 16 else np.float32)
    box = middle(info.scan_shape, bins.number, kind.itemsize)
    y0, y1, x0, x1 = box
    blocks = [b for b in blocks_of(info) if b.y0 < y1 and b.y1 > y0 and b.x0 < x1 and b.x1 > x0]
    source, each = source_of(info), math.ceil(len(blocks) / PIECES)
    calls = [
        (read_blocks, (source, blocks[i : i + each], bins, box, kind, inside)) for i in range(0, len(blocks), each)
    ]
    electrons = np.zeros(((y1 - y0) * (x1 - x0), bins.number), kind)
    totals, moved = np.full(len(electrons), np.nan), np.zeros((len(electrons), 3))
    pattern = np.zeros(bins.label.shape)
    for place, found, total, its, moment in _done(calls, client, workers, progress or (lambda label, done, of: None)):
        electrons[place], totals[place], moved[place] = found, total, moment
        pattern += its
    return BrightField(electrons, totals, np.fft.fftshift(pattern), sum(b.size for b in blocks), box, moved)


def _done(calls: Sequence[Any], client: Any, workers: int | None, progress: Steps) -> list[Any]:
    if client is not None or workers is not None:
        from ..distributed.cluster import connect  # Dask takes a second to load, and threads do without
        from ..distributed.maps import run_all

        with connect(client, place=Place(workers=workers)) as dask_client:
            return run_all(dask_client, calls, lambda done, of: progress("patterns", done, of))
    from dask.system import cpu_count

    progress("patterns", 0, len(calls))
    with ThreadPoolExecutor(min(cpu_count(), len(calls))) as pool:
        futures = [pool.submit(function, *arguments) for function, arguments in calls]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                progress("patterns", done, len(calls))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]  # in their order, so that sums have the same bits


def read_blocks(
    source: ZarrBlocks, blocks: Sequence[Block], bins: Bins, box: Box, kind: np.dtype, inside: np.ndarray
) -> tuple[np.ndarray, ...]:
    """On a worker: places [B] in the box, electrons in bins [B, K], totals [B], the sum of the patterns [N, N], and
    moments [B, 3]."""
    places, electrons, totals, pattern, moved = [], [], [], np.zeros(bins.label.shape), []
    y0, y1, x0, x1 = box
    for block in blocks:
        for strip in block.strips(source.rows):
            counts = source.read(strip)
            found, its, total = binned(counts, bins)
            pattern += its
            y, x = (axis.ravel() for axis in np.mgrid[strip.y0 : strip.y1, strip.x0 : strip.x1])
            within = (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
            places.append(((y - y0) * (x1 - x0) + x - x0)[within])
            electrons.append(found[within].astype(kind))
            totals.append(total[within])
            moved.append(moments(counts, inside)[within])
    return np.concatenate(places), np.concatenate(electrons), np.concatenate(totals), pattern, np.concatenate(moved)
