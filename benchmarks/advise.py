"""Does the order of optics by ``ptychodask advise`` agree with full simulations and reconstructions?

Every material is simulated with every optics at 100 electrons per square angstrom in the box that the adviser chooses,
reconstructed by the default preset with a blur and with the spectral prior, and compared with the truth at 2 angstrom.
The rank correlation (Spearman) of these with the formula is the result. Optics that were chosen beforehand, one seed.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import record
from scipy.stats import spearmanr

import ptychodask
from ptychodask.analysis.compare import compare_with_truth

QUESTION = "does the order of optics by the formula agree with full simulations?"
MATERIALS = {"zif-8": 34.0, "nu-1000": 50.0, "mapbi3": 50.0}
OPTICS = ((5, 600), (10, 0), (10, 600), (10, 1400), (15, 600), (21, 600))
SIDE, DOSE, AT = 36.0, 100.0, 2.0
JOBS: dict[str, dict[str, Any]] = {
    "blur": {"object": {"regularisation": "blur"}},
    "spectral": {"object": {"regularisation": "spectral"}},
}


TINY: dict[str, dict[str, Any]] = {"blur": {"solver": {"iterations": 2, "finish": 0}}}


def measured(folder: Path, material: str, optics: Any, tiny: bool) -> dict[str, float]:
    """Correlation with the truth by regularisation."""
    scan = ptychodask.simulate(
        folder / "scan.zarr",
        material,
        thickness_angstrom=MATERIALS[material],
        semi_angle_mrad=optics.semi_angle_mrad,
        defocus_angstrom=optics.defocus_angstrom,
        scan_shape=(math.ceil((14.0 if tiny else SIDE) / optics.scan_step_angstrom),) * 2,
        scan_step_angstrom=optics.scan_step_angstrom,
        detector_pixels=64 if tiny else 128,
        slice_thickness_angstrom=8.0 if tiny else 2.0,
        angular_step_mrad=optics.angular_step_mrad,
        dose_per_square_angstrom=DOSE,
        seed=11,
        overwrite=True,
        progress=False,
    )
    truth = ptychodask.read_truth(scan)["phase"]
    found = {}
    for name, job in (TINY if tiny else JOBS).items():
        result = ptychodask.reconstruct(scan, job, output=folder / "r.zarr", overwrite=True, progress=False)
        figures = compare_with_truth(result.phase, truth, result.positions.values, (AT,))
        found[name] = figures.correlation[AT]
    return found


def compare(folder: Path, material: str, tiny: bool) -> dict[str, Any]:
    rows = []
    pairs = ((10, 0), (10, 300)) if tiny else OPTICS
    for angle, defocus in pairs:
        made = ptychodask.advise(
            material, thickness_angstrom=MATERIALS[material], dose_per_square_angstrom=DOSE, resolution_angstrom=AT,
            detector_pixels=64 if tiny else 128, semi_angles_mrad=[angle], defoci_angstrom=[defocus], progress=False,
        )  # fmt: skip
        (optics,) = made.optics
        row = {"semi_angle_mrad": angle, "defocus_angstrom": defocus, "formula": optics.correlation}
        rows.append({**row, **measured(folder, material, optics, tiny)})
        print(material, rows[-1], flush=True)
    ranks = {
        name: float(spearmanr([r["formula"] for r in rows], [r[name] for r in rows]).statistic)
        for name in (TINY if tiny else JOBS)
    }
    return {"thickness_angstrom": MATERIALS[material], "optics": rows, "rank_correlation": ranks}


def main() -> None:
    options = record.arguments(QUESTION)
    materials = ["zif-8"] if options.tiny else list(MATERIALS)
    with tempfile.TemporaryDirectory() as folder:
        result = {material: compare(Path(folder), material, options.tiny) for material in materials}
    about = {"dose": DOSE, "resolution_angstrom": AT, "side_angstrom": SIDE}
    record.save("advise", QUESTION, {**about, "materials": result}, options)


if __name__ == "__main__":
    main()
