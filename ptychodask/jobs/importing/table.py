"""The table at the end of an import: what was taken from where, and what is still missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..._tables import Row, counted, table
from ...counts.electrons import Levels
from ...readers.counted import Counted
from .facts import Fact
from .look import Looked
from .tasks import Order, Seen

LABELS = {
    "energy_ev": ("energy", "keV", 1e-3),
    "semi_angle_mrad": ("semi-angle", "mrad", 1.0),
    "angular_step_mrad": ("angle per pixel", "mrad", 1.0),
    "scan_step_angstrom": ("scan step", "Å", 1.0),
    "defocus_angstrom": ("defocus", "Å", 1.0),
}


MISCOUNTED = 0.02
"""Part of the electrons above which the table says that it is not well."""


@dataclass(frozen=True)
class Imported:
    """A dataset that was made of a file; it can be given wherever a path can.

    Parameters
    ----------
    path : Path
        Of the dataset.
    table : tuple of rows
        Label, value, where it is from, and whether it is known.
    notes, warnings : tuple of str
        What else to know of the file, and what looks wrong.
    """

    path: Path
    table: tuple[Row, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    def __fspath__(self) -> str:
        return str(self.path)

    def rows(self) -> tuple[Row, ...]:
        """What ``ptychodask import`` prints."""
        return self.table

    def __str__(self) -> str:
        return "\n".join([str(self.path), table(self.table), *(f"note: {note}" for note in self.notes)])


@dataclass(frozen=True)
class Masked:
    """Pixels [N, N] that were found to be bad; ``dead`` is None where only some frames were looked at."""

    hot: np.ndarray
    dead: np.ndarray | None = None


def rows_of(
    order: Order,
    file: Counted,
    facts: Mapping[str, Fact],
    looked: Looked,
    target: Path,
    masked: Masked | None = None,
) -> list[Row]:
    """The table."""
    height, width, ky, kx = file.reader.shape
    n, reader, used = file.side, file.reader, order.frame.whole(order.used)
    square = "" if (ky, kx) == (n, n) and used.all() else f", in {n} x {n} pixels"
    padded = square + (f" of which {int(used.sum())} are used" if square else "")
    rows: list[Row] = [
        ("scan", f"{height} x {width}", facts["scan_shape"].source if "scan_shape" in facts else "the file", None),
        ("patterns", f"{ky} x {kx} {reader.dtype}", f"{order.name}, stored as {file.stored}{padded}", None),
        ("counts", _unit(file), f"{looked.electrons:.4g} electrons in a pattern ({looked.frames} looked at)", None),
        ("orientation", str(file.orientation), "rows and columns of the file are ky and kx", None),
    ]
    if str(order.frame):
        rows.append(("detector", str(order.frame), "given; angles are those of the detector's own pixels", None))
    if "gain_adu" in facts:
        rows.append(("gain", f"{file.gain:g} ADU", f"{facts['gain_adu'].source}, per electron", None))
    if file.levels is not None:
        rows += _counting(file.levels)
    if masked is not None:
        rows.append(("bad pixels", _numbers(masked), "masked: hot and dead ones, by their neighbours", None))
    if reader.about.positions is not None and not facts["scan_step_angstrom"].source.startswith("given"):
        rows.append(("positions", f"{height * width}", "the file; --step makes a raster of that step instead", None))
    for name, (label, unit, scale) in LABELS.items():
        fact = facts[name]
        values = fact.value if isinstance(fact.value, list | tuple) else [fact.value]
        text = " x ".join(f"{value * scale:.6g}" for value in values)
        source, known = fact.source, None
        if source == "missing":
            source = f"missing, 0 is taken: give --defocus; `ptychodask calibrate {target.name}` finds it"
            known = False
        rows.append((label, f"{text} {unit}", source, known))
    return rows


def _counting(levels: Levels) -> list[Row]:
    at = (levels.thresholds[0] - levels.zero) / levels.gain
    return [
        (
            "gain",
            f"{levels.gain:.4g} ADU",
            f"per electron, found: {levels.separation:.3g} times the noise of {levels.noise:.3g} ADU; no electron is at"
            f" {levels.zero:.4g} ADU",
            None,
        ),
        (
            "mis-counted",
            f"{100 * levels.miscounted:.2g} %",
            f"of the electrons, predicted; their sum {100 * levels.excess:+.2g} %; one from {at:.3g} of the gain on",
            levels.miscounted < MISCOUNTED,
        ),
    ]


def _numbers(masked: Masked) -> str:
    dead = 0 if masked.dead is None else int(masked.dead.sum())
    return f"{int(masked.hot.sum())} hot, {dead} dead"


def _unit(file: Counted) -> str:
    if file.levels is not None:
        return "the most probable"
    if file.gain is not None:
        return "value / gain, rounded"
    return "as counted" if file.reader.about.unit == "electron" else "whole numbers, taken as electrons"


def warnings_of(seen: Seen, missing: int, patterns: int) -> tuple[str, ...]:
    """What of all frames looks wrong."""
    found = []
    if dark := seen.dark - missing:
        found.append(
            f"{dark} of {counted(patterns, 'pattern')} {'holds' if dark == 1 else 'hold'} no electrons: --set"
            " data.exclude=misfired leaves them out of a reconstruction"
        )
    if seen.saturated:
        found.append(
            f"{counted(seen.saturated, 'pattern')} hold pixels at the detector's limit, where electrons are lost"
        )
    if seen.negative:
        found.append(f"{counted(seen.negative, 'value')} below minus half an electron were stored as 0")
    return tuple(found)
