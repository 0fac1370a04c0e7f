"""NXcxi_ptycho (CXI): frames with translations, energy and the detector's geometry, all in SI units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .hdf5 import read_hdf5
from .hdf5_files import dataset, open_hdf5, plain, said, stacked, sure
from .positions import with_positions
from .reader import About, Asked, Reader

FRAMES = ("entry_1/data_1/data", "entry_1/instrument_1/detector_1/data")
DETECTOR = "entry_1/instrument_1/detector_1"
TRANSLATIONS = ("entry_1/data_1/translation", "entry_1/sample_1/geometry_1/translation")
ENERGIES = ("entry_1/instrument_1/source_1/energy", "entry_1/instrument_1/beam_1/energy")
JOULE = 1 / 1.602176634e-19
"""In eV."""
METRE = 1e10
"""In angstrom."""
NOTE = (
    "translations (x, y) are taken as the probe's positions, as they are; where they are those of the sample, the probe"
    " moves the other way: --rotate180"
)


def cxi_sure(path: Path, begin: bytes) -> float:
    """How sure it is that a file is one."""
    return sure(path, begin, lambda file: any(name in file for name in FRAMES))


def read_cxi(path: Path, asked: Asked) -> Reader:
    """The frames of the first entry."""
    if asked.inside:
        return read_hdf5(path, asked)
    file = open_hdf5(path)
    data = dataset(path, file, next(name for name in FRAMES if name in file))
    facts: dict[str, Any] = {}
    if energy := _energy(file):
        facts["energy_ev"] = energy
    distance = said(file, f"{DETECTOR}/distance", "entry_1/data_1/distance")
    pixels = [said(file, f"{DETECTOR}/{axis}_pixel_size") for axis in "yx"]
    if distance and all(pixels) and abs(pixels[0] / pixels[1] - 1) < 1e-3:
        facts["angular_step_mrad"] = float(pixels[0]) / float(distance) * 1e3
    bad = said(file, f"{DETECTOR}/mask")
    used = np.asarray(bad) == 0 if bad is not None and np.shape(bad) == data.shape[1:] else None
    moved = said(file, *TRANSLATIONS)
    about = About(facts, (NOTE,) if moved is not None else (), used=used)
    if moved is None:
        return stacked(path, [data], asked, about)
    return with_positions(path, data, np.reshape(moved, (-1, 3))[:, 1::-1] * METRE, asked, about)


def _energy(file: Any) -> float | None:
    """In eV: of joule, or of the unit that is said."""
    name = next((name for name in ENERGIES if name in file), None)
    if name is None or not isinstance(value := said(file, name), int | float):
        return None
    unit = str(plain(file[name].attrs.get("units", "J"))).lower()
    return value * {"j": JOULE, "joule": JOULE, "ev": 1.0, "kev": 1e3}[unit] if unit in (
        "j", "joule", "ev", "kev") else None  # fmt: skip
