"""A small deterministic problem, and a plain reference of the physics: loops and ``numpy.fft``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ptychodask.counts.patterns import Patterns, reunited
from ptychodask.kernels import kernels_for
from ptychodask.kernels.cpu import Cpu
from ptychodask.kernels.plain import Plain
from ptychodask.model.blocks import Block, make_blocks
from ptychodask.model.optics import Microscope
from ptychodask.model.scan import make_canvas, raster
from ptychodask.model.state import Model, State
from ptychodask.physics.modes import hermite_modes
from ptychodask.physics.probe import make_probe
from ptychodask.physics.propagation import fresnel_propagator
from ptychodask.solver.lsqml import LsqMl
from ptychodask.solver.problem import Problem
from ptychodask.solver.settings import ProbeRules, Settings
from ptychodask.solver.unknowns.object import ObjectSums, place
from ptychodask.solver.update import Update

PIXEL = 0.4


@dataclass(frozen=True)
class Case:
    """A problem with its counts, the model they were drawn from and another model to start from."""

    problem: Problem
    blocks: tuple[Block, ...]
    counts: np.ndarray
    patterns: list[Patterns]
    truth: Model
    model: Model
    backend: str = "numpy"
    chains: bool = False
    batch: int = 0
    """The last two are those of a device."""

    @property
    def algorithm(self) -> LsqMl:
        return self.solver(self.problem)

    def solver(self, problem: Problem) -> LsqMl:
        return LsqMl(problem, kernels_for(problem, self.backend, self.chains, self.batch))

    def block_counts(self, block: Block) -> np.ndarray:
        return self.counts[block.flat(self.problem.scan_shape)]

    def with_settings(self, **changes: Any) -> Case:
        problem = replace(self.problem, settings=replace(self.problem.settings, **changes))
        return self.of(problem, self.blocks)

    def of(self, problem: Problem, blocks: tuple[Block, ...]) -> Case:
        """The same data in another problem or other blocks."""
        prepared = [self.solver(problem).prepare(b, self.counts[b.flat(problem.scan_shape)]) for b in blocks]
        prepared = [reunited(p) for p in prepared] if problem.settings.use_all else prepared
        return replace(self, problem=problem, blocks=blocks, patterns=prepared)

    def updates(self, model: Model | None = None, evaluate_only: bool = False) -> list[Update]:
        model = self.model if model is None else model
        pairs = zip(self.blocks, self.patterns, strict=True)
        return [self.algorithm.partial(b, p, model, evaluate_only) for b, p in pairs]

    def update(self, model: Model | None = None, evaluate_only: bool = False) -> Update:
        return self.algorithm.merge(self.updates(model, evaluate_only))

    def object_sums(self, update: Update) -> tuple[np.ndarray, np.ndarray]:
        """Gradient and illumination on the whole canvas."""
        full = place([update[ObjectSums]], (0, 0), self.problem.canvas.shape)
        return full.gradient, full.illumination

    def start(self, model: Model | None = None) -> State:
        model = self.model if model is None else model
        return State(model, model.object, 0 if self.problem.settings.accelerate else -1)

    def step(self, state: State) -> tuple[State, Update]:
        """One iteration, and the merged update that it was made from."""
        update = self.update(state.model)
        move = self.algorithm.direction(state, update)
        line = None
        if self.algorithm.searches_line:
            pairs = zip(self.blocks, self.patterns, strict=True)
            line = self.algorithm.merge([self.algorithm.line_search(b, p, state.model, move) for b, p in pairs])
        return self.algorithm.advance(state, move, line), update


def partial(problem: Problem, block: Block, patterns: Patterns, model: Model, **options: Any) -> Update:
    """The reference."""
    return Plain(problem).partial(block, patterns, model, **options)


def partial_cpu(problem: Problem, block: Block, patterns: Patterns, model: Model, **options: Any) -> Update:
    """The compiled kernels."""
    return Cpu(problem).partial(block, patterns, model, **options)


def smooth(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random field of unit variance, smoothed over about 2 pixels in the last two axes."""
    field = rng.standard_normal(shape)
    for axis in (-1, -2):
        field = field + 0.8 * (np.roll(field, 1, axis) + np.roll(field, -1, axis))
    return field / field.std()


def small_problem(
    S: int = 1,
    M: int = 1,
    dtype: Any = np.float64,
    kind: str = "phase",
    residual: str = "poisson",
    *,
    mask: bool = False,
    subpixel: bool = True,
    background: float = 0.0,
    n: int = 16,
    scan: tuple[int, int] = (3, 3),
    tile: tuple[int, int] | None = None,
    step: float = 3.0,
    electrons: float = 300.0,
    noise: bool = True,
    backend: str = "numpy",
    defocus: float = 120.0,
    **settings: Any,
) -> Case:
    """Simulate counts of a random object; ``settings`` replace those of the solver."""
    rng = np.random.default_rng(7)
    microscope = Microscope(300e3, 12.0, {"C10": -defocus, "C12": 30.0, "phi12": 0.4})
    positions = raster(scan, (step * PIXEL, step * PIXEL)).reshape(-1, 2)
    if subpixel:
        positions = positions + rng.uniform(-0.8, 0.8, positions.shape) * PIXEL
    canvas, centres = make_canvas(positions, n, PIXEL)
    if not subpixel:
        centres = np.rint(centres)
    tilts = [(4e-3, -2e-3), (0.0, 3e-3), (1e-3, 1e-3)]
    propagators = np.zeros((S - 1, n, n), np.result_type(dtype, np.complex64))
    for s in range(S - 1):
        propagators[s] = fresnel_propagator(n, PIXEL, microscope.wavelength, 25.0 + 5 * s, tilts[s % 3])
    weights = np.ones((n, n), dtype)
    if mask:
        weights[2:5, 3:6] = weights[0, 1] = weights[-1] = 0
    options = dict(
        residual=residual, epsilon=0.1, object_step=1.0, probe_step=1.0, precondition=0.1, tangent_stride=0,
        accelerate=False, background=background > 0, train_fraction=None, use_all=False, seed=3, batch=4,
        constraints=(), probe_rules=ProbeRules(0, False, None),
    )  # fmt: skip
    options.update(settings)
    share = options["train_fraction"] or 1.0
    problem = Problem(canvas, scan, centres, weights, propagators, electrons * share, Settings(**options))
    complex_type = np.result_type(dtype, np.complex64)

    def transmissions(amplitude: float) -> np.ndarray:
        phase = amplitude * smooth(rng, (S, *canvas.shape))
        if kind == "phase":
            return phase.astype(dtype)
        modulus = 1 + 0.1 * smooth(rng, (S, *canvas.shape))
        return (phase - 1j * np.log(modulus)).astype(complex_type)

    probe = hermite_modes(make_probe(microscope, n, PIXEL, electrons), M, 0.15)
    truth = Model(transmissions(0.4), probe.astype(complex_type), background)
    expected = reference_intensities(problem, truth)
    counts = rng.poisson(expected).astype(np.uint16) if noise else expected
    wrong = probe * (1 + 0.05 * smooth(rng, (M, n, n)) * np.exp(1j * smooth(rng, (M, n, n)))) * np.sqrt(share)
    model = Model(transmissions(0.3), wrong.astype(complex_type), 0.8 * background * share)
    used = float((counts * weights).sum() / len(counts)) * share
    problem = replace(problem, mean_counts=used)
    blocks = make_blocks(scan, tile or scan)
    return Case(problem, (), counts, [], truth, model, backend).of(problem, blocks)


def reference_waves(
    problem: Problem, model: Model, j: int
) -> tuple[np.ndarray, tuple[slice, slice], list[np.ndarray], np.ndarray, np.ndarray]:
    """Of position j: views [S, N, N], where they were cut, incident waves [M, N, N], psi and intensity."""
    n = problem.pixels
    centre = problem.positions(model)[j]
    corner = np.rint(centre - n // 2).astype(int)
    shift = centre - n // 2 - corner
    cut = (slice(corner[0], corner[0] + n), slice(corner[1], corner[1] + n))
    views = np.exp(1j * model.object)[:, cut[0], cut[1]]
    q = np.fft.fftfreq(n)
    ramp = np.exp(-2j * np.pi * (shift[0] * q[:, None] + shift[1] * q[None, :]))
    waves = [np.fft.ifft2(np.fft.fft2(model.probe) * ramp)]
    for s in range(len(views) - 1):
        waves.append(np.fft.ifft2(np.fft.fft2(waves[-1] * views[s]) * problem.propagators[s]))
    psi = np.fft.fft2(waves[-1] * views[-1]) / n
    return views, cut, waves, psi, (np.abs(psi) ** 2).sum(axis=0) + model.background


def reference_intensities(problem: Problem, model: Model) -> np.ndarray:
    """Expected counts [J, N, N]."""
    return np.array([reference_waves(problem, model, j)[4] for j in range(len(problem.centres))])


def reference_loss(problem: Problem, model: Model, counts: np.ndarray) -> float:
    """Total loss, from its definition."""
    counts = counts.astype(float)
    expected = reference_intensities(problem, model)
    if problem.settings.residual == "amplitude":
        return float((problem.weights * 2 * (np.sqrt(expected) - np.sqrt(counts)) ** 2).sum())
    e = problem.likelihood.epsilon
    shifted = counts + e
    return float((problem.weights * (expected - counts + shifted * np.log(shifted / (expected + e)))).sum())


def reference_residual(problem: Problem, counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The factor rho, from its definition."""
    counts = counts.astype(float)
    if problem.settings.residual == "amplitude":
        return problem.weights * (np.sqrt(counts / expected) - 1)
    return problem.weights * 0.5 * (counts - expected) / (expected + problem.likelihood.epsilon)


def slope(function: Callable[[float], Any], h: float = 1e-3) -> Any:
    """Derivative at 0 by central differences of fourth order."""
    return (8 * (function(h) - function(-h)) - (function(2 * h) - function(-2 * h))) / (12 * h)


def random_like(array: np.ndarray, seed: int = 1) -> np.ndarray:
    """Random direction of the same shape and kind."""
    rng = np.random.default_rng(seed)
    out = rng.standard_normal(array.shape)
    return out + 1j * rng.standard_normal(array.shape) if np.iscomplexobj(array) else out
