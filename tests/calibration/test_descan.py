"""A disk that is off centre and moves with the scan: found, written, followed when patterns are read."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import scans

import ptychodask
from ptychodask import InputError
from ptychodask.calibration.descan import fit_plane, moments
from ptychodask.counts.events import to_events
from ptychodask.io.centre import Centre
from ptychodask.io.dataset import dataset_info
from ptychodask.io.opened import asked_for
from ptychodask.io.selected import mask_of, ramped_off, select
from ptychodask.io.source import source_of
from ptychodask.model.blocks import make_blocks
from ptychodask.model.selection import Selection

OFF = np.array([1.0, -2.0])
ACROSS = np.array([[2.0, -1.0], [0.0, 3.0]])
"""Of (y, x) from the first to the last row and column."""
Y, X = scans.SCAN


def centres():
    t, u = np.linspace(-0.5, 0.5, Y)[:, None, None], np.linspace(-0.5, 0.5, X)[None, :, None]
    return OFF + ACROSS[:, 0] * t + ACROSS[:, 1] * u


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """Patterns that were moved by the whole pixels next to a plane."""
    patterns = scans.counts()
    for y, row in enumerate(np.rint(centres()).astype(int)):
        for x, by in enumerate(row):
            patterns[y, x] = np.roll(patterns[y, x], tuple(by), (0, 1))
    return scans.write(tmp_path_factory.mktemp("data") / "scan.zarr", patterns)


@pytest.fixture(scope="module")
def written(moving, tmp_path_factory):
    data = tmp_path_factory.mktemp("written") / "scan.zarr"
    shutil.copytree(moving, data)
    return data, ptychodask.calibrate(data, write=True, transpose=False, progress=False)


def test_the_plane_is_found(written):
    data, made = written
    for axis, off in zip("yx", OFF, strict=True):
        assert made[f"centre_{axis}_pixels"] == pytest.approx(16 + off, abs=0.1)
    np.testing.assert_allclose(made.centring.across, ACROSS, atol=0.2)
    (note,) = [note for note in made.notes if "descan" in note]
    assert "fraction of every pattern in its model" in note and "\n" not in note
    assert made["rotation_degrees"] == pytest.approx(25, abs=1.5)
    assert made["semi_angle_pixels"] == pytest.approx(scans.RADIUS, abs=0.15)
    stored = json.loads((data / "zarr.json").read_text())["attributes"]["disk_centre"]
    np.testing.assert_allclose(stored, made.centring.plane)


def test_what_is_read_is_in_the_centre(written, moving):
    data, made = written
    info, before = dataset_info(data), dataset_info(moving)
    pattern = np.zeros((scans.N, scans.N))
    for block in make_blocks(info.scan_shape, info.shard):
        dense = source_of(info).dense(block)
        pattern += dense.sum(axis=0)
        assert dense.sum() == source_of(before).dense(block).sum()  # no electron is lost
    y, x = np.indices(pattern.shape)
    k = np.fft.fftfreq(scans.N) * scans.N
    assert abs((pattern * k[y]).sum() / pattern.sum()) < 0.1 > abs((pattern * k[x]).sum() / pattern.sum())
    used = mask_of(info)
    assert 0.7 < used.mean() < 1  # the rim that came round is left out
    again = ptychodask.calibrate(data, transpose=False, progress=False)
    assert again["centre_y_pixels"] == pytest.approx(made["centre_y_pixels"], abs=0.02)
    assert again.values["centre_x_pixels"].said == pytest.approx(made["centre_x_pixels"], abs=1e-6)


def test_a_selection_is_moved_as_the_whole(written):
    data, _ = written
    whole = source_of(dataset_info(data)).dense(make_blocks((Y, X), (Y, X))[0]).reshape(Y, X, scans.N, scans.N)
    part = ptychodask.open_dataset(data).isel(scan_y=slice(20, 3, -1), scan_x=slice(1, 9))
    with asked_for(part, str(data)) as info:
        (block,) = make_blocks(info.scan_shape, (17, 8))
        found = source_of(info).dense(block).reshape(17, 8, scans.N, scans.N)
        np.testing.assert_array_equal(found, whole[20:3:-1, 1:9])
        np.testing.assert_array_equal(mask_of(info), mask_of(dataset_info(data)))


def test_moves_follow_a_plane():
    numbers = ((16.2, 0.013, -0.008), (15.1, 0.002, 0.011))
    rows = columns = np.arange(64)
    nearest = Centre(numbers, 32)
    assert not nearest.is_still and np.abs(nearest.left(rows, columns)).max() <= 0.5
    left = Centre(numbers, 32, by_turns=True).left(rows, columns)
    assert np.abs(left).max() < 1
    assert np.abs(left.reshape(8, 8, 8, 8, 2).mean(axis=(1, 3))).max() < 0.15  # on the average everywhere
    still = Centre(((16.4, 0.0, 0.0), (14.7, 0.0, 0.0)), 32)
    assert still.is_still and (still.moves(rows, columns) == (0, 1)).all()
    np.testing.assert_allclose(still.left(rows, columns), np.broadcast_to((0.4, -0.3), (64, 64, 2)))


def test_a_reconstruction_has_the_fraction_of_every_pattern(written):
    """It is what the plane says, of a selection too; a disk that does not move is the probe's."""
    info = dataset_info(written[0])
    off = ramped_off(info).reshape(Y, X, 2)
    assert np.abs(off).max() <= 0.5 and np.ptp(off) > 0.8
    part = replace(info, attributes={**info.attributes, "disk_centre": [[17.3, 0, 0], [16, 0, 0]]})
    assert ramped_off(part) is None  # which the probe takes
    chosen = select(info, Selection((20, 19), (1, 4, 2)))
    np.testing.assert_array_equal(ramped_off(chosen).reshape(2, 3, 2), off[[20, 19]][:, [1, 4, 2]])


def test_moments_and_their_plane():
    counts = scans.counts()[:8, :8].reshape(-1, scans.N, scans.N)
    corner = np.fft.ifftshift(counts, axes=(1, 2))
    inside = np.ones((scans.N, scans.N), bool)
    dense, sparse = moments(corner, inside), moments(to_events(corner), inside)
    np.testing.assert_allclose(dense, sparse)
    y = np.arange(scans.N) - scans.N // 2
    np.testing.assert_allclose(dense[:, 1], (counts * y[:, None]).sum((1, 2)))
    rows, columns = (axis.ravel() for axis in np.mgrid[:9, :9])
    exact = np.stack([np.ones(81), 1 + 0.1 * rows, -2 + 0.2 * columns], axis=1) * 50
    plane = fit_plane(rows, columns, exact, 32)
    np.testing.assert_allclose(plane.values, [[17, 0.1, 0], [14, 0, 0.2]], atol=1e-12)
    assert plane.moves((9, 9)) and not plane.moves((4, 9))


def test_a_probe_starts_where_the_disk_is(tmp_path):
    """A fraction of a pixel that all patterns are off: the first probe's disk is off by it."""
    from ptychodask.io.geometry import write_geometry
    from ptychodask.jobs.build import _off_centre

    data = scans.write(tmp_path / "scan.zarr", scans.counts())
    write_geometry(data, np.eye(2, 3), {"C10": -600.0}, {}, centre=np.array([[17.3, 0, 0], [16, 0, 0]]))
    factor = _off_centre(dataset_info(data), scans.N)
    slope = np.angle(factor[1:, 0] / factor[:-1, 0])
    np.testing.assert_allclose(slope, 2 * np.pi * 0.3 / scans.N)


def test_a_centre_of_mass_is_that_of_patterns_without_descan(tmp_path):
    from ptychodask.io.geometry import write_geometry

    data = scans.write(tmp_path / "scan.zarr", scans.counts())
    before, step = ptychodask.view(data, progress=False), dataset_info(data).detector.angular_step_mrad
    plane = np.array([[17.3, 0.01, 0], [16, 0, -0.02]])
    write_geometry(data, np.eye(2, 3), {"C10": -600.0}, {}, centre=plane)
    after = ptychodask.view(data, progress=False)
    rows, columns = np.arange(Y), np.arange(X)
    moved = Centre(tuple(map(tuple, plane)), scans.N).at(rows, columns) - 16
    for axis, name in enumerate(("com_y", "com_x")):  # every pattern by its own place, and not by whole pixels
        found = (before[name] - after[name]).values / step
        np.testing.assert_allclose(found, moved[..., axis], atol=0.15)
        assert np.abs(found - moved[..., axis]).mean() < 0.03


@pytest.mark.parametrize("wrong", [[[1, 2], [3, 4]], [[1e9, 0, 0], [0, 0, 0]], "middle"])
def test_a_stored_centre_is_read_with_care(moving, tmp_path, wrong):
    data = tmp_path / "scan.zarr"
    shutil.copytree(moving, data)
    document = json.loads((data / "zarr.json").read_text())
    document["attributes"]["disk_centre"] = wrong
    (data / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="disk_centre"):
        dataset_info(data)
