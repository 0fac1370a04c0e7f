"""Many runs in one process: nothing of ours is left of those that are over."""

from __future__ import annotations

import gc
import time
from collections import Counter

from tiny_scan import BLUR, write_scan

import ptychodask

JOB = {**BLUR, "solver": {"iterations": 2, "finish": 1}}
SECONDS = 3.0
"""Within which what a run leaves to other threads must be gone."""


def ours() -> Counter[str]:
    """Objects of our own classes, by class."""
    gc.collect()
    kinds = Counter(type(thing) for thing in gc.get_objects())
    names = {kind: f"{kind.__module__}.{kind.__qualname__}" for kind in kinds}
    return Counter({name: kinds[kind] for kind, name in names.items() if name.startswith("ptychodask.")})


def grown(before: Counter[str]) -> dict[str, int]:
    """What there is more of, once it has had time to go."""
    end = time.monotonic() + SECONDS
    while (more := dict(ours() - before)) and time.monotonic() < end:
        time.sleep(0.05)
    return more


def test_runs_that_are_over_leave_no_objects(tmp_path):
    scan = write_scan(tmp_path / "scan.zarr", (4, 4))

    def runs(count: int) -> None:
        for _ in range(count):
            assert len(ptychodask.reconstruct(scan, JOB).history) == 2  # one of them of the finish

    runs(2)  # caches of this process are filled
    before = ours()
    assert before
    runs(6)
    assert grown(before) == {}


def test_what_is_kept_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.SECONDS", 0.0)
    before = ours()
    kept = [ptychodask.JobConfig() for _ in range(3)]
    assert grown(before)["ptychodask.model.config.job.JobConfig"] == len(kept)
