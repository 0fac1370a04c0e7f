"""As ``defects``, in the quadratic model of the data: rules for a prior can be tried in seconds, over many seeds.

Around the truth x the gradient at an image y is J (x - y) / 4 with noise of covariance J / 16, J = 4 sqrt(W) t sqrt(W)
(x, y: projected phase; W: illumination; t: information, of one reconstruction). So an iteration is a few Fourier
transforms, and the package's own filters run on it. Images of reconstructions are those of ``defects``; here probes are
perfect, the object is weak, and 12 iterations have one epsilon. The blur's image is that of the iteration which the
truth likes best, which no user can know.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import specimens
import xarray as xr
from defects import ALONE, TWINS, correlation, figures, sharp
from record import arguments, save
from scipy import fft, ndimage

import ptychodask
from ptychodask.analysis.compare import on_grid
from ptychodask.analysis.spectrum import crop_to_scan
from ptychodask.model.prior import Spectral
from ptychodask.model.tiles import Rect
from ptychodask.solver import spectral
from ptychodask.solver.windows import Windows

QUESTION = "contrast kept, ROC area and false lattice in the quadratic model of the data, by rule"
DELTA, RATE, ITERATIONS = 0.1, 0.9, 12
FIRST_SEED = 100


@dataclass(frozen=True)
class Model:
    """Illumination, information and the noise that follows of them."""

    result: Any
    folder: Path

    @cached_property
    def grid(self) -> xr.DataArray:
        """The canvas."""
        return self.result.phase

    @cached_property
    def pixel(self) -> float:
        """Angstrom."""
        return float(self.grid.y[1] - self.grid.y[0])

    @cached_property
    def light(self) -> np.ndarray:
        """W of the fitted electrons, probes placed to the nearest pixel."""
        power = 0.9 * (np.abs(self.result.probe.values) ** 2).sum(axis=0)
        n, total = len(power), np.zeros(self.grid.shape, np.float32)
        for y, x in self.result.positions.values.reshape(-1, 2):
            row = int(np.argmin(np.abs(self.grid.y.values - y))) - n // 2
            column = int(np.argmin(np.abs(self.grid.x.values - x))) - n // 2
            rows, columns = (slice(max(v, 0), v + n) for v in (row, column))
            part = total[rows, columns]
            part += power[max(-row, 0) :, max(-column, 0) :][: part.shape[0], : part.shape[1]]
        return total

    @cached_property
    def share(self) -> np.ndarray:
        """t on the canvas's frequencies."""
        shape = self.grid.shape
        k = np.hypot(fft.fftfreq(shape[0], self.pixel)[:, None], fft.rfftfreq(shape[1], self.pixel)[None])
        return np.interp(k, self.result.information.frequency.values, self.result.information.values)

    def filtered(self, image: np.ndarray, by: np.ndarray) -> np.ndarray:
        """An image times ``by`` in frequency."""
        return fft.irfft2(fft.rfft2(image) * by, image.shape).astype(np.float32)

    def pull(self, image: np.ndarray) -> np.ndarray:
        """J / 4."""
        root = np.sqrt(self.light)
        return root * self.filtered(root * image, self.share)

    def truth(self, name: str) -> np.ndarray:
        """Phase of a specimen on the canvas."""
        return on_grid(specimens.truth_of(self.folder / f"{name}-mean.zarr")[0], self.grid).astype(np.float32)

    def gradient(self, name: str, seed: int) -> np.ndarray:
        """At vacuum, with its noise."""
        white = np.random.default_rng(seed).standard_normal(self.grid.shape).astype(np.float32)
        noise = 0.5 * np.sqrt(self.light) * self.filtered(white, np.sqrt(self.share))
        return self.pull(self.truth(name)) + noise

    def rule(self, window: float) -> Spectral:
        """The prior with windows of so many boxes."""
        side = 4 * round(window * self.result.probe.shape[-1] / 4)
        return Spectral(side, self.pixel, 0.0, 6, 0.01, ITERATIONS)

    def maps(self, image: np.ndarray, gradient: np.ndarray) -> spectral.Maps:
        """What the package's filters take."""
        return spectral.Maps(image, gradient - self.pull(image), self.light, float(self.light.max()))


def prior(
    model: Model, name: str, seed: int, window: float = 1.5, positive: bool = True, residual: float = 0.01
) -> np.ndarray:
    """Lattice and residual, as ``solver.spectral`` has them."""
    rule, whole = replace(model.rule(window), residual=residual), Rect(0, model.grid.shape[0], 0, model.grid.shape[1])
    windows = Windows(whole, whole, model.grid.shape, rule.side)
    image, gradient = np.zeros(model.grid.shape, np.float32), model.gradient(name, seed)
    t = np.asarray(model.result.information.values)
    for _ in range(ITERATIONS):
        maps = model.maps(image, gradient)
        its = spectral.make_filter(rule, spectral.spectrum_sums(windows, maps, DELTA), t, RATE)
        image = image + spectral.move_of(windows, maps, DELTA, its)
        image = np.maximum(image, 0) if positive else image
    if residual:
        its = spectral.residual_filter(rule, t)
        image = image + spectral.move_of(windows, model.maps(image, gradient), DELTA, its)
    return np.maximum(image, 0) if positive else image


def blur(model: Model, name: str, seed: int) -> np.ndarray:
    """Nesterov steps with blur and positivity, until the truth likes it no more."""
    truth, gradient = sharp(model.grid.copy(data=model.truth(name))), model.gradient(name, seed)
    positions = model.result.positions.values
    known = crop_to_scan(truth, positions, 3.3).values
    light, damping = model.light, np.sqrt(model.light**2 + (DELTA * model.light.max()) ** 2)
    image = before = np.zeros(model.grid.shape, np.float32)
    best, score = image, -1.0
    for i in range(16):
        pull = gradient - model.pull(image)
        along = pull / damping
        step = float((along * pull).sum() / (light * along**2).sum())
        ahead = np.maximum(image + step * along, 0)
        ahead = np.maximum(ndimage.gaussian_filter(ahead, 0.45 / model.pixel), 0)
        weight = (i + 1) / (i + 4) * light**2 / (light**2 + 0.1 * light.max() ** 2)
        image, before = np.maximum(ahead + weight * (ahead - before), 0), ahead
        if name == "vacuum":  # nothing to like
            best = ahead
            continue
        found = correlation(crop_to_scan(sharp(model.grid.copy(data=ahead)), positions, 3.3).values, known)
        if found > score:
            best, score = ahead, found
    return best


RULES: dict[str, Callable[[Model, str, int], np.ndarray]] = {
    "blur": blur,
    "spectral": prior,
    "spectral, any sign": lambda *a: prior(*a, positive=False),
    "spectral, windows of one box": lambda *a: prior(*a, window=1.0),
    "spectral, residual 0.005": lambda *a: prior(*a, residual=0.005),
    "spectral, residual 0.02": lambda *a: prior(*a, residual=0.02),
}


def run(folder: Path, seeds: int, names: list[str], rules: list[str], tiny: bool) -> list[dict]:
    side = 24 if tiny else 48
    options: dict[str, Any] = {"scan_shape": (side, side), "detector_pixels": 64 if tiny else 96}
    for name in dict.fromkeys([*names, "perfect"]):
        specimens.without_noise(folder, name, **options)
    scan = specimens.counted(folder / "perfect-mean.zarr", folder / "scan-of-model.zarr", FIRST_SEED)
    job = {"object": {"slices": 1, "regularisation": "spectral"}, **({"solver": {"iterations": 3}} if tiny else {})}
    model = Model(ptychodask.reconstruct(scan, job, progress=False), folder)
    information = model.result.information
    all_seeds = list(range(FIRST_SEED, FIRST_SEED + seeds))
    files: dict[str, dict[tuple[str, int], Path]] = {rule: {} for rule in rules}
    for seed in all_seeds:  # a run that is stopped has all of the first seeds
        for name in names:
            for rule in rules:
                kept = folder / f"model-{rule.replace(' ', '')}-{name}-{seed}.npz"
                files[rule][name, seed] = kept
                if not kept.exists():
                    image = RULES[rule](model, name, seed)
                    np.savez(kept, phase=image, y=model.grid.y, x=model.grid.x,
                             information=information.values, ring=float(information.frequency[1]))  # fmt: skip
        print("seed", seed, flush=True)
    limits = files["spectral"][names[0], FIRST_SEED]
    return [
        {"rule": r, "seeds": seeds, **figures(files[r], folder, all_seeds, limits if r == "spectral" else None)}
        for r in rules
    ]


if __name__ == "__main__":
    options = arguments(QUESTION, keeps_data=True, takes_seeds=True)
    names = ["perfect", "defective"] if options.tiny else [*TWINS.values(), *TWINS, *ALONE]
    rules = list(RULES)[:2] if options.tiny else list(RULES)
    with tempfile.TemporaryDirectory() as name:
        where = options.data or Path(name)
        where.mkdir(exist_ok=True)
        rows = run(where, options.seeds or (1 if options.tiny else 16), names, rules, options.tiny)
        save("defects_model", QUESTION, rows, options)
