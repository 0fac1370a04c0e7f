"""DigitalMicrograph ``.dm4`` and ``.dm3``: tags read by rosettasciio, which say where the values lie."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .._errors import InputError
from .frames import plain_frames, scanned
from .reader import About, Asked, Reader, Span
from .rosetta import calibration, file_reader, reciprocal, which, within


def read_dm(path: Path, asked: Asked) -> Reader:
    """The images of a DigitalMicrograph file, read where they lie.

    Old files hold the scan within every detector pixel; the units of the axes tell it.
    """
    signals = file_reader("digitalmicrograph")(str(path), lazy=True, optimize=False)
    signal = signals[which(path, asked, signals)]
    tags = signal["original_metadata"]["ImageList"]["TagGroup0"]
    shape, offset = signal["data"].shape, int(tags["ImageData"]["Data"]["offset"])
    dtype, facts = signal["data"].dtype, {}
    if volt := within(tags, "ImageTags", "Microscope Info", "Voltage"):
        facts["energy_ev"] = float(volt)
    brightness = within(tags, "ImageData", "Calibrations", "Brightness") or {}
    counted = brightness.get("Units") == "e-" and brightness.get("Scale", 1) == 1
    axes = [str(axis["units"]) for axis in signal["axes"]]
    swapped = len(shape) == 4 and all(reciprocal(unit) for unit in axes[:2]) and not any(map(reciprocal, axes[2:]))
    ordered = [*signal["axes"][2:], *signal["axes"][:2]] if swapped else signal["axes"]
    about = About({**facts, **calibration(ordered, asked.scan)}, (), "electron" if counted else "ADU")
    if swapped:
        room = path.stat().st_size - offset
        wanted = int(np.prod(shape)) * dtype.itemsize
        if room < wanted:
            raise InputError(
                f"{path} ends {wanted - room} bytes too early, and every pattern lacks something: copy it again"
            )
        note = "the file holds the scan within every detector pixel; other packages exchange scan and detector"
        return Turned(path, offset, tuple(shape), dtype, replace(about, notes=(note,)))
    frames, rest = plain_frames(path, offset, 0, dtype, shape[-2:], about)
    wanted = int(np.prod(shape[:-2]))
    held = min(frames.files[0].frames, wanted)
    said = (int(shape[0]), int(shape[1])) if len(shape) == 4 else None
    if held < wanted and said is None and asked.scan is None:
        said = (wanted, 1)  # a stack that ends too early
    files = (replace(frames.files[0], frames=held),)
    return scanned(replace(frames, files=files), asked, said, rest if held < wanted else 0)


@dataclass(frozen=True)
class Turned:
    """Counts that are stored (ky, kx, scan_y, scan_x): rows of the scan are read across the whole file."""

    path: Path
    offset: int
    stored: tuple[int, ...]
    values: np.dtype
    about: About = field(default_factory=About)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.stored[2:], *self.stored[:2])

    @property
    def dtype(self) -> np.dtype:
        return self.values.newbyteorder("=")

    @property
    def chunk(self) -> Span:
        return (1, self.stored[3])

    def read(self, rows: Span, columns: Span) -> np.ndarray:
        array = np.memmap(self.path, self.values, "r", self.offset, self.stored)
        part = array[:, :, slice(*rows), slice(*columns)]
        return np.ascontiguousarray(part.transpose(2, 3, 0, 1), self.dtype)
