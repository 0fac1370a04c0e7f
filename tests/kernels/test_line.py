"""The line search by compiled kernels and on a device, whose tangents are differences, against the plain code's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import small_problem
from test_partial_gpu import DEVICES, HostDevice

from ptychodask.kernels.cpu import Cpu
from ptychodask.kernels.gpu.device import CupyDevice
from ptychodask.kernels.gpu.line import line_search as line_search_gpu
from ptychodask.kernels.gpu.workspace import make_workspace
from ptychodask.kernels.plain import Plain
from ptychodask.solver.settings import ProbeRules


def agree(found, reference):
    """The step, numerator over denominator, to some thousandths; and the curvature that it rests on."""
    a, b = found.sums, reference.sums
    assert b.line_denominator > 0
    assert a.line_denominator == pytest.approx(b.line_denominator, rel=3e-3)
    step = b.line_numerator / b.line_denominator
    assert a.line_numerator / b.line_denominator == pytest.approx(step, rel=3e-3, abs=3e-3)


def searches(kind, residual, n, moves, share=1.0, **options):
    """Blocks of 2 to 6 patterns with (a share of) the direction of the first step; every second pattern is used."""
    rules = ProbeRules(0 if moves else None, False, None)
    case = small_problem(
        3, 2, np.float32, kind, residual, mask=True, background=0.05, n=n, scan=(3, 5), tile=(2, 3), tangent_stride=2,
        probe_rules=rules, **options,
    )  # fmt: skip
    case = replace(case, model=replace(case.model, iteration=1))
    move = case.algorithm.direction(case.start(), case.update())
    assert (move.probe is not None) == moves
    for block, patterns in zip(case.blocks, case.patterns, strict=True):
        given = (block, patterns, case.model, share * move.object, share * move.probe if moves else None)
        yield case, given, Plain(case.problem).line_search(*given)


@pytest.mark.parametrize("kind", ["phase", "complex"])
@pytest.mark.parametrize("residual", ["poisson", "amplitude"])
@pytest.mark.parametrize("moves", [True, False])
@pytest.mark.parametrize("n", [16, 20, 64])
def test_compiled_kernels_agree(kind, residual, moves, n):
    for case, given, reference in searches(kind, residual, n, moves):
        agree(Cpu(case.problem).line_search(*given), reference)


def test_a_direction_a_thousand_times_smaller():
    """As near to the optimum: the difference of two intensities is a ten-thousandth of them."""
    for case, given, reference in searches("phase", "poisson", 64, True, 1e-3):
        found = Cpu(case.problem).line_search(*given).sums
        assert found.line_denominator == pytest.approx(reference.sums.line_denominator, rel=1e-2)
        assert found.line_numerator == pytest.approx(reference.sums.line_numerator, rel=1e-2)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["phase", "complex"])
@pytest.mark.parametrize("moves", [True, False])
@pytest.mark.parametrize(("n", "electrons"), [(16, 300), (64, 3000)])
def test_kernels_on_a_device_agree(device, kind, moves, n, electrons):
    for case, given, reference in searches(kind, "poisson", n, moves, electrons=electrons):
        chains = n == 64
        door = HostDevice(n) if device == "host" else CupyDevice(n, chains)
        space = make_workspace(case.problem, 2, door, chains, 2)
        found = line_search_gpu(case.problem, space, *given)
        agree(found, reference)
        # to rounding they are the compiled ones
        compiled = Cpu(case.problem).line_search(*given).sums
        assert found.sums.line_denominator == pytest.approx(compiled.line_denominator, rel=1e-4)


def test_a_block_without_any_of_the_subset_says_nothing():
    case = small_problem(1, 1, np.float32, scan=(1, 2), tile=(1, 1), tangent_stride=50, backend="cpu")
    found = [Cpu(case.problem).line_search(b, p, case.model, case.model.object, None).sums.line_denominator
             for b, p in zip(case.blocks, case.patterns, strict=True)]  # fmt: skip
    assert 0.0 in found
