"""The disk, where a reconstruction's own aperture put it."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask import InputError
from ptychodask.calibration.disk import fit_disk
from ptychodask.physics.probe import aperture

N = 64


def pattern(centre=(32.3, 31.4), radius=20.0, along=0.0, electrons=4e5, seed=0, floor=0.01):
    y, x = np.indices((N, N))
    dy, dx = y - centre[0], x - centre[1]
    away = np.hypot(dy, dx)
    ring = radius * (1 + along * (dx**2 - dy**2) / np.maximum(away, 1e-9) ** 2)
    clean = aperture(away - ring + radius, np.zeros(1), radius, 1.0) ** 2 + floor
    return np.random.default_rng(seed).poisson(clean * electrons / clean.sum()).astype(float)


USED = np.ones((N, N), bool)


@pytest.mark.parametrize("radius", [6.3, 14.0, 20.6])
def test_centre_radius_and_shape(radius):
    errors = []
    for seed in range(4):
        disk = fit_disk(pattern(radius=radius, along=0.02, seed=seed), USED, 4000)
        errors.append((disk.centre[0] - 32.3, disk.centre[1] - 31.4, disk.radius - radius, disk.ellipticity[0] - 0.04))
        assert disk.errors[2] < 0.02
    assert np.abs(errors).max() < 0.02  # 0.9 % of the radius would be 0.06 to 0.18
    assert np.abs(np.array(errors) / disk.errors).max() < 5


def test_pixels_that_are_not_used_say_nothing():
    used, seen = USED.copy(), pattern()
    used[:, 30:36] = False
    seen[~used] = 1e6
    disk = fit_disk(seen, used)
    assert disk.centre == pytest.approx((32.3, 31.4), abs=0.03) and disk.radius == pytest.approx(20.0, abs=0.03)


def test_outline_is_on_the_edge():
    disk = fit_disk(pattern(along=0.03), USED)
    along_x = disk.outline(5)[0] - disk.centre
    assert np.hypot(*along_x) == pytest.approx(20 * 1.03, abs=0.05)


def test_bad_patterns_are_one_line():
    with pytest.raises(InputError, match="touches the edge"):
        fit_disk(pattern(centre=(14.0, 32.0)), USED)
    with pytest.raises(InputError, match="no electrons"):
        fit_disk(np.zeros((N, N)), USED)
    with pytest.raises(InputError, match="radius of"):
        fit_disk(pattern(radius=1.2, floor=0.0), USED)
    with pytest.raises(InputError, match="disk"):
        fit_disk(np.random.default_rng(0).poisson(100.0, (N, N)).astype(float), USED)
    corner = np.fft.fftshift(pattern(centre=(32.0, 32.0), radius=10.0))
    with pytest.raises(InputError, match=r"zero angle|edge"):
        fit_disk(corner, USED)
