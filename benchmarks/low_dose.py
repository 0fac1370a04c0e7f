"""Does the validation rule find a good image of ZIF-8 at 100 e/A^2, and does any semi-angle diverge in 60 iterations?

ZIF-8 [001], 34 A, 300 kV, 128 x 128 detector, 48 x 48 positions at 1.05 A, defocus 600 A, known probe, 4 identical
slices. Two runs per semi-angle: one with the stopping rule as it is, whose image is compared with the truth; one that
is made to go on for 60 iterations, which shows whether the loss or the held-out loss ever jumps. A third has the
spectral prior instead of the blur, on the same counts.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from record import arguments, save

import ptychodask
from ptychodask.events import Event, Restarted

QUESTION = "low dose: correlation with the truth by the validation rule, and stability over 60 iterations"


def one(folder: Path, semi_angle: float, tiny: bool) -> dict:
    side = 16 if tiny else 48
    data = ptychodask.simulate(
        folder / f"zif8-{semi_angle:g}.zarr", "zif-8", thickness_angstrom=34, semi_angle_mrad=semi_angle,
        scan_shape=(side, side), slice_thickness_angstrom=4.0 if tiny else 2.0, detector_pixels=64 if tiny else 128,
    )  # fmt: skip
    job = {"object": {"slices": 4, "regularisation": "blur"}, "solver": {"iterations": 2 if tiny else 40}}
    chosen = ptychodask.reconstruct(data, job)
    figures = ptychodask.report(chosen)
    prior = {"object": {"slices": 4, "regularisation": "spectral"}, "solver": {"iterations": 2 if tiny else 13}}
    spectral = ptychodask.reconstruct(data, prior)
    best = ptychodask.report(spectral)
    restarts: list[Event] = []
    iterations = 2 if tiny else 60
    long_job = {
        "object": {"slices": 4, "regularisation": "blur"},
        "solver": {"iterations": iterations, "finish": 0, "patience": 1000},
    }
    long = ptychodask.reconstruct(
        data, long_job, progress=lambda event: restarts.append(event) if isinstance(event, Restarted) else None
    )
    loss, held = long.history["loss"], long.history["validation"]
    return {
        "semi_angle_mrad": semi_angle,
        "chosen_iteration": chosen.iteration,
        "iterations_run": len(chosen.history),
        "stopped_because": chosen.attributes["stopped_because"],
        "correlation_2.5A": figures["correlation_2.5A"],
        "correlation_2.0A": figures["correlation_2.0A"],
        "frc_with_truth_angstrom": figures["frc_resolution_angstrom"],
        "seconds": float(chosen.history["seconds"].sum()),
        "spectral": {
            "correlation_2.5A": best["correlation_2.5A"],
            "correlation_2.0A": best["correlation_2.0A"],
            "seconds": float(spectral.history["seconds"].sum()),
        },
        "long_run": {
            "iterations": len(long.history),
            "restarts": len(restarts),
            "loss_rose_by_at_most": float(max(0.0, max(loss[1:] - loss[:-1]))),
            "loss_first_last": [float(loss[0]), float(loss[-1])],
            "validation_first_best_last": [float(held[0]), float(held.min()), float(held[-1])],
        },
    }


if __name__ == "__main__":
    options = arguments(QUESTION)
    with tempfile.TemporaryDirectory() as name:
        angles = (10.0,) if options.tiny else (5.0, 10.0, 15.0, 21.0)
        save("low_dose", QUESTION, [one(Path(name), angle, options.tiny) for angle in angles], options)
