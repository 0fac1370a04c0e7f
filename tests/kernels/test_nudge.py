"""What patterns say of their own places: the descent is that of the loss, and all kernels say the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import reference_intensities, small_problem
from test_partial_gpu import DEVICES, HostDevice

from ptychodask.counts.subset import taken
from ptychodask.kernels import kernels_for
from ptychodask.kernels.cpu import Cpu
from ptychodask.kernels.gpu.device import CupyDevice
from ptychodask.kernels.gpu.line import nudge as nudge_gpu
from ptychodask.kernels.gpu.workspace import make_workspace
from ptychodask.kernels.plain import Plain
from ptychodask.kernels.ramps import LEVELS


def small(dtype=np.float32, kind="phase", residual="poisson", **options):
    return small_problem(3, 2, dtype, kind, residual, mask=True, background=0.05, scan=(3, 5), tile=(2, 3), **options)


def asked(case):
    """Every second pattern of each block."""
    for block, patterns in zip(case.blocks, case.patterns, strict=True):
        chosen = np.arange(0, block.size, 2)
        yield block, taken(patterns.fitted, chosen), case.model, chosen


def agree(found, wanted):
    descent, information = wanted[..., 0], wanted[..., 1]
    assert (information > 0).all()
    np.testing.assert_allclose(found[..., 1], information, rtol=5e-3)
    # within some hundredths of the standard error, or of itself where it is large
    np.testing.assert_allclose(found[..., 0], descent, rtol=5e-3, atol=0.03 * np.sqrt(information.max()))


@pytest.mark.parametrize("kind", ["phase", "complex"])
def test_the_descent_is_that_of_the_loss_and_the_information_its_curvature(kind):
    case = small(np.float64, kind)
    block, counts, model, chosen = next(asked(case))
    found = Plain(case.problem).nudge(block, counts, model, chosen)

    def loss(j, axis, h):
        """Of one pattern, h pixels further."""
        centres = case.problem.centres.copy()
        centres[block.flat(case.problem.scan_shape)[chosen[j]], axis] += h
        kernels = Plain(replace(case.problem, centres=centres))
        return kernels.compare(block, taken(counts, np.array([j])), model, chosen[[j]])[0]

    for j in range(len(chosen)):
        for axis in (0, 1):
            slope = (loss(j, axis, 1e-4) - loss(j, axis, -1e-4)) / 2e-4
            assert found[j, axis, 0] == pytest.approx(-slope, rel=1e-5, abs=1e-5)


def test_with_the_expected_counts_the_information_is_the_curvature():
    case = small(np.float64)
    block, _, model, chosen = next(asked(case))
    kernels = Plain(case.problem)
    moved = replace(case.problem, centres=case.problem.centres + np.array([0.0, 1e-3]))
    clean = reference_intensities(case.problem, model)[block.flat(case.problem.scan_shape)[chosen]]
    here, there = kernels.nudge(block, clean, model, chosen), Plain(moved).nudge(block, clean, model, chosen)
    np.testing.assert_allclose(here[..., 0], 0, atol=1e-9 * here[..., 1].max())
    np.testing.assert_allclose(-there[:, 1, 0] / 1e-3, here[:, 1, 1], rtol=1e-2)


@pytest.mark.parametrize("kind", ["phase", "complex"])
@pytest.mark.parametrize("residual", ["poisson", "amplitude"])
@pytest.mark.parametrize("n", [16, 20, 64])
def test_compiled_kernels_agree(kind, residual, n):
    case = small(kind=kind, residual=residual, n=n)
    for given in asked(case):
        agree(Cpu(case.problem).nudge(*given), Plain(case.problem).nudge(*given))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["phase", "complex"])
@pytest.mark.parametrize("n", [16, 64])
def test_kernels_on_a_device_agree(device, kind, n):
    case, chains = small(kind=kind, n=n), n == 64
    door = HostDevice(n) if device == "host" else CupyDevice(n, chains)
    space = make_workspace(case.problem, 2, door, chains, 2)
    for given in asked(case):
        agree(nudge_gpu(case.problem, space, *given), Plain(case.problem).nudge(*given))


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
def test_with_ramps_of_their_own_they_are_those_of_patterns_one_by_one(backend):
    off = np.array([[i % 3 - 1, i % 2] for i in range(15)]) / LEVELS
    case = small(np.float64 if backend == "numpy" else np.float32, backend=backend)
    case = replace(case, problem=replace(case.problem, off=off))
    kernels = kernels_for(case.problem, backend)
    for block, counts, model, chosen in asked(case):
        whole = kernels.nudge(block, counts, model, chosen)
        for i, place in enumerate(chosen):
            one = kernels.nudge(block, taken(counts, np.array([i])), model, np.array([place]))
            np.testing.assert_allclose(whole[i], one[0], rtol=1e-4, atol=1e-4 * np.abs(whole).max())
        still = kernels_for(replace(case.problem, off=None), backend).nudge(block, counts, model, chosen)
        assert np.abs(still - whole).max() > 1e-2 * np.abs(whole).max()
