"""Virtual detectors, grids of scans, and the phase of a planted slope."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ptychodask._errors import InputError
from ptychodask.analysis.grid import grid_of, on_grid
from ptychodask.analysis.virtual import annulus, detectors, integrated
from ptychodask.model.optics import Microscope
from ptychodask.model.scan import Detector, raster

LAM = Microscope(300e3, 10.0).wavelength


def turned(shape, step, angle):
    c, s = math.cos(angle), math.sin(angle)
    return raster(shape, step) @ np.array([[c, -s], [s, c]]).T + np.array([3.0, -2.0])


def test_a_raster_keeps_its_pixels():
    grid = grid_of(raster((5, 7), (1.5, 1.25)) + 2.0, (1.5, 1.25))
    assert grid.raster and grid.upright and grid.off < 1e-9
    np.testing.assert_allclose(grid.axis(0), 2 + 1.5 * np.arange(5))
    np.testing.assert_allclose(grid.axis(1, 2), 2 + 0.625 * np.arange(13))
    values = np.random.default_rng(0).random((35, 2))
    np.testing.assert_array_equal(on_grid(grid, values)[1], values[:, 1].reshape(5, 7))


def test_a_turned_raster_is_one_and_jitter_is_told():
    positions = turned((6, 8), (1.0, 1.2), 0.5)
    grid = grid_of(positions, (1.0, 1.2))
    assert grid.raster and not grid.upright
    np.testing.assert_allclose(grid.steps, (1.0, 1.2), atol=1e-6)
    jitter = np.random.default_rng(0).normal(0, 0.05, positions.shape)
    assert grid_of(positions + jitter, (1.0, 1.2)).off == pytest.approx(0.05 * math.sqrt(2), rel=0.2)


def spiral(n):
    angle = 2.4 * np.arange(n)
    return (np.sqrt(np.arange(n))[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1))[None]


def test_free_positions_are_interpolated_inside_their_hull():
    positions = spiral(300)
    grid = grid_of(positions, (1.0, 1.0))
    assert not grid.raster
    values = 2.0 + positions[0] @ np.array([0.3, -0.7])
    image = on_grid(grid, values[:, None])[0]
    y, x = grid.axis(0)[:, None], grid.axis(1)[None, :]
    known = np.isfinite(image)
    assert 0.6 < known.mean() < 0.95 and not known[0, 0]
    np.testing.assert_allclose(image[known], (2 + 0.3 * y - 0.7 * x + 0 * image)[known], atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1)])
def test_a_line_is_no_image(shape):
    with pytest.raises(InputError, match="a line and no image"):
        grid_of(raster(shape, (1.0, 1.0)), (1.0, 1.0))


def test_annuli_are_whole_pixels_and_meet():
    detector = Detector(32, 1.0)
    inner, outer = annulus(detector, "a", 0, 7.5), annulus(detector, "b", 7.5, 12)
    np.testing.assert_array_equal(inner.weights + outer.weights, annulus(detector, "c", 0, 12).weights)
    assert inner.weights.sum() == pytest.approx(math.pi * 7.5**2, rel=0.03)
    assert inner.weights[0, 0] == 1 and inner.weights[0, 16] == 0


@pytest.mark.parametrize(
    ("annuli", "masks", "told"),
    [
        ([(9, 4)], {}, "inner one below"),
        ([(-1, 4)], {}, "at least 0"),
        ([(60, 90)], {}, r"corners are at 22\.63 mrad"),
        ([(3, 3.001)], {}, "none of the pixels"),
        ([4], {}, "two numbers"),
        ([(2, 8), (2, 8)], {}, "two images called annulus_2_8"),
        ([], {"icom": np.ones((32, 32))}, "two images called icom"),
        ([], {"a b": np.ones((32, 32))}, "letters, digits"),
        ([], {"a": np.ones((32, 31))}, r"shape \(32, 31\), expected \(32, 32\)"),
        ([], {"a": np.full((32, 32), np.nan)}, "1024 numbers that are not finite"),
        ([], {"a": np.zeros((32, 32))}, "a mask.*none of the pixels"),
    ],
)
def test_detectors_that_cannot_be(annuli, masks, told):
    if annuli == [(3, 3.001)]:
        annuli = [(3.01, 3.02)]
    with pytest.raises(InputError, match=told):
        detectors(Microscope(300e3, 10.0), Detector(32, 1.0), annuli, masks, np.ones((32, 32), bool))


def planted(grid, peaks):
    """A phase, and its slope as angles in mrad along the detector's axes."""
    y, x = np.tensordot(grid.matrix, np.indices(grid.shape), 1)
    phase, slope = np.zeros(grid.shape), np.zeros((2, *grid.shape))
    for cy, cx in peaks:
        peak = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 2.0**2))
        phase += peak
        slope += np.stack([-(y - cy), -(x - cx)]) / 4 * peak
    return phase - phase.mean(), slope * LAM / (2e-3 * np.pi)


@pytest.mark.parametrize("angle", [0.0, 0.6])
def test_the_slope_of_a_phase_is_integrated(angle):
    grid = grid_of(turned((30, 36), (1.0, 0.8), angle) - np.array([3.0, -2.0]), (1.0, 0.8))
    centre = grid.matrix @ np.array([15.0, 18.0])
    phase, com = planted(grid, [centre, centre + 4])
    found = integrated(com, LAM, grid)
    np.testing.assert_allclose(found, phase, atol=0.01)
    np.testing.assert_allclose(integrated(com + np.array([3.0, -1.0])[:, None, None], LAM, grid), found, atol=1e-9)


def test_a_peak_at_the_edge_leaves_nothing_at_the_other_one():
    grid = grid_of(raster((32, 32), (1.0, 1.0)), (1.0, 1.0))
    phase, com = planted(grid, [(1.0, 16.0)])
    com[:, 5, 5] = np.nan  # a pattern without electrons
    found = integrated(com, LAM, grid)
    height = np.ptp(phase)
    # a plane was taken away with the mean slope: the phases differ by one
    y, x = np.indices(grid.shape)
    plane = np.column_stack([y.ravel(), x.ravel(), np.ones(y.size)])
    rest = (found - phase).ravel()
    rest = rest - plane @ np.linalg.lstsq(plane, rest, rcond=None)[0]
    assert np.abs(rest).max() < 0.1 * height
