"""Panels of a report: power spectrum, ring correlation, probe and history."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .._errors import InputError
from .._tables import counted
from ..analysis.frc import FRC
from ..analysis.spectrum import Spectrum
from ..solver.information import LEAST_HIGH
from .draw import (
    BLUE,
    CYAN,
    GREEN,
    HALO,
    INK,
    ORANGE,
    QUIET,
    RULE,
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


def spectrum_panel(ax: Axes, spectrum: Spectrum, filtered: bool = False) -> None:
    """Logarithmic power spectrum with a scale, the last ring above the noise and the outermost lattice peak.

    That of a ``filtered`` image shows what the filter left: nothing is marked in it.
    """
    limits: list[tuple[float, str, Any]] = [
        (spectrum.limit_angstrom, YELLOW, (0, (4, 3))),
        (spectrum.peak_limit_angstrom, CYAN, "-"),
    ]
    limits = [] if filtered else limits
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
    scale_bar(ax, unit="1/Å")
    for d, color, style in limits:
        if np.isfinite(d):
            ring = Circle((0, 0), 1 / d, fill=False, edgecolor=color, linewidth=1.4, linestyle=style)
            ax.add_patch(ring)


def spectrum_legend(spectrum: Spectrum | None, filtered: bool = False) -> list[tuple[str, str]]:
    """Lines (text, colour on white) for below a power spectrum."""
    if spectrum is None:
        return []
    if filtered:
        return [("of a filtered image: no limit is read from it", QUIET)]
    peaks = f"lattice peaks to {spectrum.peak_limit_angstrom:.2f} Å (ring)"
    rings = f"rings above the noise to {spectrum.limit_angstrom:.2f} Å (dashed)"
    return [
        (peaks if spectrum.lattice_peaks else "no lattice", BLUE if spectrum.lattice_peaks else QUIET),
        (rings, ORANGE) if np.isfinite(spectrum.limit_angstrom) else ("no rings above the noise", QUIET),
    ]


def radial_panel(ax: Axes, spectrum: Spectrum) -> None:
    """Ring mean of the power and its floor."""
    shown = spectrum.q > 0
    ax.plot(spectrum.q[shown], spectrum.radial[shown], color=BLUE, linewidth=1.4, label="ring mean")
    if np.isfinite(spectrum.floor).all():
        ax.plot(spectrum.q[shown], spectrum.floor[shown], color=QUIET, linewidth=1.2, ls="--", label="floor")
    marks = ((spectrum.limit_angstrom, "--", "rings"), (spectrum.peak_limit_angstrom, "-", "peaks"))
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
    # above the axes: inside, no corner is free of curves for sure
    ax.legend(
        frameon=False, fontsize=SMALL, loc="lower right", bbox_to_anchor=(1.0, 0.99), ncols=4, labelcolor=INK,
        handlelength=1.4, columnspacing=1.0, borderpad=0.2,
    )  # fmt: skip


def halves_panel(ax: Axes, found: xr.Dataset) -> None:
    """Ring correlation of two halves of the electrons, its thresholds, and what vacuum has of it."""
    shown = found.isel(frequency=slice(1, None))
    q = np.asarray(shown.frequency, dtype=float)
    ax.fill_between(q, -1, shown.threshold, color=RULE, alpha=0.6, linewidth=0, zorder=0)
    ax.plot(q, shown.half_bit, color=QUIET, linewidth=1.0, linestyle=":", label="half-bit")
    ax.axhline(1 / 7, color=QUIET, linewidth=1.0, linestyle="--", label="1/7")
    ax.plot(q, shown.truth, color=GREEN, linewidth=1.3, label="all, with the\ntruth: expected")
    if found.attrs["vacuum_known"]:
        ax.plot(q, shown.vacuum, color=ORANGE, linewidth=1.0, label="vacuum's halves")
    ax.plot(q, shown.frc, color=BLUE, linewidth=1.3, marker="o", markersize=3.2, label="halves")
    limit, peak = float(found.resolution_angstrom), float(found.peak_angstrom)
    if np.isfinite(limit):
        limit_line(ax, limit, float(q[-1]))
    if np.isfinite(peak):
        ax.plot([1 / peak], [0.02], color=CYAN, marker="^", markersize=7, linestyle="", clip_on=False, zorder=5,
                label=f"{found.sizes['peak']} common peaks,\nthe last at {peak:.2f} Å")  # fmt: skip
    plain(ax, "spatial frequency (1/Å); shaded: chance, or below 1/7", "")
    ax.set_xlim(0, float(q[-1]))
    ax.set_ylim(min(-0.15, float(np.nanmin(shown.frc)) - 0.03), 1.03)
    # beside the axes: inside, no corner is free of curves for sure
    ax.legend(
        frameon=False, fontsize=SMALL - 1, loc="upper left", bbox_to_anchor=(1.0, 1.02), labelcolor=INK,
        handlelength=1.4, borderpad=0.2,
    )  # fmt: skip


def limit_line(ax: Axes, limit: float, end: float) -> None:
    """A line at a limit in angstrom, with its number; ``end`` of the axis in 1/angstrom."""
    q = 1 / limit
    ax.axvline(q, color=ORANGE, linewidth=1.2)
    near_edge = q > 0.6 * end
    ax.annotate(
        f"{limit:.2f} Å",
        (q, 0.93),
        xytext=(-5 if near_edge else 5, 0),
        textcoords="offset points",
        ha="right" if near_edge else "left",
        color=ORANGE,
        fontsize=TEXT,
        fontweight="bold",
        path_effects=HALO,
    )


def misfit_panel(ax: Axes, values: Floats, title: str) -> None:
    """A map of standard deviations between data and model: blue too few, red too many."""
    most = max(3.0, float(np.nanpercentile(np.abs(values), 99.5)))
    ax.imshow(values, cmap="RdBu_r", vmin=-most, vmax=most, origin="upper", interpolation="nearest")
    bare(ax)
    ax.set_xlabel(f"{title}, ±{most:.2g}σ", fontsize=SMALL - 1, color=QUIET, labelpad=2)


ARROWS = 24
"""Along a side of the scan at most: of more, one in so many is drawn."""


def displacement_panel(ax: Axes, positions: Floats) -> None:
    """How far every pattern [Y, X] is from the even raster that fits all of them best, as arrows, enlarged."""
    height, width = positions.shape[:2]
    y, x = np.mgrid[:height, :width]
    raster = np.stack([np.ones(y.size), y.ravel(), x.ravel()], axis=1)
    places = positions.reshape(-1, 2)
    fitted = np.linalg.lstsq(raster, places, rcond=None)[0]
    off = (places - raster @ fitted).reshape(positions.shape)
    rms = float(np.sqrt((off**2).sum(axis=2).mean()))
    apart = -(-max(height, width) // ARROWS)
    length = 0.6 * apart * float(np.sqrt((fitted[1:] ** 2).sum() / 2))  # of a displacement of the RMS
    at, arrows = positions[::apart, ::apart], off[::apart, ::apart] * (length / max(rms, 1e-12))
    ax.quiver(at[..., 1], at[..., 0], arrows[..., 1], arrows[..., 0], color=BLUE, angles="xy", scale_units="xy",
              scale=1, width=0.006, headwidth=4)  # fmt: skip
    ax.invert_yaxis()
    ax.set_aspect("equal")
    bare(ax)
    ax.set_xlabel(f"off an even raster: {rms:.2f} Å RMS, enlarged", fontsize=SMALL - 1, color=QUIET, labelpad=2)


def ring_panel(ax: Axes, frc: FRC, expected: xr.Dataset | None = None) -> None:
    """Ring correlation with the truth, how much signal each ring holds, and where the rings that have some fall.

    ``expected`` is what halves of the electrons say of it, see :func:`ptychodask.analysis.halves.agreement`.
    """
    known = np.isfinite(frc.frc) & (frc.q > 0)
    judged, rest = known & frc.judged, known & ~frc.judged
    most = float(frc.share.max()) or 1.0
    ax.bar(frc.q, 0.3 * frc.share / most, width=0.8 * frc.q[1] if frc.q.size > 1 else 0.1, color=RULE, zorder=0)
    ax.plot(frc.q[known], frc.frc[known], color=BLUE, linewidth=1.2, alpha=0.5)
    ax.plot(frc.q[judged], frc.frc[judged], color=BLUE, linestyle="", marker="o", markersize=3.4)
    ax.plot(frc.q[rest], frc.frc[rest], color=BLUE, linestyle="", marker="o", markersize=3.4, markerfacecolor="white")
    ax.plot(frc.q, frc.threshold, color=QUIET, linewidth=1.1, linestyle="--")
    if np.isfinite(frc.resolution_angstrom):
        limit_line(ax, frc.resolution_angstrom, float(frc.q[-1]))
    if expected is not None:
        ax.plot(expected.frequency, expected.truth, color=GREEN, linewidth=1.2)
    plain(ax, "spatial frequency (1/Å); open: no signal", "")
    ax.set_xlim(0, float(frc.q[-1]))
    ax.set_ylim(min(-0.1, float(np.nanmin(frc.frc[known], initial=0)) - 0.03), 1.03)


def information_panel(ax: Axes, information: xr.DataArray) -> None:
    """Share of the quantum limit by spatial frequency; where it is low, the image has little but what a prior says.

    At its end the curve is the bound that keeps noise from being amplified, and no measurement: it is dotted there.
    """
    q, t = np.asarray(information.frequency, dtype=float), np.asarray(information, dtype=float)
    told = int(np.flatnonzero(t > LEAST_HIGH * 1.001)[-1]) + 2 if (t > LEAST_HIGH * 1.001).any() else 0
    ax.fill_between(q[:told], t[:told], color=BLUE, alpha=0.2, linewidth=0)
    ax.plot(q[:told], t[:told], color=BLUE, linewidth=1.4)
    if told < len(q):
        ax.plot(q[max(told - 1, 0) :], t[max(told - 1, 0) :], color=QUIET, linewidth=1.0, linestyle=":")
        words = "below 0.1"
        ax.text(min(1.0, float(q[-1])) - 0.02, LEAST_HIGH - 0.01, words, ha="right", va="top",
                fontsize=SMALL - 1, color=QUIET)  # fmt: skip
    ax.axhline(0.5, color=QUIET, linewidth=1.0, linestyle="--")
    inner = np.flatnonzero((t[1:-1] < t[:-2]) & (t[1:-1] <= t[2:]) & (t[1:-1] < 0.8 * t.max())) + 1
    if inner.size and (0.05 < q[inner[0]] < 0.6):
        ax.annotate(
            f"gap at {1 / q[inner[0]]:.1f} Å", (q[inner[0]], t[inner[0]]), xytext=(4, 12), textcoords="offset points",
            color=ORANGE, fontsize=SMALL, path_effects=HALO,
        )  # fmt: skip
    plain(ax, "spatial frequency (1/Å)", "of the quantum limit")
    ax.set_xlim(0, min(1.0, float(q[-1])))
    ax.set_ylim(0, max(0.6, 1.1 * float(t.max())))


def probe_panel(ax: Axes, probe: xr.DataArray, diameters: tuple[float, ...]) -> None:
    """First mode as hue and brightness, with the circles of D50 and D90."""
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


def mode_text(powers: Floats, most: int = 4) -> str:
    """Share of the strongest modes, in words."""
    shares = [f"{100 * power:.3g} %" for power in powers[:most]]
    rest = len(powers) - most
    shares += [f"and {rest} more" if rest > 1 else f"{100 * powers[most]:.3g} %"] if rest > 0 else []
    return f"{counted(len(powers), 'mode')}: {', '.join(shares)}"


def phase_wheel(ax: Axes) -> None:
    """Hues of the probe's phase, counter-clockwise from 0 at the right."""
    side = np.linspace(-1.1, 1.1, 160)
    wave = side[None, :] - 1j * side[:, None]  # row 0 is on top
    radius = np.abs(wave)
    wheel = wave_rgb(np.exp(1j * np.angle(wave)), 1.0)
    edge = np.clip((1 - radius) * 40 + 0.5, 0, 1) * np.clip((radius - 0.55) * 40 + 0.5, 0, 1)
    ax.imshow(np.concatenate([wheel, edge[..., None]], axis=-1), extent=(-1.1, 1.1, -1.1, 1.1))
    ax.set_axis_off()
    ax.text(0, 0, "phase", ha="center", va="center", fontsize=6.0, color=INK)
    ax.text(1.15, 0, "0", ha="left", va="center", fontsize=SMALL - 1, color=INK)
    ax.text(-1.15, 0, "π", ha="right", va="center", fontsize=SMALL - 1, color=INK)


def history_panel(
    ax: Axes, history: dict[str, Floats], best: int, finish: int | None = None, sharper: int | None = None
) -> None:
    """Loss and, on its own axis, validation against iteration; the chosen iteration, and from where on losses are of
    another kind: of all electrons, or with a smaller epsilon."""
    iteration = np.asarray(history["iteration"], dtype=float)
    if iteration.size == 0:
        raise InputError("no iteration was recorded")
    marker = "o" if iteration.size <= 60 else ""
    loss = np.asarray(history["loss"], dtype=float)
    ax.plot(iteration, loss, color=BLUE, linewidth=1.6, marker=marker, markersize=3.5)
    plain(ax, "iteration", "loss (nats/pattern)", BLUE)
    ax.axvline(best, color=GREEN, linewidth=1.3, linestyle="--", zorder=1)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.margins(x=0.02)
    if finish is not None and finish > iteration[0]:
        # the loss of more electrons is higher: no worse fit, and no part of the curve before
        ax.axvspan(finish - 0.5, float(iteration[-1]) + 0.5, color=RULE, alpha=0.55, linewidth=0, zorder=0)
        words = "finish:\nall electrons"
        ax.text(
            float(iteration[-1]) + 0.3, 0.55, words, transform=ax.get_xaxis_transform(), ha="right", va="center",
            fontsize=SMALL - 1, color=QUIET, path_effects=HALO,
        )  # fmt: skip
    if sharper is not None and sharper > iteration[0]:
        ax.axvline(sharper - 0.5, color=QUIET, linewidth=1, linestyle=":", zorder=1)
        ax.text(
            sharper - 0.7, 0.96, "smaller\nepsilon", transform=ax.get_xaxis_transform(), ha="right", va="top",
            fontsize=SMALL - 1, color=QUIET, path_effects=HALO,
        )  # fmt: skip
    validation = np.asarray(history.get("validation", np.full(iteration.shape, np.nan)), dtype=float)
    known = np.isfinite(validation)
    if known.any():
        # its own axis: the held-out data differ, so only the two shapes compare
        twin = ax.twinx()
        twin.plot(iteration[known], validation[known], color=ORANGE, linewidth=1.6, marker=marker, markersize=3.5)
        twin.set_ylabel("held out", fontsize=TEXT, color=ORANGE)
        twin.tick_params(labelsize=SMALL, color=QUIET, labelcolor=INK, length=3)
        for side in ("top", "left", "bottom"):
            twin.spines[side].set_visible(False)
        twin.spines["right"].set_color(QUIET)
    ax.annotate(
        f"chosen: {best}",
        (best, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        va="bottom",
        color=GREEN,
        fontsize=TEXT,
        fontweight="bold",
    )
