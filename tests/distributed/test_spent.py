"""Seconds that blocks took, by worker."""

from __future__ import annotations

from ptychodask.distributed.spent import add, totals
from ptychodask.events import WorkerSeconds


def test_tables_are_added_up_by_worker_in_the_order_of_addresses():
    a, b, more = WorkerSeconds("a", 1.0, 2.0, 3.0), WorkerSeconds("b", 0.5), WorkerSeconds("a", 0.25, 0.0, 1.0)
    expected = (WorkerSeconds("a", 1.25, 2.0, 4.0), b)
    assert add([(b,), (a,), (), (more,)]) == add([add([(a,), (b,)]), (more,)]) == expected
    assert totals(expected) == {"seconds_computing": 1.75, "seconds_reading": 2.0, "seconds_waiting": 4.0}
    assert add([]) == () and totals(()) == {"seconds_computing": 0, "seconds_reading": 0, "seconds_waiting": 0}
