"""Sums and steps of several scans: the object's are added, the probes' kept apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import small_problem

from ptychodask.solver.lsqml import LsqMl
from ptychodask.solver.settings import ProbeRules
from ptychodask.solver.unknowns.object import ObjectSums
from ptychodask.solver.unknowns.probe import EachScan, ProbeSums
from ptychodask.solver.update import Sums

POWER = ProbeRules(0, True, None)


def together(*cases):
    """The solver of several cases that see one object, and all their blocks with their patterns."""
    first = cases[0].problem
    rules = tuple(case.problem.settings.probe_rules for case in cases)
    solver = LsqMl(replace(first, probes=rules), cases[0].algorithm.kernels, scans=tuple(c.algorithm for c in cases))
    blocks = [
        (replace(block, scan=s), patterns)
        for s, case in enumerate(cases)
        for block, patterns in zip(case.blocks, case.patterns, strict=True)
    ]
    return solver, blocks


def model_of(*models):
    return replace(models[0], probe=np.concatenate([model.probe for model in models]))


def merged(solver, blocks, model, evaluate_only=False):
    return solver.merge([solver.partial(b, p, model, evaluate_only) for b, p in blocks])


@pytest.fixture
def cases():
    """Two scans of one object, with other probes, counts and mean counts."""
    one = small_problem(2, 2, tile=(2, 2), probe_rules=POWER)
    two = small_problem(2, 2, tile=(2, 2), probe_rules=POWER, electrons=120.0, defocus=200.0)
    return one, two


def test_the_object_gets_the_sum_and_each_probe_its_own(cases):
    solver, blocks = together(*cases)
    model = model_of(*(replace(case.model, object=cases[0].model.object) for case in cases))
    update = merged(solver, blocks, model)
    alone = [case.update(replace(case.model, object=model.object)) for case in cases]
    for name in ("gradient", "illumination"):
        total = sum(getattr(its[ObjectSums], name) for its in alone)
        np.testing.assert_allclose(getattr(update[ObjectSums], name), total, rtol=1e-12, atol=1e-9)
    assert update.find(ProbeSums) is None
    for scan, its in enumerate(alone):
        np.testing.assert_allclose(
            update[EachScan].updates[scan][ProbeSums].gradient, its[ProbeSums].gradient, rtol=1e-12, atol=1e-9
        )
    assert update.sums.patterns == 18
    assert update.sums.loss == pytest.approx(sum(its.sums.loss for its in alone), rel=1e-12)
    looked = merged(solver, blocks, model, evaluate_only=True)
    assert looked.find(EachScan) is None and looked[Sums].tested > 0


def test_one_scan_twice_goes_as_it_does_alone(cases):
    """Numerators and denominators double, so that directions, steps and what follows stay."""
    one = cases[0]
    solver, blocks = together(one, one)
    state = replace(one.start(), model=model_of(one.model, one.model))
    for _ in range(3):
        update = merged(solver, blocks, state.model)
        state = solver.advance(state, solver.direction(state, update), None)
    alone = one.start()
    for _ in range(3):
        alone, _ = one.step(alone)
    np.testing.assert_allclose(state.model.object, alone.model.object, rtol=1e-9, atol=1e-10)
    for half in np.split(state.model.probe, 2):
        np.testing.assert_allclose(half, alone.model.probe, rtol=1e-8, atol=1e-9)


def test_every_probe_keeps_the_power_of_its_own_counts(cases):
    solver, blocks = together(*cases)
    state = replace(cases[0].start(), model=model_of(*(case.model for case in cases)))
    for _ in range(6):
        update = merged(solver, blocks, state.model)
        state = solver.advance(state, solver.direction(state, update), None)
    sums = merged(solver, blocks, state.model)[EachScan].updates
    for scan in (0, 1):
        assert sums[scan].sums.intensity / sums[scan].sums.electrons == pytest.approx(1, rel=0.03)
    assert sums[0].sums.electrons > 2 * sums[1].sums.electrons


def test_sums_of_scans_merge_in_any_grouping(cases):
    solver, blocks = together(*cases)
    model = model_of(*(case.model for case in cases))
    parts = [solver.partial(b, p, model, False) for b, p in blocks]
    ways = [solver.merge(parts), solver.merge([solver.merge(parts[:3]), solver.merge(parts[3:])])]
    for scan in (0, 1):
        first, second = (way[EachScan].updates[scan][ProbeSums].gradient for way in ways)
        np.testing.assert_allclose(first, second, rtol=1e-12, atol=1e-9)
    assert ways[0].nbytes == ways[1].nbytes > 0
    assert solver.direction(replace(cases[0].start(), model=model), ways[0]).probe.shape == model.probe.shape
