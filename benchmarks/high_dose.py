"""At a high dose: does every pattern find its place, what does that win back, and are the probe's modes recovered?

Crystals by abTEM, 32 x 32 positions of 1.05 angstrom, patterns of 64 pixels (the middle of simulated 96), 300 kV; a
source of 0.35 or 0.15 angstrom (standard deviation), so that the probe has several modes. The dataset says positions
that are right, or 0.3 angstrom off (RMS): every pattern by itself (``wrong``), or as the rows of a scan that drifts
along x (``drift``). The run is told energy, semi-angle and defocus, not the source, has three free modes and makes 40
iterations with the default prior: as the dataset says, and with ``geometry.refine = positions`` (``kept`` from right
positions, ``found``, ``drift found``).

Correlation with the truth at 2.5 and 1 angstrom inside the scan; ``left`` is the RMS distance of the positions from the
right ones in angstrom, less their mean, of all and of those that are 3 positions or more from the edge (``inner``);
``said`` is the standard error that the result states, which takes object and probe as known. ``modes``: powers of the
modes, found and true, and the part of the true probe's power that lies in the span of the found modes, after the shift
that is free.
"""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from record import arguments, save

import ptychodask
from ptychodask.analysis.compare import compare_with_truth
from ptychodask.model.optics import Microscope
from ptychodask.model.scan import Detector, raster
from ptychodask.physics.coherence import coherent_modes, points
from ptychodask.simulation.scattering import (
    Experiment,
    diffraction_patterns,
    potential_slices,
    projected_phase,
    transmission,
)
from ptychodask.simulation.specimen import Specimen

QUESTION = "positions that are left wrong at a high dose, and what they cost"
ENERGY, STEP, PIXELS = 300e3, 1.05, 64
JITTER, MODES, EDGE = 0.3, 3, 3
ELECTRONS = (1e4, 1e5, 1e6)
PLACES = ("positions",)
WAYS = {
    "right": ("right", "none"), "kept": ("right", PLACES), "wrong": ("each", "none"), "found": ("each", PLACES),
    "drift": ("rows", "none"), "drift found": ("rows", PLACES),
}  # fmt: skip
"""What the dataset says of positions, and what is refined."""


@dataclass(frozen=True)
class Case:
    """What is simulated; angstrom and mrad."""

    name: str
    material: str
    thickness: float
    semi_angle: float
    defocus: float
    slices: int
    source: float
    side: int = 32
    slice_thickness: float = 2.0

    @property
    def microscope(self) -> Microscope:
        return Microscope(ENERGY, self.semi_angle, {"C10": -self.defocus})

    @property
    def angular_step(self) -> float:
        return 0.047 * self.semi_angle

    @property
    def positions(self) -> np.ndarray:
        """Right ones [side, side, 2]."""
        return raster((self.side,) * 2, (STEP, STEP))


CASES = (
    Case("ZIF-8, 10 mrad", "zif-8", 34, 10, 600, 1, 0.35),
    Case("NU-1000, 21 mrad", "nu-1000", 50, 21, 300, 4, 0.15),
    Case("MAPbI3, 21 mrad", "mapbi3", 25, 21, 200, 4, 0.15),
)
TINY = Case("tiny", "zif-8", 17, 10, 600, 1, 0.35, side=12, slice_thickness=8.0)


def simulated(case: Case) -> tuple[np.ndarray, float, xr.DataArray]:
    """Expected patterns for one electron, thickness and truth."""
    detector = Detector(PIXELS * 3 // 2, case.angular_step)
    specimen, places = Specimen(case.material, case.thickness, 0, 0.1, 0), case.positions.reshape(-1, 2)
    experiment = Experiment(
        specimen, case.microscope, detector, places, 1.0, case.slice_thickness, source_size=case.source
    )
    potentials = list(potential_slices(experiment))
    depths = np.array([dz for dz, _ in potentials])
    waves = np.stack([transmission(experiment, potential) for _, potential in potentials])
    rim = slice(PIXELS // 4, PIXELS // 4 + PIXELS)
    parts = (np.arange(low, min(low + 128, len(places))) for low in range(0, len(places), 128))
    found = np.concatenate([diffraction_patterns(experiment, its, waves, depths)[:, rim, rim] for its in parts])
    canvas, phase = projected_phase(experiment, np.asarray(sum(potential for _, potential in potentials)))
    truth = xr.DataArray(phase, {"y": canvas.coordinates(0), "x": canvas.coordinates(1)}, ("y", "x"))
    return found.reshape(case.side, case.side, PIXELS, PIXELS), float(depths.sum()), truth


def displacements(side: int) -> dict[str, np.ndarray]:
    """Of patterns [side, side, 2], 0.3 angstrom RMS, by name."""
    each = np.random.default_rng(5).standard_normal((side, side, 2))
    rows = np.zeros((side, side, 2))
    rows[..., 1] = np.cos(1.5 * np.pi * np.arange(side) / (side - 1))[:, None]
    rows -= rows.mean(axis=(0, 1))
    return {
        name: its * JITTER / math.sqrt(float((its**2).sum(axis=-1).mean()))
        for name, its in (("each", each), ("rows", rows))
    }


def left(case: Case, result: Any) -> dict[str, float]:
    """RMS distance of positions from the right ones, less their mean."""
    away = result.positions.values - case.positions
    away = away - away.mean(axis=(0, 1))
    inner = away[EDGE:-EDGE, EDGE:-EDGE]
    return {name: math.sqrt(float((its**2).sum(axis=-1).mean())) for name, its in (("left", away), ("inner", inner))}


def modes(case: Case, result: Any) -> dict[str, Any]:
    """Powers of the modes, and the part of the true probe's power that the found ones hold."""
    found = np.asarray(result.probe.values)
    n, axis = found.shape[-1], result.probe["probe_y"].values
    every = points(case.microscope, case.source, 0.0)
    true = coherent_modes(case.microscope, n, float(axis[1] - axis[0]), every, MODES)
    spectra, wanted = (np.fft.fft2(its, norm="ortho").reshape(MODES, -1) for its in (found, true))
    span = np.linalg.qr(spectra.T)[0].T

    def held(shift: np.ndarray) -> float:
        """With the true probe shifted (y, x), pixels."""
        k = np.fft.fftfreq(n)
        ramp = np.exp(-2j * np.pi * (shift[0] * k[:, None] + shift[1] * k[None, :])).ravel()
        return float((np.abs(span.conj() @ (wanted * ramp).T) ** 2).sum())

    best, width = np.zeros(2), 1.0
    while width > 1e-3:  # the shift is a small one: a grid that closes in on it
        grid = best + width * np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2)
        best, width = max(grid, key=held), width / 1.5
    power = (np.abs(found) ** 2).sum(axis=(1, 2))
    its = (np.abs(true) ** 2).sum(axis=(1, 2))
    return {"powers": (power / power.sum()).tolist(), "true": its.tolist(), "held": held(best) / float(its.sum())}


def of_case(case: Case, electrons: tuple[float, ...], iterations: int) -> list[dict[str, Any]]:
    """A row for every number of electrons."""
    clean, thickness, truth = simulated(case)
    clean = clean / clean.sum(axis=(2, 3)).mean()
    planted = {"right": np.zeros((case.side, case.side, 2)), **displacements(case.side)}
    rows = []
    for number in electrons:
        counts = np.random.default_rng(0).poisson(clean * number).astype(np.uint32)
        row: dict[str, Any] = {"case": case.name, "electrons": number}
        for way, (off, refine) in WAYS.items():
            with tempfile.TemporaryDirectory() as folder:
                data = ptychodask.create_dataset(
                    Path(folder) / "scan.zarr", counts, energy_ev=ENERGY, semi_angle_mrad=case.semi_angle,
                    defocus_angstrom=case.defocus - thickness / (2 * case.slices), angular_step_mrad=case.angular_step,
                    scan_step_angstrom=STEP, attributes={"thickness_angstrom": thickness},
                    positions_angstrom=case.positions + planted[off], chunks=(16, 16),
                )  # fmt: skip
                job = {
                    "object": {"slices": case.slices}, "probe": {"modes": MODES, "update_start": 2, "mode_power": 0.1},
                    "geometry": {"refine": refine}, "solver": {"iterations": iterations},
                }  # fmt: skip
                start = time.perf_counter()
                result = ptychodask.reconstruct(data, job, output=Path(folder) / "result.zarr", progress=False)
                seconds = time.perf_counter() - start
                corners = case.positions.reshape(-1, 2)
                its = compare_with_truth(result.phase, truth, corners, (2.5, 1.0), margin=min(3.3, case.side / 8))
                row[way] = {
                    "correlation": {str(at): value for at, value in its.correlation.items()}, **left(case, result),
                    "modes": modes(case, result), "loss": float(result.history["loss"][-1]), "seconds": seconds,
                    "said": result.geometry.get("positions_angstrom", {}).get("sigma"),
                }  # fmt: skip
        rows.append(row)
        shown = (f"{way} {row[way]['correlation']['1.0']:.4f} {row[way]['left']:.3f} A" for way in WAYS)
        print(case.name, f"{number:g}", *shown, f"said {row['found']['said']:.3f}", row["found"]["modes"], flush=True)
    return rows


if __name__ == "__main__":
    options = arguments(QUESTION)
    if options.tiny:
        rows = of_case(TINY, (3e4,), 6)
    else:
        rows = [row for case in CASES for row in of_case(case, ELECTRONS, 40)]
    save("high_dose", QUESTION, {"rows": rows}, options)
