"""Marks of a report: palette, scale bars, images in angstrom. No pyplot, no global state.

Row 0 is on top, as microscopes and image viewers show a scan: y increases downward.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

Floats = NDArray[np.floating]

INK = "#1d2733"  # text and axes
QUIET = "#6b7785"  # secondary text
RULE = "#d5dae0"  # grid lines
BLUE, ORANGE, GREEN = "#1f6fb4", "#d9622b", "#2b8a5a"  # curves on white
YELLOW, CYAN = "#ffd23f", "#5fe3f0"  # marks on images
TITLE, TEXT, SMALL = 12.0, 9.5, 8.5

OUTLINE = [patheffects.withStroke(linewidth=2.2, foreground="black", alpha=0.75)]
HALO = [patheffects.withStroke(linewidth=2.5, foreground="white")]


def extent(image: xr.DataArray) -> tuple[float, float, float, float]:
    """Edges (left, right, bottom, top) in angstrom for imshow with y increasing downward."""
    y, x = np.asarray(image.y, dtype=float), np.asarray(image.x, dtype=float)
    dy, dx = (float(a[-1] - a[0]) / max(a.size - 1, 1) / 2 or 0.5 for a in (y, x))
    return float(x[0] - dx), float(x[-1] + dx), float(y[-1] + dy), float(y[0] - dy)


def panel_title(ax: Axes, text: str, note: str = "") -> None:
    """Bold title at the left above the axes, a quiet note at the right of the same line."""
    ax.set_title(text, loc="left", fontsize=TITLE, fontweight="bold", color=INK, pad=6)
    if note:
        ax.set_title(note, loc="right", fontsize=SMALL, color=QUIET, pad=6)


def bare(ax: Axes) -> None:
    """No ticks, a thin frame: for images that carry a scale bar."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_color(INK)
        spine.set_linewidth(0.6)


def plain(ax: Axes, xlabel: str, ylabel: str, color: str = INK) -> None:
    """Axes of a curve: labels, quiet grid, open to the top and right."""
    ax.set_xlabel(xlabel, fontsize=TEXT, color=INK)
    ax.set_ylabel(ylabel, fontsize=TEXT, color=color)
    ax.tick_params(labelsize=SMALL, color=QUIET, labelcolor=INK, length=3)
    ax.grid(color=RULE, linewidth=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(QUIET)


def rounded_length(width: float, share: float = 0.25) -> float:
    """The largest of 1, 2, 5, 10, 20, 50 ... angstrom (or a tenth of them) within ``share`` of ``width``."""
    wanted = width * share
    decade = 10.0 ** np.floor(np.log10(wanted))
    return float(max(m * decade for m in (1, 2, 5) if m * decade <= wanted * (1 + 1e-9)))


def scale_bar(ax: Axes, share: float = 0.25, unit: str = "Å") -> None:
    """White bar of rounded length with its label, lower left, legible on any image; axes in ``unit``."""
    left, right = ax.get_xlim()
    bottom, top = ax.get_ylim()
    width, height = right - left, bottom - top  # y increases downward
    length = rounded_length(width, share)
    x, y = left + 0.045 * width, bottom - 0.05 * height
    thick = 0.014 * height
    bar = Rectangle((x, y - thick), length, thick, facecolor="white", edgecolor="black", linewidth=0.6, zorder=5)
    ax.add_patch(bar)
    label = f"{length / 10:g} nm" if length >= 10 and unit == "Å" else f"{length:g} {unit}"
    mark: dict[str, Any] = {
        "color": "white",
        "fontsize": TEXT + 0.5,
        "fontweight": "bold",
        "path_effects": OUTLINE,
        "zorder": 6,
    }
    ax.text(x + length / 2, y - 2 * thick, label, ha="center", va="bottom", **mark)


def phase_panel(ax: Axes, image: xr.DataArray, limits: tuple[float, float], share: float = 0.25) -> Any:
    """Grey image of a phase with a scale bar; returns the artist for a colour bar."""
    artist = ax.imshow(
        np.asarray(image.values, dtype=float),
        extent=extent(image),
        cmap="gray",
        vmin=limits[0],
        vmax=limits[1],
        interpolation="bicubic",
        origin="upper",
    )
    ax.set_anchor("N")  # a scan that is not square keeps its title on the line of the others
    bare(ax)
    scale_bar(ax, share)
    return artist


def box(ax: Axes, image: xr.DataArray, color: str = YELLOW, style: Any = "-", width: float = 1.4) -> None:
    """Outline of ``image`` on axes in angstrom."""
    left, right, bottom, top = extent(image)
    frame = Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=color, linewidth=width)
    frame.set_linestyle(style)
    ax.add_patch(frame)


def wave_rgb(wave: NDArray[np.complexfloating], brightest: float | None = None) -> Floats:
    """Colours (ny, nx, 3) of a wave: brightness is the amplitude up to ``brightest``, hue the phase (red is 0)."""
    amplitude = np.abs(wave)
    top = float(np.percentile(amplitude, 99.9)) if brightest is None else brightest
    value = np.clip(amplitude / max(top, 1e-300), 0, 1)
    hue = (np.angle(wave) / (2 * np.pi)) % 1.0
    return hsv_to_rgb(np.stack([hue, np.full_like(hue, 0.75), value], axis=-1))
