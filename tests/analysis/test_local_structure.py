"""Local structure of images whose truth is known: lattice, strain, motifs, columns, and noise alone."""

from __future__ import annotations

import math
from collections import namedtuple

import numpy as np
import pytest
import xarray as xr

from ptychodask import InputError
from ptychodask.analysis.average import cell_mean
from ptychodask.analysis.cell import find_lattice
from ptychodask.analysis.columns import Column, fit_columns
from ptychodask.analysis.local import local_structure
from ptychodask.analysis.motifs import score_sites, sites_in
from ptychodask.analysis.noise import Conditions, read_off
from ptychodask.analysis.sites import Structure, motifs_of, place_structure, sites_of_mean
from ptychodask.analysis.stepwise import differences, stands_out
from ptychodask.analysis.strain import strain_map

STEP, SIDE = 0.5, 180
AXIS = np.arange(SIDE) * STEP
Y, X = np.meshgrid(AXIS, AXIS, indexing="ij")
LEVEL = 0.05
"""Rad: of white noise."""
WHITE = Conditions(None, np.array([0.0, 2.0]), np.full(2, LEVEL**2))
CELL = np.array([10.0, 12.0, 8.0])
"""x, y, z; a heavy column at the corner, a light one in the middle."""
STRUCTURE = Structure(np.array([40, 40, 20]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 4.5], [5.0, 6.0, 2.0]]), CELL)
Passed = namedtuple("Passed", "whole noise side pixel")
"""In place of a transfer."""
PLACES = np.stack([[0.0, 0.0], [89.5, 89.5]])


def image(values):
    return xr.DataArray(values, {"y": AXIS, "x": AXIS}, ("y", "x"))


def noise(seed):
    return LEVEL * np.random.default_rng(seed).standard_normal((SIDE, SIDE))


def spot(y, x, height, width=0.9):
    return height * np.exp(-((Y - y) ** 2 + (X - x) ** 2) / (2 * width**2))


def crystal(missing=(), added=(), origin=(3.0, 2.0), stretch=0.0, heavy=1.0):
    """Columns of STRUCTURE; ``missing`` numbers of heavy sites (row, column), ``stretch`` along x beyond the middle."""
    total = np.zeros((SIDE, SIDE))
    for i in range(-1, 9):
        for j in range(-1, 11):
            x = origin[1] + 10 * j
            moved = x + stretch * max(x - 45, 0)
            if (i, j) not in missing:
                total += spot(origin[0] + 12 * i, moved, heavy)
            half = x + 5
            total += spot(origin[0] + 12 * i + 6, half + stretch * max(half - 45, 0), 0.35)
    for y, x in added:
        total += spot(y, x, 1.0)
    return total


@pytest.fixture(scope="module")
def perfect():
    return crystal()


def test_the_lattice_has_its_constants_within_their_errors(perfect):
    found = [find_lattice(image(perfect + 8 * noise(seed))) for seed in range(6)]
    for name, true in (("a", 10.0), ("b", 12.0), ("gamma", 90.0)):
        values = np.array([f.constants[name][0] for f in found])
        sigma = np.mean([f.constants[name][1] for f in found])
        assert abs(values.mean() - true) < 3 * sigma / math.sqrt(6) + 0.02 * sigma
        assert 0.4 * sigma < values.std() < 2 * sigma
    assert np.mean([f.misfit for f in found]) == pytest.approx(1, abs=0.35)


def test_an_oblique_lattice_is_reduced_and_turned_right():
    basis = np.array([[2.0, 15.0], [-11.0, 4.0]])
    rows = np.linalg.inv(basis).T
    waves = sum(
        height * np.cos(2 * np.pi * ((h * rows[0] + k * rows[1]) @ np.stack([Y.ravel(), X.ravel()])))
        for h, k, height in ((1, 0, 1), (0, 1, 0.8), (1, 1, 0.5), (2, 1, 0.4), (1, 2, 0.3))
    ).reshape(Y.shape)
    its = find_lattice(image(waves + noise(0)))
    assert np.abs(its.basis @ np.linalg.inv(basis) - np.rint(its.basis @ np.linalg.inv(basis))).max() < 0.01
    assert abs(np.linalg.det(its.basis)) == pytest.approx(abs(np.linalg.det(basis)), rel=0.005)
    assert its.basis[0] @ its.basis[1] < 0 and np.linalg.norm(its.basis[0]) < np.linalg.norm(its.basis[1])


def test_where_strong_peaks_are_all_even_their_differences_span_the_lattice():
    waves = sum(np.cos(2 * np.pi * n * axis / 24) for n in (2, 3, 4) for axis in (X, Y))
    waves = waves + 0.7 * np.cos(2 * np.pi * (2 * X + 3 * Y) / 24) + 0.7 * np.cos(2 * np.pi * (3 * X - 2 * Y) / 24)
    its = find_lattice(image(waves + noise(1)))
    assert abs(np.linalg.det(its.basis)) == pytest.approx(576, rel=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_noise_has_no_lattice(seed):
    with pytest.raises(InputError, match="no lattice found"):
        find_lattice(image(noise(seed)))


def test_a_field_of_two_cells_has_no_mean():
    whole = image(crystal() + noise(0))
    part, lattice = whole.isel(y=slice(44), x=slice(44)), find_lattice(whole)
    with pytest.raises(InputError, match="at least 3"):
        cell_mean(part, lattice)


def test_the_mean_of_the_cells_has_the_truth_within_its_errors(perfect):
    seen = image(perfect + noise(2))
    mean = cell_mean(seen, find_lattice(seen))
    inner = (slice(30, -30), slice(30, -30))
    away = (mean.on(seen).values - perfect)[inner]
    expected = LEVEL / np.sqrt(mean.count.mean())
    assert mean.error.mean() == pytest.approx(expected, rel=0.25)  # splines smooth white noise a little
    assert away.std() < 1.5 * expected


def test_strain_and_its_error():
    seen = [image(crystal(stretch=0.02) + noise(seed)) for seed in range(4)]
    lattice = find_lattice(seen[0])
    maps = [strain_map(s, lattice, WHITE, resolution=6.0) for s in seen]
    strain = np.stack([m.strain.values for m in maps])
    xx = strain[:, 0].mean(axis=0)
    left, right = np.nanmean(xx[40:-40, 15:60]), np.nanmean(xx[40:-40, 120:165])
    assert right - left == pytest.approx(0.02, abs=0.002)
    assert abs(np.nanmean(strain[:, 1:])) < 1e-3
    said, scatter = np.nanmean(maps[0].error), np.nanmean(strain.std(axis=0, ddof=1))
    assert scatter == pytest.approx(said, rel=0.35)
    assert np.isnan(maps[0].strain.values[:, :10]).all()


def test_rotation_is_from_x_towards_y():
    angle = 0.02
    turned = math.cos(angle) * X + math.sin(angle) * Y, math.cos(angle) * Y - math.sin(angle) * X
    its = [sum(np.cos(2 * np.pi * axis / 9) for axis in axes) for axes in ((X, Y), turned)]
    lattice = find_lattice(image(its[0] + np.cos(2 * np.pi * (X + Y) / 9) + np.cos(2 * np.pi * (X - Y) / 9) + noise(0)))
    found = strain_map(image(its[1] + noise(1)), lattice, WHITE)
    assert float(np.nanmean(found.strain.sel(component="rotation"))) == pytest.approx(angle, abs=2e-3)


def test_motifs_of_a_structure():
    its = motifs_of(STRUCTURE)
    assert {"Ca", "Zr2"} <= {m.kind for m in its} and all(m.kind in ("Ca", "Zr2") or not len(m.atoms) for m in its)
    zr = next(m for m in its if m.kind == "Zr2")
    assert zr.place == pytest.approx([0, 0], abs=1e-6) and zr.guest and len(zr.atoms) == 2


MISSING = ((3, 4), (5, 2))


@pytest.mark.parametrize("with_structure", [True, False])
def test_missing_and_added_motifs_stand_out_and_nothing_else(with_structure):
    values = crystal(missing=MISSING)
    # what light columns have become: one is twice as strong
    values += spot(3 + 12 * 2 + 6, 2 + 10 * 6 + 5, 0.35)
    structure = STRUCTURE if with_structure else None
    found = local_structure(image(values + noise(3)), PLACES, structure=structure)
    told = found.sel(site=found.site_stands_out)
    places = np.column_stack([told.site_y, told.site_x])
    for i, j in MISSING:
        away = np.hypot(*(places - [3 + 12 * i, 2 + 10 * j]).T)
        assert away.min() < 0.5
        assert float(told.site_change[int(away.argmin())]) == pytest.approx(-1, abs=0.25)
    away = np.hypot(*(places - [33.0, 67.0]).T)
    assert away.min() < 0.5 and float(told.site_change[int(away.argmin())]) > 0.5
    assert len(places) <= 5
    assert found.attrs["a"] == pytest.approx(10, abs=0.02) and "strain" in found and found.attrs["notes"] == []


def test_without_a_structure_a_peak_is_compared_with_its_translates_alone():
    """Peaks that overlap, nearly as high, seen through noise that is not white: no place of the cell is too low."""
    spots = ((0, 0, 1.0), (2.8, 0, 0.95), (-2.8, 0, 0.95), (0, 2.8, 0.95), (0, -2.8, 0.95))
    values = sum(
        spot(3 + 12 * i + y, 2 + 10 * j + x, h) for i in range(-1, 9) for j in range(-1, 11) for y, x, h in spots
    )
    k = np.hypot(np.fft.fftfreq(SIDE, STEP)[:, None], np.fft.rfftfreq(SIDE, STEP)[None])
    power = (LEVEL * np.maximum(k, 0.03) / 0.3) ** 2
    coloured = np.fft.irfft2(np.fft.rfft2(noise(40) / LEVEL) * np.sqrt(power), (SIDE, SIDE))
    mean = cell_mean(image(values + coloured), find_lattice(image(values + coloured)))
    placed = sites_of_mean(mean)
    known = Conditions(Passed(np.ones(power.shape), power, SIDE, (STEP, STEP)), np.zeros(1), np.zeros(1))
    for gone in (None, (39.0, 42.0)):
        seen = image(values + coloured - (0 if gone is None else spot(*gone, 1.0)))
        found = score_sites(seen, mean, sites_in(placed, seen), placed, known)
        told = found.sel(site=found.site_stands_out)
        if gone is None:
            assert told.sizes["site"] == 0
        else:
            least = told.isel(site=int(told.site_p.argmin()))
            assert np.hypot(least.site_y - gone[0], least.site_x - gone[1]) < 0.5
            assert float(least.site_change) == pytest.approx(-1, abs=0.25)


def test_the_lattice_has_its_errors_after_a_filter_that_passes_its_peaks():
    """Noise between the peaks says nothing of that at them, which the filter leaves."""
    side = 120  # of which both cells are a whole share
    fy, fx = np.fft.fftfreq(side, STEP)[:, None], np.fft.rfftfreq(side, STEP)[None]
    near = np.hypot(
        np.minimum(abs(fy * 12 % 1), 1 - abs(fy * 12 % 1)) / 12, np.minimum(fx * 10 % 1, 1 - fx * 10 % 1) / 10
    )
    gain = 0.1 + 0.9 * np.exp(-((near * side * STEP / 1.2) ** 2))
    kept = Conditions(Passed(gain, np.full(gain.shape, 9 * LEVEL**2), side, (STEP, STEP)), np.zeros(1), np.zeros(1))
    filtered = kept.gain((SIDE, SIDE), (STEP, STEP))
    pulls, misfits = [], []
    for seed in range(12):
        seen = image(np.fft.irfft2(np.fft.rfft2(crystal() + 3 * noise(seed)) * filtered, (SIDE, SIDE)))
        its, between = find_lattice(seen, kept), find_lattice(seen)
        misfits.append((its.misfit, between.misfit))
        for name, true in (("a", 10.0), ("b", 12.0), ("gamma", 90.0)):
            pulls.append((its.constants[name][0] - true) / its.constants[name][1])
    assert 0.7 < np.sqrt(np.mean(np.square(pulls))) < 1.4
    told, read = np.mean(misfits, axis=0)
    assert told == pytest.approx(1, abs=0.3) and read > 1.5 * told


def scores(values):
    """Of sites alone."""
    seen = image(values)
    placed, mean = place_structure(STRUCTURE, seen, find_lattice(seen))
    left = seen.copy(data=values - mean.on(seen).values)
    return score_sites(seen, mean, sites_in(placed, seen), placed, read_off(left, float(mean.count.mean())))


def test_false_alarms_are_as_rare_as_said(perfect):
    """Of crystals without a defect: one site of a hundred has p below 0.01, and few images have one that stands out."""
    p, alarms = [], 0
    for seed in range(6):
        found = scores(perfect + noise(10 + seed))
        p.append(found.site_p.values)
        alarms += int(found.site_stands_out.any())
    p = np.concatenate(p)
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.03) and np.mean(p < 0.01) < 0.025
    assert alarms <= 2


def test_where_most_lack_a_motif_it_is_still_the_structure_that_says_what_is_right():
    drawn = np.random.default_rng(1).random((10, 12)) < 0.65
    gone = [(i, j) for i in range(-1, 9) for j in range(-1, 11) if drawn[i + 1, j + 1]]
    found = scores(crystal(missing=gone) + noise(4))
    heavy = found.sel(site=found.site_kind == "Zr2")
    row = np.rint((heavy.site_y.values - 3) / 12).astype(int)
    column = np.rint((heavy.site_x.values - 2) / 10).astype(int)
    lacks = drawn[row + 1, column + 1]
    assert np.median(heavy.site_change.values[lacks]) == pytest.approx(-1, abs=0.2)
    assert abs(np.median(heavy.site_change.values[~lacks])) < 0.2


def test_a_structure_of_another_crystal_is_refused():
    other = Structure(STRUCTURE.numbers, STRUCTURE.positions, np.array([13.0, 12.0, 8.0]))
    with pytest.raises(InputError, match="does not fit the lattice"):
        local_structure(image(crystal() + noise(5)), PLACES, structure=other)


def test_columns_have_their_places_within_their_errors():
    expected = [Column("heavy", np.array([3.0 + 12 * i, 2.0 + 10 * j])) for i in range(1, 7) for j in range(1, 8)]
    moved = np.random.default_rng(6).normal(0, 0.1, (len(expected), 2))
    values = sum(spot(*(c.place + m), 1.0) for c, m in zip(expected, moved, strict=True))
    louder = Conditions(None, np.array([0.0, 2.0]), np.full(2, 4 * LEVEL**2))
    found = [fit_columns(image(values + 2 * noise(seed)), expected, 0.9, louder) for seed in range(4)]
    away = np.stack([np.column_stack([f.column_moved_y, f.column_moved_x]) - moved for f in found])
    said = float(np.mean([f.column_sigma_y.mean() for f in found]))
    assert away.std() == pytest.approx(said, rel=0.2) and said < 0.1
    heights = np.stack([f.column_height.values for f in found])
    assert heights.mean() == pytest.approx(1, abs=0.02)
    assert heights.std() == pytest.approx(float(found[0].column_sigma_height.mean()), rel=0.25)


def test_a_column_that_is_not_there_has_no_place():
    expected = [Column("none", np.array([40.0, 40.0])), Column("heavy", np.array([60.0, 40.0]))]
    found = fit_columns(image(spot(60, 40, 1.0) + noise(7)), expected, 0.9, WHITE)
    assert np.isnan(found.column_y.values[0]) and np.isfinite(found.column_y.values[1])


def test_overlapping_templates_are_told_apart_without_the_price_of_all():
    scatter, changes, alarms = [], [], 0
    true = np.zeros(60)
    true[[7, 30]] = -3.0, 3.0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        design = rng.standard_normal((400, 60)) + 0.8 * np.repeat(rng.standard_normal((400, 30)), 2, axis=1)
        raw = design.T @ (design @ true + 10 * rng.standard_normal(400)) / 100
        told = differences(raw, design.T @ design / 100, np.arange(60) % 2)
        out = stands_out(told.p)
        assert out[7] and out[30]
        alarms += int(out.sum()) - 2
        scatter.append(told.scatter)
        changes.append(told.change[[7, 30]])
    assert alarms <= 4 and np.mean(scatter) == pytest.approx(1, abs=0.12)
    assert np.mean(changes, axis=0) == pytest.approx([-3, 3], abs=0.3)


def test_images_that_cannot_be_looked_at_are_refused():
    bad = crystal()
    bad[3, 3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        local_structure(image(bad), PLACES)
    with pytest.raises(InputError, match="at least 16"):
        find_lattice(image(crystal()).isel(y=slice(10)))
