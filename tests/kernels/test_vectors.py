"""Compiled code on disk is that of the sources."""

from __future__ import annotations

import pytest

from ptychodask.kernels.cpu import block, chain, fft, fused
from ptychodask.kernels.cpu.vectors import SOURCES


@pytest.mark.parametrize(
    "kernel",
    [chain.enter, fused.poisson, block._run, fft._function(128, 8, 8, 0)],
    ids=["vectors", "loops", "solver", "transform"],
)
def test_machine_code_on_disk_is_that_of_all_sources(kernel):
    """numba would look at one file alone, and miss a change of what the kernel calls."""
    file = kernel._cache._cache_file
    assert SOURCES in file._index_name and SOURCES in file._data_name(1) and file._source_stamp == SOURCES
