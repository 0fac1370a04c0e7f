"""Formats that rosettasciio describes: DM3 and DM4, hspy, zspy. Of what it reads, whole patterns are taken lazily."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from .frames import plain_frames, scanned
from .reader import About, Asked, Reader, Sliced, Span, chosen
from .scans import a_scan

LENGTHS = {"m": 1e10, "um": 1e4, "µm": 1e4, "μm": 1e4, "nm": 10.0, "pm": 1e-2, "a": 1.0, "å": 1.0, "angstrom": 1.0}
"""In angstrom."""
ANGLES = {"rad": 1e3, "mrad": 1.0}


def file_reader(plugin: str) -> Any:
    """The function that reads a format.

    Raises
    ------
    InputError
        If rosettasciio is not installed.
    """
    try:
        return importlib.import_module(f"rsciio.{plugin}").file_reader
    except ImportError as error:
        raise InputError(
            f"{plugin} files are read by rosettasciio ({error}): pip install 'ptychodask[formats]'"
        ) from None


def read_hspy(path: Path, asked: Asked) -> Reader:
    """A signal of a ``.hspy`` file."""
    return _signal(path, asked, file_reader("hspy")(str(path), lazy=True))


def read_zspy(path: Path, asked: Asked) -> Reader:
    """A signal of a ``.zspy`` folder."""
    return _signal(path, asked, file_reader("zspy")(str(path), lazy=True, mode="r"))


def read_dm(path: Path, asked: Asked) -> Reader:
    """The images of a DigitalMicrograph file, read where they lie.

    Old files hold the scan within every detector pixel; the units of the axes tell it.
    """
    signals = file_reader("digitalmicrograph")(str(path), lazy=True, optimize=False)
    signal = signals[_which(path, asked, signals)]
    tags = signal["original_metadata"]["ImageList"]["TagGroup0"]
    shape, offset = signal["data"].shape, int(tags["ImageData"]["Data"]["offset"])
    dtype, facts = signal["data"].dtype, {}
    if volt := _within(tags, "ImageTags", "Microscope Info", "Voltage"):
        facts["energy_ev"] = float(volt)
    brightness = _within(tags, "ImageData", "Calibrations", "Brightness") or {}
    counted = brightness.get("Units") == "e-" and brightness.get("Scale", 1) == 1
    axes = [str(axis["units"]) for axis in signal["axes"]]
    swapped = len(shape) == 4 and all(_reciprocal(unit) for unit in axes[:2]) and not any(map(_reciprocal, axes[2:]))
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
    said = (int(shape[0]), int(shape[1])) if len(shape) == 4 else (wanted, 1) if held < wanted else None
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


@dataclass(frozen=True)
class Lazy:
    """An array that is computed where it is sliced, in this thread."""

    array: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, box: Any) -> np.ndarray:
        return np.asarray(self.array[box].compute(scheduler="synchronous"))


def _signal(path: Path, asked: Asked, signals: list[dict[str, Any]]) -> Reader:
    signal = signals[_which(path, asked, signals)]
    data, microscope = signal["data"], _within(signal["metadata"], "Acquisition_instrument", "TEM") or {}
    names = {"beam_energy": ("energy_ev", 1e3), "convergence_angle": ("semi_angle_mrad", 1.0)}  # keV, mrad
    facts = {name: float(microscope[key]) * scale for key, (name, scale) in names.items() if key in microscope}
    about = About({**facts, **calibration(signal["axes"], asked.scan)})
    if data.ndim == 3:
        scan, _ = a_scan(path, len(data), asked.scan, None, False)
        return Sliced(Lazy(data), scan, (1, scan[1]), about)
    return Sliced(Lazy(data), None, (int(data.chunks[0][0]), int(data.chunks[1][0])), about)


def _which(path: Path, asked: Asked, signals: list[dict[str, Any]]) -> int:
    """Which signal is meant: by its title or number."""
    titles = [str(_within(signal["metadata"], "General", "title") or k) for k, signal in enumerate(signals)]
    names = [title if titles.count(title) == 1 else str(k) for k, title in enumerate(titles)]
    shapes = {name: signal["data"].shape for name, signal in zip(names, signals, strict=True)}
    return names.index(chosen(path, asked.inside, shapes, (4,) if asked.scan is None else (3, 4)))


def calibration(axes: list[dict[str, Any]], scan: Span | None) -> dict[str, Any]:
    """Steps of scan (where it has two axes) and detector, where their units are known."""
    found: dict[str, Any] = {}
    units = [str(axis.get("units", "")).replace(" ", "").lower() for axis in axes]
    steps = [abs(float(axis.get("scale", 0))) for axis in axes]
    if len(axes) == 4 and scan is None and all(unit in LENGTHS for unit in units[:2]) and min(steps[:2]) > 0:
        found["scan_step_angstrom"] = [step * LENGTHS[unit] for step, unit in zip(steps[:2], units[:2], strict=True)]
    unit, step = units[-1], steps[-1]
    if unit in ANGLES and step > 0:
        found["angular_step_mrad"] = step * ANGLES[unit]
    elif _reciprocal(unit) and step > 0:
        found["reciprocal_step_per_angstrom"] = step / LENGTHS[_inverse(unit)]
    return found


def _inverse(unit: str) -> str:
    """``nm`` of ``1/nm`` and ``nm^-1``; nothing of others."""
    unit = unit.replace(" ", "").lower()
    for before, after in (("1/", ""), ("", "^-1"), ("", "⁻¹"), ("", "$^{-1}$")):
        if unit.startswith(before) and unit.endswith(after):
            inner = unit[len(before) : len(unit) - len(after)]
            if inner in LENGTHS:
                return inner
    return ""


def _reciprocal(unit: str) -> bool:
    return bool(_inverse(unit)) or unit.lower() in ANGLES


def _within(tags: Mapping[str, Any], *names: str) -> Any:
    """What stands in nested groups, or None."""
    for name in names:
        if not isinstance(tags, Mapping) or name not in tags:
            return None
        tags = tags[name]
    return tags
