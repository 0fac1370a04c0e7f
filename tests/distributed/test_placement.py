"""Who has which block: even, the same wherever it is asked, and little moves when workers come and go."""

from __future__ import annotations

import pytest

from ptychodask.distributed.placement import FAN_IN, placement


def named(count: int) -> list[str]:
    return [f"tcp://10.0.0.{i}:4{i:04}" for i in range(count)]


@pytest.mark.parametrize("workers", [2, 3, 8, 16])
def test_a_new_worker_moves_little_more_than_its_share(workers):
    """Contiguous equal runs over workers in the order of their names would move a third to a half."""
    blocks, share = 1024, 1 / (workers + 1)
    before, after = placement(blocks, named(workers)), placement(blocks, named(workers + 1))
    moved = sum(a != b for a, b in zip(before, after, strict=True)) / blocks
    assert share <= moved + 1 / blocks and moved < share + 0.1
    lost = placement(blocks, named(workers + 1)[1:])  # the same the other way round
    assert sum(a != b for a, b in zip(lost, after, strict=True)) / blocks < share + 0.1


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_what_is_merged_first_is_mostly_on_one_worker(workers):
    places = placement(512, named(workers))
    groups = [set(places[i : i + FAN_IN]) for i in range(0, 512, FAN_IN)]
    assert sum(len(group) == 1 for group in groups) >= len(groups) - workers
