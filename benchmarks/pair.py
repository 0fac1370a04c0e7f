"""Two scans of half the dose at two defoci, reconstructed together, against one scan of the whole dose at either.

ZIF-8 (34 angstrom) and NU-1000 (50) at 10 mrad and 100 e/A^2 in all, 400 and 800 angstrom underfocus; the second scan
is shifted by what no dataset says, and is placed by its counts. What both scans see is compared with the truth.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import record

import ptychodask
from ptychodask.analysis.compare import compare_with_truth
from ptychodask.io.dataset import dataset_info, read_positions, read_truth
from ptychodask.simulation.counted import count_electrons

QUESTION = "does a pair of defoci give a better image than the better one of them at the same dose?"
MATERIALS = {"zif-8": 34.0, "nu-1000": 50.0}
DEFOCI, OFFSET, DOSE = (400.0, 800.0), (3.2, -0.8), 100.0


def exact(folder: Path, material: str, tiny: bool) -> list[Path]:
    """Both scans without noise."""
    paths = [folder / f"{material}-{defocus:g}.zarr" for defocus in DEFOCI]
    for path, defocus, shift in zip(paths, DEFOCI, ((0.0, 0.0), OFFSET), strict=True):
        if not path.exists():
            ptychodask.simulate(
                path, material, thickness_angstrom=MATERIALS[material], defocus_angstrom=defocus,
                scan_shape=(24, 24) if tiny else (48, 48), scan_step_angstrom=1.05, detector_pixels=48 if tiny else 96,
                angular_step_mrad=0.8 if tiny else 0.6, slice_thickness_angstrom=17.0 if tiny else 2.0,
                dose_per_square_angstrom=float("inf"), offset_angstrom=shift, progress=False,
            )  # fmt: skip
    return paths


def figures(result: Any, scans: list[Path], shift: tuple[float, float]) -> dict[str, Any]:
    """How near a result is to the truth where both scans are; ``shift`` is that of its frame."""
    boxes = [read_positions(scan) + by for scan, by in zip(scans, (np.zeros(2), np.array(OFFSET)), strict=True)]
    low, high = np.max([b.min(axis=0) for b in boxes], axis=0), np.min([b.max(axis=0) for b in boxes], axis=0)
    phase = result.phase.assign_coords(y=result.phase.y + shift[0], x=result.phase.x + shift[1])
    truth = read_truth(scans[0])
    assert truth is not None
    its = compare_with_truth(phase, truth["phase"], np.array([low, high]), resolution=(2.5, 2.0, 1.5), margin=1.0)
    keys = ("correlation_2.0A", "correlation_1.5A", "nrmse", "frc_resolution_angstrom")
    return {key: its.as_dict()[key] for key in keys}


def one(folder: Path, material: str, seed: int, tiny: bool) -> dict[str, Any]:
    """A pair and both single scans of a material."""
    scans = exact(folder, material, tiny)
    job: dict[str, Any] = {"solver": {"iterations": 3}} if tiny else {}
    row: dict[str, Any] = {"material": material, "seed": seed, "dose": DOSE}

    def counted(number: int, dose: float, draw: int) -> Path:
        target = folder / f"{material}-{number}-{dose:g}-{draw}.zarr"
        if not target.exists():
            count_electrons(scans[number], target, dataset_info(scans[number]).microscope, dose, draw)
        return target

    for number, (defocus, shift) in enumerate(zip(DEFOCI, ((0.0, 0.0), OFFSET), strict=True)):
        single = ptychodask.reconstruct(counted(number, DOSE, seed), job, progress=False)
        row[f"{defocus:g}"] = figures(single, scans, shift)
    halves = [counted(number, DOSE / 2, 100 + 2 * seed + number) for number in (0, 1)]
    started = time.perf_counter()
    pair = ptychodask.reconstruct(halves, {**job, "data": {"offsets": [OFFSET]}} if tiny else job, progress=False)
    row["seconds_pair"] = time.perf_counter() - started
    found = pair.scans[1].attrs["offset_angstrom"]
    row |= {"offset": found, "offset_error": [a - b for a, b in zip(found, OFFSET, strict=True)]}
    row["pair"] = figures(pair, scans, (0.0, 0.0))
    better = max(row[f"{defocus:g}"]["correlation_1.5A"] for defocus in DEFOCI)
    row["gain_correlation_1.5A"] = row["pair"]["correlation_1.5A"] - better
    print(row, flush=True)
    return row


def main() -> None:
    options = record.arguments(QUESTION, keeps_data=True, takes_seeds=True)
    seeds = 1 if options.tiny else options.seeds or 2
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.data or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        materials = list(MATERIALS)[: 1 if options.tiny else None]
        rows = [one(folder, material, seed, options.tiny) for material in materials for seed in range(seeds)]
    record.save("pair", QUESTION, rows, options)


if __name__ == "__main__":
    main()
