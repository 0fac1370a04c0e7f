"""However the scan is cut into blocks, and whatever is left out, the sums over all blocks are the same."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
from helpers import Case, small_problem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptychodask.counts.subset import subset
from ptychodask.model.blocks import Block, Box
from ptychodask.solver import goodness
from ptychodask.solver.unknowns.object import ObjectSums
from ptychodask.solver.unknowns.probe import ProbeSums
from ptychodask.solver.update import Update

SHAPE = (5, 7)


@cache
def case_of(backend: str, kind: str) -> Case:
    dtype = np.float32 if backend == "cpu" else np.float64
    return small_problem(
        2, 2, dtype, kind, scan=SHAPE, train_fraction=0.8, background=0.02, tangent_stride=4, batch=3, backend=backend
    )


@st.composite
def cuts(draw, box: Box = (0, SHAPE[0], 0, SHAPE[1])) -> list[Box]:
    """A rectangle cut in two again and again."""
    y0, y1, x0, x1 = box
    places = [("y", at) for at in range(y0 + 1, y1)] + [("x", at) for at in range(x0 + 1, x1)]
    where = draw(st.sampled_from([None, *places])) if places else None
    if where is None:
        return [box]
    axis, at = where
    halves = ((y0, at, x0, x1), (at, y1, x0, x1)) if axis == "y" else ((y0, y1, x0, at), (y0, y1, at, x1))
    return [part for half in halves for part in draw(cuts(half))]


def everything(case: Case, boxes: list[Box], left_out: list[Box]) -> list[Update]:
    """Merged updates of all kinds of sums that blocks make."""
    whole = (Block(i, *box).without(left_out) for i, box in enumerate(boxes))
    case = case.of(case.problem, tuple(block for block in whole if block.size))
    model = replace(case.model, iteration=5)
    one = case.of(case.problem, (Block(0, 0, SHAPE[0], 0, SHAPE[1]),))
    move = one.algorithm.direction(one.start(model), one.update(model))  # the same for all cuts
    pairs = list(zip(case.blocks, case.patterns, strict=True))
    line = case.algorithm.merge([case.algorithm.line_search(b, p, model, move) for b, p in pairs])
    return [case.update(model), case.update(model, evaluate_only=True), line]


@pytest.mark.parametrize(("backend", "kind"), [("numpy", "complex"), ("cpu", "phase")])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_sums_do_not_depend_on_the_cut(backend, kind, data, monkeypatch):
    monkeypatch.setattr(goodness, "TESTED", 9)
    case = case_of(backend, kind)
    y, x = data.draw(st.integers(0, SHAPE[0] - 1)), data.draw(st.integers(0, SHAPE[1] - 1))
    left_out = [(y, y + 1, x, x + 1)]
    whole = everything(case, [(0, SHAPE[0], 0, SHAPE[1])], left_out)
    cut = everything(case, data.draw(cuts()), left_out)
    tolerance = 2e-5 if backend == "cpu" else 1e-11
    assert whole[1].sums.tested > 0 and whole[2].sums.line_denominator > 0
    for found, expected in zip(cut, whole, strict=True):
        for field in fields(expected.sums):
            a, b = (getattr(its.sums, field.name) for its in (found, expected))
            assert a == pytest.approx(b, rel=tolerance, abs=tolerance * expected.sums.electrons), field.name
        assert (found.find(ObjectSums) is None) == (expected.find(ObjectSums) is None)
    maps = [case.object_sums(its[0]) for its in (cut, whole)]
    maps += [(its[0][ProbeSums].gradient, its[0][ProbeSums].illumination) for its in (cut, whole)]
    for found, expected in ((maps[0], maps[1]), (maps[2], maps[3])):
        for a, b in zip(found, expected, strict=True):
            assert np.abs(a - b).max() <= tolerance * np.abs(b).max()


@given(st.integers(1, 60), st.integers(1, 400), st.integers(0, 10_000))
def test_a_subset_takes_one_of_every_group_and_all_in_turn(stride, patterns, turn):
    j = np.arange(patterns)
    taken = [subset(j, stride, turn + t) for t in range(stride)]
    assert np.sort(np.concatenate(taken)).tolist() == j.tolist()
    for which in taken:
        assert np.bincount(which // stride, minlength=patterns // stride)[: patterns // stride].tolist() == [1] * (
            patterns // stride
        )
        assert len(which) <= math.ceil(patterns / stride)


def test_a_subset_meets_every_phase_of_a_crystal():
    """One pattern in eight of a scan with 64 in a row: they do not stand in columns."""
    columns = subset(np.arange(64 * 64), 8, 0) % 8
    assert np.bincount(columns, minlength=8).min() > 30
