"""Steps of the spectral prior become shorter where the loss rises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import small_problem
from tiny_scan import bits, write_scan

import ptychodask
from ptychodask.model.prior import Spectral
from ptychodask.model.state import Model, State
from ptychodask.solver import apply
from ptychodask.solver.update import Sums, Update

RULE = Spectral(side=16, pixel=0.5, floor=0.0, sharpen_at=5, eases=True)


@pytest.mark.parametrize(
    "loss, before, iteration, rule, factor",
    [
        (1000.2, 1000.0, 3, RULE, 0.7),  # 2e-4 nats per electron
        (1000.05, 1000.0, 3, RULE, 1.0),  # less than counts
        (900.0, 1000.0, 3, RULE, 1.0),
        (1000.2, None, 0, RULE, 1.0),  # nothing to compare with
        (1000.2, 1000.0, 5, RULE, 1.0),  # of another epsilon
        (1000.2, 1000.0, 3, replace(RULE, eases=False), 1.0),
        (1000.2, 1000.0, 3, None, 1.0),
    ],
)
def test_only_a_rise_of_the_same_number_counts(loss, before, iteration, rule, factor):
    problem = small_problem().problem
    problem = replace(problem, settings=replace(problem.settings, spectral=rule))
    empty = np.zeros((1, 0, 0))
    state = State(Model(empty, empty, iteration=iteration), empty, damping=0.8, loss=before)
    totals = Update(Sums(patterns=10.0, electrons=1000.0, loss=loss))
    assert apply.eased(problem, state, totals) == pytest.approx(0.8 * factor, rel=1e-12)
    # not below a half, unless a divergence has done that
    assert apply.eased(problem, replace(state, damping=0.6), totals) == pytest.approx(0.5 if factor < 1 else 0.6)
    assert apply.eased(problem, replace(state, damping=0.25), totals) == 0.25


@pytest.fixture(scope="module")
def swinging(tmp_path_factory):
    """A scan and a job whose steps are too long."""
    path = write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", (12, 12), electrons=1000.0)
    job = {
        "object": {"regularisation": "spectral"},
        "solver": {"object_step": 1.5, "iterations": 12, "finish": 1, "patience": 20},
    }
    return path, job


def test_a_run_that_swings_calms_down(swinging, monkeypatch):
    path, job = swinging
    eased = ptychodask.reconstruct(path, job)
    fit = [entry.loss for entry in eased.history if entry.stage == "fit"]
    assert eased.attributes["restarts"] == 0 and np.diff(fit[-4:]).max() < 0.05  # with the smaller epsilon
    monkeypatch.setattr(apply, "EASE", 1.0)
    assert ptychodask.reconstruct(path, job).attributes["restarts"] > 0


@pytest.mark.distributed
def test_the_same_bits_on_workers_and_resumed(swinging, tmp_path):
    path, job = swinging
    alone = bits(ptychodask.reconstruct(path, job))
    assert bits(ptychodask.reconstruct(path, {**job, "engine": {"workers": 2, "threads": 1}})) == alone

    class Stop:
        def iterated(self, event):
            if event.iteration == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(path, job, output=tmp_path / "r.zarr", progress=Stop())
    assert bits(ptychodask.resume(tmp_path / "r.zarr")) == alone
