"""Sums over points of source and focus damp what interferes; and what is counted after a simulation without noise."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("abtem")

import ptychodask
from ptychodask import InputError
from ptychodask.io.dataset import dataset_info
from ptychodask.model.optics import Microscope
from ptychodask.physics.coherence import points
from ptychodask.simulation.counted import count_electrons

LENS = Microscope.of(300e3, 10.0, 600.0)
TOY = {
    "thickness_angstrom": 17, "scan_shape": (3, 4), "scan_step_angstrom": 1.5, "detector_pixels": 48,
    "angular_step_mrad": 0.8, "defocus_angstrom": 150, "slice_thickness_angstrom": 17,
}  # fmt: skip


def patterns(path):
    return ptychodask.open_dataset(path).counts.values.reshape(12, 48, 48)


@pytest.mark.parametrize(("source", "spread"), [(0.1, 0.0), (0.4, 0.0), (0.0, 30.0), (0.3, 60.0)])
def test_interference_is_damped_as_by_a_gaussian(source, spread):
    found = points(LENS, source, spread)
    weights = np.array([p.weight for p in found])
    assert weights.sum() == pytest.approx(1) and len(found) <= 225 * 15
    cutoff = LENS.semi_angle / LENS.wavelength
    for q in (0.3 * cutoff, cutoff, 2 * cutoff):  # of beams that meet on the detector
        turned = np.exp(2j * math.pi * q * np.array([p.shift[0] for p in found]))
        assert abs(weights @ turned - math.exp(-2 * (math.pi * q * source) ** 2)) < 0.015
    chi = math.pi * LENS.wavelength * cutoff**2
    foci = np.exp(1j * chi * np.array([p.defocus for p in found]))
    assert abs(weights @ foci - math.exp(-((chi * spread) ** 2) / 2)) < 0.015


def test_what_is_coherent_is_one_point_and_too_little_is_refused():
    assert [(p.weight, p.shift, p.defocus) for p in points(LENS, 0.0, 0.0)] == [(1.0, (0.0, 0.0), 0.0)]
    with pytest.raises(InputError, match=r"source_size_angstrom = 2: at this semi-angle at most 0.77 A"):
        points(LENS, 2.0, 0.0)
    with pytest.raises(InputError, match="focal_spread_angstrom = 1000"):
        points(LENS, 0.0, 1000.0)


def test_a_source_and_a_spread_take_contrast_and_no_electrons(tmp_path):
    clear, blurred = tmp_path / "clear.zarr", tmp_path / "blurred.zarr"
    common = {**TOY, "dose_per_square_angstrom": math.inf, "progress": False}
    ptychodask.simulate(clear, "zif-8", **common)
    ptychodask.simulate(blurred, "zif-8", source_size_angstrom=0.25, focal_spread_angstrom=40, **common)
    sharp, soft = patterns(clear), patterns(blurred)
    assert soft.sum() == pytest.approx(sharp.sum(), rel=1e-3)
    assert soft.std(axis=0).sum() < 0.9 * sharp.std(axis=0).sum()  # patterns differ less from place to place

    # counted afterwards: nearly every count is that of a simulation with noise
    noisy = tmp_path / "noisy.zarr"
    ptychodask.simulate(noisy, "zif-8", **{**common, "dose_per_square_angstrom": 100.0, "seed": 5})
    believed = Microscope.of(300e3, 10.0, 170.0)
    counted = count_electrons(clear, tmp_path / "counted.zarr", believed, 100.0, 5)
    info = dataset_info(counted)
    assert info.microscope.defocus_angstrom == 170 and info.dtype == dataset_info(noisy).dtype
    assert info.attributes["dose_per_square_angstrom"] == pytest.approx(100, rel=0.05)
    assert np.mean(patterns(counted) != patterns(noisy)) < 1e-3 and patterns(counted).sum() > 1000
