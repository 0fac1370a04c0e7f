"""One page for the microscopist: the phase, what it resolves, the probe, and how the loop converged."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .._errors import InputError
from ..analysis.compare import Comparison, compare_with_truth
from ..analysis.frc import remove_plane
from ..analysis.sampling import probe_diameter
from ..analysis.spectrum import Spectrum, crop_to_scan, pixel_size, power_spectrum
from ..io.atomic import check_output, writing
from ..io.kinds import picture
from . import _draw, _panels

Floats = NDArray[np.floating]

_BORDER = 2.0  # angstrom shown around the scanned area
_SIZE, _DPI = (16.0, 10.0), 110


@dataclass(frozen=True)
class ReportData:
    """What a report shows, as plain arrays."""

    title: str
    phase: xr.DataArray  # (y, x) rad, summed over the slices, coordinates in angstrom
    probe: xr.DataArray  # (mode, y, x) complex, centred, coordinates in angstrom
    positions: Floats  # (..., 2) angstrom, (y, x) in the frame of `phase`
    history: Mapping[str, Floats]  # iteration, loss, validation (may be nan), seconds: (iterations,) each
    best_iteration: int
    truth: xr.DataArray | None = None  # (y, x) rad, projected phase in the frame of `phase`
    summary: Mapping[str, Any] = field(default_factory=dict)  # scalars, shown as one line
    remark: str = ""  # why there is no truth, where one could be expected


@dataclass(frozen=True)
class _Analysis:
    """Everything computed once, for the figures and for the drawing."""

    spectrum: Spectrum
    comparison: Comparison | None
    powers: Floats  # (mode,) share of each mode
    diameters: tuple[float, float]  # angstrom, D50 and D90
    remark: str = ""  # why a truth was not compared with


def report_figures(data: ReportData) -> dict[str, Any]:
    """The figures of a report, ready for JSON (nan becomes None)."""
    return _figures(data, _analyse(data))


def draw_report(data: ReportData, path: str | os.PathLike[str], *, overwrite: bool = False) -> dict[str, Any]:
    """Draw the report at `path`, as what its ending names, and return its figures.

    Raises
    ------
    InputError
        No picture has this ending, the output exists or cannot be written, or the arrays do not fit together.
    OSError
        The disk is full, or cannot be written.
    """
    kind = picture(path)
    check_output(path, kind, overwrite)
    analysis = _analyse(data)
    figures = _figures(data, analysis)
    with writing(path, kind, overwrite) as part:
        _draw_page(data, analysis).savefig(part, format=kind.ending.removeprefix("."), dpi=_DPI)
    return figures


def _analyse(data: ReportData) -> _Analysis:
    if data.probe.dims != ("mode", "y", "x"):
        raise InputError(f"the probe has dimensions {data.probe.dims}: it needs ('mode', 'y', 'x')")
    lengths = {k: np.size(v) for k, v in data.history.items()}
    if not {"iteration", "loss"} <= set(lengths) or len(set(lengths.values())) > 1 or not lengths["iteration"]:
        raise InputError(f"history has lengths {lengths}: give iteration and loss, all of one length above 0")
    intensity = np.abs(np.asarray(data.probe.values)) ** 2
    total = intensity.sum(axis=(1, 2))
    dy, dx = pixel_size(data.probe.isel(mode=0))
    d50, d90 = (float(probe_diameter(intensity, np.sqrt(dy * dx), f)) for f in (0.5, 0.9))
    comparison, remark = None, data.remark
    if data.truth is not None:
        try:
            comparison = compare_with_truth(data.phase, data.truth, data.positions)
        except InputError as error:  # the scan is too small to compare; the rest of the report stands
            remark = str(error)
    return _Analysis(
        spectrum=power_spectrum(crop_to_scan(data.phase, data.positions)),
        comparison=comparison,
        remark=remark,
        powers=total / total.sum(),
        diameters=(d50, d90),
    )


def _figures(data: ReportData, analysis: _Analysis) -> dict[str, Any]:
    iteration = np.asarray(data.history["iteration"])
    match = np.flatnonzero(iteration == data.best_iteration)
    at = int(match[0]) if match.size else iteration.size - 1

    def curve(name: str) -> float | None:
        return _number(np.asarray(data.history[name])[at]) if name in data.history else None

    figures: dict[str, Any] = {
        "information_limit_angstrom": _number(analysis.spectrum.limit_angstrom),
        "peak_limit_angstrom": _number(analysis.spectrum.peak_limit_angstrom),
        "iterations": int(iteration.size),
        "best_iteration": int(data.best_iteration),
        "loss": curve("loss"),
        "validation": curve("validation"),
        "mode_powers": [_number(p) for p in analysis.powers],
        "probe_d50_angstrom": _number(analysis.diameters[0]),
        "probe_d90_angstrom": _number(analysis.diameters[1]),
    }
    if analysis.remark:
        figures["not_compared"] = analysis.remark
    return figures if analysis.comparison is None else {**figures, **analysis.comparison.as_dict()}


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _draw_page(data: ReportData, analysis: _Analysis) -> Figure:
    """The whole page; sizes in inches from the lower left, so that images stay square."""
    figure = Figure(figsize=_SIZE, facecolor="white")
    FigureCanvasAgg(figure)

    def place(left: float, bottom: float, width: float, height: float) -> Any:
        return figure.add_axes((left / _SIZE[0], bottom / _SIZE[1], width / _SIZE[0], height / _SIZE[1]))

    heading: dict[str, Any] = {"fontsize": 18, "fontweight": "bold", "color": _draw.INK, "va": "center"}
    figure.text(0.35 / 16, 9.62 / 10, data.title, parse_math=False, **heading)  # a name may hold a dollar sign
    line = "    ".join(f"{k} {_scalar(v)}" for k, v in data.summary.items())
    figure.text(0.35 / 16, 9.25 / 10, line, fontsize=10.5, color=_draw.QUIET, va="center")

    scanned = crop_to_scan(data.phase, data.positions)
    phase = _less_plane(crop_to_scan(data.phase, data.positions, -_BORDER), scanned)
    inner = phase.sel(y=scanned.y, x=scanned.x)
    low, high = (float(v) for v in np.percentile(inner.values, [0.5, 99.7]))
    big = place(0.35, 3.0, 5.75, 5.75)
    artist = _draw.phase_panel(big, phase, (low, high))
    _draw.panel_title(big, "Phase", "plane removed; dotted: the scan")
    left, right, bottom, top = _draw.extent(phase)
    tall = 5.75 * min(1.0, (bottom - top) / (right - left))
    bar = figure.colorbar(artist, cax=place(6.17, 8.75 - tall, 0.13, tall))
    bar.ax.tick_params(labelsize=_draw.SMALL, length=2, colors=_draw.INK)
    bar.ax.set_xlabel("rad", fontsize=_draw.SMALL, color=_draw.QUIET, labelpad=5)
    bar.outline.set_visible(False)

    comparison = analysis.comparison
    first, second = place(7.05, 4.45, 4.3, 4.3), place(11.5, 4.45, 4.3, 4.3)
    if comparison is None:
        detail = inner.isel(_strongest(inner))
        _draw.phase_panel(first, detail, (low, high))
        _draw.panel_title(first, "Enlargement", "the box in the phase")
        _panels.spectrum_panel(second, analysis.spectrum)
        _draw.panel_title(second, "Power spectrum", "log, rings at the limits")
        curve = place(7.75, 0.75, 4.8, 2.7)
        _panels.radial_panel(curve, analysis.spectrum)
        _draw.panel_title(curve, "Radial power")
    else:
        part = _strongest(comparison.image)
        detail, known = comparison.image.isel(part), comparison.truth.isel(part)
        grey = tuple(float(v) for v in np.percentile([detail.values, known.values], [0.5, 99.7]))
        d = f"{comparison.resolution:g} Å"
        _draw.phase_panel(first, detail, (grey[0], grey[1]))
        _draw.panel_title(first, "Reconstruction", f"low-pass {d}, × {comparison.scale:.2f}")
        _draw.phase_panel(second, known, (grey[0], grey[1]))
        _draw.panel_title(second, "Truth", f"low-pass {d}, same grey scale")
        match = "    ".join(f"{d:g} Å: {r:.3f}" for d, r in comparison.correlation.items())
        line = f"correlation at {match}    NRMSE {comparison.nrmse:.3f}    SSIM {comparison.ssim:.3f}"
        figure.text(7.05 / 16, 4.2 / 10, line, fontsize=10.5, color=_draw.INK, va="center")
        spectrum = place(7.05, 0.75, 2.7, 2.7)
        _panels.spectrum_panel(spectrum, analysis.spectrum)
        _draw.panel_title(spectrum, "Power spectrum", "log")
        curve = place(10.4, 0.75, 2.35, 2.7)
        _panels.ring_panel(curve, comparison.frc)
        _draw.panel_title(curve, "Ring correlation", "with truth")
    _draw.box(big, scanned, "white", (0, (2, 3)), 0.8)
    _draw.box(big, detail)

    probe = place(13.1, 0.75, 2.7, 2.7)
    _panels.probe_panel(probe, data.probe, analysis.powers, analysis.diameters)
    _draw.panel_title(probe, "Probe", f"D50 {analysis.diameters[0]:.1f} Å, D90 {analysis.diameters[1]:.1f} Å")
    history = place(1.0, 0.75, 4.75, 1.75)
    _panels.history_panel(history, {k: np.asarray(v) for k, v in data.history.items()}, data.best_iteration)
    return figure


def _scalar(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _less_plane(image: xr.DataArray, fitted: xr.DataArray) -> xr.DataArray:
    """`image` less the plane of `fitted`, a part of it, whose mean stays: a ramp would eat the grey scale."""
    values = np.asarray(fitted.values, dtype=float)
    plane = xr.DataArray(values - remove_plane(values), dims=("y", "x"), coords={"y": fitted.y, "x": fitted.x})
    slope = [
        float(plane.isel({a: -1}).mean() - plane.isel({a: 0}).mean()) / float(fitted[a][-1] - fitted[a][0])
        for a in ("y", "x")
    ]
    return image - slope[0] * (image.y - fitted.y.mean()) - slope[1] * (image.x - fitted.x.mean())


def _strongest(image: xr.DataArray, share: float = 0.38) -> dict[str, slice]:
    """Square of `share` of the longer side (at least 8 pixels) centred on the strongest feature that it can hold.

    The feature is the maximum of the image after a Gaussian of an eighth of the square: a cluster, not one noisy pixel.
    """
    dy, dx = pixel_size(image)
    side = share * max(image.sizes["y"] * dy, image.sizes["x"] * dx)
    keep = [min(image.sizes[a], max(8, round(side / step))) for a, step in (("y", dy), ("x", dx))]
    smooth = gaussian_filter(np.asarray(image.values, dtype=float), [k / 8 for k in keep])
    low = [k // 2 for k in keep]
    inner = smooth[low[0] : low[0] + smooth.shape[0] - keep[0] + 1, low[1] : low[1] + smooth.shape[1] - keep[1] + 1]
    corner = np.unravel_index(int(inner.argmax()), inner.shape)
    return {axis: slice(int(c), int(c) + k) for axis, c, k in zip(("y", "x"), corner, keep, strict=True)}
