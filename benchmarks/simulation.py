"""How many patterns does a simulation make in a second?

Zr-BTB, 45.75 angstrom, slices of 2 angstrom (23), 128 pixels, 100 e/A^2, in threads of this process, in a warm process
(kernels compiled, abTEM imported). The potential, once for the whole scan, is within the time.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from record import arguments, save

import ptychodask

QUESTION = "patterns per second of a simulation"


def patterns_per_second(folder: Path, side: int, pixels: int) -> dict[str, Any]:
    start = time.perf_counter()
    ptychodask.simulate(
        folder / f"{side}.zarr", "zr-btb", thickness_angstrom=45.75, scan_shape=(side, side), detector_pixels=pixels,
        slice_thickness_angstrom=2.0, progress=False,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    return {"positions": side * side, "pixels": pixels, "seconds": seconds, "patterns_per_second": side**2 / seconds}


if __name__ == "__main__":
    options = arguments(QUESTION)
    sides, pixels = ((8,), 64) if options.tiny else ((32, 64), 128)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not options.tiny:
            patterns_per_second(folder, 4, pixels)
        save("simulation", QUESTION, [patterns_per_second(folder, side, pixels) for side in sides], options)
