"""Compiled code on disk is that of the sources."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask.kernels.cpu import block, fft, fused, scatter
from ptychodask.kernels.cpu.vectors import SOURCES, compiled_loops


@pytest.mark.parametrize(
    "kernel",
    [scatter._scatter, fused.spread, block._run, fft._function(128, 8, 8, 0)],
    ids=["vectors", "loops", "solver", "transform"],
)
def test_machine_code_on_disk_is_that_of_all_sources(kernel):
    """numba would look at one file alone, and miss a change of what the kernel calls."""
    file = kernel._cache._cache_file
    assert SOURCES in file._index_name and SOURCES in file._data_name(1) and file._source_stamp == SOURCES


def test_what_only_compiled_code_calls_refuses_python():
    """It has no door: Python would jump to nowhere, even where it is compiled."""
    assert compiled_loops(doubled)(3) == 2 * (0 + 3)  # row 0, column 3 of the panels
    with pytest.raises(TypeError, match="place is for compiled code"):
        fused.place(np.int64(3), np.int64(16))


def doubled(pixel):
    group, lane = fused.place(pixel, 16)
    return 2 * (group + lane // 8)
