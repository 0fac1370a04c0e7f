"""How long from the opened dataset to the image of the low-dose preset, on the CPU and on a CUDA device, with the
spectral prior and with the blur, which stops by its validation rule?

ZIF-8 as in ``low_dose.py`` (4 slices), 48 x 48 to 96 x 96 positions, and 256 x 256 where there is a device. Wall time
of one ``reconstruct`` call in a warm process: survey, all iterations, the finish with all electrons, and writing the
result; not the simulation. Where there is a device, both backends work on the same data: ``cpu`` on all cores of the
machine, ``cupy`` on the one device. The ratio is of the same machine, whose cores are in the record.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from record import arguments, save

import ptychodask
from ptychodask._array import cupy_available

QUESTION = "seconds from the opened dataset to the image"
SIDES, LARGE = (48, 64, 96), 256


def dataset(folder: Path, side: int, pixels: int) -> Path:
    """Simulated, or found where an earlier call kept it."""
    path = folder / f"{side}.zarr"
    if not path.exists():
        ptychodask.simulate(
            path, "zif-8", thickness_angstrom=34, scan_shape=(side, side), slice_thickness_angstrom=4.0,
            detector_pixels=pixels,
        )  # fmt: skip
    return path


def row(data: Path, side: int, way: str, backend: str, iterations: int | None) -> dict[str, Any]:
    """One reconstruction."""
    solver = {} if iterations is None else {"solver": {"iterations": iterations}}
    rules = {"regularisation": way, "slices": 4}
    start = time.perf_counter()
    result = ptychodask.reconstruct(data, {"object": rules, "engine": {"backend": backend}, **solver})
    seconds = time.perf_counter() - start
    steps = result.history["seconds"]
    return {
        "positions": side * side,
        "regularisation": way,
        "backend": backend,
        "seconds": seconds,
        "iterations": len(steps),
        "chosen_iteration": result.iteration,
        "seconds_per_iteration": float(sorted(steps)[len(steps) // 2]),
        "correlation_2.5A": ptychodask.report(result).get("correlation_2.5A"),
    }


def device() -> str | None:
    """Name of the CUDA device."""
    if not cupy_available():
        return None
    import cupy

    return str(cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode())


if __name__ == "__main__":
    options = arguments(QUESTION, keeps_data=True)
    name = device()
    backends = ["cpu"] if name is None else ["cpu", "cupy"]
    sides = (16,) if options.tiny else SIDES if name is None else (*SIDES, LARGE)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.data or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for side in sides:
            data = dataset(folder, side, 64 if options.tiny else 128)
            for backend in backends:
                if side == sides[0] and not options.tiny:  # compile kernels and import everything once
                    row(data, side, "spectral", backend, 2)
                if side == LARGE and backend == "cpu":
                    continue  # minutes that prove nothing: the time per position is that of 96 x 96
                for way in ("spectral", "blur"):
                    rows.append(row(data, side, way, backend, 2 if options.tiny else None))
    save("time_to_image", QUESTION, {"device": name, "rows": rows}, options)
