"""What does an iteration cost more while the geometry moves, and what all of it in units of the image?

ZIF-8 as in ``low_dose.py`` (4 slices), its dataset's word as start. Iterations before the geometry moves and while it
does are of one run, on a CUDA device where there is one, else on the processor; the image is one without refinement.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from record import arguments, save
from time_to_image import dataset, device

import ptychodask
from ptychodask.events import Event, Iterated
from ptychodask.jobs.geometry import BEGINS

QUESTION = "seconds of an iteration while the geometry moves, against one where it does not"
SIDES = (64, 96)


def row(data: Path, side: int, backend: str) -> dict[str, Any]:
    """A run that refines, and one that does not."""
    still, moving = list[float](), list[float]()

    def note(event: Event) -> None:
        if isinstance(event, Iterated) and event.stage == "geometry":
            # the first reads the data, and that at BEGINS decides what is free
            (still if event.iteration < BEGINS else moving).append(event.seconds)

    job: dict[str, Any] = {"object": {"slices": 4}, "engine": {"backend": backend}}
    took = []
    for refine in ("none", "auto"):
        start = time.perf_counter()
        result = ptychodask.reconstruct(data, {**job, "geometry": {"refine": refine}}, progress=note)
        took.append(time.perf_counter() - start)
    return {
        "positions": side * side,
        "backend": backend,
        "seconds_of_the_image": took[0],
        "seconds_with_refinement": took[1],
        "iterations": len(still) + len(moving),
        "seconds_per_iteration_before": median(still[1:]),
        "seconds_per_iteration_moving": median(moving[1:]),
        "more_per_iteration": median(moving[1:]) / median(still[1:]) - 1,
        "numbers": len(result.geometry),
    }


if __name__ == "__main__":
    options = arguments(QUESTION, keeps_data=True)
    name = device()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.data or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for side in (16,) if options.tiny else SIDES:
            data = dataset(folder, side, 64 if options.tiny else 128)
            backend = "cpu" if name is None else "cupy"
            if side == SIDES[0]:  # compile kernels and import everything once
                row(data, side, backend)
            rows.append(row(data, side, backend))
    save("refine_cost", QUESTION, {"device": name, "rows": rows}, options)
