"""Is an image ever worse because its geometry was refined?

Random plantings inside the capture range, on crystals and patterns of ``geometry``: up to 100 angstrom of defocus (50
at 21 mrad), 20 of C12, 2 degrees of rotation, 2 % of asymmetry and 1 % of shear, all at once and of any sign; another
noise each. Of the scan the first 32 x 32 positions are taken (64 x 64 in ``geometry``: four times the electrons). The
prior is the default (``spectral``). Worse is a refined image whose correlation with the truth at 2.5 angstrom is lower
than that of the unrefined one by more than .005; a run that says that it keeps the geometry of the dataset gave up.
``within`` is the share of errors that are below their stated standard error, of numbers that moved in runs that did not
give up.

Results are kept after every planting: a run that was stopped goes on with the next one.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import calibration as c
import geometry as g
import numpy as np
from record import RESULTS, arguments, machine, save

QUESTION = "images that are worse with a refined geometry than with the one that the dataset says"
MOST = {"rotation": np.radians(2.0), "asymmetry": 0.02, "shear": 0.01, "defocus": 100.0, "c12": 20.0}
WORSE, PLANTINGS, SIDE = 0.005, 20, 32
COMMIT = machine()["commit"]
"""At the start: a run that goes on for long sees others."""
CASES = (c.CASES[3], c.CASES[0], c.CASES[2])


def planting(number: int, case: c.Case) -> dict[str, float]:
    """Right values less those that the dataset says."""
    drawn = np.random.default_rng(1000 + number).uniform(-1, 1, len(MOST))
    found = {name: float(most * part) for (name, most), part in zip(MOST.items(), drawn, strict=True)}
    return {**found, "defocus": found["defocus"] / (1 if case.semi_angle < 15 else 2)}


def planted(number: int, case: c.Case, kept: Path | None, iterations: int | None = None) -> dict[str, Any]:
    """A planting: correlations, errors, and what the run said."""
    clean, thickness, truth = g.simulated(case, kept)
    part = replace(case, side=min(SIDE, case.side))
    counts = np.random.default_rng(number).poisson(clean[: part.side, : part.side]).astype(np.uint8)
    changes = planting(number, case)
    with tempfile.TemporaryDirectory() as name:
        where = (Path(name), part, counts, thickness, g.said(part, thickness, changes), truth)
        wrong, _ = g.run(*where, "none", iterations)
        refined, result = g.run(*where, "auto", iterations)
    away, sigma = g.errors(part, thickness, result.geometry)
    hows = sorted({its["how"] for its in result.geometry.values()})
    return {
        "commit": COMMIT, "number": number,
        "case": case.name, "side": part.side, "planted": changes, "wrong": wrong, "refined": refined,
        "errors": away, "sigma": sigma, "gave_up": all("not refined" in how for how in hows), "how": hows,
    }  # fmt: skip


def held_in(row: dict[str, Any]) -> list[str]:
    """Numbers whose error is what was planted: they did not move."""
    start = {"rotation_degrees": np.degrees(row["planted"]["rotation"]), "asymmetry": row["planted"]["asymmetry"]}
    start["shear"] = row["planted"]["shear"]
    return [name for name, planted in start.items() if abs(row["errors"][name] + planted) < 1e-9]


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Worst loss, and how good the errors are."""
    moved = [row for row in rows if not row["gave_up"]]
    losses = [row["wrong"]["correlation"] - row["refined"]["correlation"] for row in moved]
    within = [abs(row["errors"][n]) < row["sigma"][n] for row in moved for n in row["errors"] if n not in held_in(row)]
    return {
        "plantings": len(rows),
        "gave_up": len(rows) - len(moved),
        "worse": sum(loss > WORSE for loss in losses),
        "worst_loss": max(losses, default=None),
        "mean_gain": None if not losses else -float(np.mean(losses)),
        "within": None if not within else float(np.mean(within)),
        "rms_errors": {
            name: float(np.sqrt(np.mean([row["errors"][name] ** 2 for row in moved]))) for name in rows[0]["errors"]
        }
        if moved
        else {},
    }


def main() -> None:
    options = arguments(QUESTION, keeps_data=True)
    if options.tiny:
        rows = [planted(0, c.TINY[0], None, 4)]
        save("geometry_plantings", QUESTION, {"summary": summary(rows), "runs": rows}, options)
        return
    kept = options.out or RESULTS / "geometry_plantings.json"
    rows = json.loads(kept.read_text())["result"]["runs"] if kept.exists() else []
    for number in range(PLANTINGS):
        if number in [row["number"] for row in rows]:
            continue
        rows.append(planted(number, CASES[number % len(CASES)], options.data))
        save("geometry_plantings", QUESTION, {"summary": summary(rows), "runs": rows}, options)
    save("geometry_plantings", QUESTION, {"summary": summary(rows), "runs": rows}, options)


if __name__ == "__main__":
    main()
