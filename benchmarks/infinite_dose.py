"""How many iterations does noise-free data take? ZIF-8 as in ``low_dose.py``, 1e4 electrons per pattern, no noise."""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path

from record import arguments, save

import ptychodask

QUESTION = (
    "infinite dose: correlation with the truth after 5, 10 and 20 iterations without any blur, for both kinds of object"
)


if __name__ == "__main__":
    options = arguments(QUESTION)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        side = 16 if options.tiny else 48
        data = ptychodask.simulate(
            Path(name) / "zif8.zarr", "zif-8", thickness_angstrom=34, scan_shape=(side, side),
            dose_per_square_angstrom=float("inf"), slice_thickness_angstrom=4.0 if options.tiny else 2.0,
            detector_pixels=64 if options.tiny else 128,
        )  # fmt: skip
        for kind, iterations in product(("phase", "complex"), (2,) if options.tiny else (5, 10, 20)):
            job = {
                "object": {"slices": 4, "blur_angstrom": 0.0, "positivity": False, "kind": kind},
                "solver": {"iterations": iterations, "epsilon": 0.01},
            }
            result = ptychodask.reconstruct(data, job)
            figures = ptychodask.report(result)
            names = ("correlation_2.5A", "correlation_2.0A", "nrmse", "ssim", "frc_resolution_angstrom")
            rows.append({"kind": kind, "iterations": iterations, **{n: figures[n] for n in names}})
    save("infinite_dose", QUESTION, rows, options)
