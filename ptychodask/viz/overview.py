"""One page for the first look at a scan: mean pattern, detectors, centre of mass, parallax."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from . import draw
from .pages import page_writer

_COLUMNS, _SIDE, _GAP, _TOP = 4, 3.9, 0.42, 1.0
_LINE = 190
"""Characters of a line of notes."""
Panel = tuple[str, str, Callable[[Axes], None]]


def draw_overview(images: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Draw what :func:`ptychodask.view` gives, as what the ending of the path names.

    Raises
    ------
    InputError
        No picture has this ending, or the output exists or cannot be written.
    OSError
        The disk is full, or cannot be written.
    """
    write = page_writer(path, overwrite)
    write(figure_of(images))


def figure_of(images: xr.Dataset) -> Figure:
    """The page; sizes in inches, so that pixels stay square."""
    panels = _panels(images)
    rows = math.ceil(len(panels) / _COLUMNS)
    notes = [line for note in images.attrs["notes"] for line in textwrap.wrap(note, _LINE)]
    width = _COLUMNS * (_SIDE + _GAP) + _GAP
    foot = 0.2 * len(notes) + 0.15
    height = _TOP + rows * (_SIDE + _GAP) + foot
    page = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(page)
    about = images.attrs
    head = (
        f"{about['energy_ev'] / 1e3:g} keV    {about['semi_angle_mrad']:g} mrad    defocus"
        f" {about['defocus_angstrom']:.4g} Å    {images.sizes['y']} x {images.sizes['x']} pixels    "
        f"{float(images.electrons.mean()):.4g} electrons per pattern"
    )
    name = Path(about["path"]).name
    page.text(_GAP / width, 1 - 0.32 / height, name, fontsize=16, fontweight="bold", color=draw.INK, va="center",
              parse_math=False)  # fmt: skip
    page.text(_GAP / width, 1 - 0.62 / height, head, fontsize=10.5, color=draw.QUIET, va="center")
    for i, (title, note, drawing) in enumerate(panels):
        row, column = divmod(i, _COLUMNS)
        left, bottom = _GAP + column * (_SIDE + _GAP), height - _TOP - row * (_SIDE + _GAP) - _SIDE
        ax = page.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))
        drawing(ax)
        ax.set_anchor("N")
        draw.panel_title(ax, title, note)
    for i, line in enumerate(notes):
        page.text(_GAP / width, (foot - 0.18 - 0.2 * i) / height, line, fontsize=draw.SMALL, color=draw.QUIET,
                  va="center", parse_math=False)  # fmt: skip
    return page


def _panels(images: xr.Dataset) -> list[Panel]:
    found: list[Panel] = [("Mean pattern", "log", lambda ax: _pattern(ax, images))]
    titles = {"bf": "Bright field", "abf": "Annular bright field", "adf": "Dark field"}
    found += [_detector(images, name, title) for name, title in titles.items() if name in images]
    found.append(("Centre of mass", "less its mean", lambda ax: _wheel(ax, images)))
    if "icom" in images:
        found.append(("Integrated", "centre of mass, rad", _grey(images.icom)))
    if "parallax" in images:
        defocus = f"defocus {images.attrs['defocus_angstrom']:.4g} Å"
        found.append(("Parallax", defocus, _grey(images.parallax)))
        found.append(("Parallax, phase", "contrast turned", _grey(images.parallax_phase)))
    own = [name for name in map(str, images.data_vars) if name not in titles and _is_detector(images, name)]
    found += [_detector(images, name, "Annulus" if name.startswith("annulus_") else name) for name in own]
    return found


def _detector(images: xr.Dataset, name: str, title: str) -> Panel:
    about = images[name].attrs
    note = f"{about['inner_mrad']:.3g} to {about['outer_mrad']:.3g} mrad" if "inner_mrad" in about else "mask"
    return title, note, _grey(images[name])


def _is_detector(images: xr.Dataset, name: str) -> bool:
    return images[name].attrs.get("units") == "electron" and name not in ("electrons", "pattern")


def _plane(image: xr.DataArray) -> xr.DataArray:
    """As (y, x), which what draws asks for."""
    return image.rename(dict(zip(image.dims, ("y", "x"), strict=True)))


def _grey(image: xr.DataArray) -> Callable[[Axes], None]:
    def drawing(ax: Axes) -> None:
        known = image.values[np.isfinite(image.values)]
        low, high = (float(v) for v in np.percentile(known, [0.3, 99.7])) if known.size else (0.0, 1.0)
        ax.set_facecolor("black")
        draw.phase_panel(ax, _plane(image), (low, high) if high > low else (low - 1, high + 1))

    return drawing


def _pattern(ax: Axes, images: xr.Dataset) -> None:
    """Mean pattern over four decades at most, masked pixels in blue, with the disk's radius."""
    shown = _plane(images.pattern)
    values = np.asarray(shown.values, dtype=float)
    bright = float(np.nanmax(values)) or 1.0
    above = values[values > 0]
    low = max(1e-4 * bright, float(above.min())) if above.size else 1e-4 * bright
    ax.set_facecolor("#26415e")
    ax.imshow(np.log10(np.maximum(values, low)), extent=draw.extent(shown), cmap="inferno", interpolation="nearest",
              origin="upper")  # fmt: skip
    radius = images.attrs["semi_angle_mrad"]
    ax.add_patch(Circle((0, 0), radius, fill=False, edgecolor=draw.CYAN, linewidth=0.9, linestyle=(0, (4, 3))))
    draw.bare(ax)
    draw.scale_bar(ax, unit="mrad")


def _wheel(ax: Axes, images: xr.Dataset) -> None:
    """Direction as hue (red to the right, counter-clockwise), length as brightness."""
    y, x = (images[name].values - float(np.nanmean(images[name].values)) for name in ("com_y", "com_x"))
    wave = np.nan_to_num(x - 1j * y)  # y increases downward
    top = float(np.percentile(abs(wave), 99)) or 1.0
    ax.imshow(draw.wave_rgb(wave, top), extent=draw.extent(_plane(images.com_y)), interpolation="nearest",
              origin="upper")  # fmt: skip
    draw.bare(ax)
    draw.scale_bar(ax)
    inset: Any = ax.inset_axes((0.84, 0.02, 0.14, 0.14))
    side = np.linspace(-1, 1, 80)
    plane = side[None, :] - 1j * side[:, None]
    colours = draw.wave_rgb(plane, 1.0)
    inset.imshow(np.dstack([colours, abs(plane) < 1]), interpolation="bilinear")
    inset.set_axis_off()
    ax.text(0.91, 0.17, f"{top:.2g} mrad", transform=ax.transAxes, ha="center", va="bottom", color="white",
            fontsize=draw.SMALL, path_effects=draw.OUTLINE)  # fmt: skip
