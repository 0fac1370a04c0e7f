"""Which clusters, linkers and channels of NU-1000 are found to differ at 100 electrons per square angstrom?

Specimens of ``frameworks``: 300 kV, 10 mrad, 112 x 112 positions at 1.05 A, defocus 600 A, 96 x 96 detector, known
probe, one slice, low-dose preset (spectral). ``local_structure`` with the crystal's structure scores every site; every
site whose truth is known is counted, of kinds and shares of the layers in which it differs:

    found       share of the changed sites whose signed z is above the 95th percentile of those that are as they should
                be: at false alarms of 5 % per site; and the share that the function itself says stands out
    ROC area    over all pairs of changed and unchanged sites of a kind
    limit       the same of a matched filter that knows the template: d' = share / (standard error of one motif), area
                Phi(d' / sqrt 2), found Phi(d' - 1.645)
    false       unchanged sites that are said to stand out, over all that are
    z           mean and standard deviation of unchanged sites: 0 and 1 where significance is what it says
    kept        of whole planted motifs: projection of the image's difference on the truth's, at 2.5 A within 6 A, both
                less the mean over the undisturbed translates; beside what ``transfer`` says of the same difference

``zif-8`` is harder: single columns and linkers of 34 A of ZIF-8 with the seven defects of ``defects``, 48 x 48
positions, on that benchmark's images (``--data``/defects), of which phases alone are kept: noise is read off them. The
limit is that of ``defects.json``.

In the intergrowth, clusters beyond the border are turned, so they differ in another way and are not counted.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import defects
import frameworks
import numpy as np
import specimens
import xarray as xr
from record import arguments, save
from scipy.ndimage import map_coordinates
from scipy.stats import norm

import ptychodask
from ptychodask.analysis.compare import low_pass, on_grid
from ptychodask.analysis.spectrum import crop_to_scan
from ptychodask.jobs.kept import transfer_of_result

QUESTION = "clusters, linkers and channels found to differ in NU-1000 and its intergrowth at 100 e/A^2"
NAMES = ("planted", "intergrowth")
KINDS = {"Zr6": "cluster", "C44": "linker", "channel 31 Å": "channel"}
SIGN = {"cluster": -1, "linker": -1, "channel": 1}
FALSE = 0.05
FIRST_SEED = 300
REACH = 6.0


def noisy_truth(folder: Path, name: str, options: dict[str, Any]) -> xr.DataArray:
    """In place of a reconstruction, in a smoke run."""
    truth, positions = specimens.truth_of(frameworks.mean_scan(folder, name, **options))
    seen = crop_to_scan(truth.astype(float), positions)
    return seen + 0.05 * np.random.default_rng(0).standard_normal(seen.shape)


def result_of(folder: Path, name: str, seed: int, options: dict[str, Any]) -> Any:
    """A reconstruction, kept."""
    target = folder / f"{name}-{seed}.zarr"
    if not target.exists():
        scan = folder / "scan.zarr"
        specimens.counted(frameworks.mean_scan(folder, name, **options), scan, seed)
        rules = {"slices": 1, "regularisation": "spectral"}
        ptychodask.reconstruct(scan, {"object": rules}, output=target, overwrite=True, progress=False)
    return ptychodask.open_result(target)


def scored(found: xr.Dataset, name: str, changed: dict[tuple[str, float, float], float]) -> list[dict[str, Any]]:
    """Sites whose truth is known: kind, share of the layers that differ, signed z."""
    rows = []
    for n in range(found.sizes["site"]):
        kind = KINDS.get(str(found.site_kind.values[n]))
        y, x = float(found.site_y[n]), float(found.site_x[n])
        if kind is None or (name == "intergrowth" and kind == "cluster" and x > frameworks.BORDER):
            continue
        near = [share for (k, cy, cx), share in changed.items() if k == kind and math.hypot(cy - y, cx - x) < 3]
        rows.append(
            {
                "kind": kind,
                "share": max(near, default=0.0),
                "z": SIGN[kind] * float(found.site_z[n]),
                "change": float(found.site_change[n]),
                "out": bool(found.site_stands_out[n]),
                "sigma": float(found.site_sigma[n]),
            }
        )
    return rows


def contrast(result: Any, truth: xr.DataArray, changed: dict, basis: np.ndarray) -> list[dict[str, Any]]:
    """What is kept of whole planted motifs, measured and said."""
    phase, transfer = result.phase.load(), transfer_of_result(result)
    pixel = float(phase.y[1] - phase.y[0])
    images = [low_pass(v, (pixel, pixel), 2.5) for v in (phase.values.astype(float), on_grid(truth, phase))]
    axis = np.arange(-REACH, REACH + pixel / 2, pixel)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    disk = np.hypot(y, x) <= REACH
    planes = np.stack([np.ones(disk.sum()), y[disk], x[disk]], axis=1)

    def around(values: np.ndarray, place: tuple[float, float]) -> np.ndarray:
        at = [(place[0] + y - float(phase.y[0])) / pixel, (place[1] + x - float(phase.x[0])) / pixel]
        return map_coordinates(values, at, order=3, mode="nearest")

    rows = []
    for (kind, cy, cx), share in changed.items():
        if share < 1:
            continue
        places = [(cy + i * basis[0, 1] + j * basis[1, 1], cx + i * basis[0, 0] + j * basis[1, 0])
                  for i in range(-3, 4) for j in range(-3, 4) if (i, j) != (0, 0)]  # fmt: skip
        same = [p for p in places if min(p) > 8 and max(p) < frameworks.SEEN - 8
                and not any(k == kind and math.hypot(a - p[0], b - p[1]) < 3 for k, a, b in changed)]  # fmt: skip
        if not same:
            continue
        seen, true = (around(v, (cy, cx)) - np.mean([around(v, p) for p in same], axis=0) for v in images)
        said = transfer.kept(np.where(disk, true, 0))
        seen, true = (v[disk] - planes @ np.linalg.lstsq(planes, v[disk], rcond=None)[0] for v in (seen, true))
        rows.append({"kind": kind, "measured": float(seen @ true / (true @ true)), "said": said})
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures by kind and share."""
    table: dict[str, Any] = {}
    for kind in SIGN:
        its = [r for r in rows if r["kind"] == kind]
        none = np.array([r["z"] for r in its if r["share"] == 0])
        if not len(none):
            continue
        threshold = float(np.quantile(none, 1 - FALSE))
        sigma = float(np.median([r["sigma"] for r in its]))
        table[kind] = {
            "unchanged": len(none),
            "z": [float(none.mean()), float(none.std())],
            "false": float(np.mean([r["out"] for r in its if r["share"] == 0])),
            "standard_error": sigma,
            "threshold_z": threshold,
            "changed": {},
        }
        for share in sorted({r["share"] for r in its} - {0.0}):
            z = np.array([r["z"] for r in its if r["share"] == share])
            d = share / sigma
            table[kind]["changed"][f"{share:.2f}"] = {
                "sites": len(z),
                "found": float((z > threshold).mean()),
                "stands_out": float(np.mean([r["out"] for r in its if r["share"] == share])),
                "roc_area": float((z[:, None] > none[None]).mean()),
                "change": float(np.mean([r["change"] for r in its if r["share"] == share])),
                "z": [float(z.mean()), float(z.std())],
                "limit": {"d": d, "roc_area": float(norm.cdf(d / math.sqrt(2))), "found": float(norm.cdf(d - 1.645))},
            }
    return table


def zif(folder: Path, seeds: int = 8) -> dict[str, Any]:
    """Planted defects of ZIF-8: signed z by kind, and the ROC area against all sites of the kind that are unchanged."""
    folder.mkdir(exist_ok=True)
    options: dict[str, Any] = {"scan_shape": (48, 48), "detector_pixels": 96}
    planted = specimens.defective().places
    known = {"zinc": "Zn", "half zinc": "Zn", "linker": "C4N2", "two linkers": "C4N2"}
    seen: dict[str, list[float]] = {kind: [] for kind in known}
    none: dict[str, list[float]] = {"Zn": [], "C4N2": []}
    out: list[bool] = []
    for seed in range(defects.FIRST_SEED, defects.FIRST_SEED + seeds):
        phase = defects.phase_in(defects.image_of(folder, "defective", seed, "spectral", options, {}))
        found = ptychodask.local_structure(phase.sel(y=slice(0, 49.35), x=slice(0, 49.35)), structure="zif-8")
        place = np.column_stack([found.site_y.values, found.site_x.values])
        kinds, z = found.site_kind.values.astype(str), -found.site_z.values
        for kind, own in known.items():
            away = np.hypot(*(place - planted[kind]).T) + 1e3 * (kinds != own)
            seen[kind].append(float(z[int(away.argmin())]))
        far = np.min([np.hypot(*(place - at).T) for at in planted.values()], axis=0) > 5
        for own, its in none.items():
            its += z[far & (kinds == own)].tolist()
        out += found.site_stands_out.values[far].tolist()
    with (Path(__file__).parent / "results" / "defects.json").open() as file:
        limits = next(r["limit"] for r in json.load(file)["result"] if r["method"] == "spectral")
    return {
        "seeds": seeds,
        "false": float(np.mean(out)),
        "unchanged": {k: {"sites": len(v), "z": [float(np.mean(v)), float(np.std(v))]} for k, v in none.items()},
        "changed": {
            kind: {
                "z": [float(np.mean(z)), float(np.std(z))],
                "roc_area": float((np.array(z)[:, None] > np.array(none[known[kind]])[None]).mean()),
                "found": float((np.array(z) > np.quantile(none[known[kind]], 1 - FALSE)).mean()),
                "limit": {"roc_area": limits[kind]},
            }
            for kind, z in seen.items()
        },
    }


def run(folder: Path, seeds: int, tiny: bool) -> list[dict[str, Any]]:
    options: dict[str, Any] = {"scan_shape": (112, 112), "detector_pixels": 96}
    if tiny:
        frameworks.LAYERS, frameworks.COLUMNS = 1, 3
        options = {"scan_shape": (14, 14), "detector_pixels": 64, "scan_step_angstrom": 8.0}
    names = NAMES[:1] if tiny else NAMES
    rows: list[dict[str, Any]] = []
    kept: list[dict[str, Any]] = []
    spent, lattices = [], []
    for name in names:
        changed = frameworks.BUILT[name]().changed
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            result = noisy_truth(folder, name, options) if tiny else result_of(folder, name, seed, options)
            start = time.process_time()
            found = ptychodask.local_structure(result, structure="nu-1000")
            spent.append(time.process_time() - start)
            rows += [{"specimen": name, **row} for row in scored(found, name, changed)]
            constants = {n: [found.attrs[n], found.attrs[f"{n}_sigma"]] for n in ("a", "b", "gamma")}
            lattices.append({"specimen": name, "seed": seed, "scatter": found.attrs["scatter"], **constants})
            if name == "planted" and not tiny:
                truth = specimens.truth_of(folder / f"{name}-mean.zarr")[0]
                kept += contrast(result, truth, changed, frameworks.basis())
            print(name, seed, f"{spent[-1]:.0f} s", flush=True)
    groups = {"all": rows, **{n: [r for r in rows if r["specimen"] == n] for n in names}}
    return [
        {
            "seeds": seeds,
            **({} if tiny else {"zif-8": zif(folder / "defects")}),
            "sites": {label: summary(its) for label, its in groups.items()},
            "kept": {
                kind: {
                    "measured": float(np.mean([k["measured"] for k in kept if k["kind"] == kind])),
                    "said": float(np.mean([k["said"] for k in kept if k["kind"] == kind])),
                    "motifs": sum(k["kind"] == kind for k in kept),
                }
                for kind in dict.fromkeys(k["kind"] for k in kept)
            },
            "lattices": lattices,
            "cpu_seconds_of_local_structure": float(np.mean(spent)),
        }
    ]


if __name__ == "__main__":
    options = arguments(QUESTION, keeps_data=True, takes_seeds=True)
    with tempfile.TemporaryDirectory() as name:
        where = options.data or Path(name)
        where.mkdir(exist_ok=True)
        save(
            "local_structure", QUESTION, run(where, options.seeds or (1 if options.tiny else 2), options.tiny), options
        )
