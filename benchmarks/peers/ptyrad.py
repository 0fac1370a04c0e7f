"""PtyRAD on the CPU, in its own environment: one JSON line with the seconds per iteration.

Run by ``against_peers.py``: ``python ptyrad.py PARAMETERS.json``. A timing moves what ptychodask moves: the phase of
the object and the probe (by default PtyRAD would move amplitude and positions as well). An image holds the probe and
uses its Poisson loss, positivity and blur.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from operators import declare
from stopwatch import Stopwatch

sys.path.pop(0)  # this folder: a file here has the name of the package

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch

REPAIRS = declare()

from ptyrad.params import PtyRADParams  # noqa: E402  after the repair, without which it does not import
from ptyrad.solver import PtyRADSolver  # noqa: E402

STEP, BLUR = 0.005, 0.2  # of the images: rad and angstrom, tuned (see NOTES of against_peers.py)


class EnoughError(Exception):
    """Ends PtyRAD's loop, which knows no stopping by time."""


def parameters(p: dict[str, Any]) -> dict[str, Any]:
    """PtyRAD's own dictionary; what is not said here is PtyRAD's default."""
    off = {"start_iter": None, "lr": 0.0}
    given: dict[str, Any] = {
        "init_params": {
            "random_seed": 0,
            "probe_illum_type": "electron",
            "probe_kv": p["energy_ev"] / 1e3,
            "probe_conv_angle": p["semi_angle_mrad"],
            "probe_aberrations": {"defocus": p["defocus_angstrom"]},
            "probe_pmode_max": p["modes"],
            "probe_source": "custom",
            "probe_params": np.load(p["probe"])[: p["modes"]],
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
            "NITER": 10_000,
            "BATCH_SIZE": {"size": p["batch"], "grad_accumulation": 1},
            "SAVE_ITERS": None,
        },
    }
    if "images" in p:
        moving = {"start_iter": 1, "lr": STEP}
        still = {"start_iter": 1, "lr": 1e-4} if p["probe_moves"] else off
        given["model_params"]["update_params"].update(objp=moving, probe=still)
        given["loss_params"] = {"loss_single": {"state": False}, "loss_poissn": {"state": True}}
        given["constraint_params"] = {
            "objp_postiv": {"start_iter": 1},
            "obj_rblur": {
                "start_iter": 1,
                "obj_type": "phase",
                "kernel_size": 9,
                "std": BLUR / p["pixel_angstrom"],
            },
            "obj_zblur": {"start_iter": 1, "obj_type": "phase", "kernel_size": 5, "std": 1},
        }
    return PtyRADParams(**given).model_dump()


def main(p: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(p["threads"])
    solver = PtyRADSolver(parameters(p), device="cpu", seed=0)
    watch, constrain, models = Stopwatch(p), solver.constraint_fn, []

    def end_of_iteration(model: Any, iteration: int) -> None:
        """PtyRAD calls its constraints last: the place to look at the clock."""
        constrain(model, iteration)
        models[:] = [model]
        if watch.iteration(lambda: model.opt_objp.detach().numpy()[0].sum(axis=0)):
            raise EnoughError

    solver.constraint_fn = end_of_iteration
    watch.start()
    with suppress(EnoughError):
        solver.reconstruct()
    model = models[0]
    corner = (model.crop_pos[0] + model.opt_probe_pos_shifts[0]).detach().numpy()
    loss = [float(entry[1]) for entry in model.loss_iters]
    return watch.answer(
        corner + p["pixels"] // 2,
        float(model.dx),
        version=metadata.version("ptyrad"),
        torch=torch.__version__,
        repairs=REPAIRS,
        loss_first_last=[loss[0], loss[-1]],
    )


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
