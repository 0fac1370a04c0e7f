"""A dataset in an HDF5 file; its attributes that are called like a calibration are its metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .hdf5_files import dataset, h5py_for, open_hdf5, plain, stacked
from .reader import CALIBRATION, FURTHER, About, Asked, Reader, Sliced, chosen


def read_hdf5(path: Path, asked: Asked) -> Reader:
    """The dataset that was asked for, or the only one of counts: of four dimensions, or else a stack of frames."""
    h5py, file = h5py_for(path), open_hdf5(path)
    found: dict[str, Any] = {}
    file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    outside = _outside(file, h5py)
    for name in (*outside, asked.inside):  # visits do not follow links
        if name and name not in found and isinstance(linked := file.get(name), h5py.Dataset):
            found[name] = linked
    if asked.inside in outside or not any(len(item.shape or ()) in (3, 4) for item in found.values()):
        for name in outside:  # what is wrong with it
            if asked.inside in ("", name):
                dataset(path, file, name)
    shapes = {name: item.shape or () for name, item in found.items()}
    stacks = asked.scan is not None or not any(len(shape) == 4 for shape in shapes.values())
    name = chosen(path, asked.inside or _signal(file), shapes, (3, 4) if stacks else (4,))
    data = dataset(path, file, name)
    metadata = {fact: plain(data.attrs[fact]) for fact in (*CALIBRATION, *FURTHER) if fact in data.attrs}
    others = [other for other in found if other != name]
    about = About(metadata, (f"not read: {', '.join(others)}",) if others else ())
    if data.ndim == 3:
        return stacked(path, [data], asked, about)
    return Sliced(data, None, (data.chunks or (1, 1))[:2], about)


def _outside(file: Any, h5py: Any) -> list[str]:
    """Links to other files."""
    names: list[str] = []
    file.visititems_links(lambda name, link: names.append(name) if isinstance(link, h5py.ExternalLink) else None)
    return names


def _signal(file: Any) -> str:
    """The dataset that a NeXus file says is to be plotted, where it is one of counts."""
    path: list[str] = []
    group = file
    for _ in range(8):  # default leads to an entry, which leads to data
        if "signal" in group.attrs:
            name = "/".join([*path, str(plain(group.attrs["signal"]))])
            return name if len(getattr(file.get(name), "shape", ())) in (3, 4) else ""
        if "default" not in group.attrs or str(plain(group.attrs["default"])) not in group:
            break
        path.append(str(plain(group.attrs["default"])))
        group = group[path[-1]]
    return ""
