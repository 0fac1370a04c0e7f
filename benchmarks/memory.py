"""How much memory does a reconstruction take, against the dense float32 data that it never holds?

Each size runs in a process of its own, because peak RSS only grows. Counts are Poisson noise of the vacuum: memory does
not depend on what is in them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import dask.array as da
import numpy as np
from record import arguments, save
from spent import peak_rss

import ptychodask

QUESTION = "memory: peak RSS of a reconstruction at 100 electrons per pattern against the dense float32 data"


def make(path: Path, side: int, n: int = 128) -> None:
    """A scan of side x side patterns of n x n pixels, in chunks of 16 x 16; object pixels do not depend on n, nor does
    what a probe fills."""
    from ptychodask.model.optics import Microscope
    from ptychodask.physics.probe import make_probe

    if side % 16:
        raise ValueError(f"side = {side} is no multiple of 16")
    probe = make_probe(Microscope(300e3, 10.0, {"C10": -600.0 * n / 128}), n, 0.3273, 100.0)
    mean = np.abs(np.fft.fftshift(np.fft.fft2(probe, norm="ortho"))) ** 2

    def chunk(block_info: dict) -> np.ndarray:
        location = block_info[None]
        rng = np.random.default_rng(list(location["chunk-location"]))
        return rng.poisson(mean, size=location["chunk-shape"]).astype(np.uint8)

    lazy = da.map_blocks(chunk, chunks=(*([(16,) * (side // 16)] * 2), (n,), (n,)), dtype=np.uint8)
    ptychodask.create_dataset(
        path, lazy, energy_ev=300e3, semi_angle_mrad=10, defocus_angstrom=600 * n / 128,
        angular_step_mrad=0.47 * 128 / n, scan_step_angstrom=1.05,
    )  # fmt: skip


def measure(path: str) -> None:
    import ptychodask.api

    before = peak_rss() / 2**20
    rules = {"regularisation": "blur", "slices": 1}
    ptychodask.reconstruct(path, {"object": rules, "solver": {"iterations": 3, "finish": 0}})
    print(json.dumps({"imports_mib": before, "peak_mib": peak_rss() / 2**20}))


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--measure":
        measure(sys.argv[2])
        raise SystemExit
    options = arguments(QUESTION)
    rows, pixels = [], 64 if options.tiny else 128
    for side in (16,) if options.tiny else (32, 64, 128):
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "data.zarr"
            make(path, side, pixels)
            stored = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
            run = [sys.executable, __file__, "--measure", str(path)]
            out = subprocess.run(run, capture_output=True, text=True, check=True).stdout
            dense = side * side * pixels * pixels * 4 / 2**20
            rows.append(
                {
                    "patterns": side * side,
                    "dense_float32_mib": dense,
                    "bytes_on_disk_per_pattern": stored / side**2,
                    **json.loads(out.strip().splitlines()[-1]),
                }
            )
    save("memory", QUESTION, rows, options)
