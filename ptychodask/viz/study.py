"""One page of a study: images side by side, error curves, resolution and correlation against an axis."""

from __future__ import annotations

import math
import os
import textwrap
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..analysis.conditions import Row, axes_of, name_of, rows_of, short
from ..analysis.frc import remove_plane
from . import draw
from .pages import page_writer

DOSE = "dose_per_square_angstrom"
MOST_ROWS, MOST_COLUMNS = 6, 7
"""Images on the page; of more, every so many are drawn."""
MOST_CURVES = 40
_SIDE, _GAP = 1.75, 0.3
_LETTERS, _LINE = 34, 0.12
"""Of a line above an image, and the height of a line in inches."""


def draw_study(study: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Draw what :func:`ptychodask.study` gives, as what the ending of the path names.

    Raises
    ------
    InputError
        No picture has this ending, or the output exists or cannot be written.
    OSError
        The disk is full, or cannot be written.
    """
    write = page_writer(path, overwrite)
    write(figure_of(study))


def figure_of(study: xr.Dataset) -> Figure:
    """The page; sizes in inches, so that pixels stay square."""
    rows = rows_of(study)
    across = _across(study)
    table = _table(study, rows, across)
    width = max(12.0, 1.6 + (_SIDE + _GAP) * (1 + max(len(line) for line in table)))
    lines = max(_title(row).count("\n") + 1 for line in table for row in line)
    high = _SIDE + _GAP + (lines - 1) * _LINE
    foot, height = 4.3, 4.3 + 0.9 + len(table) * high
    page = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(page)

    def place(left: float, bottom: float, wide: float, tall: float) -> Axes:
        return page.add_axes((left / width, bottom / height, wide / width, tall / height))

    page.text(0.3 / width, 1 - 0.3 / height, "Study", fontsize=16, fontweight="bold", color=draw.INK, va="center")
    axes = ", ".join(f"{short(name)} ({study.sizes[name]})" for name in axes_of(study))
    page.text(0.3 / width, 1 - 0.58 / height, f"{len(rows)} conditions: {axes}", fontsize=10.5, color=draw.QUIET,
              va="center", parse_math=False)  # fmt: skip
    for down, line in enumerate(table):
        bottom = height - 1.0 - (down + 1) * high + _GAP / 2
        truth = int(study.simulation_of.values[line[0].index])
        if truth >= 0:
            _image(place(0.3, bottom, _SIDE, _SIDE), study.truth[truth], "truth", True)
        for right, row in enumerate(line, start=1):
            ax = place(0.3 + right * (_SIDE + _GAP), bottom, _SIDE, _SIDE)
            _image(ax, study.phase[row.index], _title(row), False, row.status)
    third = (width - 0.3) / 3
    _curves(place(0.8, 0.6, third - 1.1, foot - 1.3), study, rows)
    for at, (name, label) in enumerate(
        (("frc_resolution_angstrom", "resolution (Å)"), ("correlation", "correlation with the truth"))
    ):
        _against(place(0.8 + (at + 1) * third, 0.6, third - 1.1, foot - 1.3), study, rows, across, name, label)
    return page


def _title(row: Row) -> str:
    """What stands above an image, in lines as wide as it."""
    return textwrap.fill(name_of(row), _LETTERS, break_on_hyphens=False)


def _across(study: xr.Dataset) -> str:
    """The axis along which images stand side by side: the dose, else the longest."""
    axes = axes_of(study)
    return DOSE if DOSE in axes and study.sizes[DOSE] > 1 else max(axes, key=lambda name: study.sizes[name])


def _table(study: xr.Dataset, rows: list[Row], across: str) -> list[list[Row]]:
    """Conditions that are drawn: a line for every combination of the other axes."""
    at = axes_of(study).index(across)
    lines: dict[tuple[int, ...], list[Row]] = {}
    for row in rows:
        lines.setdefault(row.index[:at] + row.index[at + 1 :], []).append(row)
    found = list(lines.values())
    thin, apart = math.ceil(len(found) / MOST_ROWS), math.ceil(len(found[0]) / MOST_COLUMNS)
    return [line[::apart] for line in found[::thin]]


def _image(ax: Axes, image: xr.DataArray, title: str, bar: bool, status: str = "done") -> None:
    values = np.asarray(image.values, dtype=float)
    if np.isfinite(values).all():
        less = remove_plane(values)
        low, high = (float(v) for v in np.percentile(less, [0.5, 99.7]))
        limits = (low, high) if high > low else (low - 1.0, high + 1.0)
        ax.imshow(less, extent=draw.extent(image), cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="bicubic",
                  origin="upper")  # fmt: skip
        if bar:
            draw.scale_bar(ax)
    else:
        ax.text(0.5, 0.5, status, ha="center", va="center", fontsize=draw.SMALL, color=draw.QUIET,
                transform=ax.transAxes)  # fmt: skip
    draw.bare(ax)
    ax.set_title(title, fontsize=6.5, color=draw.INK, pad=3, parse_math=False)


def _colours(count: int) -> Any:
    return colormaps["viridis"](np.linspace(0, 0.9, max(count, 2)))


def _same_measure(study: xr.Dataset, row: Row) -> int | None:
    """Where the spectral prior goes on with a smaller epsilon, its losses jump: they are measured anew."""
    at = float(study.sharper_from[row.index]) if "sharper_from" in study else math.nan  # earlier versions kept it not
    return int(at) if math.isfinite(at) else None


def _curves(ax: Axes, study: xr.Dataset, rows: list[Row]) -> None:
    """Error curves: the loss of each condition above its smallest, as part of where it began."""
    some = rows[:: math.ceil(len(rows) / MOST_CURVES)]
    for row, colour in zip(some, _colours(len(some)), strict=False):
        loss = np.asarray(study.loss_curve[row.index].values)
        known = np.flatnonzero(np.isfinite(loss[: _same_measure(study, row)]))
        if len(known) < 2 or loss[known[0]] == np.min(loss[known]):
            continue
        shown = (loss[known] - np.min(loss[known])) / (loss[known[0]] - np.min(loss[known]))
        style: Any = "-" if row.status == "done" else ":"
        shown[shown <= 0] = np.nan
        ax.plot(known, shown, color=colour, linewidth=1.1, linestyle=style)
    draw.plain(ax, "iteration", "loss above its smallest, of the first")
    ax.set_yscale("log")
    draw.panel_title(ax, "Error curves", "dotted: diverged" if any(r.status == "diverged" for r in some) else "")


def _against(ax: Axes, study: xr.Dataset, rows: list[Row], across: str, name: str, label: str) -> None:
    """A figure against an axis: the mean over seeds, a line for every combination of the others."""
    values = study[name].isel(resolution=-1) if "resolution" in study[name].dims else study[name]
    if "seed" in values.dims and across != "seed":
        values = values.mean("seed")
    others = [str(dim) for dim in values.dims if dim != across]
    lines = values.stack(line=others).transpose("line", across) if others else values.expand_dims("line")
    numbers = study[across].values if across in study.coords else np.arange(study.sizes[across])
    numeric = np.issubdtype(np.asarray(numbers).dtype, np.number)
    x = np.asarray(numbers, float) if numeric else np.arange(len(numbers))
    order = np.argsort(x)
    x, lines = x[order], lines.isel({across: order})
    finite = np.isfinite(x)
    count = min(lines.sizes["line"], MOST_CURVES)
    for line, colour in zip(lines.values[:count], _colours(count), strict=False):
        ax.plot(x[finite], line[finite], "o-", color=colour, linewidth=1.2, markersize=3.5)
        for value in line[~finite]:  # without noise: a level
            ax.axhline(value, color=colour, linewidth=0.7, linestyle="--")
    if others and count <= 8:
        for line, colour in zip(lines.line.values[:count], _colours(count), strict=False):
            texts = line if isinstance(line, tuple) else (line,)
            told = ", ".join(f"{short(n)} {t}" for n, t in zip(others, texts, strict=False) if study.sizes[n] > 1)
            if told:
                ax.plot([], [], "o-", color=colour, markersize=3.5, label=told)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=6.5, frameon=False)
    if across == DOSE and np.sum(finite) > 1:
        ax.set_xscale("log")
    if not numeric:
        ax.set_xticks(x, [str(text) for text in numbers])
    draw.plain(ax, short(across), label)
    title = "Resolution" if name.startswith("frc") else f"Correlation, {float(study.resolution[-1]):g} Å"
    draw.panel_title(ax, title, "dashed: no noise" if not finite.all() else "")
