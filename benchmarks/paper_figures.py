"""What can be seen at 100 electrons per square angstrom, with which optics? The published simulation study, end to end.

Every part is one ``ptychodask.study``; a second start with the same ``--data`` does again only what is missing:

``angles``     Zr-BTB along the channels at 21, 15, 10 and 5 mrad, infinite dose, 1000 and 100, defocus 600 A
``fashion``    the same as it is published: LSQ-ML in mini-batches, amplitude residual, complex object, a probe that
               moves from the first iteration on, no regularisation, 60 iterations; and a defocus that is believed wrong
``sampling``   100 e/A^2 with a detector twice as fine
``diameter``   100 e/A^2 with a probe of 7.8 A (D90) at every angle
``materials``  ZIF-8, a sodalite ZMOF, NU-1000, NU-901 and, 204 A thick, CH3NH3PbI3 at their doses

What is not built of the published style: positions that are refined one by one. ``--side 256`` is the published size.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path
from typing import Any

import xarray as xr
from record import save

import ptychodask

QUESTION = "the published study: correlation with the truth by semi-angle, dose, sampling, probe and material"
ANGLES = [21.0, 15.0, 10.0, 5.0]
CELL = {"material": "zr-btb", "thickness_angstrom": 45.75}
FASHION = {
    "preset": "high-dose",
    "object": {"kind": "complex", "positivity": False, "regularisation": "blur", "blur_angstrom": 0.0},
    "probe": {"modes": 1, "update_start": 1},
    "solver": {
        "residual": "amplitude", "rounds_per_iteration": 8, "iterations": 60, "finish": 0, "step_rule": "pooled",
    },
}  # fmt: skip
MATERIALS = [
    ("zif-8", 34.0, 110.0), ("sod-zmof", 36.0, 100.0), ("nu-1000", 50.0, 100.0), ("nu-901", 50.0, 100.0),
    ("mapbi3", 204.0, 150.0), ("mapbi3", 204.0, 100.0),
]  # fmt: skip
"""Name, thickness in angstrom, electrons per square angstrom."""
FINE = {"detector_pixels": 256, "angular_step_mrad": 0.235}
TINY = {
    "defocus_angstrom": 150.0, "detector_pixels": 64, "angular_step_mrad": 0.94, "scan_step_angstrom": 1.5,
    "slice_thickness_angstrom": 12.0, "scan_shape": [10, 10],
}  # fmt: skip
FIGURES = ("correlation", "frc_resolution_angstrom", "loss_excess", "iterations", "seconds", "status")
STATUS = ("done", "diverged", "refused")


def parts(side: int, slices: int, tiny: bool) -> dict[str, dict[str, Any]]:
    """Documents of the studies."""
    common: dict[str, Any] = {"scan_shape": [side, side], "defocus_angstrom": 600.0}
    object_, angles, doses, fine, materials = {"slices": slices}, ANGLES, [math.inf, 1000.0, 100.0], FINE, MATERIALS
    ours, theirs = {"object": object_}, {**FASHION, "object": {**FASHION["object"], **object_}}
    if tiny:
        common, angles, doses, fine, materials = common | TINY, [10.0], [100.0], {}, MATERIALS[:1]
        ours = {**ours, "solver": {"iterations": 4}}
        theirs = {**theirs, "solver": {**FASHION["solver"], "iterations": 2}}
    piece = common["scan_shape"][0] // 3  # nine blocks, for eight mini-batches
    theirs = {**theirs, "engine": {"block": [piece, piece]}}
    zr_btb = {**common, "material": "zr-btb", "thickness_angstrom": 45.75}
    specimens = [
        {"material": name, "thickness": thick, "dose": dose, "object.slices": slices * (1 if thick < 100 else 3)}
        for name, thick, dose in materials
    ]
    return {
        "angles": {
            "simulate": zr_btb, "reconstruct": ours, "axes": {"semi_angle": angles},
            # the prior is one of counted electrons: without noise nothing is held back
            "conditions": [{"dose": d, **({} if math.isfinite(d) else {"object.blur_angstrom": 0.0})} for d in doses],
        },
        "fashion": {
            "simulate": zr_btb, "reconstruct": theirs,
            "axes": {"defocus_error": [0.0, 50.0], "semi_angle": angles, "dose": doses},
        },
        "sampling": {"simulate": zr_btb | fine, "reconstruct": ours, "axes": {"semi_angle": angles[:2]}},
        "diameter": {
            "simulate": zr_btb | {"probe_diameter_angstrom": 7.8}, "reconstruct": ours,
            "axes": {"semi_angle": angles[:3]},
        },
        "materials": {
            "simulate": common, "reconstruct": ours, "conditions": specimens, "axes": {"semi_angle": angles[::2]},
        },
    }  # fmt: skip


def rows_of(found: xr.Dataset) -> list[dict[str, Any]]:
    """One for every condition, with its figures; a dose of None is without noise."""
    made: list[dict[str, Any]] = []
    stacked = found[[*FIGURES]].load().stack(run=[d for d in found["status"].dims])
    for i in range(stacked.sizes["run"]):
        one = stacked.isel(run=i)
        row = {str(n): one[n].item() for n in one.coords if n not in ("resolution", "run") and one[n].ndim == 0}
        for name in FIGURES:
            if name == "correlation":
                row |= {f"correlation_{float(r):g}A": float(one[name].sel(resolution=r)) for r in found.resolution}
            else:
                row[name] = float(one[name])
        row["status"] = STATUS[int(row["status"])]
        if row["status"] != "done":
            row["why"] = found.attrs["remarks"][i]
        known = {n: v if not isinstance(v, float) or math.isfinite(v) else None for n, v in row.items()}
        made.append({n: v for n, v in known.items() if n != "run"})
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=QUESTION)
    parser.add_argument("--tiny", action="store_true", help="smallest size: shows that the script runs")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--data", type=Path, help="folder that keeps the studies and their pictures")
    parser.add_argument("--side", type=int, default=48, help="positions along each axis")
    parser.add_argument("--slices", type=int, default=4, help="of the reconstruction; three times as many above 100 A")
    parser.add_argument("--parts", default="angles,fashion,sampling,diameter,materials", help="which to make")
    options = parser.parse_args()
    result: dict[str, Any] = {"side": options.side, "slices": options.slices}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.data or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        studies = parts(options.side, 2 if options.tiny else options.slices, options.tiny)
        for name in options.parts.split(","):
            path = folder / f"{name}.zarr"
            found = ptychodask.study(
                studies[name], path, picture=path.with_suffix(".png"), overwrite=True, yes=True, progress=False
            )
            result[name] = rows_of(found)
            for row in result[name]:
                print(name, {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    save("paper_figures", QUESTION, result, options)
