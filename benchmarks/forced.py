"""Does anything diverge that is made to go on for 100 iterations, and is the returned image near the best one?

Counts of 100 e/A^2: Zr-BTB (46 A) at 21, 15, 10 and 5 mrad, ZIF-8 (34 A), NU-1000 (50 A) and CH3NH3PbI3 (51 A, a
quarter of the published thickness) at two of these each: ten cases, for time. 32 x 32 positions at 1.05 A, 128 x 128
detector, defocus 600 A, known probe, four slices. With either regularisation two runs of the same counts: one as the
preset has it, whose image is the *returned* one, and one that may not stop for 100 iterations, the three of the finish
among them, whose image after every iteration is compared with the truth; the *best* is the one that the truth likes
most.

A row holds ``correlation`` with the truth at 2.5 A: of the returned image, of the best iteration of the forced run, of
the last of its fit, and of the image that the forced run itself returns. ``short_of_best`` is best less returned; below
0 the returned one is better than all of them. ``restarts`` counts how often the forced run found that it diverged,
``finite`` says whether all its losses are numbers, and ``loss_rose_by_at_most`` is the largest rise of its loss (nats
per pattern) over what the loss fell by in all; where the spectral prior measures it with a smaller epsilon, or the
finish with other electrons, a new count begins. ``summary`` counts the rows, by regularisation.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from record import RESULTS, arguments, save

import ptychodask
from ptychodask import DivergenceError
from ptychodask.analysis.compare import compare_with_truth
from ptychodask.events import Event, Restarted, Stored
from ptychodask.io.checkpoint import RunFolder, load_state
from ptychodask.model.prior import sharper_from
from ptychodask.physics.constraints import phase_of

QUESTION = "100 forced iterations at 100 e/A^2: does any diverge, and how far is the returned image from the best?"
SPECIMENS = {"zr-btb": 45.75, "zif-8": 34.0, "nu-1000": 50.0, "mapbi3": 51.0}
"""Thickness in angstrom."""
CASES = [
    ("zr-btb", 21.0), ("zif-8", 10.0), ("nu-1000", 15.0), ("mapbi3", 21.0), ("zr-btb", 5.0), ("zif-8", 21.0),
    ("nu-1000", 5.0), ("mapbi3", 10.0), ("zr-btb", 15.0), ("zr-btb", 10.0),
]  # fmt: skip
"""Name and semi-angle in mrad."""
WAYS = ("spectral", "blur")
FORCED, NEAR, RESOLUTION = 100, 0.01, 2.5


class Watch:
    """Keeps the phase after every iteration of a run that stores all of them, and counts restarts."""

    def __init__(self, result: Path) -> None:
        self.folder = RunFolder.of(result)
        self.phases: dict[tuple[str, int], np.ndarray] = {}
        self.restarts = 0

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, Restarted):
            self.restarts += 1
        if isinstance(event, Stored):
            values = load_state(self.folder.checkpoint(event.iteration)).model.object
            phase = np.maximum(phase_of(np.asarray(values)).sum(axis=0), 0)  # as a result has it
            self.phases[event.stage, event.iteration] = phase.astype(np.float32)


def largest_rise(history: Any, sharper: int | None) -> float:
    """From one iteration to the next, of what the loss fell by from the first to the lowest."""
    pieces: dict[Any, list[float]] = {}
    for stage, iteration, loss in zip(history["stage"], history["updates"], history["loss"], strict=True):
        pieces.setdefault((stage, sharper is not None and iteration >= sharper), []).append(float(loss))
    rises = [after - before for piece in pieces.values() for before, after in pairwise(piece)]
    first = next(iter(pieces.values()))
    return max(0.0, *rises) / (first[0] - min(first))


def forced(data: Path, job: dict[str, Any], target: Path, iterations: int) -> tuple[dict[str, Any], Any]:
    """A run that may not stop, and the correlation of all of its images."""
    watch = Watch(target)
    job = {
        **job,
        "solver": {"iterations": iterations, "patience": 10_000},
        "engine": {"checkpoint_every": 1},
    }
    began = time.perf_counter()
    try:
        result = ptychodask.reconstruct(data, job, output=target, overwrite=True, progress=watch)
    except DivergenceError as error:
        return {"diverged": str(error), "restarts": watch.restarts}, None
    seconds = time.perf_counter() - began
    truth, positions = ptychodask.read_truth(data)["phase"], result.positions.values
    frame = result.phase.coords

    def correlation(values: np.ndarray) -> float:
        image = xr.DataArray(values, frame, ("y", "x"))
        return float(compare_with_truth(image, truth, positions, (RESOLUTION,)).correlation[RESOLUTION])

    found = [(stage, number, correlation(phase)) for (stage, number), phase in watch.phases.items()]
    best = max(found, key=lambda entry: entry[2])
    fit = [e for e in found if e[0] == "fit"]
    history = result.history
    spectral = job["object"]["regularisation"] == "spectral"
    count = sum(stage == "fit" for stage in history["stage"])
    row = {
        "diverged": None,
        "restarts": watch.restarts,
        "finite": bool(np.isfinite(history["loss"]).all()),
        "loss_rose_by_at_most": largest_rise(history, sharper_from(count) if spectral else None),
        "images_compared": len(found),
        "best_iteration": [best[0], best[1]],
        "correlation": {
            "best": best[2],
            "last_of_fit": max(fit, key=lambda entry: entry[1])[2],
            "forced_returns": correlation(np.asarray(result.phase.values)),
        },
        "seconds": seconds,
    }
    return row, correlation


def rows(folder: Path, material: str, angle: float, tiny: bool) -> list[dict[str, Any]]:
    """One specimen at one semi-angle, with either regularisation."""
    data = ptychodask.simulate(
        folder / "scan.zarr", material, thickness_angstrom=SPECIMENS[material], semi_angle_mrad=angle,
        scan_shape=(16, 16) if tiny else (32, 32), slice_thickness_angstrom=8.0 if tiny else 4.0,
        detector_pixels=64 if tiny else 128, overwrite=True, progress=False,
    )  # fmt: skip
    made = []
    for way in WAYS:
        job: dict[str, Any] = {"object": {"slices": 4, "regularisation": way}}
        load = os.getloadavg()[0]
        row, correlation = forced(data, job, folder / "forced.zarr", 8 if tiny else FORCED)
        short = {"solver": {"iterations": 6}} if tiny else {}
        returned = ptychodask.reconstruct(data, {**job, **short}, progress=False)
        known: dict[str, Any] = {"material": material, "semi_angle_mrad": angle, "regularisation": way}
        if correlation is not None:
            row["correlation"]["returned"] = correlation(np.asarray(returned.phase.values))
            row["short_of_best"] = row["correlation"]["best"] - row["correlation"]["returned"]
        made.append({**known, **row, "iterations_of_returned": len(returned.history), "load_before": load})
        print(made[-1], flush=True)
    return made


def summary(found: list[dict[str, Any]], way: str) -> dict[str, Any]:
    """Of one regularisation."""
    mine = [row for row in found if row["regularisation"] == way]
    done = [row for row in mine if row["diverged"] is None]
    return {
        "cases": len(mine),
        "diverged": len(mine) - len(done),
        "restarts": sum(row["restarts"] for row in mine),
        "near_the_best": sum(row["short_of_best"] <= NEAR for row in done),
        "largest_short_of_best": max((row["short_of_best"] for row in done), default=None),
        "largest_rise": max((row["loss_rose_by_at_most"] for row in done), default=None),
    }


if __name__ == "__main__":
    options = arguments(QUESTION)
    path = options.out or RESULTS / "forced.json"
    found = json.loads(path.read_text())["result"]["rows"] if path.exists() and not options.tiny else []
    with tempfile.TemporaryDirectory() as name:
        for material, angle in CASES[1:2] if options.tiny else CASES:
            if not any((row["material"], row["semi_angle_mrad"]) == (material, angle) for row in found):
                found += rows(Path(name), material, angle, options.tiny)
                save(
                    "forced", QUESTION, {"summary": {way: summary(found, way) for way in WAYS}, "rows": found}, options
                )
