"""Figures of merit of a result: each is there, or left out with a remark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .._errors import InputError
from ..analysis.compare import Comparison, compare_with_truth
from ..analysis.efficiency import dose_efficiency
from ..analysis.halves import told
from ..analysis.spectrum import Spectrum, crop_to_scan, pixel_size, power_spectrum
from ..physics.probe import probe_diameter
from .optional import Optional, number

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class ReportData:
    """What a report shows, as plain arrays.

    Parameters
    ----------
    title : str
    phase : DataArray (y, x)
        rad, summed over the slices, coordinates in angstrom.
    probe : complex DataArray (mode, y, x)
        Centred, coordinates in angstrom.
    positions : array (..., 2)
        Angstrom, (y, x) in the frame of ``phase``.
    history : mapping of str to array (iterations,)
        ``iteration``, ``loss``, ``validation`` (may be NaN) and ``seconds``.
    best_iteration : int
    truth : DataArray (y, x), optional
        Projected phase in rad in the frame of ``phase``.
    summary : mapping
        Scalars, shown as one line.
    fit : mapping
        How the loss compares with that of Poisson noise, if known.
    remarks : mapping of str to str
        Why something was left out, by its name.
    information : DataArray (frequency,), optional
        Share of the quantum limit.
    filtered : bool
        By a spectral prior: its power spectrum is what the filter lets through.
    kept : mapping of float to float
        What the filter keeps of a lone spot, by the spot's sigma in angstrom.
    geometry : mapping
        What was found of it, see ``Result.geometry``.
    finish : int, optional
        First iteration that fits the held-out electrons too.
    halves : Dataset, optional
        What two halves of the electrons agree on, see :func:`ptychodask.analysis.halves.agreement`.
    misfit : Dataset, optional
        Where the data do not fit; only where they do not.
    dose : float, optional
        Electrons per square angstrom.
    path : str
        Of the result.
    sharper : int, optional
        First iteration with a smaller epsilon, in which losses are measured anew.
    """

    title: str
    phase: xr.DataArray
    probe: xr.DataArray
    positions: Floats
    history: Mapping[str, Floats]
    best_iteration: int
    truth: xr.DataArray | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)
    information: xr.DataArray | None = None
    filtered: bool = False
    kept: Mapping[float, float] = field(default_factory=dict)
    geometry: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    finish: int | None = None
    halves: xr.Dataset | None = None
    misfit: xr.Dataset | None = None
    dose: float | None = None
    path: str = ""
    sharper: int | None = None


@dataclass(frozen=True)
class Analysis:
    """Everything computed once, for the figures and for the drawing.

    Parameters
    ----------
    spectrum, comparison : Spectrum and Comparison, or None
    powers : array (mode,) or None
        Share of each mode.
    diameters : (float, float) or None
        D50 and D90 of the probe in angstrom.
    remarks : mapping of str to str
        Why a figure is None.
    halves : Dataset, optional
        As in :class:`ReportData`.
    efficiency : Dataset, optional
        Of the dose, see :func:`ptychodask.analysis.efficiency.dose_efficiency`.
    filtered : bool
        By a prior that was measured from the power spectrum, which then tells nothing of its own.
    """

    spectrum: Spectrum | None
    comparison: Comparison | None
    powers: Floats | None
    diameters: tuple[float, ...] | None
    remarks: Mapping[str, str]
    halves: xr.Dataset | None = None
    efficiency: xr.Dataset | None = None
    filtered: bool = False

    @property
    def resolution(self) -> tuple[float | None, str]:
        """One figure in angstrom, and how it was got: the first that exists of those that prove the most."""
        if self.comparison is not None and np.isfinite(self.comparison.frc.resolution_angstrom):
            frc = self.comparison.frc
            beyond = f"{100 * frc.signal_beyond:.0f} % of the signal beyond"
            halves = np.nan if self.halves is None else float(self.halves.resolution_angstrom)
            claimed = f"; halves claim {halves:.2f} Å" if np.isfinite(halves) else ""
            return frc.resolution_angstrom, f"ring correlation with the truth 0.5, {beyond}{claimed}"
        if self.halves is not None:
            limit = float(self.halves.resolution_angstrom)
            if np.isfinite(limit):
                return limit, "two halves of the electrons agree, each at half of the dose (1/7)"
            return None, "two halves of the electrons agree on nothing"
        seen = "no agreement with the truth" if self.comparison is not None else "no truth, and no halves yet"
        return None, f"{seen}: 'ptychodask halves' tells one"


def analyse(data: ReportData) -> Analysis:
    """Compute what can be computed.

    Raises
    ------
    InputError
        The arrays do not fit together.
    """
    if data.probe.dims != ("mode", "y", "x"):
        raise InputError(f"the probe has dimensions {data.probe.dims}: it needs ('mode', 'y', 'x')")
    lengths = {k: np.size(v) for k, v in data.history.items()}
    if not {"iteration", "loss"} <= set(lengths) or len(set(lengths.values())) > 1:
        raise InputError(f"history has lengths {lengths}: give iteration and loss, all of one length")
    attempt = Optional()
    intensity = np.abs(np.asarray(data.probe.values)) ** 2
    comparison = None
    if data.truth is not None:
        comparison = attempt("comparison", compare_with_truth, data.phase, data.truth, data.positions)
    spectrum = attempt("power_spectrum", lambda: power_spectrum(crop_to_scan(data.phase, data.positions)))
    powers = attempt("mode_powers", _powers, intensity)
    diameters = attempt("probe_diameters", _diameters, intensity, data.probe)
    efficiency = None
    if data.truth is not None and data.dose is not None and comparison is not None:
        efficiency = attempt(
            "dose_efficiency",
            dose_efficiency,
            comparison.correlation,
            data.phase,
            data.truth,
            data.positions,
            data.dose,
        )
    remarks = {**data.remarks, **attempt.remarks}
    return Analysis(spectrum, comparison, powers, diameters, remarks, data.halves, efficiency, data.filtered)


def figures_of(data: ReportData, analysis: Analysis) -> dict[str, Any]:
    """The figures of a report, ready for JSON (what does not exist is None)."""
    iteration = np.asarray(data.history["iteration"])
    match = np.flatnonzero(iteration == data.best_iteration)
    at = int(match[0]) if match.size else iteration.size - 1
    spectrum, (resolution, how) = analysis.spectrum, analysis.resolution
    d50, d90 = analysis.diameters or (None, None)

    def curve(name: str) -> float | None:
        values = np.asarray(data.history.get(name, ()))
        return number(values[at]) if values.size else None

    figures: dict[str, Any] = {
        "resolution_angstrom": number(resolution),
        "resolution_by": how,
        "information_limit_angstrom": None
        if spectrum is None or analysis.filtered
        else number(spectrum.limit_angstrom),
        "peak_limit_angstrom": None if spectrum is None else number(spectrum.peak_limit_angstrom),
        "lattice_peaks": None if spectrum is None else spectrum.lattice_peaks,
        **_of_halves(analysis.halves),
        **_of_dose(analysis.efficiency),
        "told": told_of(data, analysis),
        "iterations": int(iteration.size),
        "best_iteration": int(data.best_iteration),
        "loss": curve("loss"),
        "validation": curve("validation"),
        **data.fit,
        **({"contrast_kept": {f"{s:g}": float(k) for s, k in data.kept.items()}} if data.kept else {}),
        **({"geometry": {name: dict(its) for name, its in data.geometry.items()}} if data.geometry else {}),
        "mode_powers": None if analysis.powers is None else [number(p) for p in analysis.powers],
        "probe_d50_angstrom": number(d50),
        "probe_d90_angstrom": number(d90),
        "remarks": dict(analysis.remarks),
    }
    return figures if analysis.comparison is None else {**figures, **analysis.comparison.as_dict()}


def _of_halves(found: xr.Dataset | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {
        "halves_resolution_angstrom": number(float(found.resolution_angstrom)),
        "halves_peak_angstrom": number(float(found.peak_angstrom)),
        "halves_peaks": int(found.sizes["peak"]),
    }


def _of_dose(found: xr.Dataset | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {f"dose_efficiency_{float(d):.1f}A": number(float(e)) for d, e in
            zip(found.resolution, found.efficiency, strict=True)}  # fmt: skip


def told_of(data: ReportData, analysis: Analysis, brief: bool = False) -> list[str]:
    """What matters, in words: does the model fit, what is real, how much is made of the electrons."""
    lines = [str(data.fit["fit"])] if "fit" in data.fit else []
    if analysis.halves is not None and not brief:
        lines += told(analysis.halves)
    elif brief:
        pass  # the line of the resolution says it
    elif analysis.comparison is None:
        lines.append(
            f"what is real in it: 'ptychodask halves {data.path or 'RESULT'}' tells, in twice the time of the image"
        )
    if analysis.efficiency is not None:
        d, share = float(analysis.efficiency.resolution[0]), float(analysis.efficiency.efficiency[0])
        if np.isfinite(share):
            why = ": more than scanned diffraction can carry (1/2), by averaging what repeats"
            beyond = "" if share <= 0.5 else ", above 1/2 by averaging" if brief else why
            lines.append(f"as an ideal phase image of {share:.2f} of the dose at {d:g} Å{beyond}")
    elif data.information is not None:
        carried = np.asarray(data.information.sel(frequency=slice(0.02, 0.5)), dtype=float)
        if carried.size:
            lines.append(f"the electrons carry {carried.mean():.2f} of the quantum limit, mean to 2 Å (at best 1/2)")
    return lines


def _powers(intensity: Floats) -> Floats:
    total = intensity.sum(axis=(1, 2))
    if not (np.isfinite(total).all() and total.sum() > 0):
        raise InputError(f"the probe's power is {total.sum()}: it must be finite and above 0")
    return total / total.sum()


def _diameters(intensity: Floats, probe: xr.DataArray) -> tuple[float, ...]:
    dy, dx = pixel_size(probe.isel(mode=0))
    return probe_diameter(intensity, float(np.sqrt(dy * dx)), (0.5, 0.9))
