"""Is the resolution that two halves of the electrons tell that of the ring correlation with the truth?

NU-1000 [001] (50 A) and Zr-BTB [100] (50 A), 300 kV, 10 mrad, defocus 600 A, 128 x 128 detector, 48 x 48 positions at
1.05 A, 100 e/A^2: the image of all electrons is compared with the truth (threshold 0.5), and ``ptychodask.halves``
says what its two halves agree on, with no truth. Asked: within 15 %. ``--data`` keeps scans and finished cases: a run
that was stopped goes on. Vacuum: NU-1000's halves with those of a scan of vacuum with its probe.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import arguments, save
from specimens import counted

import ptychodask

QUESTION = "resolution by two halves of the electrons, against the ring correlation with the truth"
MATERIALS = ("nu-1000", "zr-btb")


def compared(folder: Path, material: str, rule: str, seed: int, vacuum: bool, tiny: bool) -> dict[str, Any]:
    """One case: figures of the image, and of its halves."""
    kept = folder / f"{material}-{rule}-{seed}-{vacuum}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    mean, scan = folder / f"{material}-mean.zarr", folder / f"{material}-{seed}.zarr"
    side, pixels = (20, 64) if tiny else (48, 128)
    if not mean.exists():
        ptychodask.simulate(mean, material, thickness_angstrom=50, scan_shape=(side, side), detector_pixels=pixels,
                            dose_per_square_angstrom=float("inf"), slice_thickness_angstrom=25.0 if tiny else 4.0,
                            progress=False)  # fmt: skip
    if not scan.exists():
        counted(mean, scan, seed)
    job = {"object": {"regularisation": rule}, "solver": {"iterations": 3} if tiny else {}}
    output = folder / f"{material}-{rule}-{seed}.zarr"
    clock = folder / f"{material}-{rule}-{seed}.seconds.json"
    if not output.exists():
        began = time.process_time()
        result = ptychodask.reconstruct(scan, job, output=output, overwrite=True, progress=False)
        between = time.process_time()
        ptychodask.halves(result, progress=False)
        clock.write_text(json.dumps([round(between - began, 1), round(time.process_time() - between, 1)]))
    result = ptychodask.open_result(output)
    found = ptychodask.halves(result, vacuum=vacuum, progress=False)
    seconds = json.loads(clock.read_text()) if clock.exists() else [None, None]
    truth = ptychodask.read_truth(mean)
    assert truth is not None
    known = _with_truth(result, truth["phase"])
    told, true = float(found.resolution_angstrom), known["truth_angstrom"]
    values = {
        "material": material,
        "regularisation": rule,
        "seed": seed,
        **known,
        "halves_angstrom": number(told),
        "difference": number(told / true - 1),
        "outermost_peak_angstrom": number(float(found.peak_angstrom)),
        "peaks": found.sizes["peak"],
        "mirrored_peaks": found.attrs["mirrored_peaks"],
        "cpu_seconds_image": seconds[0],
        "cpu_seconds_halves": seconds[1],
        "frequency": found.frequency.values.round(4).tolist(),
        **{name: [number(v) for v in found[name].values] for name in ("frc", "threshold", "truth", "pixels")},
        **({"vacuum": [number(v) for v in found.vacuum.values]} if vacuum else {}),
    }
    kept.write_text(json.dumps(values))
    return values


def _with_truth(result: ptychodask.io.result.Result, phase: Any) -> dict[str, Any]:
    from ptychodask.analysis.compare import compare_with_truth

    seen = compare_with_truth(result.phase, phase, result.positions.values)
    return {
        "correlation_2.5A": round(seen.correlation[2.5], 4),
        "correlation_2.0A": round(seen.correlation[2.0], 4),
        "truth_angstrom": seen.frc.resolution_angstrom,
        "frc_with_truth": [number(v) for v in seen.frc.frc],
    }


def number(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


if __name__ == "__main__":
    options = arguments(QUESTION, keeps_data=True, takes_seeds=True)
    seeds = options.seeds or (1 if options.tiny else 2)
    with tempfile.TemporaryDirectory() as name:
        folder = options.data or Path(name)
        folder.mkdir(exist_ok=True)
        cases = [(m, "spectral", s, False) for s in range(seeds) for m in MATERIALS]
        cases += [("nu-1000", "spectral", 0, True), *((m, "blur", 0, False) for m in MATERIALS)]
        cases = cases[:1] if options.tiny else cases
        save("resolution", QUESTION, [compared(folder, *case, options.tiny) for case in cases], options)
