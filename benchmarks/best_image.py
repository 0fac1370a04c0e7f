"""How near to the truth does each regularisation come, at what cost: ZIF-8 and NU-1000 at 50 and 100 e/A^2.

300 kV, 34 A (NU-1000 50 A), 128 x 128 detector, positions at 1.05 A, defocus 600 A, known probe. Seeds are none of
those that anything was tuned with. The regularisation is the only word that differs; nothing is chosen with the truth.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from record import arguments, save

import ptychodask

QUESTION = "correlation with the truth and seconds, by regularisation"
CASES: dict[str, dict[str, Any]] = {
    "ZIF-8, 10 mrad, 48 x 48": {},
    "ZIF-8, 10 mrad, 96 x 96": {"scan_shape": (96, 96)},
    "ZIF-8, 21 mrad": {"semi_angle_mrad": 21.0},
    "ZIF-8, 50 e/A^2": {"dose_per_square_angstrom": 50.0},
    "NU-1000": {"material": "nu-1000", "thickness_angstrom": 50},
}
WAYS: dict[str, dict[str, Any]] = {
    "blur": {"regularisation": "blur"},
    "spectral": {"regularisation": "spectral"},
    "spectral, no residual": {"regularisation": "spectral", "residual": 0.0, "aperiodic_floor": 1.0},
}


def one(folder: Path, case: str, seed: int, tiny: bool) -> list[dict]:
    options: dict[str, Any] = {
        "material": "zif-8", "thickness_angstrom": 34, "scan_shape": (48, 48), "slice_thickness_angstrom": 4.0,
        "detector_pixels": 128, **CASES[case],
    }  # fmt: skip
    short = {"solver": {"iterations": 3, "finish": 1}} if tiny else {}
    if tiny:
        options |= {"scan_shape": (16, 16), "detector_pixels": 64}
    data = ptychodask.simulate(folder / "scan.zarr", options.pop("material"), seed=seed, overwrite=True, **options)
    found = []
    for way, rules in WAYS.items():
        started = time.perf_counter()
        result = ptychodask.reconstruct(data, {"object": rules, **short}, progress=False)
        seconds = time.perf_counter() - started
        figures = ptychodask.report(result)
        names = ("correlation_2.5A", "correlation_2.0A", "slope")
        row = {"case": case, "seed": seed, "way": way, "slices": result.object.sizes["slice"]}
        found.append({**row, **{n: figures[n] for n in names}, "seconds": seconds, "passes": len(result.history)})
        print(found[-1], flush=True)
    return found


if __name__ == "__main__":
    options = arguments(QUESTION)
    cases, seeds = (list(CASES)[:1], [100]) if options.tiny else (list(CASES), [100])
    with tempfile.TemporaryDirectory() as name:
        rows = [row for case in cases for seed in seeds for row in one(Path(name), case, seed, options.tiny)]
        save("best_image", QUESTION, rows, options)
