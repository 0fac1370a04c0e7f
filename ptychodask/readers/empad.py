"""EMPAD: frames of 130 rows of 128 float32, of which the last two are no image; an XML file beside them, or none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from .._errors import InputError
from .frames import Frames, Part, scanned, whole_frames
from .reader import About, Asked, Reader

SIDE, ROWS = 128, 130
STORED = np.dtype(("<f4", (ROWS, SIDE)))
METRE = 1e10
"""In angstrom."""
NOTE = (
    "rows are as in the file, as rosettasciio, LiberTEM and py4DSTEM have them; phaser and the demos of PtyRAD flip"
    " them: --flip does that"
)


def empad_sure(path: Path, begin: bytes) -> float:
    """How sure it is that a file is one, or its XML file."""
    if path.suffix.lower() == ".xml":
        return 0.9 if b"<root" in begin else 0.0
    if path.suffix.lower() != ".raw":
        return 0.0
    return named_fits(path, STORED.itemsize) + (0.6 if path.stat().st_size % STORED.itemsize == 0 else 0.1)


def read_empad(path: Path, asked: Asked) -> Reader:
    """The scan of a ``.raw`` file or of the file that an ``.xml`` names."""
    raw, described = _pair(path)
    facts, scans = _said(described) if described else ({}, [])
    frames, rest = whole_frames(raw, 0, STORED.itemsize, STORED.itemsize)
    named = named_scan(raw)
    # the XML holds the search's size beside that of the scan: the one that the file's size fits is meant
    candidates = [*([named] if named else []), *scans]
    fits = [scan for scan in candidates if scan[0] * scan[1] == frames and asked.growing is None]
    said = next(iter([*fits, *candidates]), None)
    if (field := facts.pop("field", None)) and said:
        facts["scan_step_angstrom"] = field / max(asked.scan or said)
    about = About(facts, (NOTE,), "ADU")
    found = Frames(
        (Part(raw, frames),), STORED.itemsize, 0, STORED, (SIDE, SIDE), np.dtype(np.float32), image, about=about
    )
    return scanned(found, asked, said, rest)


def image(values: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Frames [B, 130, 128] without their last two rows."""
    return values[:, :SIDE]


def named_scan(path: Path) -> tuple[int, int] | None:
    """The scan (y, x) in the name of a file, as in ``scan_x128_y64.raw``."""
    found = re.search(r"_x(\d+)_y(\d+)", path.stem)
    return (int(found[2]), int(found[1])) if found else None


def named_fits(path: Path, frame_bytes: int) -> float:
    """How much surer a format is of a file whose size is that of the scan in its name."""
    named = named_scan(path)
    return 0.3 if named and named[0] * named[1] * frame_bytes == path.stat().st_size else 0.0


def _pair(path: Path) -> tuple[Path, ElementTree.Element | None]:
    """The raw file, and the root of the XML file that names it."""
    if path.suffix.lower() == ".xml":
        root = _root(path)
        name = root.find("raw_file")
        raw = path.parent / Path(name.attrib.get("filename", "")).name if name is not None else path
        if raw == path or not raw.is_file():
            raise InputError(f"{path} names the raw file {raw.name!r}, which is not beside it: put it there")
        return raw, root
    for beside in sorted(path.parent.glob("*.xml")):
        try:
            root = _root(beside)
        except InputError:
            continue
        name = root.find("raw_file")
        if name is not None and Path(name.attrib.get("filename", "")).name == path.name:
            return path, root
    return path, None


def _root(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise InputError(f"{path} is no XML ({error}): copy it again, or give the raw file") from None


def _said(root: ElementTree.Element) -> tuple[dict[str, Any], list[tuple[int, int]]]:
    """Energy and field of view of the longer side in angstrom, and the sizes that the scan may have."""
    facts: dict[str, Any] = {}
    if energy := _number(root, "iom_measurements/high_voltage", "iom_measurements/source.get_voltage"):
        facts["energy_ev"] = energy
    modes = {part.attrib.get("mode"): part for part in root.findall("scan_parameters")}
    scans = []
    if _number(root, "pix_y") and _number(root, "pix_x"):
        scans.append((int(_number(root, "pix_y")), int(_number(root, "pix_x"))))
    for mode in ("acquire", "search"):
        part = modes.get(mode)
        if part is not None and _number(part, "scan_resolution_y") and _number(part, "scan_resolution_x"):
            scans.append((int(_number(part, "scan_resolution_y")), int(_number(part, "scan_resolution_x"))))
    if (field := _field(root)) is not None:
        part = modes.get("acquire")
        size = _number(part, "scan_size") if part is not None else 0.0
        facts["field"] = field * (size or 1.0)
    return facts, scans


def _field(root: ElementTree.Element) -> float | None:
    """The full field of view in angstrom, of the longer side of the scan; what is stored is larger by a factor."""
    view = root.find("iom_measurements/full_scan_field_of_view")
    if view is not None:
        return _number(view, "x") / (_number(view, "scale_factor") or 1.0) * METRE or None
    text = root.findtext("iom_measurements/optics.get_full_scan_field_of_view") or ""
    first = re.search(r"\d[-+.\deE]*", text)
    return float(first[0]) * METRE if first else None


def _number(element: ElementTree.Element, *names: str) -> float:
    """The first of the named numbers that is there; else 0."""
    for name in names:
        try:
            return float(element.findtext(name) or "")
        except ValueError:
            continue
    return 0.0
