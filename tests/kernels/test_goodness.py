"""How well a model fits, by compiled kernels and on a device, against the plain code."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import small_problem
from test_partial_gpu import DEVICES, HostDevice

from ptychodask.counts.patterns import dense
from ptychodask.counts.subset import taken
from ptychodask.kernels.cpu import Cpu, fused
from ptychodask.kernels.cpu.vectors import compiled_loops
from ptychodask.kernels.gpu.device import CupyDevice
from ptychodask.kernels.gpu.fit import compare as compare_gpu
from ptychodask.kernels.gpu.workspace import make_workspace
from ptychodask.kernels.plain import Plain
from ptychodask.physics.expected_loss import expected_loss, table
from ptychodask.physics.likelihood import Likelihood, loss
from ptychodask.solver.goodness import goodness

LIKELIHOODS = [Likelihood("poisson", 0.005), Likelihood("poisson", 2.0), Likelihood("amplitude", 0.0)]


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=str)
def test_the_kernel_looks_up_what_the_formula_says(likelihood):
    """From no light at all to more than the table holds."""
    compare = compiled_loops(fused.compare.py_func)
    rng = np.random.default_rng(1)
    light = np.exp(rng.uniform(np.log(1e-9), np.log(3e6), (5, 64))).astype(np.float32)
    light[0, 0] = 0
    counts, weights = rng.poisson(light).astype(np.float32), rng.integers(0, 2, light.shape).astype(np.float32)
    mean, variance = expected_loss(likelihood, light)
    for x in range(64):  # pixel by pixel, so that no bright one hides another
        column = np.s_[:, x : x + 1]
        found = np.zeros(3)
        compare(
            counts[column].copy(), light[column].copy(), weights[column].copy(), table(likelihood),
            likelihood.residual == "poisson", np.float32(likelihood.epsilon), found,
        )  # fmt: skip
        plain = loss(likelihood, counts[column].astype(float), light[column].astype(float), weights[column])
        expected = [plain, (weights * mean)[column].sum(), (weights * variance)[column].sum()]
        np.testing.assert_allclose(found[1:], expected[1:], rtol=2e-5, atol=1e-12)
        # a difference of numbers as large as counts and epsilon, in float32
        rounding = 1e-6 * (float(counts[column].sum()) + 5 * likelihood.epsilon)
        assert found[0] == pytest.approx(plain, rel=2e-5, abs=1e-12 + rounding)


def cases(kind, residual, n, **options):
    """Blocks of 1 to 6 patterns, of which 1 to 4 are chosen, with a mask and a background."""
    case = small_problem(
        2, 2, np.float32, kind, residual, mask=True, background=0.05, n=n, scan=(3, 5), tile=(2, 3), **options
    )
    for block, patterns in zip(case.blocks, case.patterns, strict=True):
        chosen = np.arange(block.size)[:: 1 if block.size < 3 else 2]
        yield case, block, taken(patterns.fitted, chosen), chosen


@pytest.mark.parametrize("kind", ["phase", "complex"])
@pytest.mark.parametrize("residual", ["poisson", "amplitude"])
@pytest.mark.parametrize("electrons", [20, 30_000])
@pytest.mark.parametrize("n", [16, 20, 64])
def test_compiled_kernels_agree(kind, residual, electrons, n):
    for case, block, counts, chosen in cases(kind, residual, n, electrons=electrons):
        reference = Plain(case.problem).compare(block, counts, case.model, chosen)
        assert min(reference) > 0
        fast = Cpu(case.problem).compare(block, counts, case.model, chosen)
        np.testing.assert_allclose(fast, reference, rtol=2e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["phase", "complex"])
@pytest.mark.parametrize("residual", ["poisson", "amplitude"])
@pytest.mark.parametrize(("n", "electrons"), [(16, 20), (16, 30_000), (64, 100)])
@pytest.mark.parametrize("as_events", [True, False])
def test_kernels_on_a_device_agree(device, kind, residual, n, electrons, as_events):
    for case, block, counts, chosen in cases(kind, residual, n, electrons=electrons):
        chains = n == 64
        space = make_workspace(case.problem, 2, HostDevice(n) if device == "host" else CupyDevice(n, chains), chains, 2)
        given = counts if as_events else dense(counts, 0, len(chosen), n, np, np.float32)
        reference = Plain(case.problem).compare(block, counts, case.model, chosen)
        found = compare_gpu(case.problem, space, block, given, case.model, chosen)
        np.testing.assert_allclose(found, reference, rtol=2e-5)


def test_patterns_compared_are_counted():
    case = small_problem(1, 1, np.float32, backend="cpu")
    found = goodness(case.problem, Cpu(case.problem), case.blocks[0], case.patterns[0], case.model)
    assert found.tested == case.blocks[0].size and found.tested_loss > 0
    assert found.patterns == found.loss == found.line_denominator == 0
