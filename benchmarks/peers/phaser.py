"""phaser's LSQ-ML on the CPU, in its own environment: one JSON line with the seconds per iteration.

Run by ``against_peers.py``: ``python phaser.py PARAMETERS.json``. JAX is phaser's compiled backend. Probe and
complex object move, positions do not. Its steps are small because larger ones diverge at this dose.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

sys.path.pop(0)  # this folder: a file here has the name of the package
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from phaser.execute import execute_plan
from phaser.observer import Observer
from phaser.plan import ReconsPlan


class Stopwatch(Observer):
    """Wall time of every iteration, waiting for what JAX still computes."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.errors: list[float] = []
        self.last = 0.0

    def start_engine(self, init_state: Any) -> None:
        """The clock starts after the engine has prepared itself."""
        self.last = time.perf_counter()

    def update_iteration(self, state: Any, i: int, n: int, errors: dict[str, float]) -> None:
        """One iteration is done."""
        jax.block_until_ready((state.object.data, state.probe.data))
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.last = now
        self.errors.extend(errors.values())


def plan(p: dict[str, Any]) -> ReconsPlan:
    """phaser's plan; what is not said here is its default. Its LSQ-ML has no Poisson residual."""
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
                "probe": {
                    "type": "focused",
                    "conv_angle": p["semi_angle_mrad"],
                    "defocus": -p["defocus_angstrom"],  # positive is overfocus
                },
                "scan": {"type": "raster", "shape": p["scan_shape"], "step_size": p["scan_step_angstrom"]},
            },
            "slices": {"n": p["slices"], "total_thickness": p["thickness_angstrom"]},
            "engines": [
                {
                    "type": "conventional",
                    "probe_modes": p["modes"],
                    "niter": 1 + p["iterations"],
                    "grouping": p["batch"],
                    "buffer_n_groups": None,
                    "update_positions": False,
                    "noise_model": {"type": "amplitude"},
                    "solver": {"type": "lsqml", "beta_object": 0.001, "beta_probe": 0.001},
                    "group_constraints": [],
                    "iter_constraints": [],
                }
            ],
        }
    )


def main(p: dict[str, Any]) -> dict[str, Any]:
    watch = Stopwatch()
    execute_plan(plan(p), seed=0, override_observers=[watch])
    return {
        "version": metadata.version("phaserEM"),
        "jax": jax.__version__,
        "backend": jax.default_backend(),
        "threads": p["threads"],
        "iterations": len(watch.seconds) - 1,
        "seconds_per_iteration": median(watch.seconds[1:]),
        "seconds": watch.seconds,
        "loss_first_last": [float(np.real(watch.errors[0])), float(np.real(watch.errors[-1]))],
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
