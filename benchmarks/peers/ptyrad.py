"""PtyRAD on the CPU, in its own environment: one JSON line with the seconds per iteration.

Run by ``against_peers.py``: ``python ptyrad.py PARAMETERS.json``. Moves what ptychodask moves: the phase of the object
and the probe. By default PtyRAD would move amplitude and positions as well.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

sys.path.pop(0)  # this folder: a file here has the name of the package

import matplotlib

matplotlib.use("Agg")

import torch
from ptyrad.params import PtyRADParams
from ptyrad.solver import PtyRADSolver


def parameters(p: dict[str, Any]) -> dict[str, Any]:
    """PtyRAD's own dictionary; what is not said here is PtyRAD's default."""
    off = {"start_iter": None, "lr": 0.0}
    given = {
        "init_params": {
            "random_seed": 0,
            "probe_illum_type": "electron",
            "probe_kv": p["energy_ev"] / 1e3,
            "probe_conv_angle": p["semi_angle_mrad"],
            "probe_aberrations": {"defocus": p["defocus_angstrom"]},
            "probe_pmode_max": p["modes"],
            "meas_Npix": p["pixels"],
            "meas_calibration": {"mode": "dx", "value": p["pixel_angstrom"]},
            "meas_source": "npy",
            "meas_params": {"path": p["counts"]},
            "pos_N_scans": p["scan_shape"][0] * p["scan_shape"][1],
            "pos_N_scan_slow": p["scan_shape"][0],
            "pos_N_scan_fast": p["scan_shape"][1],
            "pos_scan_step_size": p["scan_step_angstrom"],
            "pos_scan_rand_std": 0.0,
            "obj_Nlayer": p["slices"],
            "obj_slice_thickness": p["thickness_angstrom"] / p["slices"],
        },
        "model_params": {"update_params": {"obja": off, "probe_pos_shifts": off}},
        "recon_params": {
            "NITER": 1 + p["iterations"],
            "BATCH_SIZE": {"size": p["batch"], "grad_accumulation": 1},
            "SAVE_ITERS": None,
        },
    }
    return PtyRADParams(**given).model_dump()


def main(p: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(p["threads"])
    solver = PtyRADSolver(parameters(p), device="cpu", seed=0)
    solver.reconstruct()
    model = solver.reconstruct_results
    seconds = [float(s) for s in model.iter_times]  # its own stopwatch, around one pass over all patterns
    return {
        "version": metadata.version("ptyrad"),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "iterations": len(seconds) - 1,
        "seconds_per_iteration": median(seconds[1:]),
        "seconds": seconds,
        "loss_first_last": [float(model.loss_iters[0][1]), float(model.loss_iters[-1][1])],
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
