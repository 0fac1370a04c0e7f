"""What rosettasciio reads or describes: hspy and zspy, and what is said of axes by it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
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
    signal = signals[which(path, asked, signals)]
    data, microscope = signal["data"], within(signal["metadata"], "Acquisition_instrument", "TEM") or {}
    names = {"beam_energy": ("energy_ev", 1e3), "convergence_angle": ("semi_angle_mrad", 1.0)}  # keV, mrad
    facts = {name: float(microscope[key]) * scale for key, (name, scale) in names.items() if key in microscope}
    about = About({**facts, **calibration(signal["axes"], asked.scan)})
    if data.ndim == 3:
        scan, _ = a_scan(path, len(data), asked.scan, None, False)
        return Sliced(Lazy(data), scan, (1, scan[1]), about)
    return Sliced(Lazy(data), None, (int(data.chunks[0][0]), int(data.chunks[1][0])), about)


def which(path: Path, asked: Asked, signals: list[dict[str, Any]]) -> int:
    """Which signal is meant: by its title or number."""
    titles = [str(within(signal["metadata"], "General", "title") or k) for k, signal in enumerate(signals)]
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
    elif reciprocal(unit) and step > 0:
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


def reciprocal(unit: str) -> bool:
    """Is it one of a detector's axis: a spatial frequency or an angle?"""
    return bool(_inverse(unit)) or unit.lower() in ANGLES


def within(tags: Mapping[str, Any], *names: str) -> Any:
    """What stands in nested groups, or None."""
    for name in names:
        if not isinstance(tags, Mapping) or name not in tags:
            return None
        tags = tags[name]
    return tags
