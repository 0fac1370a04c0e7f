"""py4DSTEM's solves of the geometry, in its own environment: rotation by the centre of mass, and parallax.

Run by ``calibration_peer.py``: ``python geometry_py4dstem.py PARAMETERS.json`` prints one JSON line. Each is called as
its documentation shows, with what an operator knows: energy, angular step, scan step. Angles are as py4DSTEM says them.
"""

from __future__ import annotations

import json
import math
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.pop(0)  # this folder: a file here has the name of the package

import matplotlib

matplotlib.use("Agg")

import numpy as np
import py4DSTEM
from py4DSTEM.process.phase import DPC, Parallax


def cube_of(p: dict[str, Any]) -> Any:
    cube = py4DSTEM.DataCube(np.load(p["counts"]).astype(np.float32))
    cube.calibration.set_R_pixel_size(p["scan_step_angstrom"])
    cube.calibration.set_R_pixel_units("A")
    cube.calibration.set_Q_pixel_size(p["angular_step_mrad"])
    cube.calibration.set_Q_pixel_units("mrad")
    return cube


def by_centre_of_mass(p: dict[str, Any]) -> dict[str, Any]:
    began = time.process_time()
    found = DPC(datacube=cube_of(p), energy=p["energy_ev"], verbose=False).preprocess(
        plot_center_of_mass=False, plot_rotation=False, vectorized_com_calculation=False
    )
    return {
        "rotation_degrees": math.degrees(found._rotation_best_rad), "transpose": bool(found._rotation_best_transpose),
        "cpu_seconds": time.process_time() - began,
    }  # fmt: skip


def by_parallax(p: dict[str, Any], transpose: bool) -> dict[str, Any]:
    began = time.process_time()
    found = Parallax(datacube=cube_of(p), energy=p["energy_ev"], verbose=False, device="cpu").preprocess(
        edge_blend=8, plot_average_bf=False, force_transpose=transpose
    )
    found = found.reconstruct(progress_bar=False, plot_aligned_bf=False, plot_convergence=False)
    found.aberration_fit(force_transpose=transpose)
    names = [tuple(name) for name in np.array(found._aberrations_mn).tolist()]
    fitted = dict(zip(names, np.array(found._aberrations_coefs, float).tolist(), strict=True))
    return {
        "rotation_degrees": math.degrees(float(found.rotation_Q_to_R_rads)), "transpose": transpose,
        "c1_angstrom": fitted[1, 0, 0], "c12_angstrom": math.hypot(fitted[1, 2, 0], fitted[1, 2, 1]),
        "cpu_seconds": time.process_time() - began,
    }  # fmt: skip


if __name__ == "__main__":
    parameters = json.loads(Path(sys.argv[1]).read_text())
    answer: dict[str, Any] = {"version": metadata.version("py4DSTEM")}
    for name, solve in (
        ("centre of mass", lambda: by_centre_of_mass(parameters)),
        ("parallax, as stored", lambda: by_parallax(parameters, False)),
        ("parallax, transposed", lambda: by_parallax(parameters, True)),
    ):
        try:
            answer[name] = solve()
        except Exception as error:  # of a peer: said, and the next is tried
            answer[name] = {"failed": f"{type(error).__name__}: {error}"[:300]}
    print(json.dumps(answer))
