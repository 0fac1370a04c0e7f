"""Which image does a package have after the same wall time? Correlation with the truth of the simulation.

The comparison is ptychodask's own (`ptychodask.analysis.compare`) for all: sum of the phases over the slices, inside
the scan less 3.3 A, low-passed with the truth to one resolution. A shift of at most 2 A, a plane and the scale are
free, the sign is not. No peer's image is turned, mirrored or transposed: their runners place them by pixel size and
first position, which a run with ``--dose inf`` confirms.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import accumulate
from statistics import median
from typing import Any

import numpy as np
import xarray as xr
from peer_cases import Sample

import ptychodask
from ptychodask.analysis.compare import compare_with_truth


def elapsed(seconds: Sequence[float]) -> list[float]:
    """Wall time after each iteration; the first, which may hold compilation, counts as the median of the others."""
    first = min(seconds[0], median(seconds[1:])) if len(seconds) > 1 else seconds[0]
    return list(accumulate([first, *seconds[1:]]))


def last_within(times: Sequence[float], budget: float) -> int | None:
    """Index of the last iteration that ended within ``budget`` seconds."""
    ended = [i for i, t in enumerate(times) if t <= budget]
    return ended[-1] if ended else None


def placed(phase: np.ndarray, origin: Sequence[float], pixel: float) -> xr.DataArray:
    """A phase [y, x] with its coordinates in angstrom; the first position is (0, 0)."""
    axes = {a: origin[i] + pixel * np.arange(phase.shape[i]) for i, a in enumerate(("y", "x"))}
    return xr.DataArray(np.asarray(phase, float), dims=("y", "x"), coords=axes)


def correlation(phase: xr.DataArray, sample: Sample) -> dict[str, Any]:
    """Correlation with the truth of a sample at 2.5 and 2.0 A, and what was fitted."""
    positions = ptychodask.open_dataset(sample.data).positions.values
    figures = compare_with_truth(phase, sample.truth, positions).as_dict()
    return {k: figures[k] for k in ("correlation_2.5A", "correlation_2.0A", "scale", "shift_angstrom")}


def peer_images(answer: dict[str, Any], phases: np.ndarray, sample: Sample, budgets: Sequence[float]) -> dict[str, Any]:
    """A peer's image at every budget, and at the iteration that the truth likes best (which no user can know)."""
    times = elapsed(answer["seconds"])

    def at(i: int) -> dict[str, Any]:
        if not np.isfinite(phases[i]).all():
            return {"iterations": i + 1, "seconds": times[i], "failed": "the image is not finite"}
        figures = correlation(placed(phases[i], answer["origin_angstrom"], answer["pixel_angstrom"]), sample)
        return {"iterations": i + 1, "seconds": times[i], **figures}

    rows: list[dict[str, Any]] = []
    for budget in budgets:
        last = last_within(times, budget)
        rows.append({"budget_seconds": budget, **(at(last) if last is not None else {"failed": "no iteration ended"})})
    end = last_within(times, max(budgets))
    tried = [row for row in map(at, range(0 if end is None else end + 1)) if "failed" not in row]
    best = max(tried, key=lambda row: row["correlation_2.5A"] or -1.0, default=None)
    return {"after": rows, "best_by_truth": best}


def our_images(sample: Sample, job: dict[str, Any], budgets: Sequence[float], second: float) -> list[dict[str, Any]]:
    """ptychodask's image at every budget: as many iterations as fit, its own rule chooses among them; and that of the
    spectral prior, whose iterations are 13, or as many as fit. ``seconds`` are those of the image's iterations, and
    ``seconds_in_all`` of the call, with the geometry where that is refined.

    ``second`` is the time of an iteration in seconds.
    """
    rows = []
    for budget, way in ((budget, way) for way in ("blur", "spectral") for budget in budgets):
        count = max(2, int(budget / second))
        solver = {**job.get("solver", {}), "iterations": min(count, 13) if way == "spectral" else count}
        rules = {**job.get("object", {}), "regularisation": way}
        began = time.perf_counter()
        result = ptychodask.reconstruct(sample.data, {**job, "solver": solver, "object": rules})
        whole = time.perf_counter() - began
        rows.append(
            {
                "regularisation": way,
                "budget_seconds": budget,
                "iterations": len(result.history),
                "chosen_iteration": result.iteration,
                "stopped_because": result.attributes["stopped_because"],
                "seconds": float(result.history["seconds"].sum()),
                "seconds_in_all": whole,
                **correlation(result.phase, sample),
            }
        )
    return rows
