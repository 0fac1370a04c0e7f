"""Is a wrong geometry found while the image forms, and how much of the image does it win back?

Crystals and patterns of ``calibration`` (abTEM and the chain of this package; rotation 30 degrees, asymmetry 2 %, shear
1 %, scale 1.01, C12 = 30 angstrom): 64 x 64 positions of 1.05 angstrom, 100 e/A^2, 64 x 64 pixels. The dataset says
another geometry by what is planted; it says the scale as it is. One slice stands for the crystal (two at 21 mrad), so
the defocus that is right is that of its middle, or half a slice from the entrance. ``exact`` is the run on the right
geometry, ``wrong`` that on what the dataset says, ``refined`` the same with ``geometry.refine = auto``, all with the
default prior. Correlation with the truth at 2.5 angstrom inside the scan; errors are found less planted; ``within`` is
the share of those that moved that are below the stated standard error.

Results are kept after every noise of a case: a run that was stopped goes on with the next one.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import calibration as c
import numpy as np
import xarray as xr
from record import RESULTS, arguments, machine, save

import ptychodask
from ptychodask.analysis.compare import compare_with_truth
from ptychodask.events import Warned
from ptychodask.model.geometry import Geometry
from ptychodask.model.optics import Microscope
from ptychodask.model.scan import Canvas, Detector, raster
from ptychodask.simulation.scattering import Experiment, potential_slices, projected_phase
from ptychodask.simulation.specimen import Specimen

QUESTION = "correlation and errors that are left where the geometry is refined with the image"
TOGETHER = {"rotation": math.radians(2), "asymmetry": 0.02, "shear": 0.01, "defocus": -50.0, "c12": 20.0}
PLANTED: dict[str, Mapping[str, float]] = {
    "together": TOGETHER,
    "rotation 2 degrees": {"rotation": math.radians(2)},
    "defocus +100 A with the rest": {**TOGETHER, "defocus": -100.0},
    "nothing": {},
}
"""Right values less those that the dataset says; of C12 along its own angle."""
CASES = (c.CASES[3], c.CASES[2], c.CASES[0])
SEEDS = 3
COMMIT = machine()["commit"]
"""At the start: a run that goes on for long sees others."""


def truth_of(case: c.Case) -> xr.DataArray:
    """Projected phase of the crystal, in the frame of the right positions."""
    scope = Microscope(c.ENERGY, case.semi_angle, {"C10": -case.defocus})
    specimen = Specimen(case.material, case.thickness, 0, 0.1, 0)
    detector = Detector(96, case.angular_step)
    experiment = Experiment(specimen, scope, detector, placed(case, case.geometry), case.dose, case.slice_thickness)
    whole: Any = sum(potential for _, potential in potential_slices(experiment))
    canvas, phase = projected_phase(experiment, np.asarray(whole))
    assert isinstance(canvas, Canvas)
    return xr.DataArray(phase, {"y": canvas.coordinates(0), "x": canvas.coordinates(1)}, ("y", "x"))


def placed(case: c.Case, at: Geometry) -> np.ndarray:
    """Positions [J, 2] about the middle of those that are right."""
    nominal = raster((case.side,) * 2, (c.STEP, c.STEP)).reshape(-1, 2)
    return (nominal - nominal.mean(axis=0)) @ at.matrix.T + nominal.mean(axis=0) @ case.geometry.matrix.T


def slices_of(case: c.Case) -> int:
    """One for each half of the depth of field, about; they are tied."""
    return 1 if case.semi_angle < 15 else 2


def said(case: c.Case, thickness: float, planted: Mapping[str, float]) -> Geometry:
    """What the dataset says."""
    true = case.geometry
    c12 = planted.get("c12", 0.0)
    return Geometry(
        true.rotation - planted.get("rotation", 0.0), true.scale, true.asymmetry - planted.get("asymmetry", 0.0),
        true.shear - planted.get("shear", 0.0),
        true.defocus - thickness / (2 * slices_of(case)) - planted.get("defocus", 0.0),
        true.c12a - c12 * math.cos(2 * true.phi12), true.c12b - c12 * math.sin(2 * true.phi12),
    )  # fmt: skip


def run(
    folder: Path, case: c.Case, counts: np.ndarray, thickness: float, at: Geometry, truth: xr.DataArray,
    refine: str | tuple[str, ...], iterations: int | None = None, rows: np.ndarray | None = None,
) -> tuple[dict[str, Any], Any]:  # fmt: skip
    """Correlation with the truth, seconds and warnings; and the result. ``rows`` [side, 2] are added to positions."""
    positions = placed(case, at).reshape(case.side, case.side, 2)
    if rows is not None:
        positions = positions + rows[:, None]
    data = ptychodask.create_dataset(
        folder / "scan.zarr", counts, energy_ev=c.ENERGY, semi_angle_mrad=case.semi_angle, defocus_angstrom=at.defocus,
        aberrations={"C12": at.c12, "phi12": at.phi12}, angular_step_mrad=case.angular_step, scan_step_angstrom=c.STEP,
        positions_angstrom=positions, attributes={"thickness_angstrom": thickness}, overwrite=True,
    )  # fmt: skip
    solver = {} if iterations is None else {"iterations": iterations}
    job = {"object": {"slices": slices_of(case)}, "geometry": {"refine": refine}, "solver": solver}
    warned: list[str] = []

    def note(event: Any) -> None:
        if isinstance(event, Warned) and "geometry" in event.text:
            warned.append(event.text)

    wall, cpu = time.perf_counter(), time.process_time()
    result = ptychodask.reconstruct(data, job, output=folder / "result.zarr", overwrite=True, progress=note)
    seconds = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    right = placed(case, case.geometry)
    half = c.STEP * case.side / (math.cos(case.geometry.rotation) + math.sin(case.geometry.rotation)) / 2
    inside = right.mean(axis=0) + half * np.array([[-1, -1], [1, 1]])  # the square in the turned scan
    found = compare_with_truth(result.phase, truth, inside, margin=min(3.3, half / 4))
    return {"correlation": found.correlation[2.5], "warnings": warned, **seconds}, result


def errors(case: c.Case, thickness: float, found: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Found less right, and stated standard errors."""
    true = said(case, thickness, {})
    value = {name: its["value"] for name, its in found.items()}
    wave = value["c12_angstrom"] * np.exp(2j * value["phi12_rad"]) * np.exp(-2j * true.phi12)
    away = {
        "defocus_angstrom": value["defocus_angstrom"] - true.defocus,
        "c12_angstrom": float(wave.real) - true.c12,
        "rotation_degrees": value["rotation_degrees"] - math.degrees(true.rotation),
        "asymmetry": value["asymmetry"] - true.asymmetry,
        "shear": value["shear"] - true.shear,
    }
    return away, {name: found[name]["sigma"] for name in away}


def simulated(case: c.Case, kept: Path | None) -> tuple[np.ndarray, float, xr.DataArray]:
    """Expected patterns, thickness and truth, from the folder that keeps them where they are there."""
    file = None if kept is None else kept / f"{case.name.replace(' ', '-')}.npy"
    if file is not None and file.exists():
        its = np.load(file.with_suffix(".truth.npz"))
        truth = xr.DataArray(its["v"], {"y": its["y"], "x": its["x"]}, ("y", "x"))
        return np.load(file), float(np.load(file.with_suffix(".thickness.npy"))), truth
    (clean, thickness), truth = c.patterns(case), truth_of(case)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file.with_suffix(".thickness.npy"), thickness)
        np.savez(file.with_suffix(".truth.npz"), v=truth.values, y=truth.y.values, x=truth.x.values)
        np.save(file, clean)
    return clean, thickness, truth


def of_seed(
    case: c.Case, plantings: tuple[str, ...], seed: int, kept: Path | None, iterations: int | None = None
) -> list[dict[str, Any]]:
    """Plantings with one noise."""
    clean, thickness, truth = simulated(case, kept)
    counts = np.random.default_rng(seed).poisson(clean).astype(np.uint8)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        where = (Path(name), case, counts, thickness)
        exact, _ = run(*where, said(case, thickness, {}), truth, "none", iterations)
        for planting in plantings:
            at = said(case, thickness, PLANTED[planting])
            wrong, _ = run(*where, at, truth, "none", iterations) if PLANTED[planting] else (exact, None)
            refined, result = run(*where, at, truth, "auto", iterations)
            away, sigma = errors(case, thickness, result.geometry)
            held = [name for name, its in result.geometry.items() if its["how"].startswith("held:")]
            rows.append({
                "commit": COMMIT, "case": case.name, "planted": planting, "seed": seed, "exact": exact, "wrong": wrong,
                "refined": refined, "errors": away, "sigma": sigma, "held": held,
            })  # fmt: skip
            print(case.name, planting, seed, *(f"{r['correlation']:.4f}" for r in (exact, wrong, refined)), flush=True)
    return rows


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the seeds of every case and planting."""
    found = []
    for case, planting in dict.fromkeys((row["case"], row["planted"]) for row in rows):
        its = [row for row in rows if (row["case"], row["planted"]) == (case, planting)]
        within = [abs(row["errors"][n]) < row["sigma"][n] for row in its for n in row["errors"] if n not in row["held"]]
        found.append({
            "case": case, "planted": planting, "seeds": len(its),
            **{n: float(np.mean([r[n]["correlation"] for r in its])) for n in ("exact", "wrong", "refined")},
            "worst_loss": max(r["wrong"]["correlation"] - r["refined"]["correlation"] for r in its),
            "rms_errors": {n: float(np.sqrt(np.mean([r["errors"][n] ** 2 for r in its]))) for n in its[0]["errors"]},
            "within": float(np.mean(within)) if within else None,
            "cpu_seconds": {n: float(np.mean([r[n]["cpu_seconds"] for r in its])) for n in ("wrong", "refined")},
        })  # fmt: skip
    return found


if __name__ == "__main__":
    options = arguments(QUESTION, keeps_data=True, takes_seeds=True)
    if options.tiny:
        rows = of_seed(replace(c.TINY[0], side=16), ("together",), 0, None, 4)
        save("geometry", QUESTION, {"summary": summary(rows), "runs": rows}, options)
    else:
        path = options.out or RESULTS / "geometry.json"
        rows = json.loads(path.read_text())["result"]["runs"] if path.exists() else []
        jobs = [(case, ("together",), seed) for seed in range(options.seeds or SEEDS) for case in CASES]
        jobs += [(CASES[0], (planting,), 0) for planting in PLANTED if planting != "together"]
        for case, plantings, seed in jobs:
            if not any((r["case"], r["planted"], r["seed"]) == (case.name, plantings[0], seed) for r in rows):
                rows += of_seed(case, plantings, seed, options.data)
                save("geometry", QUESTION, {"summary": summary(rows), "runs": rows}, options)
