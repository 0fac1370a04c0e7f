"""``create_dataset``: counts that somebody has, as NumPy or Dask array, to a dataset, one shard in memory at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from .._errors import InputError
from ..model.blocks import default_tile
from ..model.optics import Microscope
from ..model.scan import Detector, make_canvas, raster, step_pair
from .atomic import check_output, writing
from .dataset import DIMS
from .kinds import DATASET
from .tiles import Layout, create_skeleton, seal, write_tile, write_truth


def _counts_dtype(counts: da.Array) -> str:
    """Smallest storage type that holds the counts exactly: uint8 or uint16 for whole numbers, else float32.

    Anything but uint8 and uint16 costs one pass over the data, chunk by chunk.
    """
    if counts.dtype in (np.uint8, np.uint16):
        return str(counts.dtype)

    def survey(chunk: np.ndarray) -> np.ndarray:
        whole = bool(np.isfinite(chunk).all() and (chunk == np.rint(chunk)).all())
        return np.array([whole, np.nanmax(chunk, initial=0)], dtype=np.float64).reshape(1, 1, 1, 1, 2)

    # dask's own annotation of map_blocks is that of its decorator
    mapped: Any = da.map_blocks
    parts = mapped(survey, counts, dtype=np.float64, chunks=(*((1,) * len(c) for c in counts.chunks), 2), new_axis=4)
    result = parts.compute().reshape(-1, 2)
    brightest = result[:, 1].max()
    if not result[:, 0].all():
        return "float32"
    if brightest > np.iinfo(np.uint16).max:
        if counts.dtype.kind in "iu":
            raise InputError(
                f"counts up to {brightest:.0f} exceed uint16 (65535): give float counts, or divide by the gain"
            )
        return "float32"
    return "uint8" if brightest <= np.iinfo(np.uint8).max else "uint16"


def create_dataset(
    path: str | Path,
    counts: Any,
    *,
    energy_ev: float,
    semi_angle_mrad: float,
    defocus_angstrom: float,
    angular_step_mrad: float,
    scan_step_angstrom: float | tuple[float, float],
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
    counts : NumPy or Dask array (scan_y, scan_x, ky, kx)
        Electrons per pixel, zero angle in the centre (index N/2). Whole numbers are stored as uint8 or uint16, others
        as float32.
    energy_ev : float
        Beam energy, eV.
    semi_angle_mrad : float
        Convergence semi-angle, mrad.
    defocus_angstrom : float
        Positive for underfocus.
    angular_step_mrad : float
        Angle per detector pixel, mrad.
    scan_step_angstrom : float or (float, float)
        Step (y, x).
    aberrations : mapping, optional
        Further Krivanek coefficients in angstrom and rad; ``C10`` comes from the defocus.
    positions_angstrom : array (scan_y, scan_x, 2), optional
        Probe centres (y, x) in detector-aligned axes; a raster of the step by default.
    mask : array (ky, kx), optional
        Detector pixels to use (non-zero); all by default.
    truth : xarray.Dataset, optional
        Ground truth of a simulation.
    chunks : (int, int), optional
        Scan positions per shard; the reconstruction's blocks. About 16 x 16 by default.
    attributes : mapping, optional
        More attributes to keep (source, specimen, ...).
    overwrite : bool
        Replace an existing dataset; nothing else is ever replaced.

    Returns
    -------
    Path
        Of the dataset, absolute and without links.

    Raises
    ------
    InputError
        Wrong shape, negative or NaN counts, calibration out of bounds, an output that exists.
    OSError
        The disk is full, or cannot be written: nothing is left, and an existing dataset is as it was.

    Examples
    --------
    >>> ptychodask.create_dataset("scan.zarr", counts, energy_ev=300e3, semi_angle_mrad=10, defocus_angstrom=600,
    ...                           angular_step_mrad=0.47, scan_step_angstrom=1.05)
    """
    path = check_output(path, DATASET, overwrite)
    if getattr(counts, "ndim", 0) != 4:
        raise InputError(f"counts have {getattr(counts, 'ndim', 0)} dimensions: give (scan_y, scan_x, ky, kx)")
    if isinstance(counts, xr.DataArray):
        if counts.dims != DIMS:
            raise InputError(f"counts have dimensions {counts.dims}, expected {DIMS}: transpose them")
        counts = counts.data
    if np.dtype(counts.dtype).kind not in "biuf":
        raise InputError(f"counts have the type {counts.dtype}: give whole or real numbers of electrons")
    if counts.shape[2] != counts.shape[3]:
        raise InputError(
            f"patterns are {counts.shape[2]} x {counts.shape[3]} pixels: pad or crop them to a square (is"
            " the order scan_y, scan_x, ky, kx?)"
        )
    step = step_pair(scan_step_angstrom)
    if not all(math.isfinite(s) and s > 0 for s in step):
        raise InputError(f"scan_step_angstrom = {scan_step_angstrom}: give the scan step in angstrom, above 0")
    microscope = Microscope(energy_ev, semi_angle_mrad, {"C10": -defocus_angstrom, **(aberrations or {})})
    detector = Detector(counts.shape[2], angular_step_mrad)
    if semi_angle_mrad > detector.max_angle_mrad:
        raise InputError(
            f"semi_angle_mrad = {semi_angle_mrad} exceeds the detector's {detector.max_angle_mrad:.4g} mrad"
            f" ({detector.pixels} x {angular_step_mrad} mrad / 2): check angular_step_mrad"
        )
    scan_shape = (int(counts.shape[0]), int(counts.shape[1]))
    if min(scan_shape) < 1:
        raise InputError(f"a scan of {scan_shape} positions is empty: give at least 1 x 1")
    try:
        json.dumps(dict(attributes or {}))
    except TypeError as error:
        raise InputError(f"attributes cannot be stored ({error}): give numbers, text, lists and dictionaries") from None
    positions = (
        raster(scan_shape, step) if positions_angstrom is None else np.asarray(positions_angstrom, dtype=np.float64)
    )
    if positions.shape != (*scan_shape, 2):
        raise InputError(f"positions_angstrom has shape {positions.shape}, expected {(*scan_shape, 2)}")
    make_canvas(positions.reshape(-1, 2), detector.pixels, detector.pixel_angstrom(microscope.wavelength))
    if mask is not None and np.shape(mask) != counts.shape[2:]:
        raise InputError(f"mask has shape {np.shape(mask)}, expected {counts.shape[2:]}")
    if mask is not None and not np.any(mask):
        raise InputError("the mask excludes every detector pixel: non-zero means use")
    lazy = counts if isinstance(counts, da.Array) else da.from_array(counts, chunks=(*default_tile(scan_shape), -1, -1))
    layout = Layout(scan_shape, detector, microscope, step, _counts_dtype(lazy), chunks or default_tile(scan_shape))
    with writing(path, DATASET, overwrite) as temporary:
        create_skeleton(temporary, layout, positions, mask)
        tiles = [write_tile(temporary, b, lazy[b.y0 : b.y1, b.x0 : b.x1].compute()) for b in layout.blocks()]
        seal(temporary, layout, tiles, attributes or {})
        if truth is not None:
            write_truth(temporary, truth)
    return path
