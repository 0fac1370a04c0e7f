"""From a raw file to the image, by commands: how much of what the true geometry gives is reached?

A synthetic microscope (``microscope.py``) writes a file; ``ptychodask import``, ``calibrate --write`` and
``reconstruct`` get it with energy, semi-angle and nominal step, and nothing else. Beside it the same electrons, without
a detector's noise, are reconstructed with the true geometry: positions, aberrations, defocus of the middle of the
specimen, place of the disk. Both images are held against the true phase at 2.5 and 2 angstrom: as they lie, and after
the fit of a linear map (``registered_2.5A``), which takes out what no counts can tell (the scale is 1 % off the nominal
step) and leaves what wrong positions do to the image. Three objects of 64 x 64 positions and three noises each, then
two with a drift of the rows, then two of 96 x 96 positions, then NU-1000 at 21 mrad, where three noises are asked for a
correlation of .88. ``share`` is of the true geometry's figure; its mean and least are those of 64 x 64 at 10 mrad
without drift. ``reconstruct`` refines a geometry that was calibrated (``refined_errors``); ``unrefined`` is the image
without that.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from microscope import DETECTORS, ENERGY, ORIENTATIONS, Seen, Setup, look, to_stored, truth_in, turned
from record import arguments, save

import ptychodask
from ptychodask.analysis.compare import compare_with_truth
from ptychodask.analysis.registration import register
from ptychodask.cli import main as ptychodask_command
from ptychodask.io.geometry import write_geometry
from ptychodask.model.geometry import Geometry, geometry_of

QUESTION = "correlation with the truth from the raw file, over that with the true geometry"
SETUPS = (
    Setup("zif-8", thickness=34.0),
    Setup("nu-1000", thickness=50.0, rotation=-52.0, off=(-2.7, 0.6)),
    Setup("zr-btb", thickness=45.0, rotation=101.0, off=(0.4, 2.1)),
)
WIDE = Setup(
    "nu-1000", thickness=50.0, semi_angle=21.0, defocus=300.0, rotation=-52.0, off=(-2.7, 0.6), angular_step=0.987,
    wide=1.5,
)  # fmt: skip
"""The disk has as many pixels as at 10 mrad."""
FIGURES = ("correlation_2.5A", "correlation_2.0A", "registered_2.5A")
SEEDS = 3
DRIFT = 0.3


Command = Callable[..., float]
"""Runs a command of the package with these words; seconds."""


def here(*words: Any) -> float:
    """In this process: four starts are most of the time of a smoke run."""
    began, before, said = time.perf_counter(), sys.argv, StringIO()
    sys.argv = ["ptychodask", *map(str, words)]
    try:
        with redirect_stdout(said):
            ptychodask_command()
    except SystemExit as left:
        if left.code:
            raise SystemExit(f"{' '.join(sys.argv)}: {said.getvalue()}") from left
    finally:
        sys.argv = before
    return time.perf_counter() - began


def typed(*words: Any) -> float:
    """In a process of its own, as a person does."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "ptychodask", *map(str, words)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stdout}{done.stderr}")
    return time.perf_counter() - began


def correlation(result: Path, truth: Any, setup: Setup) -> dict[str, float]:
    """In the largest upright square that lies in the turned scan."""
    opened = ptychodask.open_result(result)
    positions = opened.positions.values.reshape(-1, 2)
    turn = np.radians(setup.rotation)
    half = 0.5 * (setup.side - 1) * setup.step / (abs(np.cos(turn)) + abs(np.sin(turn)))
    inside = (np.abs(positions - positions.mean(axis=0)) < half).all(axis=1)
    found = compare_with_truth(opened.phase, truth, positions[inside], margin=0.0)
    registered = register(found.image, found.truth, affine=True)
    return {**found.as_dict(), "registered_2.5A": registered.correlation}


def with_truth(folder: Path, seen: Seen, counts: np.ndarray, options: list[str], command: Command) -> dict[str, float]:
    """The same electrons with the true geometry."""
    setup, data, result = seen.setup, folder / "true.zarr", folder / "true-result.zarr"
    at = setup.geometry
    middle = setup.defocus - seen.thickness / 2
    ptychodask.create_dataset(
        data, counts, energy_ev=ENERGY, semi_angle_mrad=setup.semi_angle, defocus_angstrom=middle,
        aberrations={"C12": at.c12, "phi12": at.phi12}, angular_step_mrad=setup.angular_step,
        scan_step_angstrom=setup.step, overwrite=True,
        positions_angstrom=setup.positions.reshape(setup.side, setup.side, 2),
    )  # fmt: skip
    n, last = setup.pixels, setup.side - 1
    slopes = np.array(setup.descan).T / last
    plane = np.concatenate([(n // 2 + setup.centres[0, 0])[:, None], slopes], axis=1)
    aberrations = {"C10": -middle, "C12": at.c12, "phi12": at.phi12}
    write_geometry(data, np.eye(2, 3), aberrations, {"values": "true"}, centre=plane)
    command("reconstruct", data, "-o", result, "--overwrite", *options)
    return correlation(result, seen.phase, setup)


def scan_errors(found: dict[str, float], true: Geometry) -> dict[str, float]:
    """Of rotation, asymmetry and shear."""
    return {
        "rotation_degrees": (found["rotation_degrees"] - np.degrees(true.rotation) + 180) % 360 - 180,
        "asymmetry_percent": 100 * (found["asymmetry"] - true.asymmetry),
        "shear_percent": 100 * (found["shear"] - true.shear),
    }


def by_commands(
    folder: Path, seen: Seen, counts: np.ndarray, orientation: tuple[bool, bool, bool], detector: str, seed: int,
    options: list[str], command: Command,
) -> dict[str, Any]:  # fmt: skip
    setup, data, result = seen.setup, folder / "scan.zarr", folder / "result.zarr"
    raw = folder / "raw"
    raw.mkdir()
    path, given = DETECTORS[detector](raw, turned(counts, orientation), np.random.default_rng(1000 + seed))
    known = ["--energy", ENERGY / 1e3, "--semi-angle", setup.semi_angle, "--step", setup.step]
    seconds = {"import": command("import", path, "-o", data, *known, *given, "--overwrite")}
    shutil.rmtree(raw)
    seconds["calibrate"] = command("calibrate", data, "--write")
    stored = json.loads((data / "zarr.json").read_text())["attributes"]
    values = {name: its["value"] for name, its in stored["calibration"]["values"].items()}
    seconds["reconstruct"] = command("reconstruct", data, "-o", result, "--overwrite", *options)
    still = folder / "unrefined.zarr"
    command("reconstruct", data, "-o", still, "--overwrite", *options, "--set", "geometry.refine=none")
    there = ptychodask.open_dataset(data).positions.values.reshape(-1, 2).mean(axis=0)
    truth = truth_in(seen.phase, orientation, setup.positions.mean(axis=0), there)
    figures, unrefined = correlation(result, truth, setup), correlation(still, truth, setup)
    true = geometry_of(to_stored(orientation) @ setup.geometry.matrix)
    away = scan_errors(values, true)
    refined = {name: its["value"] for name, its in (ptychodask.open_result(result).geometry or {}).items()}
    # a detector that is reversed about its middle has zero angle one pixel before
    centre = (setup.off[0] * (-1 if orientation[0] else 1) - orientation[0],
              setup.off[1] * (-1 if orientation[1] else 1) - orientation[1])  # fmt: skip
    centre = centre[::-1] if orientation[2] else centre
    slopes = np.array(stored["disk_centre"])[:, 1:] * (setup.side - 1)
    planted = to_stored(orientation) @ np.array(setup.descan).T
    return {
        "figures": figures,
        "unrefined": {n: unrefined[n] for n in FIGURES},
        "seconds": seconds,
        "orientation_right": bool(values["transpose"] == true.transpose and abs(away["rotation_degrees"]) < 90),
        "refined_errors": scan_errors({**values, **refined}, true),
        "errors": {
            **away,
            "defocus_angstrom": values["defocus_angstrom"] - (setup.defocus - seen.thickness / 2),
            "scale_percent": 100 * (values["scale"] - true.scale),
            "centre_pixels": float(np.hypot(*(values[f"centre_{axis}_pixels"] - setup.pixels // 2 - c
                                              for axis, c in zip("yx", centre, strict=True)))),
            "descan_pixels": float(np.abs(slopes - planted).max()),
            "angular_step_percent": 100 * (stored["angular_step_mrad"] / setup.angular_step - 1),
            "electrons_percent": 100 * (stored["electrons_per_pattern"] / counts.sum(axis=(2, 3)).mean() - 1),
        },
    }  # fmt: skip


def case(seen: Seen, seed: int, number: int, options: list[str], command: Command) -> dict[str, Any]:
    orientation = ORIENTATIONS[(3 * number) % 8]
    detector = list(DETECTORS)[number % len(DETECTORS)]
    counts = seen.electrons(seed)
    with tempfile.TemporaryDirectory() as name:
        known = with_truth(Path(name), seen, counts, options, command)
        found = by_commands(Path(name), seen, counts, orientation, detector, seed, options, command)
    row = {
        "material": seen.setup.material, "seed": seed, "orientation": orientation, "detector": detector,
        "drift_angstrom": seen.setup.drift,
        "side": seen.setup.side, "semi_angle_mrad": seen.setup.semi_angle,
        "true_geometry": {n: known[n] for n in FIGURES}, "from_raw": {n: found["figures"][n] for n in FIGURES},
        "share": {n: found["figures"][n] / known[n] for n in FIGURES},
        **{n: value for n, value in found.items() if n != "figures"},
    }  # fmt: skip
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def main() -> None:
    """A result is written after every run, so that a benchmark that is cut off leaves what it has."""
    options = arguments(QUESTION, takes_semi_angle=True)
    if options.tiny:
        tiny = Setup("zif-8", 17.0, side=20, dose=1000, slice_thickness=8.0, pixels=32, angular_step=0.94)
        planned, short = [(tiny, 0)], ["--set", "solver.iterations=2", "--set", "solver.finish=0"]
    else:
        planned = [(setup, seed) for seed in range(SEEDS) for setup in SETUPS]
        planned += [(replace(setup, drift=DRIFT), 0) for setup in SETUPS[:2]]
        planned += [(replace(setup, side=96), 0) for setup in SETUPS[:2]]
        planned += [(WIDE, seed) for seed in range(SEEDS)]
        short = []
    seen: dict[Setup, Seen] = {}
    rows: list[dict[str, Any]] = []
    its = list(enumerate(planned))  # orientation and detector go by the number
    if options.semi_angle is not None:
        its = [(number, run) for number, run in its if run[0].semi_angle == options.semi_angle]
    for number, (setup, seed) in its:
        if setup not in seen:
            seen[setup] = look(setup)
        rows.append(case(seen[setup], seed, number, short, here if options.tiny else typed))
        as_first = [row for row in rows if all(row[n] == rows[0][n] for n in ("side", "semi_angle_mrad"))]
        plain = [row["share"] for row in as_first if not row["drift_angstrom"]]
        shares = {n: [share[n] for share in plain] for n in FIGURES}
        about = {
            "runs_planned": len(its), "runs_done": len(rows),
            "share_mean": {n: float(np.mean(its)) for n, its in shares.items()},
            "share_least": {n: min(its) for n, its in shares.items()},
            "orientations": len({row["orientation"] for row in rows}),
        }  # fmt: skip
        save("raw_to_image", QUESTION, {**about, "runs": rows}, options)


if __name__ == "__main__":
    main()
