"""Is a wrong geometry found better by 256 x 256 positions, on a cluster of two workers, than by 64 x 64?

ZIF-8 as ``time_to_image.py`` has it (10 mrad, defocus 600 angstrom, 100 e/A^2, patterns of 128 pixels, no rotation),
one slice. A copy of the dataset says a defocus 50 angstrom off, C12 20 angstrom, rotation 2 degrees, asymmetry 2 % and
shear 1 %, all at once. Three runs by the same two worker processes of one thread: ``refined`` from what the copy says,
``wrong`` on what it says, ``exact`` on the right geometry, whose defocus is that of the middle of the crystal.

Correlation with the truth at 2.5 angstrom inside the scan, as the images lie, and after the fit of a linear map
(``registered``). ``errors`` are found less right, ``sigma`` the stated standard errors, ``asked`` a third of what may
be left with 64 x 64 positions (``AT_64``); ``seconds`` of the whole call, ``seconds_geometry`` of it those of
iterations in which the geometry moves or is about to. The result is written after every run, and a benchmark that was
cut off goes on with the next one.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import dask
import numpy as np
from distributed import Client, LocalCluster
from record import RESULTS, arguments, machine, save
from spent import peak_rss
from time_to_image import dataset

import ptychodask
from ptychodask.analysis.compare import compare_with_truth
from ptychodask.analysis.registration import register
from ptychodask.distributed.cluster import SETTINGS
from ptychodask.events import Iterated
from ptychodask.io.geometry import write_geometry
from ptychodask.model.geometry import Geometry

QUESTION = "errors that are left where 256 x 256 positions refine the geometry on two workers, and what the image wins"
SIDE, WORKERS = 256, 2
SAID = Geometry(math.radians(-2), asymmetry=-0.02, shear=-0.01, defocus=50.0, c12a=-20.0)
"""What the dataset says; of the defocus, more than is right."""
AT_64 = {"defocus_angstrom": 5.0, "c12_angstrom": 5.0, "rotation_degrees": 0.5, "shear": 0.013}
"""Largest errors that are left with 64 x 64 positions, a quarter of the side."""
RUNS = (("refined", SAID, "auto"), ("wrong", SAID, "none"), ("exact", Geometry(), "none"))
COMMIT = machine()["commit"]
"""At the start: a run that goes on for long sees others."""


class Spent:
    """Seconds of iterations, of the geometry and of the image."""

    def __init__(self) -> None:
        self.seconds = {"geometry": 0.0, "image": 0.0}

    def iterated(self, event: Iterated) -> None:
        self.seconds["geometry" if event.stage == "geometry" else "image"] += event.seconds


def told(source: Path, target: Path, at: Geometry) -> Path:
    """A copy that says this geometry; its defocus is over that of the middle of the crystal."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    info = ptychodask.open_dataset(source)
    middle = info.positions.values.reshape(-1, 2).mean(axis=0)
    affine = np.concatenate([at.matrix, (middle - at.matrix @ middle)[:, None]], axis=1)
    defocus = 600.0 - info.attrs["thickness_angstrom"] / 2 + at.defocus
    write_geometry(target, affine, {"C10": -defocus, "C12": at.c12, "phi12": at.phi12}, {"values": "planted"})
    return target


def errors(found: dict[str, Any], defocus: float) -> tuple[dict[str, float], dict[str, float]]:
    """Found less right, and stated standard errors."""
    names = (*AT_64, "asymmetry")
    away = {name: found[name]["value"] for name in names}
    return {**away, "defocus_angstrom": away["defocus_angstrom"] - defocus}, {n: found[n]["sigma"] for n in names}


def run(source: Path, folder: Path, client: Client, name: str, iterations: int | None) -> dict[str, Any]:
    """One reconstruction, and how near it is to the truth."""
    _, at, refine = next(run for run in RUNS if run[0] == name)
    data, spent = told(source, folder / "scan.zarr", at), Spent()
    solver = {} if iterations is None else {"iterations": iterations}
    job = {"object": {"slices": 1}, "geometry": {"refine": refine}, "solver": solver}
    started = time.perf_counter()
    result = ptychodask.reconstruct(data, job, client, output=folder / "result.zarr", overwrite=True, progress=spent)
    row = {
        "run": name, "commit": COMMIT, "seconds": time.perf_counter() - started,
        "seconds_geometry": spent.seconds["geometry"], "seconds_image": spent.seconds["image"],
        "iterations": len(result.history["seconds"]), "worker_peak_bytes": max(client.run(peak_rss).values()),
    }  # fmt: skip
    inside = ptychodask.open_dataset(source).positions.values.reshape(-1, 2)
    margin = min(3.3, float(np.ptp(inside[:, 0])) / 8)
    found = compare_with_truth(result.phase, ptychodask.read_truth(source).phase, inside, margin=margin)
    row |= {
        "correlation": found.correlation[2.5],
        "registered": register(found.image, found.truth, affine=True).correlation,
    }
    if refine == "auto":
        right = 600.0 - ptychodask.open_dataset(source).attrs["thickness_angstrom"] / 2
        row["errors"], row["sigma"] = errors(result.geometry, right)
        row["how"] = sorted({its["how"] for its in result.geometry.values()})
    return row


def main() -> None:
    options = arguments(QUESTION, keeps_data=True)
    side, pixels, iterations = (20, 64, 4) if options.tiny else (SIDE, 128, None)
    path = options.out or RESULTS / "geometry_large.json"
    rows = json.loads(path.read_text())["result"]["runs"] if path.exists() and not options.tiny else []
    with (
        tempfile.TemporaryDirectory() as name,
        dask.config.set(SETTINGS),
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        kept = options.data or Path(name)
        kept.mkdir(parents=True, exist_ok=True)
        source = dataset(kept, side, pixels)
        for its, *_ in RUNS:
            if its not in [row["run"] for row in rows]:
                rows.append(run(source, Path(name), client, its, iterations))
                asked = {name: most / 3 for name, most in AT_64.items()}
                about = {"positions": side * side, "workers": WORKERS, "threads_per_worker": 1, "asked": asked}
                save("geometry_large", QUESTION, {**about, "runs": rows}, options)


if __name__ == "__main__":
    main()
