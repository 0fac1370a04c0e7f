"""Buffers are reused in a process that Dask's nanny would have started."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import numpy as np
from ptychodask.distributed.allocator import reuse_buffers

if sys.argv[1] == "reuse":
    assert reuse_buffers()
np.ones(2**22, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    np.ones(2**22, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(way: str, **environment: str) -> int:
    """Of fifty buffers of 4 MiB, each of which has 1024 pages unless the system gives larger ones."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, way],
        env={**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_pages_are_fetched_once():
    assert page_faults("reuse") < 0.1 * page_faults("plain")


def test_a_threshold_that_somebody_set_stays(monkeypatch):
    from ptychodask.distributed.allocator import reuse_buffers

    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    assert not reuse_buffers.__wrapped__()
