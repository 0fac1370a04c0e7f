"""What does a regularisation keep, and what does it invent? By method, on specimens with planted defects.

Specimens as ``specimens`` has them: 300 kV, 10 mrad, 100 e/A^2, 48 x 48 positions at 1.05 A, defocus 600 A, 96 x 96
detector, known probe, one slice. A defective specimen and its twin have the same random numbers. Figures by method:

    correlation     with the truth at 2.5 and 2.0 A; of the mixed specimen also in each of its areas
    contrast kept   of each defect: projection on the true difference at 2.5 A within 3.5 A, of the mean over seeds
    ROC area        how often that projection tells a defective specimen from its twin, over all pairs of seeds; and its
                    difference from that of the blur, with a standard error (seeds drawn again)
    detector        the ROC area of the matched filter for the same difference at 2.5 A on the gradient at the true
                    lattice (``limit``): no image tells more at that resolution. It is the Gaussian area of d' =
                    sqrt(d J d), J = 4 sqrt(W) t sqrt(W), with t and W of the run with the spectral prior
    false lattice   of the mixed specimen's vacuum and amorphous: slope of the image against the perfect crystal
                    continued there, over the slope in the crystal; the amorphous truth is fitted beside it
    rms             at 2.5 A in pure vacuum, rad

Images are kept in ``--data``, so that a run that was stopped goes on, and further seeds can be added.
"""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import specimens
import xarray as xr
from record import arguments, save
from scipy import fft

import ptychodask
from ptychodask.analysis.compare import low_pass, on_grid
from ptychodask.analysis.frc import remove_plane
from ptychodask.analysis.spectrum import crop_to_scan

QUESTION = "contrast kept, ROC area and false lattice beside the correlation, by regularisation"
METHODS: dict[str, dict[str, Any]] = {
    "blur": {"regularisation": "blur"},
    "spectral": {"regularisation": "spectral", "spectral_window": 1.0},
    "spectral, windows of 1.5 boxes": {"regularisation": "spectral", "spectral_window": 1.5},
}
TWINS = {"defective": "perfect", "marred": "mixed"}
ALONE = ("nu-1000", "amorphous", "vacuum", "molecule")
SEEDS_ALONE = 1
"""Seeds at most of specimens without a twin: means over the whole field, which scatter little."""
REACH, FINE, MARGIN = 3.5, 2.5, 3.3
FIRST_SEED = 200


def image_of(folder: Path, name: str, seed: int, method: str, options: dict[str, Any], job: dict) -> Path:
    """File of a reconstruction: phase, and of the spectral prior its information."""
    kept = folder / f"{name}-{seed}-{method.replace(' ', '')}.nc.npz"
    if not kept.exists():
        scan = folder / f"scan-{os.getpid()}.zarr"  # of its own: several may run on one folder
        specimens.counted(specimens.without_noise(folder, name, **options), scan, seed)
        rules = {"slices": 1, **METHODS[method]}
        result = ptychodask.reconstruct(scan, {"object": rules, **job}, progress=False)
        t = np.zeros(0) if result.information is None else result.information.values
        step = 0.0 if result.information is None else float(result.information.frequency[1])
        phase = result.phase
        np.savez(kept, phase=phase.values, y=phase.y, x=phase.x, information=t, ring=step)
        print(kept.stem, flush=True)
    return kept


def phase_in(file: Path) -> xr.DataArray:
    """A kept phase."""
    with np.load(file) as kept:
        return xr.DataArray(kept["phase"], {"y": kept["y"], "x": kept["x"]}, ("y", "x"))


def sharp(image: xr.DataArray, resolution: float = FINE) -> xr.DataArray:
    """Low-passed."""
    spacing = (float(image.y[1] - image.y[0]), float(image.x[1] - image.x[0]))
    return image.copy(data=low_pass(image.values, spacing, resolution))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's, planes removed."""
    a, b = remove_plane(np.asarray(a, float)), remove_plane(np.asarray(b, float))
    return float((a * b).sum() / max(np.sqrt((a * a).sum() * (b * b).sum()), 1e-30))


def around(image: xr.DataArray, place: tuple[float, float]) -> np.ndarray:
    """Values within REACH of a place, without their plane."""
    iy, ix = (int(np.argmin(np.abs(image[axis].values - c))) for axis, c in zip("yx", place, strict=True))
    reach = int(REACH / float(image.y[1] - image.y[0]))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = np.hypot(y, x) <= reach
    values = image.values[iy - reach : iy + reach + 1, ix - reach : ix + reach + 1][disk]
    planes = np.stack([np.ones(disk.sum()), y[disk], x[disk]], axis=1)
    return values - planes @ np.linalg.lstsq(planes, values, rcond=None)[0]


def areas_of(image: xr.DataArray) -> dict[str, xr.DataArray]:
    """Crystal, vacuum and amorphous of the mixed specimen, 3 A inside their borders."""
    low, high, edge = slice(MARGIN, specimens.EDGE - 3), slice(specimens.EDGE + 3, 48), slice(None)
    inner = crop_to_scan(image, np.array([[0.0, 0.0], [49.35, 49.35]]), MARGIN)
    return {
        "crystal": inner.sel(y=edge, x=low), "vacuum": inner.sel(y=low, x=high), "amorphous": inner.sel(y=high, x=high)
    }  # fmt: skip


def false_lattice(image: xr.DataArray, own: xr.DataArray, perfect: xr.DataArray) -> dict[str, float]:
    """See above; all at FINE."""
    slopes = {}
    parts = [areas_of(sharp(i)) for i in (image, own, perfect)]
    for area in ("crystal", "vacuum", "amorphous"):
        values, truth, lattice = (remove_plane(p[area].values.astype(float)).ravel() for p in parts)
        known = [lattice] if area != "amorphous" else [lattice, truth]
        slopes[area] = float(np.linalg.lstsq(np.stack(known, axis=1), values, rcond=None)[0][0])
    return {area: slopes[area] / slopes["crystal"] for area in ("vacuum", "amorphous")}


def detector(lost: xr.DataArray, place: tuple[float, float], file: Path) -> float:
    """ROC area of the matched filter for what is lost near a place, from the illumination and the information."""
    pixel = float(lost.y[1] - lost.y[0])
    with np.load(file) as kept:
        t, ring = kept["information"], float(kept["ring"])
    near = np.hypot(lost.y.values[:, None] - place[0], lost.x.values[None] - place[1]) <= 2 * REACH
    template = np.where(near, lost.values, 0)
    k = np.hypot(fft.fftfreq(near.shape[0], pixel)[:, None], fft.rfftfreq(near.shape[1], pixel)[None])
    share = np.interp(k, np.arange(len(t)) * ring, t)
    electrons = 0.9 * 100 * pixel**2  # those that are fitted
    filtered = fft.irfft2(fft.rfft2(template) * share, near.shape)
    return 0.5 * (1 + math.erf(math.sqrt(4 * electrons * float((template * filtered).sum())) / 2))


def roc_area(seen: np.ndarray) -> float:
    """How often a projection tells one specimen from its twin, over all pairs of seeds [2, seeds]."""
    with_it, without = seen
    return float((with_it[:, None] > without[None]).mean() + 0.5 * (with_it[:, None] == without[None]).mean())


def compared(found: dict[str, Any], today: dict[str, Any]) -> dict[str, Any]:
    """Difference of the ROC areas, with the standard error that drawing seeds again gives: both saw the same counts."""
    rng, differences = np.random.default_rng(0), []
    pairs = [(np.array(found["projections"][k]), np.array(today["projections"][k])) for k in found["projections"]]
    for _ in range(1000):
        drawn = {n: rng.integers(n, size=n) for n in {own.shape[1] for own, _ in pairs}}
        lots = [(own[:, drawn[own.shape[1]]], its[:, drawn[own.shape[1]]]) for own, its in pairs]
        differences.append([roc_area(own) - roc_area(its) for own, its in lots])
    each = [roc_area(own) - roc_area(its) for own, its in pairs]
    errors, error = np.std(differences, axis=0), np.mean(differences, axis=1).std()
    return {
        **{kind: [d, float(e)] for kind, d, e in zip(found["projections"], each, errors, strict=True)},
        "mean": [float(np.mean(each)), float(error)],
    }


def figures(files: dict[tuple[str, int], Path], folder: Path, seeds: list[int], limits: Path | None) -> dict[str, Any]:
    """Of one method."""
    found: dict[str, Any] = {"correlation": {}, "roc_area": {}, "contrast_kept": {}}
    perfect, positions = specimens.truth_of(folder / "perfect-mean.zarr")
    for name in dict.fromkeys(name for name, _ in files):
        truth, _ = specimens.truth_of(folder / f"{name}-mean.zarr")
        images = [phase_in(files[name, seed]) for seed in seeds if (name, seed) in files]
        if name == "vacuum":
            crops = [crop_to_scan(sharp(i), positions, MARGIN).values for i in images]
            found["vacuum_rms"] = float(np.mean([remove_plane(c).std() for c in crops]))
            continue
        known = images[0].copy(data=on_grid(truth, images[0]))
        for fine in (2.5, 2.0):
            pairs = [(crop_to_scan(sharp(i, fine), positions, MARGIN) for i in (image, known)) for image in images]
            means = float(np.mean([correlation(a.values, b.values) for a, b in pairs]))
            found["correlation"].setdefault(name, {})[f"{fine:g}A"] = means
        if name == "mixed":
            crystal = known.copy(data=on_grid(perfect, known))
            false = [false_lattice(image, known, crystal) for image in images]
            found["false_lattice"] = {a: float(np.mean([f[a] for f in false])) for a in ("vacuum", "amorphous")}
            own = areas_of(sharp(known))
            parts = [areas_of(sharp(image)) for image in images]
            for area in ("crystal", "amorphous"):
                each = [correlation(p[area].values, own[area].values) for p in parts]
                found["correlation"][f"mixed: {area}"] = {"2.5A": float(np.mean(each))}
            ratio = [remove_plane(p["vacuum"].values).std() / remove_plane(p["crystal"].values).std() for p in parts]
            found["vacuum_over_crystal_rms"] = float(np.mean(ratio))
    for name, twin in TWINS.items():
        both = [seed for seed in seeds if (name, seed) in files and (twin, seed) in files]
        if not both:
            continue
        planted = specimens.defective() if name == "defective" else specimens.marred()
        two = [[sharp(phase_in(files[n, seed])) for seed in both] for n in (name, twin)]
        grid = two[0][0]
        lost = sharp(grid.copy(data=on_grid(specimens.truth_of(folder / f"{name}-mean.zarr")[0], grid)
                               - on_grid(specimens.truth_of(folder / f"{twin}-mean.zarr")[0], grid)))  # fmt: skip
        sees = float(positions.max())
        for kind, at in planted.places.items():
            place = at if max(at) < sees - REACH else (sees / 2, sees / 2)  # a small field, for a smoke run, has none
            template = around(lost, place)
            seen = np.array([[template @ around(i, place) for i in images] for images in two])
            power = max(float(template @ template), 1e-12)
            found["contrast_kept"][kind] = float((seen[0] - seen[1]).mean() / power)
            found["roc_area"][kind] = roc_area(seen)
            found.setdefault("projections", {})[kind] = (seen / power).round(4).tolist()
            if limits is not None:
                found.setdefault("limit", {})[kind] = detector(lost, place, limits)
    found["roc_area_mean"] = float(np.mean(list(found["roc_area"].values())))
    return found


def run(folder: Path, seeds: int, names: list[str], methods: list[str], tiny: bool) -> list[dict]:
    side = 24 if tiny else 48
    options: dict[str, Any] = {"scan_shape": (side, side), "detector_pixels": 64 if tiny else 96}
    job = {"solver": {"iterations": 3}} if tiny else {}
    files: dict[str, dict[tuple[str, int], Path]] = {method: {} for method in methods}
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        for name in names:
            if name in ALONE and seed >= FIRST_SEED + SEEDS_ALONE:
                continue
            for method in methods:
                files[method][name, seed] = image_of(folder, name, seed, method, options, job)
    specimens.without_noise(folder, "perfect", **options)
    all_seeds = list(range(FIRST_SEED, FIRST_SEED + seeds))
    limits = files["spectral"][names[0], FIRST_SEED]
    found = {m: figures(files[m], folder, all_seeds, limits if m == "spectral" else None) for m in methods}
    return [
        {"method": m, "seeds": seeds, **its, "roc_area_over_blur": compared(its, found["blur"])}
        for m, its in found.items()
    ]


if __name__ == "__main__":
    options = arguments(QUESTION, keeps_data=True, takes_seeds=True)
    names = ["perfect", "defective"] if options.tiny else [*TWINS.values(), *TWINS, *ALONE]
    methods = list(METHODS)[: 2 if options.tiny else None]
    with tempfile.TemporaryDirectory() as name:
        where = options.data or Path(name)
        where.mkdir(exist_ok=True)
        rows = run(where, options.seeds or (1 if options.tiny else 16), names, methods, options.tiny)
        save("defects", QUESTION, rows, options)
