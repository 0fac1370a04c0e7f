"""quantem's iterative ptychography on the CPU, in its own environment: one JSON line with the seconds per iteration.

Run by ``against_peers.py``: ``python quantem.py PARAMETERS.json``. A timing moves complex object and probe with its
defaults (amplitude residual, Adam). An image takes its Poisson loss and its real, positive potential with identical
slices and Gaussian blur; the probe is held, or moves where ``probe_moves`` says so. Patterns are left where they are.
"""

from __future__ import annotations

import json
import sys
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

from quantem.core.ml import OptimizerParams  # noqa: E402  after the repair, as the others do
from quantem.diffractive_imaging import (  # noqa: E402
    DetectorPixelated,
    ObjectPixelated,
    ProbePixelated,
    Ptychography,
    PtychographyDatasetRaster,
    PtychoObjConstraintParams,
)

STEP, BLUR = 0.02, 0.2  # of the images: Adam's rate and angstrom, tuned (see NOTES of against_peers.py)
PROBE_STEP = 0.001  # where the probe moves: its default


def ready(p: dict[str, Any]) -> Ptychography:
    """Data and first guess, with the geometry that is known."""
    n = p["pixels"]
    frequency = p["angular_step_mrad"] * 1e-3 / p["wavelength_angstrom"]
    data = PtychographyDatasetRaster.from_array(
        np.load(p["counts"]).reshape(*p["scan_shape"], n, n).astype(np.float32),
        sampling=(*(p["scan_step_angstrom"],) * 2, frequency, frequency),
        units=("A", "A", "A^-1", "A^-1"),
        verbose=False, learn_descan=False, learn_scan_positions=False,
    )  # fmt: skip
    data.preprocess(
        com_fit_function="no_shift", force_com_rotation=0.0, force_com_transpose=False,
        obj_padding_px=(n // 2, n // 2), plot_rotation=False, plot_com=False,
    )  # fmt: skip
    known = {
        "energy": p["energy_ev"], "semiangle_cutoff": p["semi_angle_mrad"], "defocus": p["defocus_angstrom"],
    }  # fmt: skip
    modes = np.fft.ifftshift(np.load(p["probe"])[: p["modes"]], axes=(-2, -1))  # it scales them to the counts
    solver = Ptychography.from_models(
        dset=data,
        obj_model=ObjectPixelated.from_uniform(
            num_slices=p["slices"], slice_thicknesses=p["thickness_angstrom"] / p["slices"],
            obj_type="potential" if "images" in p else "complex",
        ),
        probe_model=ProbePixelated.from_array(modes.astype(np.complex64), probe_params=known),
        detector_model=DetectorPixelated(),
        verbose=False,
        rng=0,
    )  # fmt: skip
    solver.preprocess(obj_padding_px=(n // 2, n // 2))
    return solver


def steps(p: dict[str, Any]) -> dict[str, Any]:
    """What the first iteration is told, and later ones keep."""
    if "images" not in p:
        rates = {"object": OptimizerParams.Adam(), "probe": OptimizerParams.Adam()}
        return {"optimizer_params": rates, "batch_size": p["batch"]}
    rates = {"object": OptimizerParams.Adam(lr=STEP)}
    if p["probe_moves"]:
        rates["probe"] = OptimizerParams.Adam(lr=PROBE_STEP)
    blur = BLUR / p["pixel_angstrom"]
    rules = PtychoObjConstraintParams.Raster(positivity=True, identical_slices=True, gaussian_sigma=blur)
    return {"optimizer_params": rates, "constraints": {"object": rules}}


def main(p: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(p["threads"])
    solver, told = ready(p), steps(p)
    first = solver.dset.scan_positions_px[0].detach().numpy()
    always = {"batch_size": p["batch"], "loss_type": "poisson" if "images" in p else "l2_amplitude"}
    watch = Stopwatch(p)
    done = False
    while not done:
        solver.reconstruct(num_iters=1, **{**told, **always})
        told = {}
        done = watch.iteration(lambda: solver.obj.sum(axis=0))
    loss = solver.iter_losses
    return watch.answer(
        first, p["pixel_angstrom"], version=metadata.version("quantem"), torch=torch.__version__, repairs=REPAIRS,
        loss_first_last=[float(loss[0]), float(loss[-1])],
    )  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
