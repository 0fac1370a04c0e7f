"""What a run keeps to go on from, and to return: little, and always enough."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask.jobs.log import MOST_CHECKPOINTS, Log
from ptychodask.solver.stopping import chosen


def entry(iteration, validation, stage="fit"):
    return {
        "iteration": iteration,
        "stage": stage,
        "loss": 1.0,
        "validation": validation,
        "patterns": 1.0,
        "power": 1.0,
    }


def curve(kind, count=120):
    """Held-out nats: falling, falling and then rising, or level; with noise."""
    t = np.arange(count)
    shape = {"falls": 200 - t, "rises again": 100 + abs(t - 30.0), "is level": 100 + 50 * np.exp(-t / 5) - 0.001 * t}
    return shape[kind] + 0.3 * np.random.default_rng(4).standard_normal(count)


@pytest.mark.parametrize("every", [1, 3, 10])
@pytest.mark.parametrize("kind", ["falls", "rises again", "is level"])
def test_the_newest_and_what_leads_to_each_state_in_reach_are_kept(kind, every):
    log, stored, newest = Log(), set(), 0
    for iteration, value in enumerate(curve(kind)):
        if iteration and iteration % every == 0:
            stored.add(iteration)  # made while the passes before it are in flight
            stored -= set(log.superfluous(stored))
            assert iteration in stored
        log.entries.append(entry(iteration, value))
        stored -= set(log.superfluous(stored))
        assert len([i for i in stored if i <= log.next]) <= MOST_CHECKPOINTS
        assert log.newest(stored) is None or log.newest(stored) >= newest
        newest = log.newest(stored) or 0
        assert newest > iteration - 2 * every
        # the state to be returned now is at most so far from one that is stored
        first = log.before(log.reach[0], stored) or 0
        assert log.reach[0] - first < max(every, (iteration - log.reach[0]) if kind == "is level" else every)


def test_a_checkpoint_whose_past_is_not_known_yet_is_not_gone_on_from():
    log = Log([entry(i, 9.0 - i) for i in range(5)])
    assert (log.next, log.newest([3, 6]), log.superfluous([3, 6])) == (5, 3, [])
    log.entries += [entry(5, 4.0)]
    assert (log.next, log.newest([3, 6]), log.superfluous([3, 6])) == (6, 6, [])
    log.entries += [entry(6, 1.0)]
    assert log.superfluous([3, 6]) == [3]


def test_states_before_a_restart_lead_elsewhere():
    log = Log([entry(i, 9.0) for i in range(8)])
    log.restart(4)
    assert (log.next, log.floor, log.restarts, log.reach) == (4, 4, 1, [])
    log.entries += [entry(4, 9.0), entry(5, 8.5)]
    assert log.before(5, {2, 3}) is None and log.before(5, {2, 4}) == 4 and log.superfluous([2, 4]) == [2]


def test_the_finish_has_its_own_entries():
    log = Log([entry(i, 9.0 - i) for i in range(7)], chosen=4)
    assert log.next == 5 and log.superfluous([2, 4, 6]) == [2]
    log.entries += [entry(5, np.nan, "finish"), entry(6, np.nan, "finish")]
    assert log.next == 7 and log.newest([4, 6, 8]) == 6
    log.back_to(6)
    assert [e["iteration"] for e in log.entries] == [*range(7), 5]
    log.fit_again()
    assert log.chosen is None and log.next == 7


def test_what_would_be_returned_is_first_in_reach():
    log = Log([entry(i, v) for i, v in enumerate([9.0, 5.0, 4.0, 4.5, 3.5])])
    assert log.reach == [1, 2, 4] and chosen(log.candidates) == 1
