"""A slip of the keyboard is one line, before anything is allocated."""

from __future__ import annotations

import tracemalloc

import pytest

pytest.importorskip("abtem")

from ptychodask._errors import InputError
from ptychodask.simulation import size
from ptychodask.simulation.run import simulate

HUGE = {
    "scan": ({"scan_shape": (60_000, 60_000)}, "60000 x 60000 positions"),
    "detector": ({"detector_pixels": 4_000_000}, "of 4000000 x 4000000 pixels"),
    "thickness": ({"thickness_angstrom": 1e13}, r"in 5e\+12 slices"),
}


@pytest.mark.parametrize("name", HUGE)
def test_what_cannot_fit_is_one_line(tmp_path, name):
    options, message = HUGE[name]
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=rf"{message}.* need about .* GiB of memory, and .* free") as caught:
            simulate(tmp_path / "scan.zarr", "zif-8", **options)
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_small_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(size, "_free", lambda folder: 1000)
    with pytest.raises(InputError, match=r"need about .* GiB of disk space, and 9.31e-07 GiB are free"):
        simulate(tmp_path / "scan.zarr", "zif-8", scan_shape=(8, 8))
    assert list(tmp_path.iterdir()) == []
