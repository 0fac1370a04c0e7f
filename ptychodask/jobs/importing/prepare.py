"""All that is decided before a frame is written: the file is opened, asked and looked at, and a writer is made for it.

Importing a whole file and following one that grows begin here, so that both make the same dataset of the same file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ... import _arguments as arguments
from ..._errors import InputError
from ...io.bands import BAND_BYTES, Source, fitting_shard
from ...io.writer import DatasetWriter, used_pixels
from ...model.optics import Microscope
from ...model.scan import Detector
from ...readers.counted import Counted, Orientation
from ...readers.reader import Asked
from ...readers.registry import opened
from .disk import FROM_DISK, step_of_disk
from .facts import Fact, gather
from .given import asked_of, frame_asked, frame_of, mask_of
from .look import Looked, look
from .tasks import Order
from .unit import levels_of


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person says of a file and of the dataset that is made of it: see :func:`ptychodask.import_data`."""

    format: str | None = None
    scan_shape: tuple[int, int] | None = None
    energy_ev: float | None = None
    semi_angle_mrad: float | None = None
    defocus_angstrom: float | None = None
    angular_step_mrad: float | None = None
    scan_step_angstrom: float | tuple[float, float] | None = None
    aberrations: Mapping[str, float] | None = None
    gain_adu: float | None = None
    count: bool = False
    gain_map: Any = None
    dataset: str | None = None
    dtype: str | None = None
    offset: int = 0
    gap: int = 0
    detector_shape: tuple[int, int] | None = None
    tables: str | Path | None = None
    dark: Any = None
    dwell_us: float | None = None
    crop: int | None = None
    bin: int = 1
    pad: int | None = None
    flip: bool = False
    transpose: bool = False
    rotate180: bool = False
    mask: Any = None
    mask_saturated: bool = False
    mask_bad: bool | None = None
    allow_partial: bool = False
    chunks: tuple[int, int] | None = None
    attributes: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """From keyword arguments."""
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in given if name not in known]:
            raise InputError(f"{unknown[0]} is no option of an import: give {', '.join(known)}")
        return cls(**given)

    def asked(self) -> Asked:
        """What is asked of the file, checked."""
        its_scan = self.dark if isinstance(self.dark, str | Path) else None
        return asked_of(
            self.scan_shape, self.dataset, self.dtype, self.offset, self.gap, self.detector_shape, self.tables,
            its_scan, self.dwell_us, self.allow_partial,
        )  # fmt: skip

    def checked(self) -> Options:
        """With what can be known before the file is opened."""
        count = arguments.switch(self.count, "count")
        if count and self.gain_adu is not None:
            raise InputError(
                f"count = True (--count) finds the gain itself, and gain_adu = {arguments.shown(self.gain_adu)}"
                " (--gain) gives it: give one of them"
            )
        bad = count if self.mask_bad is None else arguments.switch(self.mask_bad, "mask_bad")
        return replace(self, count=count, mask_bad=bad)


@dataclass(frozen=True)
class Prepared:
    """A file that was looked at, and the dataset that it becomes.

    Parameters
    ----------
    order : Order
        For the workers.
    file : Counted
    facts : mapping of Fact
        What is known, and where it is from.
    looked : Looked
    writer_of : callable
        Makes the writer, given ``chunks``.
    chunks : (int, int), optional
        Scan positions per shard that a person wants.
    """

    order: Order
    file: Counted
    facts: Mapping[str, Fact]
    looked: Looked
    writer_of: partial[DatasetWriter]
    chunks: tuple[int, int] | None

    def at(self, place: Mapping[str, Any]) -> Prepared:
        """The same for a cluster: as many bytes as its workers may hold together."""
        most = BAND_BYTES * place["workers"] // max(1, place["threads"])
        return replace(self, order=replace(self.order, most=most))

    def writer(self) -> DatasetWriter:
        """A writer of the dataset, in shards that fit."""
        shard = fitting_shard(Source.of(self.file), self.order.most) if self.chunks is None else self.chunks
        return self.writer_of(chunks=shard)


def prepare(path: str | Path, target: Path, given: Options, asked: Asked, overwrite: bool = False) -> Prepared:
    """Open a file and look at some of its frames.

    Parameters
    ----------
    path : path
        Of the file.
    target : Path
        The dataset.
    given : Options
        That were :meth:`~Options.checked`.
    asked : Asked
        Those of the options, or as a file that grows is opened.
    overwrite : bool
        Replace an existing dataset.

    Raises
    ------
    InputError
        What is wrong with the file, or with what is said of it.
    """
    form, reader = opened(arguments.path(path, "path"), given.format, asked)
    size = (reader.shape[2], reader.shape[3])
    dark = frame_of(None if form.name == "empad-g2" else given.dark, "dark", size)
    flat = frame_of(given.gain_map, "gain_map", size)
    frame = frame_asked(given.crop, given.bin, given.pad, max(size))
    names = ("energy_ev", "semi_angle_mrad", "defocus_angstrom", "angular_step_mrad", "scan_step_angstrom", "gain_adu")
    facts = gather({"scan_shape": asked.scan, **{name: getattr(given, name) for name in names}}, reader)
    value = {name: fact.value for name, fact in facts.items()}
    if given.count:
        facts.pop("gain_adu", None)
    elif (dark is not None or flat is not None) and "gain_adu" not in facts:
        raise InputError("a dark frame or a gain map makes no counts: give --gain (ADU per electron) or --count too")
    if (gain := None if given.count else value.get("gain_adu")) is not None:
        gain = arguments.number(gain, "gain_adu", "ADU per electron", above=0)
    turns = {name: arguments.switch(getattr(given, name), name) for name in ("flip", "transpose", "rotate180")}
    file = Counted(reader, gain, Orientation(**turns), None, frame, dark, flat)
    microscope = Microscope.of(
        value["energy_ev"], value["semi_angle_mrad"], value["defocus_angstrom"], given.aberrations
    )
    wanted = used_pixels(mask_of(given.mask), file.side)
    used = file.used if wanted is None else file.used & frame.spread(wanted)
    file, counting = _counting(file, used, given.count)
    if (step := value.get("angular_step_mrad")) is None:
        step, fact = step_of_disk(file, used, microscope)
        facts["angular_step_mrad"], counting = fact, {**counting, FROM_DISK[0]: FROM_DISK[1]}
    step = arguments.number(step, "angular_step_mrad", "the angle per detector pixel in mrad, not in rad", above=0)
    writer_of = partial(
        DatasetWriter,
        target,
        (file.shape[0], file.shape[1]),
        microscope,
        Detector(file.side, step * frame.bin),
        value["scan_step_angstrom"],
        dtype=file.stored,
        positions_angstrom=None if given.scan_step_angstrom is not None else reader.about.positions,
        attributes={"source": f"{Path(path).name} ({form.about})", **counting, **(given.attributes or {})},
        overwrite=overwrite,
    )
    shard = fitting_shard(Source.of(file)) if given.chunks is None else given.chunks
    writer_of(chunks=shard, mask=frame.whole(used))  # its arguments are checked before a frame is read
    mask_saturated = arguments.switch(given.mask_saturated, "mask_saturated")
    looked = look(file, used, mask_saturated, bool(given.mask_bad))
    if mask_saturated:
        used = used & ~looked.saturated
    used = used & ~looked.hot
    order = Order(
        str(Path(arguments.path(path, "path")).absolute()), form.name, asked, gain, file.orientation, used, BAND_BYTES,
        file.levels, frame, dark, flat, bool(given.mask_bad),
    )  # fmt: skip
    return Prepared(order, file, facts, looked, partial(writer_of, mask=frame.whole(used)), given.chunks)


def _counting(file: Counted, used: np.ndarray, count: bool) -> tuple[Counted, dict[str, Any]]:
    """The file with the levels of electrons, where they are to be found, and what the dataset says of them."""
    if not count:
        return file, {}
    levels = levels_of(file, used)
    return replace(file, levels=levels), {"counting": levels.as_dict()}
