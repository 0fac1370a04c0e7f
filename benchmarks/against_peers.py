"""How long does one iteration take beside other packages, on the same data, S, M, N and threads, in turn?

ZIF-8 [001], 34 A, 300 kV, 10 mrad, defocus 600 A, 48 x 48 positions at 1.05 A, 128 x 128 detector, 100 electrons per
square angstrom; 4 slices, 2 probe modes, 2 threads on 2 cores. Every peer runs in its own virtual environment under
``--env`` (made from PyPI where it is absent) through ``peers/NAME.py``. ptychodask runs before and after each peer,
with its probe held and with the probe moving from the first iteration, as the peers move it; the spread of these runs
shows the machine's noise. A ratio above 1 says that the peer takes longer. This measures time, not images: an iteration
of another method, or with another residual, gains more or less. A tiny run starts no peer.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from record import save

import ptychodask

QUESTION = "seconds per iteration of ptychodask beside its peers: same data, slices, modes and threads, in turn"
SLICES, MODES, BATCH, THREADS, ITERATIONS = 4, 2, 32, 2, 3
PEERS = {"ptyrad": ["ptyrad==1.0.0"], "phaser": ["phaserEM[jax]==0.3.1"]}
NOTES = {
    "ptyrad": ["amplitude residual (its default), Adam, eager PyTorch; object phase and probe move"],
    "phaser": [
        "conventional engine, LSQ-ML, amplitude residual (its LSQ-ML has no Poisson one), JAX on the CPU",
        "object and probe steps 0.001: steps of 0.1 and 0.005 ended in NaN on a 12 x 12 part of these counts",
    ],
}
NOT_MEASURED = {
    "abTEM, py4DSTEM, quantem, fold_slice and others": "no runner here yet: add peers/NAME.py and an entry of PEERS"
}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--tiny", action="store_true", help="smallest size, no peer: shows that the script runs")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--env", type=Path, help="folder of the peers' environments; a temporary one by default")
    parser.add_argument("--only", default=",".join(PEERS), help="peers to run, such as ptyrad,phaser")
    return parser.parse_args()


def python_for(folder: Path) -> Path:
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def newest_python() -> str:
    """python3.12 where that runs (a version manager may leave a name that does not), else this Python."""
    found = shutil.which("python3.12")
    runs = found and subprocess.run([found, "-V"], capture_output=True, check=False).returncode == 0
    return found if found and runs else sys.executable


def environment(peer: str, folder: Path) -> list[str]:
    """Make the environment of a peer where it is absent; notes of what was done to it."""
    python = python_for(folder)
    if not python.exists():
        subprocess.run([newest_python(), "-m", "venv", str(folder)], check=True, capture_output=True, text=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS[peer]]
        subprocess.run(install, check=True, capture_output=True, text=True)
    return repair_ptyrad(folder) if peer == "ptyrad" else []


def repair_ptyrad(folder: Path) -> list[str]:
    """PtyRAD 1.0.0 has an f-string with the same quotes inside, which Python 3.11 refuses: change those quotes."""
    version = subprocess.run([str(python_for(folder)), "-V"], capture_output=True, text=True, check=True).stdout
    if not version.startswith("Python 3.11"):
        return []
    for path in folder.glob("lib/python*/site-packages/ptyrad/plotting/basic.py"):
        text = path.read_text(encoding="utf-8")
        mended = re.sub(r"(f'[^'\n]*)\{lr_iters\['niter'\]\[-1\]\}'", r"""\1{lr_iters["niter"][-1]}'""", text)
        if mended != text:
            path.write_text(mended, encoding="utf-8")
        if '{lr_iters["niter"][-1]}' in mended:
            return [
                "one pair of quotes in ptyrad/plotting/basic.py is changed: Python 3.11 refuses the file as released"
            ]
    return []


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
        "object": {"slices": SLICES},
        "probe": {"modes": MODES, **probe},
        "solver": {"iterations": 3 if tiny else 6, "finish": 0, "patience": 1000},
        "engine": {"threads": THREADS},
    }
    return float(median(ptychodask.reconstruct(data, job).history["seconds"][1:-1]))


def both(data: Path, tiny: bool) -> dict[str, Any]:
    """With the held and with the moving probe, and how busy the machine was."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "probe_held": ours(data, {}, tiny),
        "probe_moving": ours(data, {"update_start": 0}, tiny),
        "load_before": load,
    }


def parameters(data: Path, folder: Path) -> dict[str, Any]:
    """Counts as .npy, centred, [J, N, N], and what else a runner needs."""
    scan = ptychodask.open_dataset(data)
    counts = scan.counts.values
    np.save(folder / "counts.npy", counts.reshape(-1, *counts.shape[2:]))
    a = scan.attrs
    energy, mass = float(a["energy_ev"]), 510998.95
    wavelength = 12398.42 / (energy * (energy + 2 * mass)) ** 0.5
    return {
        "counts": str(folder / "counts.npy"),
        "energy_ev": energy,
        "semi_angle_mrad": a["semi_angle_mrad"],
        "defocus_angstrom": -a["aberrations"]["C10"],
        "angular_step_mrad": a["angular_step_mrad"],
        "pixels": counts.shape[-1],
        "pixel_angstrom": wavelength / (counts.shape[-1] * a["angular_step_mrad"] * 1e-3),
        "scan_shape": list(counts.shape[:2]),
        "scan_step_angstrom": a["scan_step_angstrom"][0],
        "thickness_angstrom": a["thickness_angstrom"],
        "slices": SLICES,
        "modes": MODES,
        "batch": BATCH,
        "threads": THREADS,
        "iterations": ITERATIONS,
    }


def two_cores() -> Callable[[], None] | None:
    """Keep a peer to as many cores as threads: some libraries take all that they see."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))[:THREADS]
    return lambda: os.sched_setaffinity(0, cores)


def reason(error: Exception) -> str:
    """Last line of what a failed process said."""
    said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
    return said[-1][:300] if said else type(error).__name__


def theirs(peer: str, python: Path, given: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run the runner of a peer; its last line is the answer."""
    file = folder / "parameters.json"
    file.write_text(json.dumps(given))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(THREADS))
    runner = Path(__file__).parent.resolve() / "peers" / f"{peer}.py"
    try:
        run = subprocess.run(
            [str(python), str(runner), str(file)], capture_output=True, text=True, check=True, cwd=folder,
            env={**os.environ, **threads, "PYTHONPATH": ""}, preexec_fn=two_cores(),
        )  # fmt: skip
        return json.loads(run.stdout.strip().splitlines()[-1])
    except (subprocess.CalledProcessError, OSError, ValueError, IndexError) as error:
        return {"failed": reason(error)}


def ratios(peer: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> dict[str, float]:
    """Peer's seconds over the mean of ptychodask's before and after."""
    if "failed" in peer:
        return {}
    return {k: peer["seconds_per_iteration"] / mean((before[k], after[k])) for k in ("probe_held", "probe_moving")}


def compare(o: argparse.Namespace, folder: Path) -> dict[str, Any]:
    if o.tiny:
        data = made_up(folder / "scan.zarr")
    else:
        data = ptychodask.simulate(
            folder / "scan.zarr", "zif-8", thickness_angstrom=34, scan_shape=(48, 48), slice_thickness_angstrom=4.0
        )
    given = parameters(data, folder)
    patterns = given["scan_shape"][0] * given["scan_shape"][1]
    shown = {k: v for k, v in given.items() if k not in ("counts", "iterations")}
    if not o.tiny:
        ours(data, {}, True)  # compile kernels once
    turns = [both(data, o.tiny)]
    rows: list[dict[str, Any]] = []
    missing = dict(NOT_MEASURED)
    wanted = [] if o.tiny else o.only.split(",")
    for peer in PEERS:
        if peer not in wanted:
            missing[peer] = "a tiny run starts no peer" if o.tiny else "left out by --only"
            continue
        home = (o.env or folder / "environments").resolve() / peer
        try:
            notes = [*NOTES[peer], *environment(peer, home)]
        except (subprocess.CalledProcessError, OSError) as error:
            rows.append({"peer": peer, "failed": f"not installed: {reason(error)}"})
            continue
        row = theirs(peer, python_for(home), given, folder)
        turns.append(both(data, False))
        if "failed" not in row:
            row["patterns_per_second"] = patterns / row["seconds_per_iteration"]
        rows.append({"peer": peer, **row, "ratio": ratios(row, turns[-2], turns[-1]), "notes": notes})
        print(json.dumps([rows[-1], turns[-2:]]), file=sys.stderr, flush=True)
    own = {k: mean(turn[k] for turn in turns) for k in ("probe_held", "probe_moving")}
    return {
        "parameters": shown,
        "ptychodask": {
            "residual": "poisson",
            "seconds_per_iteration": own,
            "patterns_per_second": {k: patterns / s for k, s in own.items()},
            "turns": turns,
        },
        "peers": rows,
        "not_measured": missing,
    }


if __name__ == "__main__":
    given = options()
    with tempfile.TemporaryDirectory() as name:
        save("against_peers", QUESTION, compare(given, Path(name)), given)
