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
from ..analysis.spectrum import Spectrum, crop_to_scan, pixel_size, power_spectrum
from ..physics.probe import probe_diameter
from .optional import Optional, number

Floats = NDArray[np.floating]


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
    fit: Mapping[str, Any] = field(default_factory=dict)  # how the loss compares with that of Poisson noise, if known
    remarks: Mapping[str, str] = field(default_factory=dict)  # why something was left out, by its name
    information: xr.DataArray | None = None  # (frequency,) share of the quantum limit, of the spectral prior
    kept: Mapping[float, float] = field(default_factory=dict)  # what it keeps of a lone spot by its sigma in angstrom
    geometry: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what was found of it, see Result.geometry
    finish: int | None = None  # first iteration that fits the held-out electrons too
    sharper: int | None = None  # first iteration with a smaller epsilon, in which losses are measured anew


@dataclass(frozen=True)
class Analysis:
    """Everything computed once, for the figures and for the drawing."""

    spectrum: Spectrum | None
    comparison: Comparison | None
    powers: Floats | None  # (mode,) share of each mode
    diameters: tuple[float, ...] | None  # angstrom, D50 and D90
    remarks: Mapping[str, str]  # why a figure is None
    filtered: bool = False  # by a prior that was measured from the power spectrum, which then tells nothing of its own

    @property
    def resolution(self) -> tuple[float | None, str]:
        """One figure in angstrom, and how it was got: the first that exists of those that prove the most."""
        if self.comparison is not None and np.isfinite(self.comparison.frc.resolution_angstrom):
            frc = self.comparison.frc
            beyond = f"{100 * frc.signal_beyond:.0f} % of the signal beyond"
            return frc.resolution_angstrom, f"ring correlation with the truth 0.5, {beyond}"
        if self.filtered:
            return None, "a filtered image's power spectrum tells none: ptychodask.ring_correlation of two halves does"
        if self.spectrum is not None and np.isfinite(self.spectrum.peak_limit_angstrom):
            how = f"outermost of {self.spectrum.lattice_peaks} lattice peaks in the power spectrum"
            return self.spectrum.peak_limit_angstrom, how
        if self.spectrum is not None and np.isfinite(self.spectrum.limit_angstrom):
            return self.spectrum.limit_angstrom, "rings of the power spectrum above the noise"
        seen = "no power spectrum" if self.spectrum is None else "no lattice or signal above the noise"
        return None, f"{seen}, no {'truth to compare with' if self.comparison is None else 'agreement with the truth'}"


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
    remarks = {**data.remarks, **attempt.remarks}
    return Analysis(spectrum, comparison, powers, diameters, remarks, data.information is not None)


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
        "information_limit_angstrom": None if spectrum is None else number(spectrum.limit_angstrom),
        "peak_limit_angstrom": None if spectrum is None else number(spectrum.peak_limit_angstrom),
        "lattice_peaks": None if spectrum is None else spectrum.lattice_peaks,
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


def _powers(intensity: Floats) -> Floats:
    total = intensity.sum(axis=(1, 2))
    if not (np.isfinite(total).all() and total.sum() > 0):
        raise InputError(f"the probe's power is {total.sum()}: it must be finite and above 0")
    return total / total.sum()


def _diameters(intensity: Floats, probe: xr.DataArray) -> tuple[float, ...]:
    dy, dx = pixel_size(probe.isel(mode=0))
    return probe_diameter(intensity, float(np.sqrt(dy * dx)), (0.5, 0.9))
