"""How far off is a calibration of a larger scan, and what does it take?

As ``calibration.py`` (NU-1000, 10 mrad, defocus 600 angstrom, 100 e/A^2), with 128 x 128 and 256 x 256 positions and
slices of 6 angstrom. The result is written after every run, so that a benchmark that is cut off leaves what it has.
"""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

from calibration import Case, once, patterns
from record import arguments, save

QUESTION = "errors and seconds of a calibration of larger scans"
CASES = tuple(
    Case(f"NU-1000, 10 mrad, defocus 600 A, {side} x {side}", "nu-1000", 50, 10, 600, side, slice_thickness=6.0)
    for side in (128, 256)
)
TINY = (Case("tiny", "zif-8", 17, 10, 600, side=28, dose=5000, slice_thickness=8.0),)
SEEDS = 3


def main() -> None:
    options = arguments(QUESTION)
    rows = []
    for case in TINY if options.tiny else CASES:
        clean, thickness = patterns(case)
        for seed in range(1 if options.tiny else SEEDS):
            with tempfile.TemporaryDirectory() as name:
                row = once(Path(name) / "scan.zarr", case, clean, thickness, seed)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            rows.append({"case": case.name, **row, "peak_mib_with_simulation": peak})
            save("calibration_large", QUESTION, rows, options)


if __name__ == "__main__":
    main()
