"""The picture that a newcomer sees first, where the demo was run in this checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

import ptychodask

RESULT = Path(__file__).parents[2] / "demo" / "nu-1000-result.zarr"


def test_the_demo_looks_like_the_crystal():
    """The quick one and the whole one; that of 100 electrons per square angstrom, against its truth."""
    if not RESULT.exists():
        pytest.skip("no demo here: run 'ptychodask demo --quick'")
    figures = ptychodask.report(RESULT)
    assert figures["correlation_2.5A"] > 0.92, figures
