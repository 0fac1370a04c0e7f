"""When to stop, which iteration to return, when a run has diverged."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ptychodask.solver.stopping import Record, chosen, divergence, stop_reason, within_reach


def records(validation=None, loss=None, patterns=10.0, power=1.0) -> list[Record]:
    count = len(validation or loss)
    validation = validation or [math.nan] * count
    loss = loss or [100.0 - i for i in range(count)]
    return [Record(i, loss[i], validation[i], patterns, power) for i in range(count)]


def test_earliest_within_two_nats_of_the_best():
    # in all patterns together: 1 nat per pattern is 10 nats
    assert chosen(records([5.0, 4.0, 3.2, 3.1, 3.0, 3.3])) == 2
    assert chosen(records([5.0, 4.0, 3.21, 3.1, 3.0, 3.3])) == 3
    assert chosen(records([5.0, 4.0, 3.2, 3.1, 3.0, 3.3], patterns=1.0)) == 0
    assert chosen(records([5.0, 4.0, 3.2, 3.1, 3.0, 3.3], patterns=1e4)) == 4


def test_without_validation_the_last_is_chosen():
    assert chosen(records(loss=[3.0, 2.0, 1.0])) == 2


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_single_bad_values_are_never_chosen(bad):
    assert chosen(records([bad, 5.0, 3.0, bad])) == 2


def test_patience():
    values = [5.0, 4.0, 3.0]
    assert stop_reason(records([*values, 3.0, 3.05, 3.1, 2.95]), patience=5) is None
    reason = stop_reason(records([*values, 3.0, 3.05, 3.1, 2.95, 2.9]), patience=5)
    assert reason is not None and "held-out" in reason and "5" in reason
    assert stop_reason(records([*values, 3.0, 3.05, 3.1, 2.95, 2.7]), patience=5) is None  # a gain of 3 nats


def test_patience_counts_from_where_all_moves():
    flat = [5.0, *[3.0] * 8]
    assert "held-out" in stop_reason(records(flat[:7]), patience=5)
    assert stop_reason(records(flat[:7]), patience=5, settled=4) is None
    assert "held-out" in stop_reason(records([*flat, 3.0]), patience=5, settled=4)


def test_no_stop_while_validation_falls():
    values = [50.0 - i for i in range(30)]
    assert all(stop_reason(records(values[: i + 1]), patience=1) is None for i in range(30))


def test_flat_loss_stops_only_without_validation():
    flat = [10.0 - 1e-5 * i for i in range(12)]
    assert stop_reason(records(loss=flat[:10]), patience=5) is None
    reason = stop_reason(records(loss=flat[:11]), patience=5)
    assert reason is not None and "loss" in reason
    falling = [10.0 - 1e-3 * i for i in range(12)]
    assert stop_reason(records(loss=falling), patience=5) is None
    assert stop_reason(records([20.0 - i for i in range(12)], flat), patience=5) is None


def test_finish_after_validation_is_judged_by_its_loss():
    """In the finish nothing is held out: the last validation is NaN and must not end the run."""
    values = [5.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0, math.nan]
    assert stop_reason(records(values), patience=5) is None


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_divergence(loss):
    assert divergence(records(loss=[3.0, 2.0, loss])) == f"the loss is {loss}"


@pytest.mark.parametrize(
    ("loss", "diverged"),
    [
        ([100.0, 50.0, 40.0], False),
        ([100.0], False),
        ([100.0, 50.0, 40.0, 42.9], False),  # 40 + 5 % of 40 + 1 % of 100 = 43
        ([100.0, 50.0, 40.0, 43.1], True),
        ([100.0, 20.0, 40.0, 41.0, 42.0, 43.0], False),  # judged by the last four
        ([100.0, 40.0, 41.0, 42.0, 43.1], True),
        ([100.0, 40.0, 41.0, 42.0, 42.5, 43.1], False),
        ([100.0, 1.0, 1.1], False),  # near a perfect fit, 5 % of the loss is nothing
    ],
)
def test_rising_loss(loss, diverged):
    found = divergence(records(loss=loss))
    assert (found is not None) == diverged
    if diverged:
        assert "rose" in found


@pytest.mark.parametrize(
    ("power", "diverged"),
    [(1.0, False), (0.81, False), (1.24, False), (0.79, True), (1.26, True), (math.nan, True)],
)
def test_power(power, diverged):
    found = divergence(records(loss=[3.0, 2.0], power=power))
    assert (found is not None) == diverged


def test_validation_does_not_matter_for_divergence():
    assert divergence(records([3.0, math.nan], [3.0, 2.0])) is None


@pytest.mark.parametrize("seed", range(20))
def test_only_what_is_in_reach_is_ever_chosen_later(seed):
    rng = np.random.default_rng(seed)
    totals = (rng.normal(0, 2, 40) + 10 * np.exp(-np.arange(40) / rng.uniform(2, 20))).tolist()
    all_of_them = records(totals, patterns=1.0)
    for now in range(1, 40):
        reach = within_reach(all_of_them[:now])
        assert reach[0] == chosen(all_of_them[:now])
        for later in range(now, 41):
            index = chosen(all_of_them[:later])
            assert index in reach or index >= now


def test_reach_of_nothing_and_without_validation():
    assert within_reach([]) == [] and within_reach(records(loss=[3.0, 2.0, 1.0])) == [2]
