"""How long does an iteration take beside other packages, and which image is there after the same wall time?

ZIF-8 [001], 34 A, 300 kV, 10 mrad, defocus 600 A, 48 x 48 positions at 1.05 A, 128 x 128 detector, 100 electrons per
square angstrom; 4 slices, 2 threads on 2 cores. Every peer runs in its own virtual environment under ``--env`` (made
from PyPI where it is absent) through ``peers/NAME.py``. A tiny run starts no peer.

``time``: 2 probe modes. ptychodask runs before and after each peer, with its probe held and with the probe moving from
the first iteration, as the peers move it; the spread of these runs shows the machine's noise. A ratio above 1 says that
the peer takes longer. This measures time, not images: an iteration of another method gains more or less.

``images``: of every case (`peer_cases`: ZIF-8, NU-1000, and ZIF-8 whose geometry is told 50 A and 2 degrees wrong)
the one mode of the probe as it is told, given to all and held; correlation with the truth after ``--budgets`` seconds
of iterations (`peer_images`). Of the wrong geometry there are two images of each: as it is told, and with what may mend
it. ptychodask then refines defocus, rotation and the rest before the image; a peer lets the probe move, at its default
rate (most could move every position as well, which is not asked of them here). ptychodask takes its low-dose preset and
its own rule; the peers' settings are in NOTES, found with the truth at hand on 24 x 24 positions of ZIF-8. Orientation
and placing of the images were checked with ``--dose inf`` and, as a case, a structure without symmetry (90 atoms at
random): every peer correlates above 0.98 (quantem was checked on ZIF-8 alone). On ZIF-8 a mirrored image would reach
0.94. ``load_before`` says how busy the machine was.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from peer_cases import sample
from peer_environments import PEERS, environment, python_for, reason, run
from peer_images import our_images, peer_images
from record import save

import ptychodask
from ptychodask.model.optics import Microscope
from ptychodask.physics.modes import hermite_modes
from ptychodask.physics.probe import make_probe

QUESTION = "seconds per iteration beside other packages, and correlation with the truth after the same wall time"
SLICES, MODES, BATCH, THREADS, ITERATIONS = 4, 2, 32, 2, 3
BLUR = 0.45  # angstrom, of the low-dose preset: given to peers that have a blur and are not better off with less
NOTES: dict[str, dict[str, list[str]]] = {
    "ptyrad": {
        "time": [
            "amplitude residual (its default), Adam, eager PyTorch; object phase and probe move",
            "its option torch.compile runs on the CPU: 1.43 s for 1.69 s on 16 x 16 positions, one thread",
        ],
        "images": [
            "Poisson loss, positivity, lateral blur and blur along the beam (its constraints); phase alone moves",
            "Adam at 0.005, blur 0.2 A, of 5e-4 to 5e-3 and 0.2 to 0.45 A on 24 x 24 positions: 0.80 at iteration 14",
        ],
    },
    "phaser": {
        "time": [
            "conventional engine, LSQ-ML, amplitude residual (its LSQ-ML has no Poisson one), JAX on the CPU",
            "object and probe steps 0.001: steps of 0.1 and 0.005 ended in NaN on a 12 x 12 part of these counts",
        ],
        "images": [
            "gradient engine, Poisson, Adam, phase at or above 0, amplitude 1, its layer regularisation and blur",
            "Adam at 0.005, of 0.002 and 0.005 on 24 x 24 positions: 0.81 at iteration 10",
        ],
    },
    "ptychi": {
        "time": ["LSQ-ML with its defaults (Gaussian noise model); complex object and probe move"],
        "images": [
            "LSQ-ML, Poisson noise model, limits: amplitude 1, phase at or above 0",
            "step 0.5, of 0.1, 0.3 and 0.5 on 24 x 24 positions: 0.70 at iteration 6; it has no blur of the phase",
        ],
    },
    "py4dstem": {
        "time": ["gradient descent with its defaults, NumPy (double precision in its FFTs); object and probe move"],
        "images": [
            "gradient descent on amplitudes, real potential, positivity, identical slices, blur",
            "step 0.2, between 0.1 and its default 0.5, which came to the same on 24 x 24: 0.79 at iteration 7 or 8",
        ],
    },
    "quantem": {
        "time": ["Adam on the amplitude residual with its defaults; complex object and probe move"],
        "images": [
            "Adam, Poisson loss, potential at or above 0, identical slices, blur; patterns are not moved",
            "rate 0.02, blur 0.2 A; of .005, .45 A; .02, .45 A; .05, .45 A; .02, .2 A on 24 x 24: 0.79 at iteration 7",
        ],
    },
}
NOT_MEASURED = {"abTEM, fold_slice and others": "no runner here yet: add peers/NAME.py and an entry of PEERS"}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--tiny", action="store_true", help="smallest size, no peer: shows that the script runs")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--env", type=Path, help="folder of the peers' environments; a temporary one by default")
    parser.add_argument(
        "--constraint", action="append", default=[],
        help="pip constraint for every environment made, such as torch==2.13.0 where that has a build for the CPU",
    )  # fmt: skip
    parser.add_argument("--only", default=",".join(PEERS), help="peers to run, such as ptyrad,phaser")
    parser.add_argument("--sections", default="time,images", help="what to measure: time, images or both")
    parser.add_argument("--budgets", default="30,60", help="images: seconds of iterations")
    parser.add_argument(
        "--cases",
        default="zif-8,nu-1000,wrong",
        help="images: names or structure files as simulate takes them, or wrong",
    )
    parser.add_argument("--side", type=int, default=48, help="positions along each axis")
    parser.add_argument("--dose", type=float, default=100.0, help="electrons per square angstrom; inf: no noise")
    return parser.parse_args()


def made_up(path: Path) -> Path:
    """A 4 x 4 scan of the bare probe's disk."""
    angle = (np.arange(32) - 16) * 2.0
    disk = np.hypot(*np.meshgrid(angle, angle)) < 10
    counts = np.random.default_rng(0).poisson(disk, (4, 4, 32, 32)).astype(np.uint8)
    ptychodask.create_dataset(
        path, counts, energy_ev=300e3, semi_angle_mrad=10.0, angular_step_mrad=2.0, scan_step_angstrom=1.05,
        defocus_angstrom=100.0, attributes={"thickness_angstrom": 34.0},
    )  # fmt: skip
    return path


def ours(data: Path, probe: dict[str, Any], tiny: bool) -> float:
    """Median seconds per iteration, without the first and the last."""
    job = {
        "object": {"regularisation": "blur", "slices": SLICES},
        "probe": probe,
        "solver": {"iterations": 3 if tiny else 6, "finish": 0, "patience": 1000},
        "engine": {"threads": THREADS},
    }
    return float(median(ptychodask.reconstruct(data, job).history["seconds"][1:-1]))


def both(data: Path, tiny: bool) -> dict[str, Any]:
    """With the held and with the moving probe, and how busy the machine was."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "probe_held": ours(data, {"modes": MODES}, tiny),
        "probe_moving": ours(data, {"modes": MODES, "update_start": 0}, tiny),
        "load_before": load,
    }


def parameters(data: Path, folder: Path) -> dict[str, Any]:
    """What a runner needs: counts [J, N, N] and probe modes [M, N, N], both centred, as .npy; angstrom, mrad and eV."""
    scan = ptychodask.open_dataset(data)
    counts, a = scan.counts.values, scan.attrs
    pixels = counts.shape[-1]
    microscope = Microscope(float(a["energy_ev"]), a["semi_angle_mrad"], a["aberrations"])
    pixel = microscope.wavelength / (pixels * a["angular_step_mrad"] * 1e-3)
    probe = make_probe(microscope, pixels, pixel, float(counts.sum(axis=(-2, -1)).mean()))
    np.save(folder / "counts.npy", counts.reshape(-1, *counts.shape[2:]))
    np.save(folder / "probe.npy", hermite_modes(probe, MODES, 0.02).astype(np.complex64))
    return {
        "counts": str(folder / "counts.npy"),
        "probe": str(folder / "probe.npy"),
        "energy_ev": microscope.energy_ev,
        "wavelength_angstrom": microscope.wavelength,
        "semi_angle_mrad": a["semi_angle_mrad"],
        "defocus_angstrom": -a["aberrations"]["C10"],
        "angular_step_mrad": a["angular_step_mrad"],
        "pixels": pixels,
        "pixel_angstrom": pixel,
        "scan_shape": list(counts.shape[:2]),
        "scan_step_angstrom": a["scan_step_angstrom"][0],
        "thickness_angstrom": a["thickness_angstrom"],
        "slices": SLICES,
        "modes": MODES,
        "batch": BATCH,
        "threads": THREADS,
        "iterations": ITERATIONS,
        "blur_angstrom": BLUR,
    }


def ratios(peer: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> dict[str, float]:
    """Peer's seconds over the mean of ptychodask's before and after."""
    if "failed" in peer:
        return {}
    return {k: peer["seconds_per_iteration"] / mean((before[k], after[k])) for k in ("probe_held", "probe_moving")}


def installed(o: argparse.Namespace, folder: Path) -> tuple[dict[str, Path], dict[str, list[str]], dict[str, str]]:
    """Python of every wanted peer, what was done to its environment, and the reasons where there is none."""
    pythons: dict[str, Path] = {}
    repairs: dict[str, list[str]] = {}
    missing = dict(NOT_MEASURED)
    for peer in PEERS:
        if o.tiny or peer not in o.only.split(","):
            missing[peer] = "a tiny run starts no peer" if o.tiny else "left out by --only"
            continue
        home = (o.env or folder / "environments").resolve() / peer
        try:
            repairs[peer] = environment(peer, home, o.constraint)
            pythons[peer] = python_for(home)
        except (subprocess.CalledProcessError, OSError) as error:
            missing[peer] = f"not installed: {reason(error)}"
    return pythons, repairs, missing


def runner(peer: str) -> Path:
    return Path(__file__).parent.resolve() / "peers" / f"{peer}.py"


def timed(o: argparse.Namespace, data: Path, pythons: dict[str, Path], given: dict[str, Any], folder: Path) -> Any:
    """Seconds per iteration of ptychodask and the peers in turn."""
    patterns = given["scan_shape"][0] * given["scan_shape"][1]
    if not o.tiny:
        ours(data, {"modes": MODES}, True)  # compile kernels once
    turns = [both(data, o.tiny)]
    rows: list[dict[str, Any]] = []
    for peer, python in pythons.items():
        row = run(runner(peer), python, given, folder)
        turns.append(both(data, False))
        if "failed" not in row:
            row["patterns_per_second"] = patterns / row["seconds_per_iteration"]
        notes = NOTES.get(peer, {}).get("time", [])
        rows.append({"peer": peer, **row, "ratio": ratios(row, turns[-2], turns[-1]), "notes": notes})
        print(json.dumps([rows[-1], turns[-2:]]), file=sys.stderr, flush=True)
    own = {k: mean(turn[k] for turn in turns) for k in ("probe_held", "probe_moving")}
    return {
        "ptychodask": {
            "residual": "poisson",
            "seconds_per_iteration": own,
            "patterns_per_second": {k: patterns / s for k, s in own.items()},
            "turns": turns,
        },
        "peers": rows,
    }


def imaged(o: argparse.Namespace, name: str, pythons: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Correlation with the truth of one case after the same wall time."""
    budgets = [float(b) for b in o.budgets.split(",")]
    case = sample(name, folder, o.side, o.dose)
    given = parameters(case.data, folder)
    job = {"object": {"slices": SLICES}, "engine": {"threads": THREADS}}
    ours(case.data, {}, True)  # compile kernels once
    second = ours(case.data, {}, False)
    own: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for mends in (False, True) if name == "wrong" else (False,):
        refine = {"geometry": {"refine": "auto" if mends else "none"}}
        own += [{"mends": mends, **row} for row in our_images(case, {**job, **refine}, budgets, second)]
        print(json.dumps(own), file=sys.stderr, flush=True)
        for peer, python in pythons.items():
            images, load = folder / f"{peer}.npy", os.getloadavg()[0] if hasattr(os, "getloadavg") else None
            wanted = {"modes": 1, "images": str(images), "seconds": max(budgets), "probe_moves": mends}
            answer = run(runner(peer), python, {**given, **wanted}, folder)
            row = answer if "failed" in answer else {**answer, **peer_images(answer, np.load(images), case, budgets)}
            notes = NOTES.get(peer, {}).get("images", [])
            rows.append({"peer": peer, "mends": mends, "load_before": load, **row, "notes": notes})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    told = {k: v for k, v in given.items() if k not in ("counts", "probe")}
    return {"modes": 1, "budgets_seconds": budgets, "told": told, "ptychodask": own, "peers": rows}


def compare(o: argparse.Namespace, folder: Path) -> dict[str, Any]:
    sections = o.sections.split(",")
    pythons, repairs, missing = installed(o, folder)
    result: dict[str, Any] = {}
    if "time" in sections:
        data = made_up(folder / "scan.zarr") if o.tiny else sample("zif-8", folder, o.side, o.dose).data
        given = parameters(data, folder)
        result["parameters"] = {k: v for k, v in given.items() if k not in ("counts", "probe")}
        result["time"] = timed(o, data, pythons, given, folder)
    if "images" in sections:
        result["images"] = (
            {"failed": "a made-up scan has no truth"}
            if o.tiny
            else {name: imaged(o, name, pythons, folder) for name in o.cases.split(",")}
        )
    return {**result, "changed_in_environments": repairs, "not_measured": missing}


if __name__ == "__main__":
    given = options()
    with tempfile.TemporaryDirectory() as name:
        save("against_peers", QUESTION, compare(given, Path(name)), given)
