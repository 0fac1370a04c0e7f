"""The geometry of a scan that grows: found in its first rows for the rounds, and in all of it for the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..._errors import InputError
from ..._tables import counted
from ...calibration.run import aberrations_of, affine_of, calibrate
from ...events import Refined as Told
from ...events import Warned
from ...io.dataset import dataset_info
from ...io.selected import select
from ...model.refining import Refined
from ...model.selection import Selection
from ..observers import Report
from .grown import Grown

SHARE, LEAST = 0.25, 16
"""Of the rows, and at least so many, that have to be there for a calibration; where it fails, twice as many."""


class Calibrating:
    """Calibrates the rows that are there, once enough of them are."""

    def __init__(self, grown: Grown, report: Report) -> None:
        self._grown, self._report = grown, report
        self._at = max(LEAST, SHARE * grown.scan[0])

    def due(self) -> bool:
        """Are enough rows there, and is nothing known of them yet?"""
        return self._grown.geometry is None and self._grown.rows >= self._at

    def find(self) -> None:
        """Find the geometry of what is there, and keep it for the rounds."""
        grown, (height, width) = self._grown, self._grown.scan
        rows, seen = grown.rows, counted(grown.rows, "row")
        info = select(grown.info, Selection(tuple(range(rows)), tuple(range(width))))
        try:
            made = calibrate(info, grown.client)
        except InputError as error:
            self._at = 2 * rows
            later = "tried again later" if 2 * rows <= height else "the rounds do without"
            self._report(Warned(f"the first {seen} cannot be calibrated ({error}): {later}"))
            return
        matrix = affine_of(info, made)[:, :2].tolist()
        values = {
            name: {"value": float(its.value), "sigma": float(its.sigma or 0.0), "how": f"{its.how}, {seen}"}
            for name, its in made.values.items()
        }
        grown.calibrated(Refined((tuple(matrix[0]), tuple(matrix[1])), aberrations_of(made), values))
        self._report(Told(iteration=0, values=values, settled=True))


def calibrate_whole(path: Path, client: Any) -> None:
    """Calibrate a dataset and write it, as ``ptychodask calibrate --write`` does, unless that was done."""
    info = dataset_info(path)
    if "calibration" not in info.attributes:
        calibrate(info, client, write=True)
