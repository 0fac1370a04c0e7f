"""Pictures of a local structure: the lattice, motifs with their significance, strain, columns; and one page of all."""

from __future__ import annotations

import math
import os
import textwrap
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from . import draw
from .pages import page_writer

COMPONENTS = {"xx": "strain xx", "yy": "strain yy", "xy": "strain xy", "rotation": "rotation"}
MARKS = ("o", "D", "s", "^", "v", "p", "h", "P")
_LABELS = 14
"""Sites at most that are labelled with their significance."""
_ARROW = 0.12
"""Of the field's side: the longest arrow."""
_PALE = 3.0
"""Errors of a strain that the colours reach at least."""
_SIZE, _LINE = (17.4, 13.2), 200


def lattice_panel(ax: Axes, found: xr.Dataset) -> Any:
    """The phase with one cell, and the axes of the lattice."""
    artist = draw.phase_panel(ax, found.phase, _grey(found.phase))
    basis = found.lattice.values
    known = "structure_cell" in found.attrs
    cells = [(np.array(found.attrs["structure_cell"]), draw.CYAN, "-")] if known else []
    middle = np.array([float(found.y.mean()), float(found.x.mean())])
    origin = np.array(found.attrs["origin"])
    for edges, color, style in (*cells, (basis, draw.YELLOW, "--")):
        node = origin + np.rint((middle - origin - edges.sum(axis=0) / 2) @ np.linalg.inv(edges)) @ edges
        corners = np.array([node, node + edges[0], node + edges.sum(axis=0), node + edges[1]])[:, ::-1]
        ax.add_patch(Polygon(corners, closed=True, fill=False, edgecolor=color, linewidth=1.3, linestyle=style))
    told = "line: the structure's cell; dashed: the lattice's" if known else "dashed: the cell of the lattice"
    draw.panel_title(ax, "Phase", told)
    return artist


def _dimmed(ax: Axes, image: xr.DataArray, by: float) -> None:
    """The phase behind marks: white is ``by`` of its range above its brightest."""
    low, high = _grey(image)
    ax.imshow(
        image.values, extent=draw.extent(image), cmap="gray", vmin=low, vmax=high + by * (high - low), origin="upper",
        interpolation="bicubic",
    )  # fmt: skip
    draw.bare(ax)
    draw.scale_bar(ax)
    for artist in (ax.patches[-1], ax.texts[-1]):  # over the marks
        artist.set_zorder(12)


def motif_panel(ax: Axes, found: xr.Dataset) -> Any:
    """Every site by its significance; those that stand out are named with it. Returns the artist for a colour bar."""
    image = found.phase
    _dimmed(ax, image, 0.8)
    top = float(max(5.0, min(np.nanmax(np.abs(found.site_z)), 12.0)))
    artist: Any = None
    count = max(found.sizes["site"], 1)
    size = float(np.clip(9000 / count, 14, 110))
    beside = math.sqrt(1.5 * size) / 2 + 4  # points, from the middle of a mark that stands out
    for mark, kind in zip(MARKS * 9, found.kind.values, strict=False):
        its = found.sel(site=found.site_kind == kind)
        out = its.site_stands_out.values
        for chosen, edge, wide, grown in ((~out, "white", 0.5, 0.55), (out, draw.YELLOW, 2.0, 1.5)):
            # once with no place in it: the legend names every kind by its mark
            artist = ax.scatter(
                its.site_x[chosen], its.site_y[chosen], c=its.site_z[chosen], cmap="RdBu_r", norm=Normalize(-top, top),
                marker=mark, s=grown * size, edgecolors=edge, linewidths=wide, zorder=5 + chosen.any() * out.any(),
            )  # fmt: skip
        ax.scatter([], [], marker=mark, s=45, facecolors="white", edgecolors=draw.INK, label=str(kind))
    told = found.sel(site=found.site_stands_out)
    order = np.argsort(-np.abs(told.site_z.values), kind="stable")[:_LABELS]
    left, right, bottom, upper = draw.extent(image)
    for n in order:
        y, x = float(told.site_y[n]), float(told.site_x[n])
        inward = x > right - 0.15 * (right - left)
        label = f"{float(told.site_z[n]):+.1f}σ".replace("-", "−")
        ax.annotate(
            label, (x, y), xytext=(-beside if inward else beside, 0), textcoords="offset points",
            ha="right" if inward else "left", va="center", color=draw.INK, fontsize=draw.SMALL, fontweight="bold",
            path_effects=draw.HALO, zorder=11,
        )  # fmt: skip
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, upper)
    ax.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=5, fontsize=draw.SMALL, frameon=False,
        handletextpad=0.2, columnspacing=1.0,
    )  # fmt: skip
    draw.panel_title(ax, "Motifs", told_of(found))
    return artist


def told_of(found: xr.Dataset) -> str:
    """How many sites stand out, and how many of them by chance."""
    out, count = int(found.site_stands_out.sum()), found.sizes["site"]
    if not out:
        return f"none of {count} sites stands out"
    return f"{out} of {count} sites {'stands' if out == 1 else 'stand'} out, at most 5 % of such by chance"


def strain_panel(ax: Axes, found: xr.Dataset, component: str, top: float | None = None) -> Any:
    """A component of the strain in percent, or the rotation in degrees; returns the artist for a colour bar."""
    unit = 180 / math.pi if component == "rotation" else 100
    values, error = found.strain.sel(component=component), found.strain_error.sel(component=component)
    known = np.abs(values.values[np.isfinite(values.values)]) * unit
    # what noise alone makes is pale
    least = _PALE * float(np.nanmedian(error)) * unit if known.size else 1.0
    limit = top if top is not None else max(float(np.percentile(known, 99)) if known.size else 1.0, least, 1e-3)
    ax.set_facecolor("#8a929c")
    artist = ax.imshow(
        values.values * unit, extent=draw.extent(values), cmap="RdBu_r", vmin=-limit, vmax=limit, origin="upper"
    )
    draw.bare(ax)
    sign = "°" if component == "rotation" else " %"
    level = f"± {float(np.nanmedian(error)) * unit:.2g}{sign} by noise" if known.size else "not within the field"
    ax.set_title(COMPONENTS[component], loc="left", fontsize=draw.TEXT, fontweight="bold", color=draw.INK, pad=4)
    ax.set_title(level, loc="right", fontsize=draw.SMALL, color=draw.QUIET, pad=4)
    return artist


def column_panel(ax: Axes, found: xr.Dataset) -> Any:
    """Columns by their height, arrows from where they were expected; returns the artist for a colour bar."""
    image = found.phase
    _dimmed(ax, image, 0.5)
    clear = np.isfinite(found.column_y.values)
    its = found.isel(column=clear)
    moved = np.hypot(its.column_moved_y.values, its.column_moved_x.values)
    side = float(image.x[-1] - image.x[0])
    widest = float(np.percentile(moved, 98)) if moved.size else 1.0
    # 1, 2 or 5 times a power of ten, so that the note can be read
    zoom = draw.rounded_length(_ARROW * side / max(widest, 1e-6), 1.0)
    artist = ax.scatter(
        its.column_x, its.column_y, c=its.column_height, cmap="viridis", s=34, edgecolors="black", linewidths=0.3,
        zorder=4,
    )  # fmt: skip
    arrows = ax.quiver(
        its.column_x - its.column_moved_x, its.column_y - its.column_moved_y, zoom * its.column_moved_x,
        zoom * its.column_moved_y, angles="xy", scale_units="xy", scale=1, color=draw.CYAN, width=0.0035, zorder=5,
    )  # fmt: skip
    key = draw.rounded_length(_ARROW * side / zoom, 1.0)
    ax.quiverkey(
        arrows, 0.08, -0.04, zoom * key, f"{key:g} Å, from where a column was expected to where it is", labelpos="E",
        coordinates="axes", color=draw.CYAN, fontproperties={"size": draw.SMALL},
    )  # fmt: skip
    faint = found.isel(column=~clear)
    places = f", {faint.sizes['column']} too faint" if faint.sizes["column"] else ""
    error = float(np.nanmedian(np.hypot(its.column_sigma_y, its.column_sigma_x))) if moved.size else math.nan
    draw.panel_title(ax, "Columns", f"{moved.size} fitted{places}; moves x {zoom:g}, ± {error:.2f} Å by noise")
    return artist


def cell_panel(ax: Axes, found: xr.Dataset) -> Any:
    """The mean of the cells over two by two of them, its standard error in the note."""
    basis = found.lattice.values
    side = 1.6 * float(np.linalg.norm(basis, axis=1).max())
    axis = np.linspace(-side / 2, side / 2, 240)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    along = np.stack([y, x], axis=-1) @ np.linalg.inv(basis)
    from scipy import ndimage

    grid = found.cell_mean.values
    at = [along[..., 1] * grid.shape[0], along[..., 0] * grid.shape[1]]
    values = ndimage.map_coordinates(grid, at, order=3, mode="grid-wrap")
    image = xr.DataArray(values, {"y": axis, "x": axis}, ("y", "x"))
    artist = draw.phase_panel(ax, image, _grey(image))
    counts = found.cell_count.values
    draw.panel_title(
        ax, "Mean of the cells",
        f"{counts.min()} to {counts.max()} of them, ± {1e3 * float(np.median(found.cell_error)):.1f} mrad",
    )  # fmt: skip
    return artist


def difference_panel(ax: Axes, found: xr.Dataset) -> Any:
    """The phase less the mean of the cells."""
    values = found.difference
    top = float(np.percentile(np.abs(values), 99.5)) or 1.0
    artist = ax.imshow(
        values.values, extent=draw.extent(values), cmap="RdBu_r", vmin=-top, vmax=top, origin="upper",
        interpolation="bicubic",
    )  # fmt: skip
    draw.bare(ax)
    draw.scale_bar(ax)
    draw.panel_title(ax, "Less the mean of the cells", "rad")
    return artist


def draw_local_structure(found: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Draw what :func:`ptychodask.local_structure` gives, as what the ending of the path names.

    Raises
    ------
    InputError
        No picture has this ending, or the output exists or cannot be written.
    OSError
        The disk is full, or cannot be written.
    """
    write = page_writer(path, overwrite)
    write(figure_of(found))


def figure_of(found: xr.Dataset) -> Figure:
    """The page; sizes in inches, so that images stay square."""
    page = Figure(figsize=_SIZE, facecolor="white")
    FigureCanvasAgg(page)
    width, height = _SIZE

    def place(left: float, bottom: float, wide: float, tall: float) -> Axes:
        return page.add_axes((left / width, bottom / height, wide / width, tall / height))

    def bar(artist: Any, ax: Axes, unit: str) -> None:
        at = ax.get_position()
        drawn = page.colorbar(artist, cax=page.add_axes((at.x1 + 0.004, at.y0, 0.006, at.height)))
        drawn.ax.tick_params(labelsize=draw.SMALL, length=2, colors=draw.INK)
        drawn.ax.set_xlabel(unit, fontsize=draw.SMALL, color=draw.QUIET, labelpad=4)
        drawn.outline.set_visible(False)  # type: ignore[operator]

    about, side = found.attrs, 4.95
    page.text(0.35 / width, 1 - 0.35 / height, about.get("title", "Local structure"), fontsize=17, fontweight="bold",
              color=draw.INK, va="center", parse_math=False)  # fmt: skip
    for row, line in enumerate(lines_of(found)):
        page.text(0.35 / width, 1 - (0.72 + 0.25 * row) / height, line, fontsize=10.5, color=draw.QUIET, va="center",
                  parse_math=False)  # fmt: skip
    columns, rows = (0.35, 6.05, 11.75), (6.4, 0.62)
    for drawing, (column, row), unit in (
        (lattice_panel, (0, 0), "rad"), (motif_panel, (1, 0), "σ"), (difference_panel, (2, 0), "rad"),
        (cell_panel, (0, 1), "rad"),
    ):  # fmt: skip
        ax = place(columns[column], rows[row], side, side)
        bar(drawing(ax, found), ax, unit)
    if "strain" in found:
        for n, component in enumerate(COMPONENTS):
            y, x = divmod(n, 2)
            ax = place(columns[1] + x * 2.7, rows[1] + (1 - y) * 2.6, 1.9, 1.9)
            bar(strain_panel(ax, found, component), ax, "°" if component == "rotation" else "%")
    if "column_y" in found:
        ax = place(columns[2], rows[1], side, side)
        bar(column_panel(ax, found), ax, "rad")
    return page


def lines_of(found: xr.Dataset) -> list[str]:
    """What a head says: the lattice, the noise, what is kept, notes."""
    about = found.attrs

    def figure(name: str, unit: str, digits: int = 3) -> str:
        return f"{about[name]:.{digits}f} ± {about[f'{name}_sigma']:.{digits}f}{unit}"

    lattice = (
        f"a {figure('a', ' Å')}, b {figure('b', ' Å')}, γ {figure('gamma', '°', 2)}, a lies at"
        f" {figure('direction', '°', 2)}; {about['lattice_peaks']} peaks, which scatter {about['lattice_misfit']:.1f} x"
        " what noise lets them"
    )
    sites = "    ".join(
        f"one {kind}: ± {sigma:.2f}" + (f", keeps {100 * kept:.0f} %" if math.isfinite(kept) else "")
        for kind, sigma, kept in zip(found.kind.values, found.kind_sigma.values, found.kind_kept.values, strict=True)
    )
    noise = f"noise {about['noise']}; sites scatter {about['scatter']:.2f} x that"
    lines = [lattice, noise, *textwrap.wrap(f"standard error of a change, in whole motifs: {sites}", _LINE)]
    return lines + [line for note in about["notes"] for line in textwrap.wrap(note, _LINE)]


def _grey(image: xr.DataArray) -> tuple[float, float]:
    low, high = (float(v) for v in np.nanpercentile(np.asarray(image.values, float), (0.5, 99.7)))
    return (low, high) if high > low else (low - 1.0, high + 1.0)
