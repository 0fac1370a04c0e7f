"""Modes of a partially coherent probe: the patterns of all points of source and focus, by few waves."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_scan import Recorder, bits, write_scan

import ptychodask
from ptychodask import InputError
from ptychodask.model.optics import Microscope
from ptychodask.physics.coherence import coherent_modes, points
from ptychodask.physics.probe import make_probe

LENS, N, PIXEL = Microscope.of(300e3, 10.0, 300.0), 64, 0.45
SOURCE, SPREAD = 0.3, 80.0


@pytest.fixture(scope="module")
def object_():
    rng = np.random.default_rng(0)
    return np.exp(1j * rng.standard_normal((N, N)))


def patterns(probes, object_):
    return (np.abs(np.fft.fft2(probes * object_, norm="ortho")) ** 2).sum(axis=0)


def expected(object_):
    """The weighted sum of the patterns of all points, each with its own probe."""
    total = 0.0
    k = np.fft.fftfreq(N, PIXEL)
    for point in points(LENS, SOURCE, SPREAD):
        probe = make_probe(Microscope.of(300e3, 10.0, 300.0 + point.defocus), N, PIXEL)
        y, x = point.shift
        moved = np.fft.ifft2(np.fft.fft2(probe) * np.exp(-2j * np.pi * (k[:, None] * y + k[None] * x)))
        total = total + point.weight * patterns(moved[None], object_)
    return total


def test_patterns_are_those_of_all_points(object_):
    wanted = expected(object_)
    every, misses, shares = points(LENS, SOURCE, SPREAD), [], []
    for modes in (1, 3, 6, 12):
        found = coherent_modes(LENS, N, PIXEL, every, modes)
        powers = (np.abs(found) ** 2).sum(axis=(1, 2))
        assert (np.diff(powers) < 1e-9).all()
        overlaps = np.einsum("ayx,byx->ab", found, found.conj())
        np.testing.assert_allclose(overlaps, np.diag(powers), atol=1e-9)
        misses.append(np.abs(patterns(found, object_) - wanted).sum() / wanted.sum())
        shares.append(powers.sum())
    assert misses[0] > 0.2 and misses[-1] < 0.01 and sorted(misses, reverse=True) == misses
    np.testing.assert_allclose(np.add(misses, shares), 1.0, atol=0.02)  # what is missed is the power of the others


@pytest.mark.distributed
def test_a_run_takes_them_and_says_how_much_they_hold(tmp_path):
    scan, seen = write_scan(tmp_path / "s.zarr"), Recorder()
    job = {"probe": {"source_size_angstrom": 0.3, "modes": 6}, "solver": {"iterations": 3}}
    result = ptychodask.reconstruct(scan, job, progress=seen)
    processes = ptychodask.reconstruct(scan, {**job, "engine": {"workers": 2, "threads": 1}}, progress=False)
    assert bits(processes) == bits(result)
    powers = (np.abs(result.probe.values) ** 2).sum(axis=(1, 2))
    assert len(powers) == 6 and powers[1] == pytest.approx(powers[2], rel=0.05) and powers[0] > powers[1] > 0
    assert powers.sum() == pytest.approx(100, rel=0.1)
    (told,) = [r for r in seen.named("start")[0]["remarks"] if "source_size" in r]
    assert told.startswith("probe.source_size_angstrom = 0.3: 6 modes hold 9")


def test_too_few_modes_and_a_probe_of_another_result_are_refused(tmp_path):
    scan = write_scan(tmp_path / "s.zarr")
    with pytest.raises(
        InputError, match=r"focal_spread_angstrom = 40: with 1 mode .*% of the probe are held .* set probe\.modes"
    ):
        ptychodask.reconstruct(scan, {"probe": {"focal_spread_angstrom": 40.0}}, progress=False)
    with pytest.raises(InputError, match=r"beside probe\.start, whose modes it has"):
        job = {"probe": {"source_size_angstrom": 0.3, "modes": 6, "start": str(tmp_path / "other.zarr")}}
        ptychodask.reconstruct(scan, job, progress=False)
    with pytest.raises(InputError, match="source_size_angstrom = 5: at this semi-angle at most"):
        ptychodask.reconstruct(scan, {"probe": {"source_size_angstrom": 5.0, "modes": 3}}, progress=False)
