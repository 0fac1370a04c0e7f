"""py4DSTEM's mixed-state multislice ptychography with NumPy, in its own environment: one JSON line with the seconds.

Run by ``against_peers.py``: ``python py4dstem.py PARAMETERS.json``. Gradient descent on the amplitudes. A timing moves
complex object and probe, as is its default. An image holds the probe and uses its real, positive potential with
identical slices and Gaussian blur.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from stopwatch import Stopwatch

sys.path.pop(0)  # this folder: a file here has the name of the package

import matplotlib

matplotlib.use("Agg")

import numpy as np
import py4DSTEM
from py4DSTEM.process.phase import MixedstateMultislicePtychography
from threadpoolctl import threadpool_limits

STEP = 0.2  # of the images, tuned (see NOTES of against_peers.py)


def ready(p: dict[str, Any]) -> MixedstateMultislicePtychography:
    """Data and first guess, with the geometry that is known."""
    rows, columns = p["scan_shape"]
    n = p["pixels"]
    cube = py4DSTEM.DataCube(np.load(p["counts"]).reshape(rows, columns, n, n).astype(np.float32))
    cube.calibration.set_R_pixel_size(p["scan_step_angstrom"])
    cube.calibration.set_R_pixel_units("A")
    cube.calibration.set_Q_pixel_size(p["angular_step_mrad"])
    cube.calibration.set_Q_pixel_units("mrad")
    probe = np.fft.ifftshift(np.load(p["probe"])[: p["modes"]], axes=(-2, -1)) / n  # its transform is not unitary
    centre = np.full((rows, columns), n // 2)
    return MixedstateMultislicePtychography(
        energy=p["energy_ev"],
        num_slices=p["slices"],
        slice_thicknesses=p["thickness_angstrom"] / p["slices"],
        datacube=cube,
        initial_probe_guess=probe.astype(np.complex64),
        semiangle_cutoff=p["semi_angle_mrad"],
        defocus=p["defocus_angstrom"],
        object_type="potential" if "images" in p else "complex",
        verbose=False,
        device="cpu",
    ).preprocess(
        force_com_rotation=0.0,
        force_com_transpose=False,
        force_com_shifts=(centre, centre),
        shifting_interpolation_order=1,  # by whole pixels: nothing is interpolated
        plot_center_of_mass=False,
        plot_rotation=False,
        plot_probe_overlaps=False,
    )


def steps(p: dict[str, Any]) -> dict[str, Any]:
    """What differs from its defaults."""
    common = {"max_batch_size": p["batch"], "progress_bar": False, "reset": False}
    if "images" not in p:
        return common
    return {
        **common,
        "fix_probe": not p["probe_moves"],
        "step_size": STEP,
        "identical_slices": True,
        "object_positivity": True,
        "gaussian_filter_sigma": p["blur_angstrom"],
    }


def phase(solver: MixedstateMultislicePtychography) -> np.ndarray:
    """Sum over the slices in rad: a potential is a phase already."""
    return (np.angle(solver.object) if np.iscomplexobj(solver.object) else solver.object).sum(axis=0)


def main(p: dict[str, Any]) -> dict[str, Any]:
    with threadpool_limits(p["threads"]):
        solver = ready(p)
        pixel = float(solver.sampling[0])
        first = np.asarray(solver.positions[0]) / pixel
        watch = Stopwatch(p)
        done = False
        while not done:
            solver.reconstruct(num_iter=1, seed_random=len(watch.seconds), **steps(p))
            done = watch.iteration(lambda: phase(solver))
    error = solver.error_iterations
    return watch.answer(
        first,
        pixel,
        version=metadata.version("py4DSTEM"),
        numpy=np.__version__,
        loss_first_last=[float(error[0]), float(error[-1])],
    )


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
