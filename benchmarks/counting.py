"""Are electrons counted right in the values of a detector that measures charge?

Simulated counts of NU-1000 at 100 electrons per square angstrom become ADU (gain 580, its RMS variation 10 %, a
pedestal, read-out noise), with pixels that are hot or dead, and are imported with ``count=True``.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import record

import ptychodask

GAIN, SPREAD, ZERO = 580.0, 0.1, 15.0
HOT, DEAD = 6, 4


def measured(counts: np.ndarray, separation: float, rng: np.random.Generator, hot: Any, dead: Any) -> np.ndarray:
    """ADU of counts (scan_y, scan_x, N, N): float32."""
    found = np.empty(counts.shape, np.float32)
    for row, true in zip(found, counts, strict=True):
        n = true.astype(np.float32)
        n[:, dead[0], dead[1]] = 0
        row[...] = ZERO + GAIN * n + GAIN / separation * rng.standard_normal(n.shape, np.float32)
        row += SPREAD * GAIN * np.sqrt(n) * rng.standard_normal(n.shape, np.float32)
        row[:, hot[0], hot[1]] += GAIN * rng.uniform(0.5, 4, (len(row), len(hot[0])))
    return found


def compared(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Wrong electrons and the sum's difference, in percent of all."""
    wrong = np.abs(found.astype(np.int64) - true).sum()
    return {
        "miscounted_percent": 100 * float(wrong / true.sum()),
        "total_percent": 100 * float(found.sum(dtype=np.int64) / true.sum() - 1),
    }


def case(folder: Path, data: Any, counts: np.ndarray, separation: float, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    n = counts.shape[-1]
    disk = np.argwhere(counts.sum(axis=(0, 1)) > 0.5 * counts.sum(axis=(0, 1)).max())
    hot = rng.integers(0, n, (2, HOT))
    dead = disk[rng.choice(len(disk), DEAD, replace=False)].T
    values = measured(counts, separation, rng, hot, dead)
    np.save(folder / "scan.npy", values)
    optics = {name: data.attrs[name] for name in ("energy_ev", "semi_angle_mrad", "angular_step_mrad")}
    began = time.perf_counter()
    made = ptychodask.import_data(
        folder / "scan.npy", folder / "scan.zarr", count=True, scan_step_angstrom=data.attrs["scan_step_angstrom"],
        overwrite=True, progress=False, **optics,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    opened = ptychodask.open_dataset(made)
    said, used = opened.attrs["counting"], opened.mask.values != 0
    planted = np.zeros((n, n), bool)
    planted[hot[0], hot[1]] = planted[dead[0], dead[1]] = True
    true = counts[..., used & ~planted].astype(np.int64)
    rounded = np.maximum(np.rint((values[..., used & ~planted] - said["zero_adu"]) / said["gain_adu"]), 0)
    return {
        "gain_over_noise": separation,
        "seed": seed,
        "gain_adu": said["gain_adu"],
        "noise_adu": said["noise_adu"],
        "threshold_of_gain": (said["thresholds_adu"][0] - said["zero_adu"]) / said["gain_adu"],
        "predicted_percent": 100 * said["miscounted"],
        **compared(opened.counts.values[..., used & ~planted], true),
        "rounded": compared(rounded, true),
        "hot_found": int((~used[hot[0], hot[1]]).sum()),
        "dead_found": int((~used[dead[0], dead[1]]).sum()),
        "good_masked": int((~used & ~planted).sum()),
        "seconds": seconds,
    }


def main() -> None:
    options = record.arguments(__doc__.splitlines()[0])
    side, pixels, step = (16, 48, 1.2) if options.tiny else (64, 128, 0.47)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        ptychodask.simulate(
            folder / "true.zarr", "nu-1000", scan_shape=(side, side), detector_pixels=pixels, angular_step_mrad=step,
            slice_thickness_angstrom=8.0 if options.tiny else 2.0, progress=False,
        )  # fmt: skip
        data = ptychodask.open_dataset(folder / "true.zarr")
        counts = data.counts.values
        cases = [(8.0, 0)] if options.tiny else [(14.5, 0), (8.0, 0), (8.0, 1), (8.0, 2), (6.0, 0), (5.0, 0)]
        found = [case(folder, data, counts, *one) for one in cases]
    about = {"scan": side, "pixels": pixels, "electrons_per_pattern": float(counts.sum() / side**2)}
    planted = {"hot": HOT, "dead": DEAD, "gain_adu": GAIN, "spread": SPREAD, "zero_adu": ZERO}
    record.save("counting", __doc__.splitlines()[0], {**about, "planted": planted, "cases": found}, options)


if __name__ == "__main__":
    main()
