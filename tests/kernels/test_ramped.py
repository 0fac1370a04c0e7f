"""Patterns with ramps of their own: the sums are those of patterns one by one, each with its probe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import small_problem

from ptychodask._array import cupy_available
from ptychodask.counts.patterns import Patterns, to_events
from ptychodask.counts.subset import taken
from ptychodask.kernels import kernels_for
from ptychodask.kernels.ramped import Ramped
from ptychodask.kernels.ramps import LEVELS, ramp_of
from ptychodask.model.blocks import Block
from ptychodask.model.geometry import Geometry
from ptychodask.model.refining import Refine
from ptychodask.solver.problem import probe_spectra
from ptychodask.solver.unknowns.geometry import GeometrySums, score_of
from ptychodask.solver.unknowns.object import ObjectSums, place
from ptychodask.solver.unknowns.probe import ProbeSums
from ptychodask.solver.update import Update

DEVICE = [pytest.mark.gpu, pytest.mark.skipif(not cupy_available(), reason="no CUDA device with CuPy")]
OFF = np.array([[0, 0], [1, 0], [1, -2], [0, 0], [3, 3], [-3, 1], [1, 0], [-1, -1], [3, 3]]) / LEVELS
"""Of 3 x 3 patterns, some alike."""


def case_of(backend, **options):
    case = small_problem(dtype=np.float64 if backend == "numpy" else np.float32, backend=backend, **options)
    return replace(case, problem=replace(case.problem, off=OFF + 0.02))  # the nearest ramps are meant


def ramped(case):
    """The compiled kernels take ramps themselves, the plain ones do not."""
    kernels = kernels_for(case.problem, case.backend)
    assert isinstance(kernels, Ramped) == (case.backend != "cpu")
    return kernels


def alone(case, j):
    """Kernels, block, patterns, model and ramp of one pattern."""
    ramp = ramp_of(tuple(OFF[j]), case.problem.pixels)
    block = replace(case.blocks[0], skip=tuple(i for i in range(9) if i != j))
    whole = case.patterns[0]
    its = [None if c is None else taken(c, np.array([j])) for c in (whole.fitted, whole.train, whole.held)]
    model = replace(case.model, probe=(case.model.probe * ramp).astype(case.model.probe.dtype))
    return kernels_for(replace(case.problem, off=None), case.backend), block, Patterns(*its, whole.pixels), model, ramp


def turned(sums, ramp):
    return replace(sums, gradient=sums.gradient * ramp.conj())


def close(found, wanted, rtol):
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("backend", "options"),
    [("numpy", {"S": 2, "M": 2, "train_fraction": 0.8}), ("numpy", {"kind": "complex"}), ("cpu", {"M": 2}),
     ("cpu", {"S": 2, "train_fraction": 0.9}),
     pytest.param("cupy", {"S": 2, "M": 2, "train_fraction": 0.9}, marks=DEVICE)],
)  # fmt: skip
def test_sums_are_those_of_patterns_one_by_one(backend, options):
    case, rtol = case_of(backend, **options), 1e-9 if backend == "numpy" else 2e-4
    found = ramped(case).partial(case.blocks[0], case.patterns[0], case.model)
    each = []
    for j in range(9):
        kernels, block, patterns, model, ramp = alone(case, j)
        update = kernels.partial(block, patterns, model)
        each.append(update.put(turned(update[ProbeSums], ramp)))
    wanted = Update.merged(each)
    for name in ("patterns", "electrons", "intensity", "loss", "held_loss"):
        assert getattr(found.sums, name) == pytest.approx(getattr(wanted.sums, name), rel=max(rtol, 1e-6))
    shape = case.problem.canvas.shape
    whole, parts = place([found[ObjectSums]], (0, 0), shape), place([wanted[ObjectSums]], (0, 0), shape)
    close(whole.gradient, parts.gradient, rtol)
    close(whole.illumination, parts.illumination, rtol)
    close(found[ProbeSums].gradient, wanted[ProbeSums].gradient, rtol)
    close(found[ProbeSums].illumination, wanted[ProbeSums].illumination, rtol)
    only = ramped(case).partial(case.blocks[0], case.patterns[0], case.model, evaluate_only=True)
    assert only.find(ObjectSums) is None and only.sums.loss == pytest.approx(found.sums.loss, rel=1e-6)


@pytest.mark.parametrize("backend", ["numpy", "cpu", pytest.param("cupy", marks=DEVICE)])
def test_tangents_and_losses_too(backend):
    case = case_of(backend, tangent_stride=2)
    rng, rtol = np.random.default_rng(5), 1e-9 if backend == "numpy" else 1e-4
    along = rng.standard_normal(case.model.object.shape).astype(case.model.object.dtype)
    probe = (case.model.probe * rng.standard_normal(case.model.probe.shape)).astype(case.model.probe.dtype)
    block, patterns, kernels = case.blocks[0], case.patterns[0], ramped(case)
    found = kernels.line_search(block, patterns, case.model, along, probe).sums
    wanted = []
    for j in range(9):
        its, one, counts, model, ramp = alone(case, j)
        wanted.append(its.line_search(one, counts, model, along, (probe * ramp).astype(probe.dtype)))
    wanted = Update.merged(wanted).sums
    assert found.line_numerator == pytest.approx(wanted.line_numerator, rel=rtol)
    assert found.line_denominator == pytest.approx(wanted.line_denominator, rel=rtol) and found.line_denominator > 0
    chosen = np.array([1, 2, 5, 8])
    losses = np.array(kernels.compare(block, taken(patterns.fitted, chosen), case.model, chosen))
    each = np.zeros(3)
    for j in chosen:
        its, one, counts, model, _ = alone(case, j)
        each += its.compare(one, counts.fitted, model, np.array([0]))
    np.testing.assert_allclose(losses, each, rtol=max(rtol, 1e-5))


def test_the_gradient_is_that_of_the_loss():
    """Of the probe before any ramp, against a finite difference."""
    case = case_of("numpy", residual="poisson", S=2)
    kernels, block, patterns = ramped(case), case.blocks[0], case.patterns[0]
    rng = np.random.default_rng(3)
    along = rng.standard_normal((2, *case.model.probe.shape)) * np.abs(case.model.probe)
    along = along[0] + 1j * along[1]
    step = 1e-5
    losses = [
        kernels.partial(block, patterns, replace(case.model, probe=case.model.probe + sign * step * along), True)
        for sign in (1, -1)
    ]
    slope = (losses[0].sums.loss - losses[1].sums.loss) / (2 * step)
    gradient = kernels.partial(block, patterns, case.model)[ProbeSums].gradient
    plain = replace(case.problem, off=None)
    # the scale of what the kernels call a gradient, from the same without ramps
    bare = kernels_for(plain, "numpy")
    ends = [
        bare.partial(block, patterns, replace(case.model, probe=case.model.probe + sign * step * along), True)
        for sign in (1, -1)
    ]
    scale = (ends[0].sums.loss - ends[1].sums.loss) / (2 * step)
    scale /= (bare.partial(block, patterns, case.model)[ProbeSums].gradient.conj() * along).real.sum()
    assert slope == pytest.approx(scale * (gradient.conj() * along).real.sum(), rel=1e-5)


def test_a_score_of_aberrations_is_that_of_the_probe_before_its_ramps():
    n, rng = 16, np.random.default_rng(4)
    known = {"units": np.ones(2), "prior": np.ones(2), "limits": np.full(2, np.inf), "centre": (8.0, 8.0)}
    rules = Refine(("defocus", "rotation"), Geometry(0.1), rng.standard_normal((1, n, n)), begins=0, stride=1, **known)
    case = case_of("cpu", M=2, S=2)
    case = replace(case, problem=replace(case.problem, settings=replace(case.problem.settings, refine=rules)))
    update = kernels_for(case.problem, "cpu").partial(case.blocks[0], case.patterns[0], case.model)
    moments = np.zeros((3, 2, n, n), complex)
    moments[0] = probe_spectra(update[ProbeSums].gradient)
    spectra = probe_spectra(case.model.probe)
    wanted = score_of(rules, case.problem.likelihood, spectra, moments, np.zeros(2))[0]
    assert update[GeometrySums].score[0] == pytest.approx(wanted, rel=1e-3) and abs(wanted) > 1


def test_a_ramp_moves_a_pattern_by_a_fraction_of_a_pixel():
    n = 64
    y, x = np.indices((n, n)) - n // 2
    wave = np.exp(-(y**2 + x**2) / 60.0)
    for off in ((0.5, 0.0), (-1 / 3, 1 / 6)):
        pattern = np.abs(np.fft.fftshift(np.fft.fft2(wave * ramp_of(off, n)))) ** 2
        found = [(pattern * axis).sum() / pattern.sum() for axis in (y, x)]
        np.testing.assert_allclose(found, off, atol=1e-6)


def test_a_block_with_patterns_left_out():
    case = case_of("numpy")
    part = Block(0, 0, 3, 0, 3, skip=(0, 4))
    left = np.array([1, 2, 3, 5, 6, 7, 8])
    events = to_events(taken(case.patterns[0].fitted, left)) if isinstance(case.patterns[0].fitted, np.ndarray) else (
        taken(case.patterns[0].fitted, left)
    )  # fmt: skip
    found = ramped(case).partial(part, Patterns(events, None, None, case.problem.pixels), case.model)
    wanted = [alone(case, j) for j in left.tolist()]
    each = Update.merged([kernels.partial(block, its, model) for kernels, block, its, model, _ in wanted])
    assert found.sums.patterns == 7 and found.sums.loss == pytest.approx(each.sums.loss)
