"""Panels of a report: power spectrum, ring correlation, probe and history."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..analysis.frc import FRC
from ..analysis.spectrum import Spectrum
from ._draw import (
    BLUE,
    CYAN,
    GREEN,
    INK,
    ORANGE,
    OUTLINE,
    QUIET,
    SMALL,
    TEXT,
    YELLOW,
    bare,
    extent,
    plain,
    scale_bar,
    wave_rgb,
)

Floats = NDArray[np.floating]


def spectrum_panel(ax: Axes, spectrum: Spectrum) -> None:
    """Logarithmic power spectrum with the rings of the information limit and of the outermost peak."""
    limits = [
        (spectrum.limit_angstrom, YELLOW, (0, (4, 3)), "limit"),
        (spectrum.peak_limit_angstrom, CYAN, "-", "peaks"),
    ]
    found = [1 / d for d, *_ in limits if np.isfinite(d)]
    reach = min(float(spectrum.q[-1]), 1.7 * max(found)) if found else float(spectrum.q[-1])
    iy, ix = (np.flatnonzero(np.abs(q) <= reach) for q in (spectrum.qy, spectrum.qx))
    power = spectrum.image[iy[0] : iy[-1] + 1, ix[0] : ix[-1] + 1]
    shown = xr.DataArray(
        np.log10(np.maximum(power, 1e-300)),
        dims=("y", "x"),
        coords={"y": spectrum.qy[iy], "x": spectrum.qx[ix]},
    )
    ax.imshow(
        shown.values,
        extent=extent(shown),
        cmap="magma",
        vmin=float(np.percentile(shown, 40)),
        vmax=float(np.percentile(shown, 99.8)),
        interpolation="nearest",
        origin="upper",
    )
    bare(ax)
    for row, (d, color, style, name) in enumerate(limits):
        text = f"{name} {d:.2f} Å" if np.isfinite(d) else f"{name}: none"
        ax.annotate(
            text,
            (0, 1),
            xycoords="axes fraction",
            xytext=(6, -6 - 15 * row),
            textcoords="offset points",
            va="top",
            color=color,
            fontsize=TEXT,
            fontweight="bold",
            path_effects=OUTLINE,
        )
        if np.isfinite(d):
            ring = Circle((0, 0), 1 / d, fill=False, edgecolor=color, linewidth=1.4, linestyle=style)
            ax.add_patch(ring)


def radial_panel(ax: Axes, spectrum: Spectrum) -> None:
    """Ring mean of the power and its floor."""
    shown = spectrum.q > 0
    ax.plot(spectrum.q[shown], spectrum.radial[shown], color=BLUE, linewidth=1.4, label="ring mean")
    if np.isfinite(spectrum.floor).all():
        ax.plot(spectrum.q[shown], spectrum.floor[shown], color=QUIET, linewidth=1.2, ls="--", label="floor")
    marks = ((spectrum.limit_angstrom, "--", "limit"), (spectrum.peak_limit_angstrom, "-", "peaks"))
    for d, style, name in marks:
        if np.isfinite(d):
            ax.axvline(1 / d, color=ORANGE, linewidth=1.2, linestyle=style, label=f"{name} {d:.2f} Å")
    plain(ax, "spatial frequency (1/Å)", "power (rad²)")
    ax.set_xlim(0, float(spectrum.q[-1]))
    # what a blur pushed further down says nothing about the specimen
    top = float(spectrum.radial[shown].max())
    if top > 0:
        ax.set_yscale("log")
        ax.set_ylim(max(1e-6 * top, 0.5 * float(spectrum.radial[shown].min())), 2 * top)
    ax.legend(frameon=False, fontsize=SMALL, loc="upper right", labelcolor=INK)


def ring_panel(ax: Axes, frc: FRC) -> None:
    """Ring correlation with the truth, its threshold and where it falls below."""
    known = np.isfinite(frc.frc) & (frc.q > 0)
    ax.plot(frc.q[known], frc.frc[known], color=BLUE, linewidth=1.6, marker="o", markersize=3.2)
    ax.plot(frc.q, frc.threshold, color=QUIET, linewidth=1.1, linestyle="--")
    if np.isfinite(frc.resolution_angstrom):
        q = 1 / frc.resolution_angstrom
        ax.axvline(q, color=ORANGE, linewidth=1.2)
        near_edge = q > 0.7 * frc.q[-1]
        ax.annotate(
            f"{frc.resolution_angstrom:.2f} Å",
            (q, 0.93),
            xytext=(-5 if near_edge else 5, 0),
            textcoords="offset points",
            ha="right" if near_edge else "left",
            color=ORANGE,
            fontsize=TEXT,
            fontweight="bold",
        )
    plain(ax, "spatial frequency (1/Å)", "ring correlation")
    ax.set_xlim(0, float(frc.q[-1]))
    ax.set_ylim(min(-0.1, float(np.nanmin(frc.frc[known], initial=0)) - 0.03), 1.03)


def probe_panel(ax: Axes, probe: xr.DataArray, powers: Floats, diameters: tuple[float, float]) -> None:
    """First mode as hue and brightness, the circles of D50 and D90, and a bar for the power of every mode."""
    total = np.sum(np.abs(probe.values) ** 2, axis=0)
    y, x = np.asarray(probe.y, dtype=float), np.asarray(probe.x, dtype=float)
    cy, cx = (float(np.sum(total.sum(axis=1 - i) * c) / total.sum()) for i, c in enumerate((y, x)))
    first = probe.isel(mode=0)
    ax.imshow(wave_rgb(np.asarray(first.values)), extent=extent(first), interpolation="bicubic", origin="upper")
    half = min(0.5 * (x[-1] - x[0]), 0.5 * (y[-1] - y[0]), 0.95 * diameters[1])
    ax.set_xlim(cx - half, cx + half)
    ax.set_ylim(cy + half, cy - half)
    ax.set_facecolor("black")
    bare(ax)
    for diameter, style in zip(diameters, ("-", "--"), strict=True):
        ax.add_patch(Circle((cx, cy), diameter / 2, fill=False, edgecolor="white", lw=0.9, ls=style, alpha=0.85))
    scale_bar(ax)
    for k, power in enumerate(powers[:6]):
        row = 0.95 - 0.065 * k
        ax.add_patch(
            Rectangle(
                (0.70, row - 0.016),
                0.26 * float(power / powers.max()),
                0.032,
                transform=ax.transAxes,
                facecolor="white",
                alpha=0.9,
                edgecolor="none",
                zorder=5,
            )
        )
        ax.text(
            0.68,
            row,
            f"mode {k + 1}   {100 * power:.1f} %",
            transform=ax.transAxes,
            color="white",
            fontsize=SMALL,
            ha="right",
            va="center",
            path_effects=OUTLINE,
            zorder=6,
        )


def history_panel(ax: Axes, history: dict[str, Floats], best: int) -> None:
    """Loss and, on its own axis, validation against iteration, with the best iteration marked."""
    iteration = np.asarray(history["iteration"], dtype=float)
    marker = "o" if iteration.size <= 60 else ""
    loss = np.asarray(history["loss"], dtype=float)
    ax.plot(iteration, loss, color=BLUE, linewidth=1.6, marker=marker, markersize=3.5)
    plain(ax, "iteration", "loss", BLUE)
    ax.axvline(best, color=GREEN, linewidth=1.3, linestyle="--", zorder=1)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.margins(x=0.02)
    validation = np.asarray(history.get("validation", np.full(iteration.shape, np.nan)), dtype=float)
    known = np.isfinite(validation)
    if known.any():
        # its own axis: the held-out data differ, so only the two shapes compare
        twin = ax.twinx()
        twin.plot(iteration[known], validation[known], color=ORANGE, linewidth=1.6, marker=marker, markersize=3.5)
        twin.set_ylabel("validation", fontsize=TEXT, color=ORANGE)
        twin.tick_params(labelsize=SMALL, color=QUIET, labelcolor=INK, length=3)
        for side in ("top", "left", "bottom"):
            twin.spines[side].set_visible(False)
        twin.spines["right"].set_color(QUIET)
    late = best > iteration.mean()
    ax.annotate(
        f"best {best}",
        (best, 0.97),
        xycoords=("data", "axes fraction"),
        xytext=(-5 if late else 5, 0),
        textcoords="offset points",
        ha="right" if late else "left",
        va="top",
        color=GREEN,
        fontsize=TEXT,
        fontweight="bold",
    )
