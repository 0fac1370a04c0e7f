"""Fixtures of all tests: the array library, and a factory of small problems."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import helpers
from forked import fork_workers

import ptychodask
from ptychodask._array import cupy_available

# processes that tests start import this very package and share its compiled kernels: an installed copy has its own,
# and may be another version
SOURCE = str(Path(ptychodask.__file__).parents[1])
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH")]))


def pytest_sessionstart():
    """Workers of tests start quickly."""
    fork_workers()


@pytest.fixture(params=["numpy", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request):
    """NumPy, and CuPy where there is a device."""
    if request.param == "cupy" and not cupy_available():
        pytest.skip("no CUDA device with CuPy")
    return pytest.importorskip(request.param)


@pytest.fixture
def small_problem():
    """Factory of small deterministic problems."""
    return helpers.small_problem
