"""EMD files: datacubes of py4DSTEM with their calibration, of Prismatic, and others of four dimensions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .hdf5_files import dataset, h5py_for, open_hdf5, plain, said, stacked, sure
from .reader import About, Asked, Reader, Sliced, chosen
from .rosetta import calibration

ARRAY = (1, "array")
"""Types of groups that hold one, by the version of the format."""
XFIRST = "the first axis, whose name is x in py4DSTEM and Prismatic, is taken as rows, as in the file"


def emd_sure(path: Path, begin: bytes) -> float:
    """How sure it is that a file is one with a datacube."""
    return sure(path, begin, lambda file: bool(_cubes(path, file)))


def read_emd(path: Path, asked: Asked) -> Reader:
    """A datacube, by the name of its group where there are several."""
    file = open_hdf5(path)
    cubes = _cubes(path, file)
    short = {group.rpartition("/")[2]: group for group in cubes}
    inside = short.get(asked.inside, asked.inside.removesuffix("/datacube").removesuffix("/data"))
    shapes = {group: file[group][name].shape for group, name in cubes.items()}
    group = file[chosen(path, inside, shapes, (4,) if asked.scan is None else (3, 4))]
    data = dataset(path, group, cubes[group.name.strip("/")])
    axes = axes_of(group, data.ndim)
    root = file[group.name.strip("/").split("/")[0]]
    about = _py4dstem(root, axes, asked) if "metadatabundle/calibration" in root else _dimensions(root, axes, asked)
    others = [name for name in cubes if name != group.name.strip("/")]
    notes = (*about.notes, XFIRST, *([f"not read: {', '.join(others)}"] if others else []))
    about = replace(about, notes=notes)
    if data.ndim == 3:
        return stacked(path, [data], asked, about)
    return Sliced(data, None, (data.chunks or (1, 1))[:2], about)


def _cubes(path: Path, file: Any) -> dict[str, str]:
    """Groups with counts, and the names of the datasets in them."""
    h5py, found = h5py_for(path), {}

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group) and plain(item.attrs.get("emd_group_type", 0)) in ARRAY:
            for inner in ("data", "datacube"):
                if isinstance(item.get(inner), h5py.Dataset) and item[inner].ndim in (3, 4):
                    found[name] = inner

    file.visititems(look)
    return found if any(file[group][name].ndim == 4 for group, name in found.items()) else {}


def axes_of(group: Any, number: int) -> list[dict[str, Any]]:
    """Unit and step of every axis, from the datasets dim1, dim2, ..., or dim0, dim1, ..."""
    first = 0 if "dim0" in group else 1
    axes = []
    for k in range(first, first + number):
        dim = group.get(f"dim{k}")
        values = np.ravel(dim[()]) if dim is not None else np.zeros(0)
        step = float(values[1] - values[0]) if len(values) > 1 and values.dtype.kind in "iuf" else 0.0
        unit = str(plain(dim.attrs.get("units", ""))) if dim is not None else ""
        axes.append({"units": unit.strip("[]").replace("_", ""), "scale": step})
    return axes


def _py4dstem(root: Any, axes: list[dict[str, Any]], asked: Asked) -> About:
    """What the calibration of py4DSTEM says, which comes before the axes."""
    held = root["metadatabundle/calibration"]
    for place, which in ((axes[:-2], "R"), (axes[-2:], "Q")):
        size, unit = said(held, f"{which}_pixel_size"), said(held, f"{which}_pixel_units")
        if size is not None and unit is not None:
            for axis, step in zip(place, np.broadcast_to(np.ravel(size)[:2], 2).tolist(), strict=False):
                axis.update(units=unit, scale=step)
    notes = []
    if said(held, "QR_flip"):
        notes.append("QR_flip: py4DSTEM exchanges rows and columns of these patterns: --transpose does that")
    if rotation := said(held, "QR_rotation"):
        notes.append(
            f"not used: a rotation between scan and patterns of {np.degrees(rotation):.4g} degrees (QR_rotation)"
        )
    if radius := said(held, "probe_semiangle"):
        notes.append(f"the bright disk has a radius of {radius:.4g} pixels (probe_semiangle)")
    return About(calibration(axes, asked.scan), tuple(notes))


def _dimensions(root: Any, axes: list[dict[str, Any]], asked: Asked) -> About:
    """What the axes say; Prismatic calls angstroms nanometres, its step of the probe tells that."""
    made = root.get("metadata/metadata_0/original/simulation_parameters")
    attrs = {} if made is None else {name: plain(value) for name, value in made.attrs.items()}
    facts: dict[str, Any] = {}
    notes = []
    if {"rx", "ry", "E"} <= set(attrs) and len(axes) == 4:
        facts["energy_ev"] = float(attrs["E"]) * 1e3
        if attrs.get("sa"):
            facts["semi_angle_mrad"] = float(attrs["sa"])
        if axes[0]["scale"] and abs(axes[0]["scale"] / float(attrs["rx"]) - 1) < 1e-3:
            for axis, unit in zip(axes, ("A", "A", "A^-1", "A^-1"), strict=True):
                axis["units"] = unit
            notes.append("the steps are angstroms, though the file says nm: its probe step rx is one of them")
        if attrs.get("df"):
            notes.append(f"not used: df = {attrs['df']:g} angstrom, whose sign is Prismatic's: --defocus")
        notes.append("Prismatic's patterns are parts of one electron: --gain 1e-6 makes counts of a million")
    return About({**facts, **calibration(axes, asked.scan)}, tuple(notes))
