"""``import_data``: checks and a look, then every part of the scan by a worker that opens the file itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import _arguments as arguments
from ..._errors import InputError
from ..._warnings import warn
from ...counts.badpixels import bad_pixels
from ...distributed.cluster import a_place, connect, describe
from ...distributed.maps import run_all, shared
from ...io.atomic import check_output
from ...io.bands import BAND_BYTES, Source, fitting_shard, regions
from ...io.kinds import DATASET
from ...io.writer import DatasetWriter, used_pixels
from ...model.blocks import Block
from ...model.optics import Microscope
from ...model.place import Place
from ...model.scan import Detector
from ...readers.counted import Counted, Orientation
from ...readers.registry import opened
from .disk import FROM_DISK, step_of_disk
from .facts import contradictions, gather
from .given import asked_of, frame_asked, frame_of, mask_of
from .look import look
from .table import Imported, Masked, rows_of, warnings_of
from .tasks import Order, Part, Seen, let_go, together, write_part, write_parts
from .unit import levels_of

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
    count = arguments.switch(count, "count")
    mask_bad = count if mask_bad is None else arguments.switch(mask_bad, "mask_bad")
    if count and gain_adu is not None:
        raise InputError(
            f"count = True (--count) finds the gain itself, and gain_adu = {arguments.shown(gain_adu)} (--gain) gives"
            " it: give one of them"
        )
    its_scan = dark if isinstance(dark, str | Path) else None
    asked = asked_of(scan_shape, dataset, dtype, offset, gap, detector_shape, tables, its_scan, dwell_us, allow_partial)
    form, reader = opened(arguments.path(path, "path"), format, asked)
    size = (reader.shape[2], reader.shape[3])
    dark_frame = frame_of(None if form.name == "empad-g2" else dark, "dark", size)
    flat = frame_of(gain_map, "gain_map", size)
    given = {
        "energy_ev": energy_ev,
        "semi_angle_mrad": semi_angle_mrad,
        "defocus_angstrom": defocus_angstrom,
        "angular_step_mrad": angular_step_mrad,
        "scan_step_angstrom": scan_step_angstrom,
        "gain_adu": gain_adu,
    }
    frame = frame_asked(crop, bin, pad, max(size))
    facts = gather(given, reader)
    value = {name: fact.value for name, fact in facts.items()}
    if count:
        facts.pop("gain_adu", None)
    elif (dark_frame is not None or flat is not None) and "gain_adu" not in facts:
        raise InputError("a dark frame or a gain map makes no counts: give --gain (ADU per electron) or --count too")
    if (gain := None if count else value.get("gain_adu")) is not None:
        gain = arguments.number(gain, "gain_adu", "ADU per electron", above=0)
    turns = {"flip": flip, "transpose": transpose, "rotate180": rotate180}
    orientation = Orientation(**{name: arguments.switch(turn, name) for name, turn in turns.items()})
    file = Counted(reader, gain, orientation, None, frame, dark_frame, flat)
    microscope = Microscope.of(value["energy_ev"], value["semi_angle_mrad"], value["defocus_angstrom"], aberrations)
    wanted = used_pixels(mask_of(mask), file.side)
    used = file.used if wanted is None else file.used & frame.spread(wanted)
    counting: dict[str, Any] = {}
    if count:
        levels = levels_of(file, used)
        file, counting = replace(file, levels=levels), {"counting": levels.as_dict()}
    if (step := value.get("angular_step_mrad")) is None:
        step, fact = step_of_disk(file, used, microscope)
        facts["angular_step_mrad"], counting = fact, {**counting, FROM_DISK[0]: FROM_DISK[1]}
    step = arguments.number(step, "angular_step_mrad", "the angle per detector pixel in mrad, not in rad", above=0)
    detector = Detector(file.side, step * frame.bin)
    source = Source.of(file)
    writer_of = partial(
        DatasetWriter,
        target,
        (file.shape[0], file.shape[1]),
        microscope,
        detector,
        value["scan_step_angstrom"],
        dtype=file.stored,
        positions_angstrom=None if scan_step_angstrom is not None else reader.about.positions,
        attributes={"source": f"{Path(path).name} ({form.about})", **counting, **(attributes or {})},
        overwrite=overwrite,
    )
    shard = fitting_shard(source) if chunks is None else chunks
    writer_of(chunks=shard, mask=frame.whole(used))  # its arguments are checked before a frame is read
    looked = look(file, used, arguments.switch(mask_saturated, "mask_saturated"), mask_bad)
    if mask_saturated:
        used = used & ~looked.saturated
    used = used & ~looked.hot
    location = str(Path(arguments.path(path, "path")).absolute())
    order = Order(
        location, form.name, asked, gain, orientation, used, BAND_BYTES, file.levels, frame, dark_frame, flat, mask_bad
    )
    report: Steps = progress or (lambda label, done, of: None)
    with connect(client, place=Place(workers=workers)) as dask_client:
        place = describe(dask_client)
        order = replace(order, most=BAND_BYTES * place["workers"] // max(1, place["threads"]))
        shard = fitting_shard(source, order.most) if chunks is None else chunks
        with writer_of(chunks=shard, mask=frame.whole(used)) as writer:
            seen = _written(dask_client, order, file, writer, place["threads"], report)
            writer.add(seen.shards)
            masked = Masked(looked.hot)
            if seen.pattern is not None:
                hot, dead = bad_pixels(seen.pattern.astype(np.float64), used)
                masked = Masked(looked.hot | hot, dead)
                writer.leave_out(~frame.whole(~(hot | dead)))
    warnings = (*contradictions(facts), *warnings_of(seen, reader.about.missing, math.prod(file.shape[:2])))
    for text in warnings:
        warn(f"{target}: {text}")
    rows = rows_of(order, file, facts, looked, target, masked if mask_bad else None)
    return Imported(target, tuple(rows), reader.about.notes, warnings)


def _written(client: Client, order: Order, file: Counted, writer: DatasetWriter, threads: int, report: Steps) -> Seen:
    """All shards, by the workers; of a file that is cheap to read in its order only, by this process."""
    parts = _parts(file, writer)
    folder = str(writer.folder)
    if file.reader.about.in_order:
        found = []
        for done, part in enumerate(parts):
            report("shards", done, len(parts))
            found.append(write_part(file, order, folder, part))
        report("shards", len(parts), len(parts))
        return together(found)
    tasks = min(TASKS, SUMS_BYTES // (4 * file.pixels**2)) if order.sums else TASKS
    each = max(1, len(parts) // max(tasks, 8 * threads))
    held = shared(client, order)  # frames and a mask are too much for every task
    calls = [(write_parts, (held, folder, parts[i : i + each])) for i in range(0, len(parts), each)]
    try:
        return together(run_all(client, calls, lambda done, of: report("shards", done, of)))
    finally:
        let_go()


def _parts(file: Counted, writer: DatasetWriter) -> list[Part]:
    at: dict[tuple[int, int], Block] = {(block.y0, block.x0): block for block in writer.blocks}
    found = []
    for borders in regions(Source.of(file), writer.shard):
        corners = [(y, x) for y in borders[0][:-1] for x in borders[1][:-1]]
        found.append((borders, tuple(at[corner] for corner in corners)))
    return found
