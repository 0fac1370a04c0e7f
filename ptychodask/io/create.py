"""``create_dataset``: counts that somebody has, as NumPy or Dask array, to a dataset, one shard in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from .. import _arguments as arguments
from .._errors import InputError
from .._tables import counted
from .._warnings import warn
from ..model.optics import Microscope
from ..model.scan import SMALLEST_STEP, Detector
from .atomic import check_output
from .bands import Source, fitting_shard, shards_in
from .dataset import DIMS
from .kinds import DATASET
from .truth import a_truth
from .writer import DatasetWriter, probe_centres, used_pixels


def create_dataset(
    path: str | Path,
    counts: Any,
    *,
    energy_ev: float,
    semi_angle_mrad: float,
    defocus_angstrom: float,
    angular_step_mrad: float,
    scan_step_angstrom: float | tuple[float, float] | None = None,
    aberrations: Mapping[str, float] | None = None,
    positions_angstrom: Any = None,
    mask: Any = None,
    truth: xr.Dataset | None = None,
    chunks: tuple[int, int] | None = None,
    attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write 4D-STEM counts as a chunked Zarr dataset, one shard in memory at a time.

    Parameters
    ----------
    path : path
        Of the new Zarr group; a link means what it leads to.
    counts : NumPy, Dask, HDF5 or Zarr array (scan_y, scan_x, ky, kx)
        Electrons per pixel, zero angle in the centre (index N/2). Whole numbers are stored as uint8 or uint16, others
        as float32. Every chunk is read once. Held are a shard and the chunks that reach into it; where these go beyond
        the shard (whole rows of the scan), the row of shards and the chunks in it, up to 1 GiB: more is read in strips,
        and chunks again for each. A masked array has to mask the same pixels in every pattern.
    energy_ev : float
        Beam energy, eV.
    semi_angle_mrad : float
        Convergence semi-angle, mrad.
    defocus_angstrom : float
        Positive for underfocus.
    angular_step_mrad : float
        Angle per detector pixel, mrad.
    scan_step_angstrom : float or (float, float), optional
        Step (y, x). Only with positions may it be left out: by default the median step in a row, and of rows, which
        a warning says; the dose per area follows of it.
    aberrations : mapping, optional
        Further Krivanek coefficients in angstrom and rad; ``C10`` comes from the defocus, and may only repeat it.
    positions_angstrom : array (scan_y, scan_x, 2), optional
        Probe centres (y, x) in detector-aligned axes; a raster of the step by default.
    mask : array (ky, kx), optional
        Detector pixels to use (non-zero); all by default. In all others the counts may be anything (NaN, -1, 65535):
        0 is stored there.
    truth : xarray.Dataset, optional
        Ground truth of a simulation.
    chunks : (int, int), optional
        Scan positions (y, x) per shard, about 16 x 16 by default. Blocks of a reconstruction are made of whole shards.
    attributes : mapping, optional
        More attributes to keep (source, specimen, ``thickness_angstrom``, ...): numbers, text, lists and dictionaries.
        What a dataset says of itself is refused: of attributes copied from another dataset, leave out those that the
        error names.
    overwrite : bool
        Replace an existing dataset; nothing else is ever replaced.

    Returns
    -------
    Path
        Of the dataset, absolute and without links.

    Raises
    ------
    InputError
        Wrong shape, negative or NaN counts in pixels to use, calibration out of bounds, arguments of the wrong kind,
        an output that exists.
    OSError
        The disk is full, or cannot be written: nothing is left, and an existing dataset is as it was.

    Examples
    --------
    >>> ptychodask.create_dataset("scan.zarr", counts, energy_ev=300e3, semi_angle_mrad=10, defocus_angstrom=600,
    ...                           angular_step_mrad=0.47, scan_step_angstrom=1.05)
    """
    target = check_output(arguments.path(path, "path"), DATASET, arguments.switch(overwrite, "overwrite"))
    counts, hidden = _counts(counts)
    known = a_truth(truth)
    detector = Detector(counts.shape[2], angular_step_mrad)
    used = used_pixels(mask, detector.pixels)
    if hidden is not None:
        used = ~hidden if used is None else used & ~hidden
    source = Source.of(counts)
    writer = DatasetWriter(
        target,
        counts.shape[:2],
        Microscope.of(energy_ev, semi_angle_mrad, defocus_angstrom, aberrations),
        detector,
        _step(scan_step_angstrom, positions_angstrom, counts.shape[:2]),
        dtype=str(counts.dtype) if counts.dtype in (np.uint8, np.uint16) else None,
        chunks=fitting_shard(source) if chunks is None else chunks,
        positions_angstrom=positions_angstrom,
        mask=used,
        attributes=attributes,
        overwrite=overwrite,
    )
    with writer:
        for block, found in shards_in(source, writer.shard):
            writer.write(block, found)
            del found  # before the next is read
        if known is not None:
            writer.write_truth(known)
    return target


def _step(given: Any, positions_angstrom: Any, scan_shape: tuple[int, int]) -> Any:
    """The scan step (y, x) in angstrom as it is given, or that of the positions, where rows may run to and fro."""
    if given is not None:
        return given
    if positions_angstrom is None:
        raise InputError(
            "scan_step_angstrom is missing: give the scan step in angstrom, for both axes or as (y, x), or"
            " positions_angstrom, of which it follows"
        )
    places = probe_centres(positions_angstrom, scan_shape)
    y, x = _apart(places.mean(axis=1)[None]), _apart(places)
    step = (y or x, x or y)  # of one row, or one column
    if not all(its >= SMALLEST_STEP for its in step):
        raise InputError(
            f"positions_angstrom say no scan step (rows are {y:.4g} A apart, places in a row {x:.4g} A): give places in"
            " angstrom (are they in metres?), or scan_step_angstrom"
        )
    warn(f"scan_step_angstrom = {step[0]:.4g} x {step[1]:.4g} A, y x x: the median steps of positions_angstrom")
    return step


def _apart(rows: np.ndarray) -> float:
    """Median step of rows [R, K, 2] of places; 0 where a row has one.

    Its vector in a row, whose noise has both signs as that of lengths has not; but a row may run to and fro itself.
    """
    if rows.shape[1] == 1:
        return 0.0
    steps = np.diff(rows, axis=1)
    length, along = float(np.median(np.hypot(*steps.T))), np.hypot(*np.median(steps, axis=1).T)
    return float(np.median(along)) if np.median(along) > length / 2 else length


def _counts(counts: Any) -> tuple[Any, np.ndarray | None]:
    """The array of counts, and which detector pixels it masks itself."""
    if getattr(counts, "ndim", 0) != 4:
        what = f"have {counted(counts.ndim, 'dimension')}" if hasattr(counts, "ndim") else "are no array"
        raise InputError(f"counts {what} ({arguments.shown(counts)}): give an array (scan_y, scan_x, ky, kx)")
    if isinstance(counts, xr.DataArray):
        if counts.dims != DIMS:
            raise InputError(f"counts have dimensions {counts.dims}, expected {DIMS}: transpose them")
        counts = counts.data
    if any(math.isnan(n) for n in counts.shape):
        raise InputError(f"counts have the shape {counts.shape}, which is not known: call compute_chunk_sizes() first")
    if np.dtype(counts.dtype).kind not in "biuf":
        raise InputError(f"counts have the type {counts.dtype}: give whole or real numbers of electrons")
    if counts.shape[2] != counts.shape[3]:
        raise InputError(
            f"patterns are {counts.shape[2]} x {counts.shape[3]} pixels: pad or crop them to a square (is"
            " the order scan_y, scan_x, ky, kx?)"
        )
    if min(counts.shape) < 1:
        raise InputError(f"a scan of {tuple(counts.shape[:2])} positions is empty: give at least 1 x 1")
    if isinstance(counts, da.Array) and isinstance(counts._meta, np.ma.MaskedArray):
        raise InputError(
            "counts are a Dask array of masked arrays: give dask.array.ma.filled(counts, 0), and mask = the detector"
            " pixels to use"
        )
    if not isinstance(counts, np.ma.MaskedArray):
        return counts, None
    hidden = np.ma.getmaskarray(counts[0, 0])
    masks: Any = np.ma.getmask(counts)
    if masks is not np.ma.nomask:
        for y, row in enumerate(masks):
            if differ := np.flatnonzero((row != hidden).any(axis=(1, 2))).tolist():
                raise InputError(
                    f"counts are masked in other detector pixels at scan position ({y}, {differ[0]}) than at (0, 0):"
                    " give counts without a mask of their own, and mask = the detector pixels to use"
                )
    return counts.data, hidden
