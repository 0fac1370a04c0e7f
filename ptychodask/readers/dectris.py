"""ARINA and other detectors of DECTRIS: a master file whose links lead to files of frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .._tables import counted
from .hdf5_files import dataset, open_hdf5, plain, said, stacked, sure
from .reader import About, Asked, Reader

DATA, DETECTOR = "entry/data", "entry/instrument/detector"
SPECIFIC = f"{DETECTOR}/detectorSpecific"
ELECTRONS_EV = 10e3
"""Energies below this are those of photons, which a detector is set to where nobody says another."""


def dectris_sure(path: Path, begin: bytes) -> float:
    """How sure it is that a file is a master file."""
    return sure(path, begin, lambda file: DETECTOR in file and DATA in file and bool(_names(file[DATA])))


def read_dectris(path: Path, asked: Asked) -> Reader:
    """The frames of all files to which a master file leads, or of the one that was asked for.

    The scan is in a file that STEM software writes beside the master file (``x.h5`` of ``x_master.h5``), if at all.
    """
    file = open_hdf5(path)
    group, wanted = file[DATA], asked.inside.removeprefix(f"{DATA}/")
    arrays = [dataset(path, group, name) for name in _names(group) if wanted in ("", name)]
    if not arrays:
        raise KeyError(f"no {asked.inside} in it")
    stem = _beside(path)
    facts: dict[str, Any] = {}
    energies = (stem.get("High Tension"), said(file, "entry/instrument/beam/incident_energy"),
                said(file, f"{SPECIFIC}/incident_energy", f"{SPECIFIC}/photon_energy"))  # fmt: skip
    if energy := next((float(value) for value in energies if value and float(value) >= ELECTRONS_EV), None):
        facts["energy_ev"] = energy
    notes = []
    pixels = said(file, f"{DETECTOR}/pixel_mask", f"{SPECIFIC}/pixel_mask")
    used = None if pixels is None else np.asarray(pixels) == 0
    if used is not None and used.shape != arrays[0].shape[1:]:
        notes.append(f"not used: a mask of {used.shape}, which is not the shape of the frames")
        used = None
    if used is not None and not used.all():
        notes.append(f"masked: {counted(int((~used).sum()), 'pixel')}, as the detector's pixel_mask says")
    if stem.get("IsPixelSizeCalibrated"):
        notes.append(f"not used: a pixel size of the scan, {stem.get('Pixel Size')}, whose unit is not said")
    scan = (int(stem["NumPixelsY"]), int(stem["NumPixelsX"])) if {"NumPixelsX", "NumPixelsY"} <= set(stem) else None
    limit, bits = said(file, f"{DETECTOR}/saturation_value"), said(file, f"{DETECTOR}/bit_depth_image")
    most = float(limit) if limit else float(2 ** int(bits) - 1) if bits and arrays[0].dtype.kind == "u" else None
    about = About(facts, tuple(notes), "electron", most, used=used)
    return stacked(path, arrays, asked, about, scan)


def _names(group: Any) -> list[str]:
    """Of the links or datasets with frames, in their order."""
    return sorted(name for name in group if name.startswith("data_")) or [name for name in group if name == "data"]


def _beside(path: Path) -> dict[str, Any]:
    """What STEM software says of the scan."""
    other = path.with_name(path.name.replace("_master", ""))
    if other == path or not other.is_file():
        return {}
    with open_hdf5(other) as file:
        group = file.get("STEM Metadata")
        return {} if group is None else {name: plain(value) for name, value in group.attrs.items()}
