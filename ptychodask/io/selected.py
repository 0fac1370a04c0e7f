"""A dataset of which a part is selected: its description, positions and mask."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from ..model.selection import Selection
from .atomic import replacing
from .centre import NAME, centre_of, moved_mask
from .dataset import DatasetInfo, dataset_info, read_mask, read_positions


def select(info: DatasetInfo, selection: Selection | None) -> DatasetInfo:
    """The description of what is selected of a dataset: its scan, step and dose are those of the selection.

    ``info`` describes the whole dataset; without a selection it stays as it is.
    """
    if selection is None:
        return info
    chosen = replace(
        info,
        scan_shape=selection.scan_shape,
        scan_step=(info.scan_step[0] * selection.strides[0], info.scan_step[1] * selection.strides[1]),
        inner_rows=selection.cuts(info.inner_rows),  # type: ignore[arg-type]  # of the whole dataset it is a number
        selection=selection,
    )
    if selection.positions:
        chosen = replace(chosen, scan_step=_step_of(positions_of(chosen), chosen))
    y, x = chosen.scan_step
    dose = float(info.attributes["electrons_per_pattern"]) / (y * x)
    return replace(
        chosen, attributes={**info.attributes, "scan_step_angstrom": [y, x], "dose_per_square_angstrom": dose}
    )


def _step_of(positions: np.ndarray, info: DatasetInfo) -> tuple[float, float]:
    """Median distance of neighbours along both axes in angstrom, the nominal one where there are no neighbours."""
    grid = positions.reshape(*info.scan_shape, 2)
    along = [np.linalg.norm(np.diff(grid, axis=axis), axis=-1) for axis in (0, 1)]
    y, x = (float(np.median(d)) if d.size else 0.0 for d in along)
    return y or info.scan_step[0], x or info.scan_step[1]


def positions_of(info: DatasetInfo, *, recorded: bool = False) -> np.ndarray:
    """Positions [J, 2] (y, x) in angstrom, float64, of what is used of a dataset.

    ``recorded`` ones are those of the store before any calibration; positions of a selection's own are as they are.
    """
    selection = info.selection
    if selection is None:
        return read_positions(info.path, recorded=recorded)
    if selection.positions:
        return _load(selection.positions).reshape(-1, 2)
    stored = read_positions(info.path, recorded=recorded).reshape(*dataset_info(info.path, whole=False).scan_shape, 2)
    return stored[np.ix_(selection.rows, selection.columns)].reshape(-1, 2)


def mask_of(info: DatasetInfo) -> np.ndarray:
    """Detector mask [N, N] float32, corner-centred, 1 = use.

    Where a calibration moves patterns, a pixel is used that can be used in all of them.
    """
    if info.selection is None or not info.selection.mask:
        mask = read_mask(info.path)
    else:
        mask = np.fft.ifftshift(_load(info.selection.mask)).astype(np.float32)
    centre = centre_of(info.attributes, info.detector.pixels)
    if centre is None:
        return mask
    by = centre.moves(*(np.arange(n) for n in _stored_shape(info)))
    if not (used := moved_mask(np.fft.fftshift(mask), by)).any():
        raise InputError(f"{info.path}: {NAME} moves the patterns so far that no pixel is left: calibrate again")
    return np.fft.ifftshift(used).astype(np.float32)


def left_off(info: DatasetInfo) -> np.ndarray | None:
    """Distance [J, 2] (y, x) in pixels of the disk of every pattern from zero angle, after moves by whole pixels; None
    where no calibration found one."""
    centre = centre_of(info.attributes, info.detector.pixels)
    if centre is None:
        return None
    chosen = info.selection
    rows, columns = (
        (np.arange(n) for n in info.scan_shape) if chosen is None else map(np.array, (chosen.rows, chosen.columns))
    )
    return centre.left(rows, columns).reshape(-1, 2)


def off_centre(info: DatasetInfo) -> tuple[float, float]:
    """Mean of :func:`left_off` (y, x)."""
    left = left_off(info)
    if left is None:
        return 0.0, 0.0
    y, x = left.mean(axis=0).tolist()
    return y, x


def ramped_off(info: DatasetInfo) -> np.ndarray | None:
    """:func:`left_off`, where it differs from pattern to pattern; else None, and the probe takes it."""
    centre = centre_of(info.attributes, info.detector.pixels)
    return None if centre is None or centre.is_still else left_off(info)


def _stored_shape(info: DatasetInfo) -> tuple[int, int]:
    return info.scan_shape if info.selection is None else dataset_info(info.path, whole=False).scan_shape


def keep(selection: Selection | None, folder: Path) -> Selection | None:
    """The selection with copies of its files in a folder, written atomically."""
    if selection is None:
        return None
    kept = selection.in_folder(folder)
    for name in ("mask", "positions"):
        if source := getattr(selection, name):
            with replacing(getattr(kept, name), None) as temporary, temporary.open("wb") as file:
                np.save(file, _load(source))
    return kept


def described(selection: Selection | None) -> str:
    """A selection for the result's attributes: rows and columns, and digests of its own mask and positions, as JSON.

    An empty text where all of the dataset is used as it is.
    """
    if selection is None:
        return ""
    own = {name: getattr(selection, name) for name in ("mask", "positions") if getattr(selection, name)}
    digests = {name: hashlib.blake2b(_load(path).tobytes(), digest_size=16).hexdigest() for name, path in own.items()}
    return json.dumps({**selection.described(), **digests})


def _load(path: str) -> Any:
    try:
        with Path(path).open("rb") as file:
            return np.lib.format.read_array(file)  # which refuses what would have to be unpickled
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path} of the selection cannot be read ({type(error).__name__}): start the run anew"
        ) from error
