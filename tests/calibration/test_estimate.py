"""Planted geometries are found again: all ways to lay patterns on a scan, and within the errors that are stated."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scans

from ptychodask import InputError
from ptychodask.calibration.bright_field import binned, make_bins, make_spectrum
from ptychodask.calibration.disk import fit_disk
from ptychodask.calibration.estimate import Estimate, estimate
from ptychodask.calibration.weak_phase import Optics
from ptychodask.model.geometry import SWAP, geometry_of
from ptychodask.model.optics import wavelength

DK = scans.ANGULAR_STEP * 1e-3 / wavelength(scans.ENERGY)


def found(patterns: np.ndarray, across: int = 40, **options) -> Estimate:
    scan, n = patterns.shape[:2], patterns.shape[-1]
    flat, used = patterns.reshape(-1, n, n), np.ones((n, n), bool)
    disk = fit_disk(flat.sum(axis=0, dtype=float), used, len(flat))
    bins = make_bins(used, disk.centre, disk.radius, across)
    electrons, _, _ = binned(np.fft.ifftshift(flat, axes=(-2, -1)), bins)
    optics = Optics(wavelength(scans.ENERGY), disk.radius * DK, 1.5 * bins.side * DK)
    step = (scans.STEP, scans.STEP)
    spectrum = make_spectrum(electrons, scan, step, bins, disk.centre, disk.level, DK, optics.cutoff)
    return estimate(spectrum, optics, scans.ALPHA * 1e-3, scan, step, bins.side * DK, **{"splits": 1, **options})


FLIPS = {"": np.eye(2), "y": np.diag([-1.0, 1.0]), "x": np.diag([1.0, -1.0]), "yx": -np.eye(2)}


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("flips", FLIPS)
def test_all_eight_orientations_of_a_detector(flips, transpose):
    patterns, matrix = scans.counts(), FLIPS[flips] @ scans.PLANTED.matrix
    for axis in flips:
        patterns = scans.flipped(patterns, {"y": 2, "x": 3}[axis])
    if transpose:
        patterns, matrix = patterns.swapaxes(2, 3), SWAP @ matrix
    planted, got = geometry_of(matrix), found(patterns, across=14).held.geometry
    assert got.transpose == planted.transpose
    assert abs(math.remainder(got.rotation - planted.rotation, 2 * math.pi)) < math.radians(1.5)
    assert got.defocus == pytest.approx(600, abs=20)


def test_planted_numbers_are_within_the_stated_errors():
    names = ("rotation", "scale", "asymmetry", "shear", "defocus", "c12a", "c12b")
    away = []
    for seed in range(4):
        got = found(scans.counts(seed), splits=2)
        at = replace(got.held.geometry, scale=got.free.geometry.scale)
        assert got.sigma["rotation"] < math.radians(1) and got.sigma["defocus"] < 12
        away.append([(getattr(at, n) - getattr(scans.PLANTED, n)) / got.sigma[n] for n in names])
    away = np.array(away)
    assert np.abs(away).max() < 4, away.round(1)
    assert 0.2 < (away**2).mean() < 2.5, away.round(1)  # neither boasting nor modest


def test_what_is_given_stays():
    given = {"rotation": math.radians(24), "scale": 1.01, "c12a": 0.0, "c12b": 0.0}
    got = found(scans.counts(), 14, given=given, transpose=False)
    at = got.free.geometry
    assert (at.rotation, at.scale, at.c12a, at.c12b) == tuple(given.values()) and not set(given) & set(got.sigma)
    assert at.defocus == pytest.approx(600, abs=25) and math.isnan(got.skew) and math.isinf(got.margin)
    turned = found(scans.counts(), 14, given={"defocus": -600.0}).held.geometry
    assert abs(math.remainder(turned.rotation - math.radians(25 + 180), 2 * math.pi)) < math.radians(3)


def test_a_vacuum_has_no_geometry():
    empty = np.broadcast_to(scans.expected(height=0.0)[:1, :1], (*scans.SCAN, scans.N, scans.N))
    for seed in range(2):
        with pytest.raises(InputError, match="tell no geometry"):
            found(np.random.default_rng(seed).poisson(empty).astype(np.uint8), 14)
