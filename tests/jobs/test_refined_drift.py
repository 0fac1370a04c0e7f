"""A drift of the rows that the dataset does not know is found with the image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tiny_scan import BLUR, OPTICS, Recorder, bits, expected_counts, write_scan

import ptychodask
from ptychodask import InputError
from ptychodask.jobs.taken_back import take_back
from ptychodask.model.row_drift import waves

ROWS, COLUMNS = 20, 10
JOB = {**BLUR, "geometry": {"refine": ["drift"]}, "solver": {"iterations": 5}, "engine": {"checkpoint_every": 6}}


def bent(rows):
    """Less what is constant or straight."""
    straight = np.stack([np.ones(len(rows)), np.arange(len(rows))], axis=1)
    return rows - straight @ np.linalg.lstsq(straight, rows, rcond=None)[0]


@pytest.fixture(scope="module")
def planted():
    """Drift of the rows [Y, 2], 0.5 angstrom (RMS)."""
    amplitudes = np.array([[0.4, -0.2], [0.1, 0.1], [0.0, 0.1]])
    return waves(np.arange(ROWS) / (ROWS - 1)) @ amplitudes


@pytest.fixture(scope="module")
def scan(tmp_path_factory, planted):
    rng = np.random.default_rng(3)
    peaks = [(*place, 0.7) for place in rng.uniform((-2, -2), (ROWS + 2, COLUMNS + 2), (45, 2))]
    expected, positions = expected_counts((ROWS, COLUMNS), 1.0, 4000.0, peaks)
    return ptychodask.create_dataset(
        tmp_path_factory.mktemp("scan") / "scan.zarr", rng.poisson(expected).astype(np.uint16), scan_step_angstrom=1.0,
        positions_angstrom=positions - planted[:, None], chunks=(10, 10), **OPTICS,
    )  # fmt: skip


@pytest.fixture(scope="module")
def out(scan, tmp_path_factory):
    path = tmp_path_factory.mktemp("out") / "r.zarr"
    ptychodask.reconstruct(scan, JOB, output=path, progress=False)
    return path


def left(result):
    """Drift of the result's positions less that of the true ones: a raster has none."""
    return math.sqrt((bent(result.positions.values.mean(axis=1)) ** 2).sum(axis=1).mean())


def test_it_is_found_and_said(out, planted):
    result = ptychodask.open_result(out)
    size = math.sqrt((planted**2).sum(axis=1).mean())
    assert left(result) < 0.4 * size
    (name, found), *others = result.geometry.items()
    assert name == "drift_angstrom" and not others and "refined with the image" in found["how"]
    assert found["value"] == pytest.approx(size, abs=0.2) and 0.01 < found["sigma"] < 0.2


def test_written_back_it_gives_the_same_image_without_refinement(scan, out):
    result = ptychodask.open_result(out)
    take_back(scan, out, write=True)
    again = ptychodask.reconstruct(scan, {**JOB, "geometry": {"refine": "none"}}, progress=False)
    np.testing.assert_allclose(again.positions.values, result.positions.values, atol=1e-3)
    assert np.abs(again.phase.values - result.phase.values).max() < 2e-3 * np.abs(result.phase.values).max()


@pytest.mark.distributed
def test_the_same_bits_interrupted_resumed_and_on_processes(tmp_path, planted):
    scan, target = write_scan(tmp_path / "s.zarr", (16, 8), electrons=900.0), tmp_path / "r.zarr"
    whole = ptychodask.reconstruct(scan, JOB, progress=False)
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, JOB, output=target, progress=Recorder(9))
    resumed = ptychodask.resume(target, progress=False)
    two = ptychodask.reconstruct(scan, {**JOB, "engine": {"workers": 2, "threads": 1}}, progress=False)
    assert bits(whole) == bits(resumed) == bits(two)
    assert whole.geometry == resumed.geometry == two.geometry


def test_too_few_rows_and_tiles_are_refused(tmp_path):
    with pytest.raises(InputError, match="drift of a scan of 12 x 6 positions: 16 rows of 2 are needed"):
        ptychodask.reconstruct(write_scan(tmp_path / "few.zarr", (12, 6)), JOB, progress=False)
    wide = write_scan(tmp_path / "wide.zarr", (132, 3), chunks=(12, 3))
    with pytest.raises(InputError, match="drift of an object in tiles: the geometry is found by 128 rows of the 132"):
        ptychodask.reconstruct(wide, {**JOB, "engine": {"tile_pixels": 40}}, progress=False)
