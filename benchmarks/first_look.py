"""What does a first look at a scan take: time and memory of ``view``, and does parallax find the defocus?

A vacuum of several sizes at 100 electrons per pattern and 128 pixels for time and memory; NU-1000 at 100 electrons per
square angstrom for the images, each held against the projected phase of the specimen.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import record
import vacuum
from scipy.ndimage import gaussian_filter, map_coordinates

import ptychodask

BLUR = 0.8
"""Angstrom (sigma) of the phase that images are held against: about what 10 mrad resolve."""


def timed(path: str, out: str) -> None:
    """Seconds and peak memory of one look, in a process of its own whose kernels are compiled."""
    data = ptychodask.open_dataset(path)
    ptychodask.view(data.isel(scan_y=slice(0, 4), scan_x=slice(0, 4)), progress=False)
    before, cpu, began = _peak(), time.process_time(), time.perf_counter()
    images = ptychodask.view(path, progress=False)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    held = sum(image.nbytes for image in images.values())
    found = {
        "patterns": images.electrons.size,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "more_mib": _peak() - before,
        "images_mib": held / 2**20,
        "dense_counts_mib": data.counts.nbytes / 2**20,
    }
    Path(out).write_text(json.dumps(found))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def alike(images: Any, truth: Any) -> dict[str, float]:
    """Correlation of the images with the blurred phase, both without their slow parts."""
    step = float(truth.y[1] - truth.y[0])
    known = gaussian_filter(np.asarray(truth.phase.values), BLUR / step)

    def correlation(image: Any) -> float:
        y, x = (np.asarray(image[axis].values) for axis in image.dims)
        at = np.meshgrid((y - float(truth.y[0])) / step, (x - float(truth.x[0])) / step, indexing="ij")
        there = map_coordinates(known, at, order=1, mode="nearest")
        both = [part - gaussian_filter(part, 4 / float(y[1] - y[0])) for part in (np.asarray(image.values), there)]
        return float(np.corrcoef(both[0].ravel(), both[1].ravel())[0, 1])

    names = [name for name in ("bf", "abf", "adf", "icom", "parallax", "parallax_phase") if name in images]
    return {name: correlation(images[name]) for name in names}


def main() -> None:
    options = record.arguments(__doc__.splitlines()[0])
    sides = (16,) if options.tiny else (64, 128, 256)
    looks, found = [], {}
    with tempfile.TemporaryDirectory() as place:
        for side in sides:
            path, out = Path(place) / f"{side}.zarr", Path(place) / f"{side}.json"
            vacuum.make(path, (side, side), 16, "uint8", 10.0, vacuum.sparse())
            process = multiprocessing.get_context("spawn").Process(target=timed, args=(str(path), str(out)))
            process.start()
            process.join()
            looks.append(json.loads(out.read_text()))
        side, pixels, step = (12, 48, 1.2) if options.tiny else (64, 128, 0.47)
        path = Path(place) / "nu-1000.zarr"
        ptychodask.simulate(
            path, "nu-1000", scan_shape=(side, side), detector_pixels=pixels, angular_step_mrad=step,
            slice_thickness_angstrom=8.0 if options.tiny else 2.0, progress=False,
        )  # fmt: skip
        truth = ptychodask.read_truth(path)
        for defocus in (600.0, -600.0) if options.tiny else (600.0, -600.0, 400.0, 500.0, 700.0, 800.0):
            images = ptychodask.view(path, defocus_angstrom=defocus, progress=False)
            found[f"{defocus:g}"] = {"contrast": float(images.parallax.std()), **alike(images, truth)}
    record.save("first_look", __doc__.splitlines()[0], {"vacuum": looks, "correlation_by_defocus": found}, options)


if __name__ == "__main__":
    main()
