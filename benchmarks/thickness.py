"""How thick is it? ``ptychodask tune`` over the thickness, by dose and by regularisation, on ZIF-8 of three and twelve
repeats at 20 mrad; the number of slices is given, the lens is known.

``parabola_angstrom`` is the vertex of the parabola through the smallest held-out loss and its neighbours, ``found``
where that is within 15 % of the truth. What the search itself says is in ``verdicts``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import record

import ptychodask

QUESTION = "thickness by held-out electrons, by dose and regularisation"
REPEAT = 17.0118
"""Angstrom of ZIF-8 along the beam."""
SPECIMENS = {3: {"slices": 4, "defocus": 150.0}, 12: {"slices": 8, "defocus": 50.0}}
DOSES = (100.0, 1000.0)
SPAN, TRIALS = (0.4, 2.0), 9
WITHIN = 0.15


def one(folder: Path, repeats: int, dose: float, regularisation: str, tiny: bool) -> dict[str, Any]:
    how, true = SPECIMENS[repeats], repeats * REPEAT
    scan = folder / f"{repeats}-{dose:g}.zarr"
    if not scan.exists():
        ptychodask.simulate(
            scan, "zif-8", thickness_angstrom=true, semi_angle_mrad=20, defocus_angstrom=how["defocus"],
            scan_shape=(8, 8) if tiny else (24, 24), scan_step_angstrom=0.8, detector_pixels=48 if tiny else 96,
            angular_step_mrad=1.6 if tiny else 0.8, slice_thickness_angstrom=8.0 if tiny else 2.0,
            dose_per_square_angstrom=dose, seed=5, progress=False,
        )  # fmt: skip
    job: dict[str, Any] = {"object": {"slices": 2 if tiny else how["slices"], "regularisation": regularisation}}
    if tiny:
        job["solver"] = {"iterations": 2}
    span = tuple(round(share * true, 1) for share in SPAN)
    found = ptychodask.tune(
        scan, {"object.thickness_angstrom": span}, job, trials=3 if tiny else TRIALS, batch=3 if tiny else TRIALS,
        progress=False,
    )  # fmt: skip
    tried = sorted((t.values["object.thickness_angstrom"], t.nats) for t in found.trials)
    best = found.best.values["object.thickness_angstrom"]
    row = {
        "true_angstrom": true, "dose": dose, "regularisation": regularisation, "slices": job["object"]["slices"],
        "best_angstrom": best, "error": best / true - 1, "parabola_angstrom": vertex(tried), "verdicts": found.verdicts,
        "trials": tried,
    }  # fmt: skip
    row["found"] = bool(abs(row["parabola_angstrom"] / true - 1) <= WITHIN)
    print(row, flush=True)
    return row


def vertex(tried: list[tuple[float, float]]) -> float:
    """Of the parabola through the smallest loss and its neighbours."""
    at = int(np.clip(np.argmin([nats for _, nats in tried]), 1, len(tried) - 2))
    (x, y) = np.transpose(tried[at - 1 : at + 2])
    a, b, _ = np.polyfit(x, y, 2)
    return float(-b / (2 * a)) if a > 0 else float(x[1])


def main() -> None:
    options = record.arguments(QUESTION)
    cases = [(3, 1000.0, "blur")] if options.tiny else [
        (repeats, dose, name) for repeats in SPECIMENS for dose in DOSES for name in ("spectral", "blur")
    ]  # fmt: skip
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            rows.append(one(Path(folder), *case, options.tiny))
            record.save("thickness", QUESTION, {"within": WITHIN, "rows": rows}, options)


if __name__ == "__main__":
    main()
