"""Do several updates per iteration pay? Loss and correlation against wall time, for K rounds per iteration.

ZIF-8 as in ``low_dose.py``, 4 slices, at 100 electrons per square angstrom (blur, positivity and identical slices of
the preset; validation by held-out electrons) and without noise (1e4 electrons per pattern, no constraints). K = 1 is
accelerated; larger K are run with and without acceleration, which assumes that successive updates come from the same
data. The loss of a pass with K rounds is that of the states its rounds looked at; the last one is of one state.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from record import arguments, save

import ptychodask

QUESTION = "loss and correlation against wall time for K updates per iteration"


def row(data: Path, rounds: int, accelerated: bool, iterations: int, job: dict[str, Any]) -> dict[str, Any]:
    solver = {
        **job.get("solver", {}), "iterations": iterations, "finish": 0, "patience": 1000,
        "rounds_per_iteration": rounds, "acceleration": accelerated,
    }  # fmt: skip
    engine = {"threads": 2, "block": (8, 8)}
    result = ptychodask.reconstruct(data, {**job, "solver": solver, "engine": engine})
    figures, history = ptychodask.report(result), result.history
    return {
        "rounds": rounds,
        "accelerated": accelerated,
        "iterations": iterations,
        "chosen_iteration": result.iteration,
        "correlation_2.5A": figures["correlation_2.5A"],
        "seconds": np.cumsum(history["seconds"]).tolist(),
        "loss": list(history["loss"]),
        "validation": [v if np.isfinite(v) else None for v in history["validation"]],
    }


if __name__ == "__main__":
    options = arguments(QUESTION)
    side, many = (16, 2) if options.tiny else (48, 20)
    free = {"object": {"slices": 4, "blur_angstrom": 0.0, "positivity": False}, "solver": {"epsilon": 0.01}}
    cases = {
        "100 e/A^2": (100.0, {"object": {"regularisation": "blur", "slices": 4}}),
        "no noise": (float("inf"), free),
    }
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for number, (label, (dose, job)) in enumerate(cases.items()):
            data = ptychodask.simulate(
                Path(name) / f"{number}.zarr", "zif-8", thickness_angstrom=34, scan_shape=(side, side),
                dose_per_square_angstrom=dose, slice_thickness_angstrom=4.0,
                detector_pixels=64 if options.tiny else 128,
            )  # fmt: skip
            ways = [(1, True), (2, False)] if options.tiny else [
                (1, True), (1, False), (2, True), (2, False), (4, True), (4, False), (8, False)
            ]  # fmt: skip
            found[label] = [row(data, rounds, accelerated, many, job) for rounds, accelerated in ways]
    save("rounds", QUESTION, found, options)
