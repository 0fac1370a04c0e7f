"""Is a drift of the rows found while the image forms, and what of the image does it win back?

Crystals and patterns of ``geometry``, whose rows were displaced by a drift of 0.3 angstrom (RMS) that the dataset does
not know: cosines of 2 to 4 half periods with amplitudes that are drawn (``within``: what a refinement looks for), or a
random walk of the rows (``walk``: it is not). ``exact`` is the run at the right positions, ``wrong`` that at what the
dataset says, ``drift`` the same with ``geometry.refine = drift``, ``all`` that with what ``auto`` moves besides.
Correlation with the truth at 2.5 angstrom inside the scan, and what is left of the drift, RMS in angstrom, less what is
straight.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import calibration as c
import geometry as g
import numpy as np
from record import arguments, save

from ptychodask.model.config import AUTO
from ptychodask.model.row_drift import waves

QUESTION = "correlation and drift left where the drift of the rows is refined with the image"
RMS, SEEDS = 0.3, 3
WAYS: dict[str, Any] = {"wrong": "none", "drift": ("drift",), "all": (*AUTO, "drift")}


def bent(rows: np.ndarray) -> np.ndarray:
    """Displacements [Y, 2] less what is straight over the rows."""
    t = np.arange(len(rows))
    straight = np.stack([np.ones(len(rows)), t], axis=1)
    its: np.ndarray = rows - straight @ np.linalg.lstsq(straight, rows, rcond=None)[0]
    return its


def rms(rows: np.ndarray) -> float:
    """Of the lengths."""
    return math.sqrt(float((rows**2).sum(axis=1).mean()))


def drawn(side: int, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Drifts [side, 2] of the length ``RMS``."""
    rng = np.random.default_rng(1000 + seed)
    smooth = waves(np.arange(side) / (side - 1)) @ rng.standard_normal((3, 2))
    for kind, rows in (("within", smooth), ("walk", bent(rng.standard_normal((side, 2)).cumsum(axis=0)))):
        yield kind, rows * (RMS / rms(rows))


def of_seed(case: c.Case, seed: int, kept: Path | None, iterations: int | None = None) -> list[dict[str, Any]]:
    """Both kinds with one noise."""
    clean, thickness, truth = g.simulated(case, kept)
    counts = np.random.default_rng(seed).poisson(clean).astype(np.uint8)
    at, rows = g.said(case, thickness, {}), []
    with tempfile.TemporaryDirectory() as name:
        where = (Path(name), case, counts, thickness, at, truth)
        exact, _ = g.run(*where, "none", iterations)
        for kind, drift in drawn(case.side, seed):
            found: dict[str, Any] = {"case": case.name, "kind": kind, "seed": seed, "exact": exact["correlation"]}
            for way, refine in WAYS.items():
                its, result = g.run(*where, refine, iterations, -drift)
                places = (result.positions.values - g.placed(case, at).reshape(case.side, case.side, 2)).mean(axis=1)
                said = result.geometry.get("drift_angstrom", {})
                found[way] = {**its, "left": rms(bent(places)), "found": said.get("value"), "sigma": said.get("sigma")}
            rows.append(found)
            shown = (f"{way} {found[way]['correlation']:.4f} ({found[way]['left']:.3f} A)" for way in WAYS)
            print(case.name, kind, seed, f"exact {exact['correlation']:.4f}", *shown, flush=True)
    return rows


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the seeds."""
    out = []
    for case, kind in dict.fromkeys((row["case"], row["kind"]) for row in rows):
        its = [row for row in rows if (row["case"], row["kind"]) == (case, kind)]
        means: dict[str, Any] = {"exact": float(np.mean([row["exact"] for row in its]))}
        for way in WAYS:
            means[way] = {n: float(np.mean([row[way][n] for row in its])) for n in ("correlation", "left")}
        out.append({"case": case, "kind": kind, "seeds": len(its), **means})
    return out


if __name__ == "__main__":
    options = arguments(QUESTION, keeps_data=True, takes_seeds=True)
    if options.tiny:
        rows = of_seed(replace(c.TINY[0], side=16), 0, None, 4)
    else:
        seeds = range(options.seeds or SEEDS)
        rows = [row for seed in seeds for case in g.CASES for row in of_seed(case, seed, options.data)]
    save("drift", QUESTION, {"summary": summary(rows), "runs": rows}, options)
