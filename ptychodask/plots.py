"""Figures for publications: each function draws on one matplotlib ``Axes`` (a new one by default) and returns it.

Row 0 of the scan is on top, axes are in angstrom, lengths are scale bars. Everything that matplotlib can do with an
``Axes`` can be done afterwards; ``ax.figure.savefig("figure.pdf")`` writes it.

Examples
--------
>>> from ptychodask import plots
>>> ax = plots.phase(result)
>>> plots.structure(ax, "zif-8")
>>> ax.figure.savefig("zif-8.pdf")
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from . import _arguments as arguments
from ._errors import InputError
from .analysis.frc import FRC, remove_plane
from .analysis.spectrum import crop_to_scan, pixel_size, power_spectrum
from .io.result import Result, open_result
from .jobs.figures import stages_of
from .physics.constraints import phase_of
from .physics.probe import probe_diameter
from .viz import atoms as drawn
from .viz import draw, panels
from .viz import structure as local

if TYPE_CHECKING:
    import ase

Limits = tuple[float, float]
Image = Result | xr.DataArray | str | Path

__all__ = [
    "columns",
    "compare",
    "defects",
    "halves",
    "history",
    "information",
    "motifs",
    "phase",
    "probe",
    "ring_correlation",
    "slices",
    "spectrum",
    "strain",
    "structure",
]

_PERCENTILES = (0.5, 99.7)


def phase(
    image: Image, ax: Axes | None = None, *, limits: Limits | None = None, colorbar: bool = True, title: str = ""
) -> Axes:
    """A phase in grey with a scale bar.

    Parameters
    ----------
    image : Result, path of one, or DataArray (y, x)
        Of a result, its phase inside the scan; of an array, all of it. Coordinates in angstrom, values in rad.
    ax : Axes, optional
    limits : (float, float), optional
        Black and white, rad; by default the range of the values but for the outermost half percent.
    colorbar : bool
    title : str

    Returns
    -------
    Axes
    """
    shown, ax = _image(image), _axes(ax)
    artist = draw.phase_panel(ax, shown, _grey(shown) if limits is None else limits)
    if colorbar:
        _bar(ax, artist, str(shown.attrs.get("units", "rad")))
    if title:
        draw.panel_title(ax, title)
    return ax


def compare(images: Mapping[str, Image], *, limits: Limits | None = None, level: bool = True) -> np.ndarray:
    """Images side by side on one grey scale: before and after, two regularisations, reconstruction and truth.

    Parameters
    ----------
    images : mapping of Result, path or DataArray (y, x)
        By title. The area that all of them cover is shown.
    limits : (float, float), optional
        Black and white, rad; by default those of all values together.
    level : bool
        Take the plane of every image away: offset and slope of a phase are not specimen.

    Returns
    -------
    array of Axes
    """
    named = arguments.mapping(images, "images", "images by their titles")
    found = {title: _image(image) for title, image in named.items()}
    if not found:
        raise InputError("images is empty: give at least one by its title")
    area = {
        axis: slice(
            max(float(i[axis][0]) for i in found.values()) - 1e-6,
            min(float(i[axis][-1]) for i in found.values()) + 1e-6,
        )
        for axis in ("y", "x")
    }
    parts = {title: image.sel(area) for title, image in found.items()}
    if any(part.size == 0 for part in parts.values()):
        raise InputError(f"the images {', '.join(parts)} share no area: their coordinates must be in one frame")
    if level:
        parts = {title: part.copy(data=remove_plane(np.asarray(part.values, float))) for title, part in parts.items()}
    if limits is None:
        both = np.concatenate([np.ravel(part.values) for part in parts.values()])
        low, high = (float(v) for v in np.nanpercentile(both, _PERCENTILES))
        limits = (low, high) if high > low else (low - 1, high + 1)
    axes = _row(len(parts))
    for ax, (title, part) in zip(axes, parts.items(), strict=True):
        draw.phase_panel(ax, part, limits)
        draw.panel_title(ax, title)
    return axes


def slices(result: Result | str | Path, *, limits: Limits | None = None, columns: int = 4) -> np.ndarray:
    """The phase of every slice by its depth, on one grey scale.

    Parameters
    ----------
    result : Result or path
    limits : (float, float), optional
        Black and white, rad.
    columns : int
        Panels in a row.

    Returns
    -------
    array of Axes
        One per slice. Titles say the depth of the slice's middle where the thickness is known.
    """
    opened = _result(result)
    columns = arguments.whole(columns, "columns", "panels in a row", 1, 50)
    stack = opened.object.copy(data=phase_of(np.asarray(opened.object.values)))
    parts = [crop_to_scan(stack.isel(slice=s), opened.positions.values) for s in range(stack.sizes["slice"])]
    grey = limits or _grey(xr.concat(parts, "slice"))
    thickness = opened.config.object.thickness_angstrom
    rows = -(-len(parts) // columns)
    wide = min(columns, len(parts))
    _, axes = plt.subplots(rows, wide, figsize=(2.6 * wide, 2.8 * rows), squeeze=False, layout="constrained")
    for ax in axes.ravel()[len(parts) :]:
        ax.remove()
    for s, (ax, part) in enumerate(zip(axes.ravel(), parts, strict=False)):
        draw.phase_panel(ax, part, grey)
        depth = f"slice {s}" if thickness is None else f"{(s + 0.5) * thickness / len(parts):.0f} Å"
        draw.panel_title(ax, depth)
    return axes.ravel()[: len(parts)]


def probe(result: Result | str | Path, ax: Axes | None = None, *, mode: int = 0, legend: bool = True) -> Axes:
    """A mode of the probe at the entrance: brightness is the amplitude, hue the phase.

    Parameters
    ----------
    result : Result or path
    ax : Axes, optional
    mode : int
        From the strongest on.
    legend : bool
        A wheel with the hues, counter-clockwise from 0. The circles hold 50 % and 90 % of the electrons.

    Returns
    -------
    Axes
    """
    waves, ax = _result(result).probe.rename(probe_y="y", probe_x="x").load(), _axes(ax)
    mode = arguments.whole(mode, "mode", f"0 to {waves.sizes['mode'] - 1}", 0, waves.sizes["mode"] - 1)
    dy, dx = pixel_size(waves.isel(mode=0))
    diameters = probe_diameter(np.abs(waves.values) ** 2, float(np.sqrt(dy * dx)), (0.5, 0.9))
    panels.probe_panel(ax, waves.isel(mode=slice(mode, mode + 1)), diameters)
    if legend:
        panels.phase_wheel(ax.inset_axes((1.03, 0.0, 0.24, 0.24)))
    return ax


def structure(
    ax: Axes,
    material: ase.Atoms | str | Path,
    *,
    origin_angstrom: tuple[float, float] = (0.0, 0.0),
    rotation_degrees: float = 0.0,
    elements: str | tuple[str, ...] | None = None,
    size: float = 1.0,
    cell: bool = True,
    legend: bool = True,
) -> Axes:
    """Lay a crystal over an image: its atoms seen along z, in the colours of ASE.

    Parameters
    ----------
    ax : Axes
        With an image of this module.
    material : ase.Atoms, name or path
        As :func:`ptychodask.simulate` has them: a known material, or a structure file. x to the right, y downwards.
    origin_angstrom : (float, float)
        Where a corner of the cell lies (y, x); of a simulation (0, 0).
    rotation_degrees : float
        Of x towards y, on the picture clockwise.
    elements : str or tuple of str, optional
        Which to draw, such as ``("Zr",)``; all but hydrogen by default.
    size : float
        Factor on the radii, which are a third of the covalent ones.
    cell, legend : bool
        Draw one cell; name the elements.

    Returns
    -------
    Axes
    """
    drawn.draw_structure(ax, material, origin_angstrom, rotation_degrees, elements, size, cell, legend)
    return ax


def spectrum(image: Image, ax: Axes | None = None) -> Axes:
    """The power spectrum of a phase, logarithmic; its outermost lattice peak (ring) and rings above noise (dashed).

    Of a result of the spectral prior nothing is marked: its spectrum is what the filter left.

    Parameters
    ----------
    image : Result, path of one, or DataArray (y, x)
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    found, ax = power_spectrum(_image(image)), _axes(ax)
    filtered = not isinstance(image, xr.DataArray) and bool(_result(image).described.prior)
    panels.spectrum_panel(ax, found, filtered)
    ax.set_xlabel(
        "\n".join(text for text, _ in panels.spectrum_legend(found, filtered)), fontsize=draw.SMALL, color=draw.QUIET
    )
    return ax


def ring_correlation(frc: FRC, ax: Axes | None = None) -> Axes:
    """What :func:`ptychodask.ring_correlation` found, with its threshold.

    Parameters
    ----------
    frc : FRC
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = _axes(ax)
    panels.ring_panel(ax, frc)
    if frc.criterion != "truth":
        ax.set_xlabel(f"spatial frequency (1/Å); dashed: {frc.criterion}")
    ax.set_ylabel("ring correlation", fontsize=draw.TEXT)
    return ax


def halves(found: xr.Dataset, ax: Axes | None = None) -> Axes:
    """What :func:`ptychodask.halves` found: ring correlation of two halves of the electrons, with its thresholds.

    Parameters
    ----------
    found : Dataset
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    if not isinstance(found, xr.Dataset) or "frc_full" not in found:
        raise InputError(f"found = {arguments.shown(found)}: give what ptychodask.halves(result) returns")
    ax = _axes(ax)
    panels.halves_panel(ax, found)
    ax.set_ylabel("ring correlation", fontsize=draw.TEXT)
    return ax


def information(result: Result | str | Path, ax: Axes | None = None) -> Axes:
    """Share of the quantum limit that the electrons carry, by spatial frequency, as it was measured.

    Parameters
    ----------
    result : Result or path
        Of counted electrons.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    known = _result(result).information
    if known is None:
        raise InputError(
            "the result has no information curve: it needs whole electrons, and a finish (solver.finish) or the"
            " spectral prior"
        )
    ax = _axes(ax)
    panels.information_panel(ax, known)
    return ax


def history(result: Result | str | Path, ax: Axes | None = None) -> Axes:
    """Loss and held-out loss by iteration; the state that was chosen, and the finish with all electrons.

    Parameters
    ----------
    result : Result or path
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    opened, ax = _result(result), _axes(ax)
    steps = opened.history
    columns = {name: steps[name] for name in ("iteration", "loss", "validation")}
    panels.history_panel(ax, columns, *stages_of(opened))
    return ax


def defects(found: xr.Dataset, ax: Axes | None = None, *, kind: str = "missing", false_alarms: float = 1.0) -> Axes:
    """A map of :func:`ptychodask.defects` in standard deviations, and the places that noise hardly makes.

    Parameters
    ----------
    found : Dataset
    ax : Axes, optional
    kind : {"missing", "added"}
    false_alarms : float
        Places are marked from the threshold on above which noise alone has at most so many maxima in this area.

    Returns
    -------
    Axes
    """
    if not isinstance(found, xr.Dataset) or "place_z" not in found:
        raise InputError(f"found = {arguments.shown(found)}: give what ptychodask.defects(result) returns")
    if kind not in found.kind.values:
        raise InputError(f"kind = {arguments.shown(kind)}: use {' or '.join(map(str, found.kind.values))}")
    ax, best = _axes(ax), found.z.sel(kind=kind).max("scale")
    top = float(max(4.0, np.nanpercentile(best, 99.9)))
    artist = ax.imshow(
        best.values, extent=draw.extent(best), cmap="magma", vmin=0, vmax=top, origin="upper", interpolation="bicubic"
    )
    draw.bare(ax)
    draw.scale_bar(ax)
    rare = found.threshold.values[found.false_alarms.values <= false_alarms]
    threshold = float(rare.min()) if rare.size else float("inf")
    marked = found.sel(place=(found.place_z >= threshold) & (found.place_kind == kind))
    ax.scatter(marked.place_x, marked.place_y, s=180, facecolors="none", edgecolors=draw.CYAN, linewidths=1.5)
    few = float(np.interp(threshold, found.threshold.values, found.false_alarms.values))
    note = f"circles: above {threshold:g}σ, {few:.1f} by noise alone" if rare.size else "no place is rare enough"
    draw.panel_title(ax, kind, note)
    _bar(ax, artist, "σ")
    return ax


def motifs(found: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Clusters, linkers and channels by their significance; those that stand out are ringed, and named with it.

    Parameters
    ----------
    found : Dataset
        Of :func:`ptychodask.local_structure`.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = _axes(ax)
    _bar(ax, local.motif_panel(ax, _local(found, "site_z")), "σ")
    return ax


def strain(found: xr.Dataset, ax: Axes | None = None, *, component: str = "xx", limit: float | None = None) -> Axes:
    """Strain in percent, or the rotation in degrees, with what noise makes of it.

    Parameters
    ----------
    found : Dataset
        Of :func:`ptychodask.local_structure`.
    ax : Axes, optional
    component : {"xx", "yy", "xy", "rotation"}
    limit : float, optional
        End of the colours, in percent or degrees.

    Returns
    -------
    Axes
    """
    its = _local(found, "strain")
    if component not in local.COMPONENTS:
        raise InputError(f"component = {arguments.shown(component)}: use {', '.join(local.COMPONENTS)}")
    top = None if limit is None else arguments.number(limit, "limit", "percent or degrees", above=0, high=1e3)
    ax = _axes(ax)
    _bar(ax, local.strain_panel(ax, its, component, top), "°" if component == "rotation" else "%")
    draw.scale_bar(ax)
    return ax


def columns(found: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Columns by their height, with arrows from where the crystal has them.

    Parameters
    ----------
    found : Dataset
        Of :func:`ptychodask.local_structure`.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = _axes(ax)
    _bar(ax, local.column_panel(ax, _local(found, "column_y")), "rad")
    return ax


def _local(found: Any, name: str) -> xr.Dataset:
    if not isinstance(found, xr.Dataset) or "site_z" not in found:
        raise InputError(f"found = {arguments.shown(found)}: give what ptychodask.local_structure(result) returns")
    if name not in found:
        raise InputError(f"found has no {name.partition('_')[0]}: {'; '.join(found.attrs.get('notes', []))}")
    return found


def _axes(ax: Axes | None) -> Axes:
    if ax is None:
        return plt.subplots(figsize=(4.6, 4.2), layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise InputError(f"ax = {arguments.shown(ax)}: give a matplotlib Axes, or leave it out for a new one")
    return ax


def _row(count: int) -> np.ndarray:
    return plt.subplots(1, count, figsize=(4.2 * count, 4.4), squeeze=False, layout="constrained")[1][0]


def _result(result: Any) -> Result:
    return result if isinstance(result, Result) else open_result(arguments.path(result, "result"))


def _image(image: Any) -> xr.DataArray:
    if isinstance(image, xr.DataArray):
        pixel_size(image)
        return image
    opened = _result(image)
    return crop_to_scan(opened.phase, opened.positions.values)


def _grey(image: xr.DataArray) -> Limits:
    low, high = (float(v) for v in np.nanpercentile(np.asarray(image.values, dtype=float), _PERCENTILES))
    return (low, high) if high > low else (low - 1.0, high + 1.0)


def _bar(ax: Axes, artist: Any, unit: str) -> None:
    figure: Any = ax.figure
    bar = figure.colorbar(artist, ax=ax, fraction=0.046, pad=0.02)
    bar.set_label(unit, fontsize=draw.SMALL, color=draw.QUIET)
    bar.ax.tick_params(labelsize=draw.SMALL, length=2, colors=draw.INK)
    bar.outline.set_visible(False)
