"""``import_data``: checks and a look, then every part of the scan by a worker that opens the file itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import _arguments as arguments
from ..._warnings import warn
from ...counts.badpixels import bad_pixels
from ...distributed.cluster import a_place, connect, describe
from ...distributed.maps import run_all, shared
from ...io.atomic import check_output
from ...io.bands import Source, regions
from ...io.kinds import DATASET
from ...io.writer import DatasetWriter
from ...model.blocks import Block
from ...model.place import Place
from ...readers.counted import Counted
from .facts import contradictions
from .prepare import Options, Prepared, prepare
from .table import Imported, Masked, rows_of, warnings_of
from .tasks import Order, Part, Seen, let_go, together, write_part, write_parts

if TYPE_CHECKING:
    from ...distributed.cluster import Client

TASKS = 512
"""At most, about."""
SUMS_BYTES = 2**27
"""Of the sums of patterns that come back from them."""
Steps = Callable[[str, int, int], None]


def import_data(
    path: str | Path,
    output: str | Path,
    *,
    format: str | None = None,
    scan_shape: tuple[int, int] | None = None,
    energy_ev: float | None = None,
    semi_angle_mrad: float | None = None,
    defocus_angstrom: float | None = None,
    angular_step_mrad: float | None = None,
    scan_step_angstrom: float | tuple[float, float] | None = None,
    aberrations: Mapping[str, float] | None = None,
    gain_adu: float | None = None,
    count: bool = False,
    gain_map: Any = None,
    dataset: str | None = None,
    dtype: str | None = None,
    offset: int = 0,
    gap: int = 0,
    detector_shape: tuple[int, int] | None = None,
    tables: str | Path | None = None,
    dark: Any = None,
    dwell_us: float | None = None,
    crop: int | None = None,
    bin: int = 1,
    pad: int | None = None,
    flip: bool = False,
    transpose: bool = False,
    rotate180: bool = False,
    mask: Any = None,
    mask_saturated: bool = False,
    mask_bad: bool | None = None,
    allow_partial: bool = False,
    chunks: tuple[int, int] | None = None,
    attributes: Mapping[str, Any] | None = None,
    client: Client | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Steps | None = None,
) -> Imported:
    """Make a dataset of a file that a detector or another program wrote.

    The file is never in memory whole, and every piece of it is read once, by the worker that writes it. What is wrong
    with it is one line before any of that.

    Parameters
    ----------
    path : path
        Of the file; ``scan.h5:/entry/data`` names an array in it.
    output : path
        Of the new dataset, a Zarr group.
    format : str, optional
        Name of the format; by default what the file looks like.
    scan_shape : (int, int), optional
        Positions (y, x), where the file does not say them.
    energy_ev, semi_angle_mrad, angular_step_mrad, scan_step_angstrom : optional
        As for :func:`ptychodask.create_dataset`; by default what the file says. An angular step that nobody says is the
        semi-angle over the radius of the bright-field disk. A step makes a raster, also where the file lists positions.
    defocus_angstrom : float, optional
        Positive for underfocus; 0 where nobody says it.
    aberrations : mapping, optional
        Further Krivanek coefficients in angstrom and rad.
    gain_adu : float, optional
        Value per electron of a detector that does not count: counts are the rounded quotients, at least 0.
    count : bool
        Find the peaks of none, one and two electrons in the values, and take of every value the number that is most
        probable; the table says how many electrons are mis-counted.
    gain_map : array (ky, kx) or path of a .npy file, optional
        Relative sensitivity of the pixels in the orientation of the file, by which values are divided.
    dataset : str, optional
        Name of the array in the file.
    dtype, offset, gap, detector_shape
        Of raw frames: type of the values, bytes before the first frame and between two, pixels (ky, kx).
    tables, dark : path, optional
        Folder with the tables of a detector whose raw values need them (EMPAD-G2), and its scan without beam. Of other
        formats ``dark`` is a .npy file of frames (..., ky, kx) without beam, or the frames, whose mean is subtracted.
    dwell_us : float, optional
        Microseconds per position, of hits with times (Timepix3) whose positions no TDC marks.
    crop, bin, pad : int, optional
        In this order: keep the middle ``crop`` x ``crop`` pixels of the detector, add the electrons of ``bin`` x
        ``bin`` of them, put that into the middle of ``pad`` x ``pad``, whose rim is masked. The angular step is that of
        a pixel of the detector.
    flip, transpose, rotate180 : bool
        Done with every pattern, in this order: rows reversed, rows and columns exchanged, turned.
    mask : array (N, N) or path of a .npy file, optional
        Detector pixels to use (non-zero), in the orientation of the dataset.
    mask_saturated : bool
        Leave out the pixels that are at the detector's limit in the frames that are looked at.
    mask_bad : bool, optional
        Leave out hot and dead pixels, by what their neighbours see in the whole scan; by default where ``count`` is.
    allow_partial : bool
        Take a file that ends too early as far as it goes.
    chunks : (int, int), optional
        Scan positions (y, x) per shard.
    attributes : mapping, optional
        More to keep.
    client, workers
        Where to run: a client, or so many local processes, or threads of this process.
    overwrite : bool
        Replace an existing dataset.
    progress : callable or bool, optional
        Called with a label, the number of finished and of all steps. True shows a bar, False nothing; by default a bar
        in a notebook or a terminal.

    Returns
    -------
    Imported
        ``path``, ``rows()`` of what was taken from where, ``notes`` and ``warnings``.

    Raises
    ------
    InputError
        A file that is cut off or of no known format, a scan of another size, values that are no counts, calibration
        that is missing or out of bounds, an output that exists.

    Examples
    --------
    >>> print(ptychodask.import_data("scan_x128_y128.raw", "scan.zarr", semi_angle_mrad=20, angular_step_mrad=0.8,
    ...                              gain_adu=150))
    """
    target = check_output(arguments.path(output, "output"), DATASET, arguments.switch(overwrite, "overwrite"))
    arguments.function(progress, "progress", ("label", "done", "of"))
    if workers is not None:
        workers = arguments.whole(workers, "workers", "the number of processes, or leave it out for threads", 1, 10_000)
    client = a_place(client)
    given = Options(
        format=format, scan_shape=scan_shape, energy_ev=energy_ev, semi_angle_mrad=semi_angle_mrad,
        defocus_angstrom=defocus_angstrom, angular_step_mrad=angular_step_mrad, scan_step_angstrom=scan_step_angstrom,
        aberrations=aberrations, gain_adu=gain_adu, count=count, gain_map=gain_map, dataset=dataset, dtype=dtype,
        offset=offset, gap=gap, detector_shape=detector_shape, tables=tables, dark=dark, dwell_us=dwell_us, crop=crop,
        bin=bin, pad=pad, flip=flip, transpose=transpose, rotate180=rotate180, mask=mask,
        mask_saturated=mask_saturated, mask_bad=mask_bad, allow_partial=allow_partial, chunks=chunks,
        attributes=attributes,
    ).checked()  # fmt: skip
    made = prepare(path, target, given, given.asked(), overwrite)
    with connect(client, place=Place(workers=workers)) as dask_client:
        return write(dask_client, made.at(describe(dask_client)), target, progress)


def write(client: Client, made: Prepared, target: Path, progress: Steps | None = None) -> Imported:
    """The dataset of a file that was looked at."""
    order, file, looked = made.order, made.file, made.looked
    frame, used = order.frame, order.used
    report: Steps = progress or (lambda label, done, of: None)
    with made.writer() as writer:
        seen = write_shards(client, order, file, writer.folder, parts_of(file, writer), report)
        writer.add(seen.shards)
        masked = Masked(looked.hot)
        if seen.pattern is not None:
            hot, dead = bad_pixels(seen.pattern.astype(np.float64), used)
            masked = Masked(looked.hot | hot, dead)
            writer.leave_out(~frame.whole(~(hot | dead)))
    about = file.reader.about
    warnings = (*contradictions(made.facts), *warnings_of(seen, about.missing, math.prod(file.shape[:2])))
    for text in warnings:
        warn(f"{target}: {text}")
    rows = rows_of(order, file, made.facts, looked, target, masked if order.sums else None)
    return Imported(target, tuple(rows), about.notes, warnings)


def write_shards(
    client: Client, order: Order, file: Counted, folder: Path, parts: Sequence[Part], report: Steps
) -> Seen:
    """The shards of parts of the scan, by the workers; of a file that is cheap to read in its order only, by this
    process."""
    if file.reader.about.in_order:
        found = []
        for done, part in enumerate(parts):
            report("shards", done, len(parts))
            found.append(write_part(file, order, str(folder), part))
        report("shards", len(parts), len(parts))
        return together(found)
    threads = max(1, describe(client)["threads"])
    tasks = min(TASKS, SUMS_BYTES // (4 * file.pixels**2)) if order.sums else TASKS
    each = max(1, len(parts) // max(tasks, 8 * threads))
    held = shared(client, order)  # frames and a mask are too much for every task
    calls = [(write_parts, (held, str(folder), tuple(parts[i : i + each]))) for i in range(0, len(parts), each)]
    try:
        return together(run_all(client, calls, lambda done, of: report("shards", done, of)))
    finally:
        let_go()


def parts_of(file: Counted, writer: DatasetWriter) -> list[Part]:
    """Parts of the scan that can be written by different workers."""
    at: dict[tuple[int, int], Block] = {(block.y0, block.x0): block for block in writer.blocks}
    found = []
    for borders in regions(Source.of(file), writer.shard):
        corners = [(y, x) for y in borders[0][:-1] for x in borders[1][:-1]]
        found.append((borders, tuple(at[corner] for corner in corners)))
    return found
