"""What do tiles exchange, and what does a worker hold, when the object is kept in tiles instead of whole?

Bytes are those of the history: frames of the object and of its sums between different tiles, per iteration. A pixel of
a frame costs 12 bytes per slice (float32 phases in, float32 gradient and illumination out); the frame of a tile is its
core grown by half a pattern, without the core and what lies off the canvas. Memory is the peak RSS of eight
worker processes above their RSS after a small run, for a long scan with small patterns, so that the object is all that
is large; with the whole object where it is needed, and with a bound on a worker's part that is a quarter of that.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster
from record import arguments, save

import ptychodask
from ptychodask.io.dataset import dataset_info
from ptychodask.jobs.experiment import Experiment

QUESTION = "tiles: bytes exchanged against perimeter and against frames of half a pattern, and memory of a worker"
TILE = 8
BYTES_PER_PIXEL = 12
WORKSPACE = 48
"""Bytes per pixel and slice of the object with its workspace, as ``engine.object_gib`` counts them."""
WORKERS = 8


def make(path: Path, side: int, n: int, step_pixels: int) -> float:
    """Vacuum counts of ``side`` x ``side`` positions in patterns of ``n`` pixels; returns the pixel in angstrom."""
    from ptychodask.model.optics import Microscope
    from ptychodask.physics.probe import make_probe

    microscope = Microscope(300e3, 15.0, {"C10": -50.0})
    mrad = 64 / n
    pixel = microscope.wavelength / (n * mrad * 1e-3)
    mean = np.abs(np.fft.fftshift(np.fft.fft2(make_probe(microscope, n, pixel, 100.0), norm="ortho"))) ** 2

    def chunk(block_info: dict) -> np.ndarray:
        rng = np.random.default_rng(list(block_info[None]["chunk-location"]))
        return rng.poisson(mean, size=block_info[None]["chunk-shape"]).astype(np.uint8)

    lazy = da.map_blocks(chunk, chunks=(*([(TILE,) * (side // TILE)] * 2), (n,), (n,)), dtype=np.uint8)
    ptychodask.create_dataset(
        path, lazy, energy_ev=300e3, semi_angle_mrad=15, defocus_angstrom=50, angular_step_mrad=mrad,
        scan_step_angstrom=step_pixels * pixel, chunks=(TILE, TILE),
    )  # fmt: skip
    return pixel


def job(slices: int, blur: float, tile: int | None, iterations: int) -> dict[str, Any]:
    return {
        "object": {"slices": slices, "thickness_angstrom": 10.0 * slices, "blur_angstrom": blur},
        "solver": {"iterations": iterations, "finish": 0, "validation_fraction": None},
        "engine": {"tile_pixels": tile, "threads": 2, "checkpoint_every": 1000},
    }


def frames(canvas: tuple[int, int], side: int, halo: int) -> tuple[int, int, int]:
    """Pixels of all frames, of all perimeters inside the canvas, and the number of tiles."""
    from ptychodask.model.tiles import make_tiles

    tiles = make_tiles(canvas, side, [], halo)
    area = sum(t.work.area - t.core.area for t in tiles)
    perimeter = 0
    for t in tiles:
        (h, w), core = t.core.shape, t.core
        perimeter += w * ((core.y0 > 0) + (core.y1 < canvas[0])) + h * ((core.x0 > 0) + (core.x1 < canvas[1]))
    return area, perimeter, len(tiles)


def exchange(path: Path, sides: list[int], n: int, pixel: float, tiny: bool) -> dict[str, Any]:
    rows = []
    for blur in (0.0, 1.4 * pixel):
        margin = int(np.ceil(4 * blur / pixel))
        for side in sides[:1] if tiny and blur else sides:
            result = ptychodask.reconstruct(path, job(1, blur, side, 2))
            measured = float(result.history["bytes_exchanged"][0])
            area, perimeter, count = frames(result.object.shape[1:], side, n // 2)
            wide, _, _ = frames(result.object.shape[1:], side, n // 2 + margin)
            # without the margin: frames of half a pattern; with it, the sums come from so much further away
            expected = BYTES_PER_PIXEL * area
            rows.append(
                {
                    "blur_margin_pixels": margin,
                    "tile_pixels": side,
                    "tiles": count,
                    "perimeter_pixels": perimeter,
                    "bytes": measured,
                    "formula_bytes": expected,
                    "over_formula": measured / expected,
                    "over_formula_with_margin": measured / (4 * area + 8 * wide),
                }
            )
    plain = [r for r in rows if r["blur_margin_pixels"] == 0]
    logs = [np.log([r[name] for r in plain]) for name in ("perimeter_pixels", "bytes", "formula_bytes")]
    # inner corners of tiles: 4 (k - 1)^2 for k x k tiles; each brings a square of half a pattern
    terms = [[r["perimeter_pixels"], 4 * (r["tiles"] ** 0.5 - 1) ** 2] for r in plain]
    (along, corner), *_ = np.linalg.lstsq(np.array(terms), np.array([r["bytes"] for r in plain]), rcond=None)
    return {
        "rows": rows,
        "exponent_against_perimeter": float(np.polyfit(logs[0], logs[1], 1)[0]),
        "exponent_of_formula": float(np.polyfit(logs[0], logs[2], 1)[0]),
        "bytes_per_perimeter_pixel": float(along),
        "bytes_per_perimeter_pixel_of_formula": BYTES_PER_PIXEL * n / 2,
        "bytes_per_inner_corner": float(corner),
        "bytes_per_inner_corner_of_formula": BYTES_PER_PIXEL * (n / 2) ** 2,
    }


def status_mib(field: str) -> float:
    """``VmRSS`` or ``VmHWM`` (its peak) of this process."""
    line = next(t for t in Path("/proc/self/status").read_text().splitlines() if t.startswith(field))
    return int(line.split()[1]) / 1024


def forget_peak() -> float:
    """Start a new peak, and where it starts: compiling kernels takes more memory than what is measured here."""
    Path("/proc/self/clear_refs").write_text("5")
    return status_mib("VmRSS")


def peak_mib() -> float:
    return status_mib("VmHWM")


def memory(path: Path, warm: Path, slices: int, bound_gib: float | None) -> dict[str, Any]:
    """Peak RSS of the workers above their RSS after a small run; a bound is ``engine.object_gib``."""
    whole = job(slices, 0.45, None, 3)
    bounded = {**whole, "engine": {**whole["engine"], "object_gib": bound_gib}}
    with (
        LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, processes=True, memory_limit=0, dashboard_address=None
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        ptychodask.reconstruct(warm, job(slices, 0.45, None, 2), client)
        before = client.run(forget_peak)
        result = ptychodask.reconstruct(path, bounded, client)
        after = client.run(peak_mib)
    above = sorted(after[w] - before[w] for w in after)
    return {
        "object_gib": bound_gib,
        "tile_pixels": Experiment(dataset_info(path, whole=False), result.config).tile_side,
        "object_mib": result.object.nbytes / 2**20,
        "object_and_workspace_mib": result.object.size * WORKSPACE / 2**20,
        "peak_mib_above_of_every_worker": above,
        "largest_over_bound": None if bound_gib is None else above[-1] / (bound_gib * 1024),
        "seconds_per_iteration": float(np.median(result.history["seconds"])),
        "last_loss": float(result.history[-1].loss),
    }


if __name__ == "__main__":
    options = arguments(QUESTION)
    with tempfile.TemporaryDirectory() as name:
        fine, coarse, small = (Path(name) / f"{kind}.zarr" for kind in ("fine", "coarse", "small"))
        n, side, sides = (32, 8, [48, 32]) if options.tiny else (64, 64, [163, 109, 82, 65])
        pixel = make(fine, side, n, 4)
        result: dict[str, Any] = {"exchange": exchange(fine, sides, n, pixel, options.tiny)}
        if not options.tiny:
            make(coarse, 80, 32, 16)
            make(small, 16, 32, 16)
            rows = [memory(coarse, small, 8, None)]
            rows.append(memory(coarse, small, 8, rows[0]["object_and_workspace_mib"] / 1024 / 4))
            result["memory"] = rows
            largest = [m["peak_mib_above_of_every_worker"][-1] for m in rows]
            result["whole_over_tiles"] = largest[0] / largest[1]
    save("tiles", QUESTION, result, options)
