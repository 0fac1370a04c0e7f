"""Do the warnings of the first day stay silent on sound data, and does each mistake get the one that names it?

Crystals are simulated without noise (24 x 24 positions, 64 pixels; materials, semi-angles, in focus and on both sides
of it), then counted at 20 to 1e5 electrons per pattern. Of every scan: all warnings of its survey (there must be none),
the offset and radius of the disk against what is recorded, and the nats of the recorded geometry and of the best other.
Of some scans, every mistake that is planted, and the warnings. Of every crystal, reconstructed in 15 iterations, the
loss above that of Poisson noise around the model.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from record import arguments, save

import ptychodask
from ptychodask.analysis.survey import lens, look
from ptychodask.analysis.suspicion import Survey, suspicions
from ptychodask.analysis.suspicion.scan import RECORDED, compare_geometries
from ptychodask.counts.patterns import prepare
from ptychodask.io.dataset import DatasetInfo, dataset_info, read_positions
from ptychodask.model.optics import Microscope

QUESTION = "warnings of sound scans (none) and of planted mistakes (one each, that names it)"
# material, thickness, semi-angle, defocus, angular step, scan step, further aberrations
SCANS: dict[str, tuple[Any, ...]] = {
    "ZIF-8, 10 mrad, 600 A": ("zif-8", 34, 10, 600, 0.47, 1.05, {}),
    "ZIF-8, 10 mrad, in focus": ("zif-8", 34, 10, 0, 0.47, 0.9, {}),
    "NU-1000, 10 mrad, 600 A": ("nu-1000", 50, 10, 600, 0.47, 1.05, {}),
    "NU-1000, 21 mrad, 200 A": ("nu-1000", 50, 21, 200, 0.94, 0.8, {}),
    "MAPbI3, 21 mrad, 200 A": ("mapbi3", 40, 21, 200, 0.94, 0.6, {}),
    "MAPbI3, 21 mrad, in focus": ("mapbi3", 40, 21, 0, 0.94, 0.4, {}),
    "Zr-BTB, 10 mrad, -400 A": ("zr-btb", 30, 10, -400, 0.47, 1.5, {}),
    "NU-901, 10 mrad, 300 A": ("nu-901", 30, 10, 300, 0.6, 2.0, {}),
}
ELECTRONS = (20, 100, 1000, 100_000)
PLANTED_IN = ("NU-1000, 10 mrad, 600 A", "MAPbI3, 21 mrad, 200 A", "Zr-BTB, 10 mrad, -400 A")
PLANTED_AT = (100, 400)
Counts = np.ndarray
Mistake = tuple[str, Callable[[Counts], Counts]]
"""A word of the warning, and what is done to the counts."""


def counts_with(counts: Counts, place: Any, value: int) -> Counts:
    changed = counts.copy()
    changed[place] = value
    return changed


def brighter(counts: Counts, place: tuple[int, int]) -> Counts:
    changed = counts.copy()
    changed[place] *= 30
    return changed


MISTAKES: dict[str, Mistake] = {
    "off centre by a pixel": ("off centre", lambda c: np.roll(c, 1, 2)),
    "corner-centred": ("fftshift", lambda c: np.fft.ifftshift(c, axes=(2, 3))),
    "hot pixel": ("hot pixel", lambda c: counts_with(c, (..., 8, 11), 20)),
    "dead pixel": ("dead pixel", lambda c: counts_with(c, (..., 30, 35), 0)),
    "frame of 30 times the electrons": ("misfired", lambda c: brighter(c, (5, 7))),
    "blank frame": ("misfired", lambda c: counts_with(c, (5, 7), 0)),
    "gain of 3": ("multiples of 3", lambda c: c * 3),
    "gain of 2.6, rounded": ("gain", lambda c: np.rint(c * 2.6)),
    "patterns transposed": ("transposed", lambda c: c.swapaxes(2, 3)),
    "scan axes swapped": ("transposed", lambda c: c.swapaxes(0, 1)),
    "ky reversed": ("ky reversed", lambda c: np.roll(c[:, :, ::-1], 1, 2)),
    "kx reversed": ("kx reversed", lambda c: np.roll(c[..., ::-1], 1, 3)),
}


def simulated(name: str, folder: Path, side: int) -> tuple[np.ndarray, DatasetInfo, np.ndarray]:
    """Expected counts of one electron per pattern, and how they were recorded."""
    material, thickness, semi_angle, defocus, angular_step, step, aberrations = SCANS[name]
    path = ptychodask.simulate(
        folder / f"{material}-{semi_angle}-{defocus}.zarr", material, thickness_angstrom=thickness,
        semi_angle_mrad=semi_angle, defocus_angstrom=defocus, angular_step_mrad=angular_step, scan_step_angstrom=step,
        aberrations=aberrations, scan_shape=(side, side), detector_pixels=64, slice_thickness_angstrom=3,
        dose_per_square_angstrom=math.inf,
    )  # fmt: skip
    expected = ptychodask.open_dataset(path).counts.values.astype(np.float64)
    return expected * side**2 / expected.sum(), dataset_info(path), read_positions(path)


def surveyed(counts: Counts, info: DatasetInfo, positions: np.ndarray, microscope: Microscope | None = None) -> Survey:
    microscope, n, patterns = microscope or info.microscope, counts.shape[-1], np.arange(math.prod(info.scan_shape))
    weights = np.ones((n, n), np.float32)
    corner = np.fft.ifftshift(counts, axes=(2, 3)).reshape(-1, n, n).astype(np.uint16)
    through = lens(info.scan_shape, microscope.semi_angle_mrad / info.detector.angular_step_mrad)
    seen = look(prepare(corner, patterns, weights, 0.9, 0), patterns, info.scan_shape, through)
    thickness = float(info.attributes.get("thickness_angstrom") or 0)
    step = info.detector.angular_step_mrad
    return Survey(seen, through, weights, microscope, step, positions, info.scan_shape, thickness)


def sound(expected: np.ndarray, info: DatasetInfo, positions: np.ndarray, electrons: int) -> dict[str, Any]:
    survey = surveyed(np.random.default_rng(0).poisson(expected * electrons), info, positions)
    fits = {f.layout: f.nats for f in compare_geometries(survey)}
    others = [nats for name, nats in fits.items() if name != RECORDED]
    return {
        "warnings": suspicions(survey),
        "off_centre_px": None if survey.disk is None else math.hypot(*survey.disk.centre),
        "radius_px": None if survey.disk is None else survey.disk.radius,
        "recorded_radius_px": survey.radius,
        "nats_recorded": fits.get(RECORDED),
        "nats_other": max(others, default=None),
    }


def planted(
    expected: np.ndarray, info: DatasetInfo, positions: np.ndarray, electrons: int, tiny: bool
) -> dict[str, Any]:
    counts = np.random.default_rng(1).poisson(expected * electrons)
    seen = info.microscope
    wrong = Microscope(seen.energy_ev, seen.semi_angle_mrad, {"C10": seen.defocus_angstrom})
    mistakes = list(MISTAKES.items())[:: 2 if tiny else 1]  # tiny: still one of each kind
    found = {name: (word, surveyed(plant(counts), info, positions)) for name, (word, plant) in mistakes}
    found["sign of defocus"] = ("change its sign", surveyed(counts, info, positions, wrong))
    result = {}
    for name, (word, survey) in found.items():
        warnings = suspicions(survey)
        result[name] = {"named": any(word in text for text in warnings), "warnings": warnings}
    return result


def fitted(expected: np.ndarray, info: DatasetInfo, positions: np.ndarray, electrons: int, folder: Path) -> Any:
    """Loss above noise of a reconstruction, and its bound."""
    path = ptychodask.create_dataset(
        folder / "fit.zarr", np.random.default_rng(2).poisson(expected * electrons),
        energy_ev=info.microscope.energy_ev, semi_angle_mrad=info.microscope.semi_angle_mrad,
        defocus_angstrom=info.microscope.defocus_angstrom, angular_step_mrad=info.detector.angular_step_mrad,
        scan_step_angstrom=info.scan_step, positions_angstrom=positions.reshape(*info.scan_shape, 2),
        attributes={"thickness_angstrom": info.attributes["thickness_angstrom"]}, overwrite=True,
    )  # fmt: skip
    job = {
        "preset": "low-dose" if electrons <= 400 else "medium" if electrons < 1e4 else "high-dose",
        "solver": {"iterations": 15},
        "object": {"slices": 3},
    }
    attributes = ptychodask.reconstruct(path, job).attributes
    return {name: value for name, value in attributes.items() if name.startswith("loss_e")}


def main() -> None:
    options = arguments(QUESTION)
    names = list(SCANS)[:1] if options.tiny else list(SCANS)
    side, doses, mistaken = (8, ELECTRONS[1:2], PLANTED_AT[:1]) if options.tiny else (24, ELECTRONS, PLANTED_AT)
    result: dict[str, Any] = {"sound": {}, "planted": {}, "fits": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            data = simulated(name, Path(folder), side)
            result["sound"][name] = {e: sound(*data, e) for e in doses}
            if options.tiny or name in PLANTED_IN:
                result["planted"][name] = {e: planted(*data, e, options.tiny) for e in mistaken}
            if not options.tiny:
                result["fits"][name] = {
                    e: fitted(*data, e, Path(folder)) for e in (100, 100_000) if e == 100 or name in PLANTED_IN
                }
    every = [scan for its in result["sound"].values() for scan in its.values()]
    mistakes = [m for its in result["planted"].values() for at in its.values() for m in at.values()]
    result["summary"] = {
        "sound_scans": len(every),
        "sound_scans_with_warnings": sum(bool(scan["warnings"]) for scan in every),
        "mistakes": len(mistakes),
        "mistakes_named": sum(m["named"] for m in mistakes),
    }
    save("first_day", QUESTION, result, options)


if __name__ == "__main__":
    main()
