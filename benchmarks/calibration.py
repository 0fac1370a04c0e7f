"""How far off is a calibration from data of 100 electrons per square angstrom?

Crystals by abTEM and the chain of this package, 64 x 64 positions of a step of 1.05 angstrom, patterns of 64 pixels
(the middle of simulated 96), 300 kV. Planted: rotation 30 degrees, scale 1.01, asymmetry 2 %, shear 1 %, C12 = 30
angstrom at 0.5 rad; the dataset says none of it, and a defocus that is 80 angstrom wrong. Each seed has another noise
and another of the eight ways to lay a detector on a scan. Errors are found less planted; those of the defocus are at
the entrance surface, with the thickness given. A vacuum, the same disk without a specimen, has to be refused.
"""

from __future__ import annotations

import math
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from record import arguments, save

import ptychodask
from ptychodask.model.geometry import SWAP, Geometry, geometry_of
from ptychodask.model.optics import Microscope
from ptychodask.model.scan import Detector, raster
from ptychodask.simulation.scattering import Experiment, diffraction_patterns, potential_slices, transmission
from ptychodask.simulation.specimen import Specimen

QUESTION = "errors of a calibration from the counts alone"
STEP, ENERGY, WRONG = 1.05, 300e3, 80.0
SEEDS = 4
TURNS = [(y, x, t) for t in (False, True) for y in (False, True) for x in (False, True)]
"""Rows reversed, columns reversed, then exchanged."""


@dataclass(frozen=True)
class Case:
    """What is simulated."""

    name: str
    material: str
    thickness: float
    semi_angle: float
    defocus: float
    side: int = 64
    dose: float = 100.0
    slice_thickness: float = 2.0

    @property
    def geometry(self) -> Geometry:
        """Planted."""
        a, b = (30 * f(2 * 0.5) for f in (math.cos, math.sin))
        return Geometry(math.radians(30), 1.01, 0.02, 0.01, self.defocus, a, b)

    @property
    def angular_step(self) -> float:
        return 0.047 * self.semi_angle


CASES = (
    Case("NU-1000, 10 mrad, defocus 600 A", "nu-1000", 50, 10, 600),
    Case("NU-1000, 10 mrad, in focus", "nu-1000", 50, 10, 0),
    Case("NU-1000, 21 mrad, defocus 300 A", "nu-1000", 50, 21, 300),
    Case("ZIF-8, 10 mrad, defocus 600 A", "zif-8", 34, 10, 600),
)
TINY = (Case("tiny", "zif-8", 17, 10, 600, side=20, dose=5000, slice_thickness=8.0),)


def patterns(case: Case, pixels: int = 64) -> tuple[np.ndarray, float]:
    """Expected counts (scan_y, scan_x, N, N), and the thickness of the crystal."""
    at = case.geometry
    scope = Microscope(ENERGY, case.semi_angle, {"C10": -case.defocus, "C12": at.c12, "phi12": at.phi12})
    detector = Detector(pixels * 3 // 2, case.angular_step)
    positions = raster((case.side,) * 2, (STEP, STEP)).reshape(-1, 2) @ at.matrix.T
    specimen = Specimen(case.material, case.thickness, 0, 0.1, 0)
    electrons = case.dose * STEP**2
    experiment = Experiment(specimen, scope, detector, positions, electrons, case.slice_thickness)
    slices = [(dz, transmission(experiment, potential)) for dz, potential in potential_slices(experiment)]
    thicknesses, waves = np.array([dz for dz, _ in slices]), np.stack([wave for _, wave in slices])
    rim = slice(pixels // 4, pixels // 4 + pixels)
    found = np.empty((len(positions), pixels, pixels), np.float32)
    for first in range(0, len(positions), 128):
        some = np.arange(first, min(first + 128, len(positions)))
        found[some] = diffraction_patterns(experiment, some, waves, thicknesses)[:, rim, rim]
    return found.reshape(case.side, case.side, pixels, pixels), float(thicknesses.sum())


def write(path: Path, case: Case, counts: np.ndarray, thickness: float) -> Path:
    return ptychodask.create_dataset(
        path, counts, energy_ev=ENERGY, semi_angle_mrad=case.semi_angle, defocus_angstrom=case.defocus + WRONG,
        angular_step_mrad=case.angular_step, scan_step_angstrom=STEP, attributes={"thickness_angstrom": thickness},
        overwrite=True,
    )  # fmt: skip


def once(path: Path, case: Case, clean: np.ndarray, thickness: float, seed: int) -> dict[str, Any]:
    """Errors of one calibration, their stated sizes, and the time that it took."""
    counts = np.random.default_rng(seed).poisson(clean).astype(np.uint16)
    matrix = case.geometry.matrix
    y, x, exchanged = TURNS[3 * seed % 8]
    for reverse, axis in ((y, 2), (x, 3)):
        if reverse:  # pixel N/2, where zero angle is, stays
            counts = np.roll(np.flip(counts, axis), 1, axis)
            matrix = np.diag([-1.0 if axis == 2 else 1.0, -1.0 if axis == 3 else 1.0]) @ matrix
    if exchanged:
        counts, matrix = counts.swapaxes(2, 3), SWAP @ matrix
    data = write(path, case, counts, thickness)
    wall, cpu = time.perf_counter(), time.process_time()
    found = ptychodask.calibrate(data, progress=False)
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    true = geometry_of(matrix)
    mirrored = y != x
    # C12 cos(2 phi12) is the same in reversed patterns, C12 sin(2 phi12) changes its sign with one of both axes
    phi = (-case.geometry.phi12 if mirrored else case.geometry.phi12) % math.pi
    if exchanged != true.transpose:  # an odd number of reversals: what is found is of patterns exchanged once more
        phi = (math.pi / 2 - phi) % math.pi
    wave = found["c12_angstrom"] * np.exp(2j * found["phi12_rad"]) - case.geometry.c12 * np.exp(2j * phi)
    turn = (found["rotation_degrees"] - math.degrees(true.rotation) + 180) % 360 - 180
    errors = {
        "defocus_angstrom": found["defocus_angstrom"] - case.defocus,
        "c12_angstrom": abs(wave),
        "rotation_degrees": turn,
        "scale_percent": 100 * (found["scale"] - true.scale),
        "asymmetry_percent": 100 * (found["asymmetry"] - true.asymmetry),
        "shear_percent": 100 * (found["shear"] - true.shear),
        "radius_pixels": found["semi_angle_pixels"] - case.semi_angle / case.angular_step,
        "centre_pixels": math.hypot(*(found[f"centre_{axis}_pixels"] - len(clean[0, 0]) / 2 for axis in "yx")),
    }
    sigma = {name: v.sigma for name, v in found.values.items() if v.sigma is not None}
    right = bool(found["transpose"] == true.transpose and abs(turn) < 90)
    return {"seed": seed, "orientation_right": right, "errors": errors, "sigma": sigma, "nats": found.estimate.margin,
            "skewness": found.estimate.skew, "seconds": seconds[0], "cpu_seconds": seconds[1]}  # fmt: skip


def refused(path: Path, case: Case, clean: np.ndarray, seed: int) -> bool:
    """Is a vacuum told from a specimen?"""
    mean = np.broadcast_to(clean.mean(axis=(0, 1)), clean.shape)
    data = write(path, case, np.random.default_rng(100 + seed).poisson(mean).astype(np.uint16), 50.0)
    try:
        ptychodask.calibrate(data, progress=False)
    except ptychodask.InputError:
        return True
    return False


def measured(case: Case, seeds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        return _measured(Path(name), case, seeds)


def _measured(folder: Path, case: Case, seeds: int) -> dict[str, Any]:
    clean, thickness = patterns(case)
    runs = [once(folder / "scan.zarr", case, clean, thickness, seed) for seed in range(seeds)]
    names = list(runs[0]["errors"])
    errors = {name: [run["errors"][name] for run in runs] for name in names}
    return {
        "case": case.name,
        "thickness_angstrom": thickness,
        "orientation_right": f"{sum(run['orientation_right'] for run in runs)} of {seeds}",
        "mean_error": {name: float(np.mean(values)) for name, values in errors.items()},
        "rms_error": {name: float(np.sqrt(np.mean(np.square(values)))) for name, values in errors.items()},
        "vacua_refused": f"{sum(refused(folder / 'scan.zarr', case, clean, seed) for seed in range(seeds))} of {seeds}",
        "runs": runs,
    }


if __name__ == "__main__":
    options = arguments(QUESTION)
    if options.tiny:
        found = [measured(case, 1) for case in TINY]
    else:  # a process for each of two cases at a time
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            found = list(pool.map(measured, CASES, [SEEDS] * len(CASES)))
    save("calibration", QUESTION, found, options)
