"""pty-chi's LSQ-ML on the CPU, in its own environment: one JSON line with the seconds per iteration.

Run by ``against_peers.py``: ``python ptychi.py PARAMETERS.json``. A timing moves complex object and probe, as is its
default. An image holds the probe, uses its Poisson noise model and keeps the object a positive pure phase.
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

import numpy as np
import torch

REPAIRS = declare()

import ptychi.api as api  # noqa: E402  after the repair, without which it does not import
from ptychi.api.task import PtychographyTask  # noqa: E402

RIM = 4  # pixels around all views
STEP = 0.5  # of the images, tuned (see NOTES of against_peers.py)


def options(p: dict[str, Any]) -> Any:
    """pty-chi's options; what is not said here is its default."""
    o = api.LSQMLOptions()
    o.data_options.wavelength_m = p["wavelength_angstrom"] * 1e-10
    o.object_options.pixel_size_m = p["pixel_angstrom"] * 1e-10
    spacings = [p["thickness_angstrom"] / p["slices"] * 1e-10] * (p["slices"] - 1)
    o.object_options.slice_spacings_m = spacings
    o.object_options.determine_position_origin_coords_by = api.ObjectPosOriginCoordsMethods.SPECIFIED
    o.object_options.position_origin_coords = [0.0, 0.0]
    r = o.reconstructor_options
    r.default_device = api.Devices.CPU
    r.batch_size = p["batch"]
    r.random_seed = 0
    r.num_epochs = 10_000
    r.rescale_probe_intensity_in_first_epoch = False  # the given probe has the power of the counts
    if "images" in p:
        r.noise_model = api.NoiseModels.POISSON
        o.probe_options.optimizable = p["probe_moves"]
        o.object_options.remove_object_probe_ambiguity.enabled = False  # it would rescale the held probe
        o.object_options.optimal_step_size_scaler = STEP
        limits = o.object_options.hard_limits_magnitude_phase
        limits.enabled, limits.abs_lim, limits.phase_lim = True, [1.0, 1.0], [0.0, 3.0]
    return o


def positions(p: dict[str, Any]) -> np.ndarray:
    """Pixels [J, 2] (y, x) of the probe's index N / 2 in the object."""
    steps = [np.arange(n) * p["scan_step_angstrom"] / p["pixel_angstrom"] for n in p["scan_shape"]]
    return np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 2) + p["pixels"] // 2 + RIM


def main(p: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(p["threads"])
    centres, n = positions(p), p["pixels"]
    shape = [int(np.ceil(c)) + n // 2 + RIM for c in centres.max(axis=0)]
    middle = centres - 0.5  # its views are centred on (N - 1) / 2
    task = PtychographyTask(
        options(p),
        diffraction_data=np.load(p["counts"]).astype(np.float32),
        object_data=np.ones((p["slices"], *shape), np.complex64),
        probe_data=np.load(p["probe"])[None, : p["modes"]] / n,  # its transform is not unitary
        probe_position_y_px=middle[:, 0],
        probe_position_x_px=middle[:, 1],
    )
    watch = Stopwatch(p)
    done = False
    while not done:
        task.run(1)
        done = watch.iteration(lambda: np.angle(task.get_data_to_cpu("object", as_numpy=True)).sum(axis=0))
    return watch.answer(
        centres[0], p["pixel_angstrom"], version=metadata.version("ptychi"), torch=torch.__version__, repairs=REPAIRS
    )


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
