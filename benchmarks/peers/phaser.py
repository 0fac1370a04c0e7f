"""phaser on the CPU, in its own environment: one JSON line with the seconds per iteration.

Run by ``against_peers.py``: ``python phaser.py PARAMETERS.json``. JAX is phaser's compiled backend. A timing is its
LSQ-ML, whose probe and complex object move and whose steps are small because larger ones diverge at this dose. An image
is its gradient engine (Adam, Poisson: its LSQ-ML has no Poisson residual) with the probe held and a positive, blurred
pure phase.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from stopwatch import Stopwatch

sys.path.pop(0)  # this folder: a file here has the name of the package
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from phaser.execute import execute_plan
from phaser.observer import Observer
from phaser.plan import ReconsPlan
from phaser.state import PixelatedProbeState
from phaser.types import EarlyTermination

STEP = 0.005  # of the images, tuned (see NOTES of against_peers.py)
PROBE_STEP = 0.001  # where the probe moves: it has no default


class Watch(Observer):
    """Looks at the clock after every iteration, when JAX has computed it."""

    def __init__(self, p: dict[str, Any]) -> None:
        self.clock = Stopwatch(p)
        self.errors: list[float] = []
        self.first_position = [0.0, 0.0]

    def start_engine(self, init_state: Any) -> None:
        """The clock starts after the engine has prepared itself."""
        sampling = init_state.object.sampling
        first = np.asarray(init_state.scan.data).reshape(-1, 2)[0]
        self.first_position = (first - sampling.corner) / sampling.sampling
        self.clock.start()

    def update_iteration(self, state: Any, i: int, n: int, errors: dict[str, float]) -> None:
        """One iteration is done."""
        jax.block_until_ready((state.object.data, state.probe.data))
        self.errors.extend(errors.values())
        if self.clock.iteration(lambda: np.angle(np.asarray(state.object.data)).sum(axis=0)):
            raise EarlyTermination(state)


def given_probe(args: Any, props: dict[str, Any]) -> PixelatedProbeState:
    """First mode of the given probe; phaser scales it to the counts and adds modes."""
    return PixelatedProbeState(args["sampling"], args["xp"].asarray(np.load(props["path"])[0]))


def timing(p: dict[str, Any]) -> dict[str, Any]:
    """Its LSQ-ML."""
    return {
        "type": "conventional",
        "probe_modes": p["modes"],
        "noise_model": {"type": "amplitude"},
        "solver": {"type": "lsqml", "beta_object": 0.001, "beta_probe": 0.001},
        "group_constraints": [],
        "iter_constraints": [],
    }


def imaging(p: dict[str, Any]) -> dict[str, Any]:
    """Its gradient engine."""
    return {
        "type": "gradient",
        "probe_modes": 1,
        "update_probe": p["probe_moves"],
        "noise_model": {"type": "poisson"},
        "solvers": {
            "object": {"type": "adam", "learning_rate": STEP},
            **({"probe": {"type": "adam", "learning_rate": PROBE_STEP}} if p["probe_moves"] else {}),
        },
        "regularizers": [],
        "group_constraints": [{"type": "nonneg_object_phase"}],
        "iter_constraints": [
            {"type": "clamp_object_amplitude", "amplitude": [1.0, 1.0]},
            {"type": "layers", "sigma": 50.0, "weight": 0.9},
            {"type": "obj_gaussian", "sigma": p["blur_angstrom"], "weight": 1.0},
        ],
    }


def plan(p: dict[str, Any]) -> ReconsPlan:
    """phaser's plan; what is not said here is its default."""
    engine = imaging(p) if "images" in p else timing(p)
    return ReconsPlan.from_data(
        {
            "name": "against_peers",
            "backend": "jax",
            "dtype": "float32",
            "raw_data": {
                "type": "manual",
                "path": p["counts"],
                "diff_step": p["angular_step_mrad"],
                "kv": p["energy_ev"] / 1e3,
                "adu": 1.0,
            },
            "init": {
                "probe": {"type": "__main__:given_probe", "path": p["probe"]},
                "scan": {"type": "raster", "shape": p["scan_shape"], "step_size": p["scan_step_angstrom"]},
            },
            "slices": {"n": p["slices"], "total_thickness": p["thickness_angstrom"]},
            "engines": [
                {"niter": 10_000, "grouping": p["batch"], "buffer_n_groups": None, "update_positions": False, **engine}
            ],
        }
    )


def main(p: dict[str, Any]) -> dict[str, Any]:
    watch = Watch(p)
    with suppress(EarlyTermination):
        execute_plan(plan(p), seed=0, override_observers=[watch])
    return watch.clock.answer(
        watch.first_position,
        p["pixel_angstrom"],
        version=metadata.version("phaserEM"),
        jax=jax.__version__,
        backend=jax.default_backend(),
        loss_first_last=[float(np.real(watch.errors[0])), float(np.real(watch.errors[-1]))],
    )


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
