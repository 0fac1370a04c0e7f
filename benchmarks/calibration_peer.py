"""The geometry from the same counts, by this package and by py4DSTEM: rotation by the centre of mass, and parallax.

The cases of ``calibration.py``, detector as stored (so neither is exchanged), rotation 30 degrees. py4DSTEM is run in
an environment of its own, whose Python the variable PY4DSTEM_PYTHON names; without it only this package's numbers are
there. Its angles have a sign of their own and no defocus decides the branch: the error is the least over both signs
and 180 degrees, which is generous. Its C1 is that of the shifts, in magnitude.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from calibration import CASES, STEP, TINY, WRONG, Case, patterns, write
from record import arguments, save

import ptychodask

QUESTION = "errors of rotation and defocus, by this package and by py4DSTEM"
PEER = Path(__file__).parent / "peers" / "geometry_py4dstem.py"
SEEDS = 2


def away(found: float, true: float) -> float:
    """Degrees from an angle, its negative, and both turned by 180: the least."""
    return min(abs((sign * found - true + 90) % 180 - 90) for sign in (1, -1))


def peer(folder: Path, case: Case, counts: np.ndarray) -> dict[str, Any] | None:
    """What py4DSTEM finds, with the errors of it; None where it is not installed."""
    python = os.environ.get("PY4DSTEM_PYTHON")
    if not python:
        return None
    np.save(folder / "counts.npy", counts)
    parameters = {
        "counts": str(folder / "counts.npy"), "energy_ev": 300e3, "scan_step_angstrom": STEP,
        "angular_step_mrad": case.angular_step,
    }  # fmt: skip
    (folder / "p.json").write_text(json.dumps(parameters))
    done = subprocess.run([python, str(PEER), str(folder / "p.json")], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    middle = case.defocus - case.thickness / 2
    for its in found.values():
        if isinstance(its, dict) and "rotation_degrees" in its:
            its["rotation_error_degrees"] = away(its["rotation_degrees"], math.degrees(case.geometry.rotation))
        if isinstance(its, dict) and "c1_angstrom" in its:
            its["defocus_error_angstrom"] = abs(its["c1_angstrom"]) - abs(middle)
    return dict(found)


def once(folder: Path, case: Case, clean: np.ndarray, thickness: float, seed: int) -> dict[str, Any]:
    counts = np.random.default_rng(seed).poisson(clean).astype(np.uint16)
    data = write(folder / "scan.zarr", case, counts, thickness)
    cpu = time.process_time()
    found = ptychodask.calibrate(data, progress=False)
    turn = (found["rotation_degrees"] - math.degrees(case.geometry.rotation) + 180) % 360 - 180
    ours = {
        "rotation_error_degrees": turn, "defocus_error_angstrom": found["defocus_angstrom"] - case.defocus,
        "transpose": found["transpose"], "cpu_seconds": time.process_time() - cpu,
    }  # fmt: skip
    return {"case": case.name, "seed": seed, "wrong_by_angstrom": WRONG, "ptychodask": ours,
            "py4dstem": peer(folder, case, counts)}  # fmt: skip


def main() -> None:
    options = arguments(QUESTION)
    rows = []
    for case in TINY if options.tiny else CASES[:2]:
        clean, thickness = patterns(case)
        for seed in range(1 if options.tiny else SEEDS):
            with tempfile.TemporaryDirectory() as name:
                rows.append(once(Path(name), case, clean, thickness, seed))
        save("calibration_peer", QUESTION, rows, options)


if __name__ == "__main__":
    main()
