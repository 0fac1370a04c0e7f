"""How long from the opened dataset to the image that the validation rule returns?

ZIF-8 as in ``low_dose.py`` (4 slices), 48 x 48 to 96 x 96 positions. Wall time of one ``reconstruct`` call in a warm
process: survey, all iterations, the finish with all electrons, and writing the result; not the simulation.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from record import arguments, save

import ptychodask

QUESTION = "seconds from the opened dataset to the validation optimum"


if __name__ == "__main__":
    options = arguments(QUESTION)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for side in (16,) if options.tiny else (48, 64, 96):
            data = ptychodask.simulate(
                Path(name) / f"{side}.zarr", "zif-8", thickness_angstrom=34, scan_shape=(side, side),
                slice_thickness_angstrom=4.0, detector_pixels=64 if options.tiny else 128,
            )  # fmt: skip
            if not rows and not options.tiny:  # compile kernels and import everything once
                ptychodask.reconstruct(data, {"object": {"slices": 4}, "solver": {"iterations": 2}})
            job = {"object": {"slices": 4}, **({"solver": {"iterations": 2}} if options.tiny else {})}
            start = time.perf_counter()
            result = ptychodask.reconstruct(data, job)
            seconds = time.perf_counter() - start
            steps = result.history["seconds"]
            rows.append(
                {
                    "positions": side * side,
                    "seconds": seconds,
                    "iterations": len(steps),
                    "chosen_iteration": result.iteration,
                    "seconds_per_iteration": float(sorted(steps)[len(steps) // 2]),
                    "correlation_2.5A": ptychodask.report(result).get("correlation_2.5A"),
                }
            )
    save("time_to_image", QUESTION, rows, options)
