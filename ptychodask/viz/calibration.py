"""One page on a calibration: the disk, the likelihood, the weak phase, and the numbers."""

from __future__ import annotations

import math
import os
import textwrap

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..calibration.table import Calibration
from . import draw
from .pages import page_writer

_SIZE = (14.0, 8.75)


def draw_calibration(made: Calibration, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Draw a calibration at ``path``, as what its ending names.

    Raises
    ------
    InputError
        No picture has this ending, or the output exists or cannot be written.
    OSError
        The disk is full, or cannot be written.
    """
    write = page_writer(path, overwrite)
    figure = Figure(figsize=_SIZE, facecolor="white")
    FigureCanvasAgg(figure)

    def place(left: float, bottom: float, width: float, height: float) -> Axes:
        return figure.add_axes((left / _SIZE[0], bottom / _SIZE[1], width / _SIZE[0], height / _SIZE[1]))

    name = os.path.basename(str(made.path).rstrip("/"))  # noqa: PTH119  # it may be an address
    figure.text(0.35 / _SIZE[0], 8.4 / _SIZE[1], name, fontsize=18, color=draw.INK, fontweight="bold", parse_math=False)
    (ny, nx), n = made.estimate.image.shape, len(made.pattern)
    about = f"{ny} x {nx} positions of {made.step[0]:g} x {made.step[1]:g} Å, {n} x {n} pixels,"
    about += f" {made.pattern.sum():.4g} electrons per pattern, {made.estimate.frequencies} frequencies with signal"
    figure.text(13.65 / _SIZE[0], 8.42 / _SIZE[1], about, fontsize=10, color=draw.QUIET, ha="right", parse_math=False)
    _disk(place(0.35, 4.35, 3.6, 3.6), made)
    _rotation(place(4.85, 5.0, 3.7, 2.85), made)
    _defocus(place(9.65, 5.0, 3.95, 2.85), made)
    _phase(place(0.35, 0.25, 3.6, 3.6), made)
    _numbers(place(4.3, 0.25, 9.4, 3.75), made)
    write(figure)


def _disk(ax: Axes, made: Calibration) -> None:
    """Mean pattern about the disk, and the ellipse."""
    n, disk = len(made.pattern), made.disk
    reach = min(n / 2, 1.5 * disk.radius)
    ax.imshow(made.pattern, cmap="magma", vmin=0, vmax=1.15 * disk.level, interpolation="nearest", origin="upper")
    edge = disk.outline()
    ax.plot(edge[:, 1], edge[:, 0], color=draw.CYAN, linewidth=1.3)
    ax.plot(disk.centre[1], disk.centre[0], "+", color=draw.CYAN, markersize=10, markeredgewidth=1.3)
    ax.plot(n // 2, n // 2, "x", color="white", markersize=6, markeredgewidth=1.0)
    ax.set_xlim(n // 2 - reach - 0.5, n // 2 + reach - 0.5)
    ax.set_ylim(n // 2 + reach - 0.5, n // 2 - reach - 0.5)
    draw.bare(ax)
    draw.scale_bar(ax, unit="pixels")
    draw.panel_title(ax, "Mean pattern", "fitted disk and its centre; x: zero angle")


def _rotation(ax: Axes, made: Calibration) -> None:
    """Best likelihood for every rotation."""
    grid = made.estimate.grid
    degrees = np.degrees(grid.rotations)
    for nats, color, label in _layouts(made):
        ax.plot(
            degrees, nats.max(axis=1), color=color, linewidth=1.5, marker="o" if len(degrees) < 3 else "", label=label
        )
    found = math.degrees(made.geometry.rotation)
    shown = found if len(degrees) < 3 or degrees.min() < -90.5 else (found + 90) % 180 - 90
    ax.axvline(shown, color=draw.GREEN, linewidth=1.2, linestyle="--")
    whole = "rotation (degrees)" if math.isclose(shown, found, abs_tol=1e-6) else "rotation modulo 180 (degrees)"
    draw.plain(ax, whole, "likelihood (nats)")
    ax.margins(y=0.32)  # the peak may be anywhere, and the words are above it
    ax.legend(frameon=False, fontsize=draw.SMALL, labelcolor=draw.INK, loc="upper right")
    draw.panel_title(ax, "Rotation", f"found {found:.2f}°")


def _defocus(ax: Axes, made: Calibration) -> None:
    """Best likelihood for every defocus."""
    grid, sign = made.estimate.grid, 1.0
    shift = made.geometry.thickness / 2  # the likelihood's defocus is that of the middle
    middle = made.geometry.defocus
    if abs(math.remainder(made.geometry.rotation, 2 * math.pi)) > math.pi / 2 and grid.rotations.min() > -1.6:
        sign = -1.0  # the grid holds the twin
    for nats, color, label in _layouts(made):
        ax.plot(sign * grid.defoci + shift, nats.max(axis=0), color=color, linewidth=1.5, label=label,
                marker="o" if len(grid.defoci) < 3 else "")  # fmt: skip
    ax.axvline(middle + shift, color=draw.GREEN, linewidth=1.2, linestyle="--")
    draw.plain(ax, "defocus (Å)", "likelihood (nats)")
    draw.panel_title(ax, "Defocus", f"found {middle + shift:.0f} Å")


def _layouts(made: Calibration) -> list[tuple[np.ndarray, str, str]]:
    grid, chosen = made.estimate.grid.nats, int(made.geometry.transpose)
    names = ("patterns as stored", "rows and columns exchanged")
    colors = (draw.BLUE, draw.ORANGE)
    return [(grid[i], colors[int(i != chosen)], names[i]) for i in (chosen, 1 - chosen) if np.isfinite(grid[i]).all()]


def _phase(ax: Axes, made: Calibration) -> None:
    """Map of the weak phase on the nominal raster."""
    image = made.estimate.image
    y, x = (np.arange(n) * d for n, d in zip(image.shape, made.step, strict=True))
    low, high = np.percentile(image, [0.5, 99.7])
    shown = xr.DataArray(image, dims=("y", "x"), coords={"y": y, "x": x})
    draw.phase_panel(ax, shown, (low, high) if high > low else (low - 1, low + 1))
    draw.panel_title(ax, "Weak phase", "in the axes of the scan, nominal step")


def _numbers(ax: Axes, made: Calibration) -> None:
    """The table, and the notes."""
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    columns = (0.0, 0.12, 0.31, 0.42, 0.53)
    y = 0.97
    for heading, at in zip(("", "value", "error", "dataset", "how"), columns, strict=True):
        ax.text(at, y, heading, fontsize=draw.TEXT, color=draw.QUIET, va="baseline")
    for line in made.lines():
        y -= 0.07
        for column, (text, at) in enumerate(zip(line, columns, strict=True)):
            shown = textwrap.shorten(text, 72, placeholder=" ...") if column == 4 else text
            quiet = column > 2
            ax.text(
                at, y, shown, fontsize=draw.SMALL if column == 4 else draw.TEXT, va="baseline",
                parse_math=False,
                color=draw.QUIET if quiet else draw.INK, fontweight="bold" if column == 1 else "normal",
            )  # fmt: skip
    y -= 0.09
    for note in made.notes[:3]:
        for text in textwrap.wrap(f"note: {note}", 150)[:2]:
            ax.text(0, y, text, fontsize=draw.SMALL, color=draw.ORANGE, va="top", parse_math=False)
            y -= 0.055
