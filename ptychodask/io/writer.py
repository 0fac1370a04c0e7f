"""The one way to a new dataset: a skeleton, then the shards in any order and from any process, then the seal.

Simulation, ``create_dataset`` and importers write through :class:`DatasetWriter`; nobody else lays out a dataset.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from .. import _arguments as arguments
from .._errors import InputError
from ..model.blocks import Block, default_shard
from ..model.optics import Microscope
from ..model.scan import Detector, check_disk, make_canvas, raster, scan_step
from .atomic import writing
from .kinds import DATASET
from .seal import free_attributes, seal
from .skeleton import Layout, create_skeleton
from .stores import writable
from .truth import write_truth
from .written import TYPES, ShardSummary, check_counts, in_scan, smallest_type, widen, write_shard


class DatasetWriter:
    """Writes a dataset shard by shard: whole when the block ends, and nothing at all after an error.

    Parameters
    ----------
    path : path
        Of the new Zarr group; a link means what it leads to.
    scan_shape : (int, int)
        Positions (y, x).
    microscope, detector : Microscope, Detector
    scan_step_angstrom : float or (float, float)
        Step (y, x).
    dtype : str, optional
        ``uint8``, ``uint16`` or ``float32``; by default the smallest that holds all counts exactly, for which what is
        written may be written again.
    chunks : (int, int), optional
        Scan positions (y, x) per shard, about 16 x 16 by default.
    positions_angstrom : array (scan_y, scan_x, 2), optional
        Probe centres (y, x) in detector-aligned axes; a raster of the step by default.
    mask : array (ky, kx), optional
        Detector pixels to use (non-zero); in all others :meth:`write` stores 0, whatever their counts are.
    attributes : mapping, optional
        More to keep: numbers, text, lists and dictionaries, such as ``source`` and ``thickness_angstrom``.
    overwrite : bool
        Replace an existing dataset; nothing else is ever replaced.

    Attributes
    ----------
    blocks : tuple of Block
        What each shard holds: rows ``y0`` to ``y1 - 1``, columns ``x0`` to ``x1 - 1`` of the scan.
    folder : Path
        Of the unfinished dataset, inside the block: for :func:`write_shard` in other processes.
    path, overwrites : Path, bool
        As given.
    widens : bool
        Was no ``dtype`` given?

    Raises
    ------
    InputError
        For arguments out of bounds, when it is made; for an output that exists, when the block is entered; at its end
        if a shard is missing, or all counts are 0.
    OSError
        The disk is full, or cannot be written: nothing is left, and an existing dataset is as it was.

    Examples
    --------
    >>> scope = ptychodask.Microscope.of(300e3, 10, defocus_angstrom=600)
    >>> with ptychodask.DatasetWriter("scan.zarr", (64, 64), scope, ptychodask.Detector(128, 0.47), 1.05) as writer:
    ...     for block in writer.blocks:
    ...         writer.write(block, camera[block.y0 : block.y1, block.x0 : block.x1])
    """

    folder: Path

    def __init__(
        self,
        path: str | Path,
        scan_shape: tuple[int, int],
        microscope: Microscope,
        detector: Detector,
        scan_step_angstrom: float | tuple[float, float],
        *,
        dtype: str | None = None,
        chunks: tuple[int, int] | None = None,
        positions_angstrom: Any = None,
        mask: Any = None,
        attributes: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path, self.overwrites = arguments.path(path, "path"), arguments.switch(overwrite, "overwrite")
        scan_shape = arguments.whole_pair(scan_shape, "scan_shape", "positions (y, x)")
        for name, value, kind in (("microscope", microscope, Microscope), ("detector", detector, Detector)):
            if not isinstance(value, kind):
                raise InputError(f"{name} = {arguments.shown(value)}: give a ptychodask.{kind.__name__}")
        check_disk(detector, microscope)
        step = scan_step(scan_step_angstrom, detector, microscope)
        wanted = "the scan positions (y, x) per shard"
        shard = default_shard(scan_shape) if chunks is None else arguments.whole_pair(chunks, "chunks", wanted)
        if dtype is not None and dtype not in TYPES:
            raise InputError(f"dtype = {arguments.shown(dtype)}: give {', '.join(TYPES)}, or leave it out")
        self.widens = dtype is None
        self._layout = Layout(scan_shape, detector, microscope, step, dtype or TYPES[0], shard)
        self._positions = _positions(positions_angstrom, self._layout)
        self._used = used_pixels(mask, detector.pixels)
        self._attributes = free_attributes(attributes)
        self._shards: dict[int, ShardSummary] = {}
        self.blocks = self._layout.blocks()

    def __enter__(self) -> DatasetWriter:
        self._whole = self._written()
        return self._whole.__enter__()

    def __exit__(self, *error: Any) -> bool | None:
        return self._whole.__exit__(*error)

    @contextmanager
    def _written(self) -> Iterator[DatasetWriter]:
        with writing(self.path, DATASET, self.overwrites) as self.folder:
            self.begin(self.folder)
            yield self
            if missing := [block for block in self.blocks if block.index not in self._shards]:
                raise InputError(
                    f"{len(missing)} of {len(self.blocks)} shards were not written, the first {in_scan(missing[0])}:"
                    " write every block of the writer"
                )
            self.seal(self.folder)

    def begin(self, folder: Path) -> None:
        """Lay the dataset out in a folder of one's own, without counts, where it is not to be whole at once."""
        self.folder = folder
        create_skeleton(folder, self._layout, self._positions, self._used)

    def seal(self, folder: Path) -> None:
        """Make a dataset of such a folder: of the shards that were noted, which may not be all of them yet."""
        there = [block for block in self.blocks if block.index in self._shards]
        patterns = sum(block.size for block in there)
        seal(folder, self._layout, [self._shards[block.index] for block in there], self._attributes, patterns)

    @property
    def same_as(self) -> tuple[Any, ...]:
        """Equal for writers whose datasets differ in counts alone."""
        used = None if self._used is None else self._used.tobytes()
        return self._layout, self._positions.tobytes(), used, self._attributes

    @property
    def written(self) -> tuple[ShardSummary, ...]:
        """The shards that were noted."""
        return tuple(self._shards.values())

    @property
    def shard(self) -> tuple[int, int]:
        """Scan positions (y, x) per shard."""
        return self._layout.shard

    def write(self, block: Block, counts: np.ndarray) -> None:
        """Write the counts [rows, columns, N, N] of one of :attr:`blocks`, zero angle in the centre; from one thread.

        Raises
        ------
        InputError
            For another shape, for counts that are negative or not finite, or that do not fit the type.
        """
        shape = (block.y1 - block.y0, block.x1 - block.x0, *(self._layout.detector.pixels,) * 2)
        if block not in self.blocks[block.index : block.index + 1] or counts.shape != shape:
            raise InputError(
                f"counts of shape {counts.shape} {in_scan(block)}: give whole blocks of the writer, {shape}"
            )
        if self._used is not None:
            # what a pixel that is not used holds (NaN of a gap, 65535 of a dead one) is no count
            counts = np.where(self._used, counts, np.zeros((), counts.dtype))
        if self.widens:
            check_counts(counts, block)
            needed = smallest_type(counts, block)
            if TYPES.index(needed) > TYPES.index(self._layout.dtype):
                self._layout = replace(self._layout, dtype=needed)
                self.add(widen(self.folder, self._layout, [self.blocks[index] for index in self._shards]))
        self.add([write_shard(self.folder, block, counts)])

    def add(self, shards: Iterable[ShardSummary]) -> None:
        """Take note of shards that :func:`write_shard` wrote elsewhere, in :attr:`folder` and in a given ``dtype``."""
        self._shards |= {shard.index: shard for shard in shards}

    def leave_out(self, pixels: np.ndarray) -> None:
        """Leave more detector pixels [N, N] out of the mask, which were found to be bad while counts were written."""
        if not pixels.any():
            return
        used = ~pixels if self._used is None else self._used & ~pixels
        if not used.any():
            raise InputError("no pixel is left to use: every one is masked or bad; give a mask of your own")
        self._used = used
        with writable(self.folder) as store:
            mask = zarr.open_group(store, mode="r+")["mask"]
            assert isinstance(mask, zarr.Array)
            mask[...] = used.astype(np.uint8)

    def write_truth(self, truth: xr.Dataset) -> None:
        """Add the ground truth of a simulation, see :func:`ptychodask.io.truth.a_truth`."""
        write_truth(self.folder, truth)


def used_pixels(mask: Any, pixels: int) -> np.ndarray | None:
    """Detector pixels [N, N] to use as bool, or None for all of them; from the argument ``mask``."""
    if mask is None:
        return None
    given = arguments.real_array(mask, "mask", (pixels, pixels), "the detector pixels to use, non-zero for use")
    if given.dtype.kind == "f" and np.isnan(given).any():
        raise InputError("mask holds NaN: give 0 for pixels that are not to be used, 1 for all others")
    used = given != 0
    if not used.any():
        raise InputError("the mask excludes every detector pixel: non-zero means use")
    return None if used.all() else used


def probe_centres(given: Any, scan_shape: tuple[int, int]) -> np.ndarray:
    """Probe centres (scan_y, scan_x, 2) in angstrom, as they are given.

    Raises
    ------
    InputError
        For another shape, and for a place that is not finite.
    """
    wanted = "the probe centres (y, x) in angstrom"
    places = arguments.real_array(given, "positions_angstrom", (*scan_shape, 2), wanted).astype(np.float64)
    if len(bad := np.argwhere(~np.isfinite(places).all(axis=2))):
        at = tuple(bad[0].tolist())
        raise InputError(
            f"positions_angstrom at scan position {at} are {places[at].tolist()}, not finite: give the probe's centre"
            " of every pattern"
        )
    return places


def _positions(given: Any, layout: Layout) -> np.ndarray:
    """Probe centres (scan_y, scan_x, 2) in angstrom."""
    shape = layout.scan_shape
    positions = raster(shape, layout.scan_step) if given is None else probe_centres(given, shape)
    detector = layout.detector
    make_canvas(positions.reshape(-1, 2), detector.pixels, detector.pixel_angstrom(layout.microscope.wavelength))
    return positions
