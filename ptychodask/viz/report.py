"""One page for the microscopist: the phase, what it resolves, the probe, and how the loop converged."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from .._errors import InputError
from .._geometry import geometry_lines
from ..analysis.compare import Comparison
from ..analysis.frc import remove_plane
from ..analysis.spectrum import crop_to_scan, pixel_size
from . import draw, panels
from .figures import Analysis, ReportData, analyse, figures_of, told_of
from .optional import Optional
from .pages import page_writer

_BORDER = 2.0  # angstrom shown around the scanned area
_ENOUGH = 64  # pixels of the scanned area that may set the grey scale; fewer show nothing of the specimen
_SIZE = (16.0, 10.0)
_LINE = 84  # characters at the right of the head, which has the summary at its left
_GEOMETRY = 155  # characters of the geometry's line, below the summary


def report_figures(data: ReportData) -> dict[str, Any]:
    """The figures of a report, ready for JSON; what cannot be computed is None, and ``remarks`` says why."""
    return figures_of(data, analyse(data))


def draw_report(data: ReportData, path: str | os.PathLike[str], *, overwrite: bool = False) -> dict[str, Any]:
    """Draw the report at ``path``, as what its ending names, and return its figures.

    Drawn under a temporary name in the same folder, then renamed: a reader never meets half a picture. What cannot be
    computed or drawn leaves its panel empty, with the reason in it.

    Raises
    ------
    InputError
        No picture has this ending, the output exists or cannot be written, or the arrays do not fit together.
    OSError
        The disk is full, or cannot be written.
    """
    write = page_writer(path, overwrite)
    analysis = analyse(data)
    page = _Page(data, analysis)
    write(page.figure)
    return figures_of(data, analysis)


class _Page:
    """The whole page; sizes in inches from the lower left, so that images stay square."""

    def __init__(self, data: ReportData, analysis: Analysis) -> None:
        self.data, self.analysis, self.attempt = data, analysis, Optional()
        self.figure = Figure(figsize=_SIZE, facecolor="white")
        FigureCanvasAgg(self.figure)
        self._head()
        averaged = "; lattice averaged over the field" if data.filtered else ""
        big = self._panel("Phase", (0.35, 3.0, 5.75, 5.75), self._phase, f"plane removed; dotted: the scan{averaged}")
        detail = self.attempt("detail", self._compared if analysis.comparison is not None else self._alone)
        if detail is not None:
            self.attempt("box", draw.box, big, detail)
        self._probe()
        history = {name: np.asarray(values) for name, values in data.history.items()}
        moved = bool(data.geometry.get("positions_angstrom", {}).get("value")) and np.ndim(data.positions) == 3
        wide = 4.75 if data.information is None and data.misfit is None and not moved else 2.0
        self._panel(
            "",
            (1.0, 0.75, wide, 1.6),
            lambda ax: panels.history_panel(ax, history, data.best_iteration, data.finish, data.sharper),
        )
        if data.finish is not None:
            told = f"shown: the state of iteration {data.best_iteration}, after the finish"
            self._text(1.0, 0.22, told, draw.SMALL)
        if data.kept:
            self._text(1.0, 0.07, _kept(data.kept), draw.SMALL)
        if (misfit := data.misfit) is not None:
            for left, name in ((3.75, "detector"), (5.35, "scan")):
                values, words = np.asarray(misfit[name].values), f"over the {name}"
                self._panel("Where it does not fit" if name == "detector" else "", (left, 0.85, 1.45, 1.45),
                            partial(panels.misfit_panel, values=values, title=words))  # fmt: skip
        elif moved:
            where = (4.15, 0.85, 2.0, 1.45)
            self._panel("Where patterns are", where, lambda ax: panels.displacement_panel(ax, data.positions))
        elif (known := data.information) is not None:
            where = (4.15, 0.75, 2.0, 1.6)
            self._panel("What your electrons carry", where, lambda ax: panels.information_panel(ax, known))

    def _place(self, left: float, bottom: float, width: float, height: float) -> Axes:
        return self.figure.add_axes((left / _SIZE[0], bottom / _SIZE[1], width / _SIZE[0], height / _SIZE[1]))

    def _text(self, x: float, y: float, text: str, size: float, color: str = draw.QUIET, **more: Any) -> None:
        self.figure.text(x / _SIZE[0], y / _SIZE[1], text, fontsize=size, color=color, va="center", **more)

    def _panel(
        self, title: str, where: tuple[float, float, float, float], drawing: Callable[[Axes], Any], note: str = ""
    ) -> Axes:
        """Axes with what ``drawing`` makes of them, or with the reason why it cannot."""
        ax = self._place(*where)
        self.attempt(title, drawing, ax)
        if title in self.attempt.remarks:
            ax.remove()
            ax = self._place(*where)
            draw.bare(ax)
            reason = textwrap.fill(self.attempt.remarks[title], int(11 * where[2]))
            ax.text(0.5, 0.5, reason, ha="center", va="center", fontsize=draw.SMALL, color=draw.QUIET, zorder=9)
            note = "not available"
        draw.panel_title(ax, title, note)
        return ax

    def _head(self) -> None:
        data, (resolution, how) = self.data, self.analysis.resolution
        # a name may hold a dollar sign
        self._text(0.35, 9.66, data.title, 18, draw.INK, fontweight="bold", parse_math=False)
        self._text(0.35, 9.36, "    ".join(f"{k} {_scalar(v)}" for k, v in data.summary.items()), 10.5)
        lines = [f"geometry: {line}" for line in geometry_lines(data.geometry)]
        if len(lines) > 2 or any(len(line) > _GEOMETRY for line in lines):
            lines = textwrap.wrap("; ".join(lines), _GEOMETRY, max_lines=2, placeholder=" ...")
        for row, line in enumerate(lines):  # beside what is right-aligned, and above the panels' titles
            self._text(0.35, 9.18 - 0.12 * row, line, draw.SMALL)
        figure = "no resolution figure" if resolution is None else f"resolution {resolution:.2f} Å"
        self._text(15.8, 9.72, figure, 13, draw.INK, fontweight="bold", ha="right")
        lines = [how, *told_of(data, self.analysis, brief=True)][:3]
        for row, line in enumerate(textwrap.shorten(text, _LINE, placeholder=" ...") for text in lines):
            self._text(15.8, 9.5 - 0.17 * row, line, draw.SMALL + 0.5, ha="right", parse_math=False)

    def _phase(self, ax: Axes) -> None:
        scanned = crop_to_scan(self.data.phase, self.data.positions)
        phase = crop_to_scan(self.data.phase, self.data.positions, -_BORDER)
        if min(scanned.shape) > 1:
            phase = less_plane(phase, scanned)
        inner = phase.sel(y=scanned.y, x=scanned.x) if scanned.size >= _ENOUGH else phase
        artist = draw.phase_panel(ax, phase, _grey(inner))
        if min(scanned.shape) > 1:
            draw.box(ax, scanned, "white", (0, (2, 3)), 0.8)
        left, right, bottom, top = draw.extent(phase)
        tall = 5.75 * min(1.0, (bottom - top) / (right - left))
        bar = self.figure.colorbar(artist, cax=self._place(6.17, 8.75 - tall, 0.13, tall))
        bar.ax.tick_params(labelsize=draw.SMALL, length=2, colors=draw.INK)
        bar.ax.set_xlabel("rad", fontsize=draw.SMALL, color=draw.QUIET, labelpad=5)
        bar.outline.set_visible(False)  # type: ignore[operator]

    def _alone(self) -> xr.DataArray:
        """Without a truth: an enlargement, and a large power spectrum."""
        scanned = crop_to_scan(self.data.phase, self.data.positions)
        inner = less_plane(scanned, scanned) if min(scanned.shape) > 1 else scanned
        detail = inner.isel(strongest(inner)) if min(inner.shape) > 1 else inner
        title = (7.05, 4.45, 4.3, 4.3), lambda ax: draw.phase_panel(ax, detail, _grey(inner))
        self._panel("Enlargement", *title, "the box in the phase")
        self._spectrum((11.5, 4.45, 4.3, 4.3))
        where = (7.75, 0.85, 4.4, 2.6)
        if (known := self.analysis.halves) is not None:
            narrow = (7.75, 0.85, 3.5, 2.6)
            self._panel("Halves of the electrons", narrow, lambda ax: panels.halves_panel(ax, known), "correlation")
        elif self.analysis.filtered:
            self._panel("Halves of the electrons", where, self._no_halves)
        else:
            self._panel("Radial power", where, lambda ax: panels.radial_panel(ax, self._known_spectrum()))
        return detail

    def _no_halves(self, ax: Axes) -> None:
        raise InputError(
            "not reconstructed yet: what two halves of the electrons agree on is what the electrons prove. ptychodask"
            f" halves {self.data.path or 'RESULT'}"
        )

    def _compared(self) -> xr.DataArray:
        """With a truth: both images at one resolution, and their ring correlation."""
        comparison = self.analysis.comparison
        assert isinstance(comparison, Comparison)
        part = strongest(comparison.image)
        detail, known = comparison.image.isel(part), comparison.truth.isel(part)
        grey = _grey(xr.concat([detail, known], "two"))
        d = f"{comparison.resolution:g} Å"
        for title, image, left, note in (
            ("Reconstruction", detail, 7.05, f"low-pass {d}, times {comparison.scale:.2f} to fit the truth"),
            ("Truth", known, 11.5, f"low-pass {d}, same grey scale"),
        ):
            self._panel(title, (left, 4.45, 4.3, 4.3), partial(draw.phase_panel, image=image, limits=grey), note)
        match = "    ".join(f"{d:g} Å: {r:.3f}" for d, r in comparison.correlation.items())
        line = f"correlation at {match}    NRMSE {comparison.nrmse:.3f}    SSIM {comparison.ssim:.3f}"
        self._text(7.05, 4.2, f"{line}    slope {comparison.slope:.2f}", 10.5, draw.INK)
        self._spectrum((7.05, 0.95, 2.5, 2.5))
        where = (10.35, 0.95, 2.55, 2.5)
        self._panel(
            "Ring correlation",
            where,
            lambda ax: panels.ring_panel(ax, comparison.frc, self.analysis.halves),
            "bars: signal" if self.analysis.halves is None else "green: by halves",
        )
        return detail

    def _known_spectrum(self) -> Any:
        if self.analysis.spectrum is None:
            raise InputError(self.analysis.remarks.get("power_spectrum", "no power spectrum"))
        return self.analysis.spectrum

    def _spectrum(self, where: tuple[float, float, float, float]) -> None:
        self._panel(
            "Power spectrum",
            where,
            lambda ax: panels.spectrum_panel(ax, self._known_spectrum(), self.analysis.filtered),
            "log",
        )
        for row, (text, color) in enumerate(panels.spectrum_legend(self.analysis.spectrum, self.analysis.filtered)):
            self._text(where[0], where[1] - 0.17 - 0.2 * row, text, draw.SMALL, color)

    def _probe(self) -> None:
        powers, diameters = self.analysis.powers, self.analysis.diameters

        def drawing(ax: Axes) -> None:
            if powers is None or diameters is None:
                raise InputError(next(iter(self.analysis.remarks.values()), "no probe"))
            panels.probe_panel(ax, self.data.probe, diameters)

        note = "" if diameters is None else f"D50 {diameters[0]:.1f} Å, D90 {diameters[1]:.1f} Å"
        self._panel("Probe", (13.3, 0.95, 2.5, 2.5), drawing, note)
        if powers is not None:
            self._text(13.3, 0.6, panels.mode_text(powers), draw.SMALL)
        self.attempt("wheel", panels.phase_wheel, self._place(15.2, 0.12, 0.6, 0.6))


def _grey(image: xr.DataArray) -> tuple[float, float]:
    """Limits of a grey scale; a constant image is grey."""
    values = np.asarray(image.values, dtype=float)
    low, high = (float(v) for v in np.nanpercentile(values, [0.5, 99.7]))
    return (low, high) if high > low else (low - 1.0, high + 1.0)


def _kept(kept: Mapping[float, float]) -> str:
    """What a lattice-aware prior does to what is there once."""
    sizes, shares = ", ".join(f"{s:g}" for s in kept), ", ".join(f"{100 * k:.0f}" for k in kept.values())
    return f"contrast kept of a lone spot of sigma {sizes} Å: {shares} %"


def _scalar(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def less_plane(image: xr.DataArray, fitted: xr.DataArray) -> xr.DataArray:
    """``image`` less the plane of ``fitted``, a part of it, whose mean stays: a ramp would eat the grey scale."""
    values = np.asarray(fitted.values, dtype=float)
    plane = xr.DataArray(values - remove_plane(values), dims=("y", "x"), coords={"y": fitted.y, "x": fitted.x})
    slope = [
        float(plane.isel({a: -1}).mean() - plane.isel({a: 0}).mean()) / float(fitted[a][-1] - fitted[a][0])
        for a in ("y", "x")
    ]
    return image - slope[0] * (image.y - fitted.y.mean()) - slope[1] * (image.x - fitted.x.mean())


def strongest(image: xr.DataArray, share: float = 0.5) -> dict[str, slice]:
    """Square of ``share`` of the longer side (at least 8 pixels) centred on the strongest feature that it can hold.

    The feature is the maximum of the image after a Gaussian of an eighth of the square: a cluster, not one noisy pixel.
    """
    dy, dx = pixel_size(image)
    side = share * max(image.sizes["y"] * dy, image.sizes["x"] * dx)
    keep = [min(image.sizes[a], max(8, round(side / step))) for a, step in (("y", dy), ("x", dx))]
    smooth = gaussian_filter(np.nan_to_num(np.asarray(image.values, dtype=float)), [k / 8 for k in keep])
    low = [k // 2 for k in keep]
    inner = smooth[low[0] : low[0] + smooth.shape[0] - keep[0] + 1, low[1] : low[1] + smooth.shape[1] - keep[1] + 1]
    corner = np.unravel_index(int(inner.argmax()), inner.shape)
    return {axis: slice(int(c), int(c) + k) for axis, c, k in zip(("y", "x"), corner, keep, strict=True)}
