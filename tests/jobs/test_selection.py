"""A run of what is selected of a dataset is the run of a dataset that holds nothing else; repaired counts are read."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
import zarr
from tiny_scan import BLUR, OPTICS, Recorder, bits, write_scan

import ptychodask
from ptychodask import InputError
from ptychodask.io.checkpoint import RunFolder
from ptychodask.jobs.figures import report_data

JOB = {**BLUR, "solver": {"iterations": 3, "finish": 1}, "engine": {"block": [3, 3]}}


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", (10, 8), electrons=300.0)


def part_of(scan):
    """Every second row, some columns, half of the detector's rim, and corrected positions."""
    data = ptychodask.open_dataset(scan).isel(scan_y=slice(1, None, 2), scan_x=[0, 1, 2, 5, 6])
    data["mask"][:3] = 0
    data["positions"] = data.positions * 1.05
    return data


@pytest.fixture(scope="module")
def expected(scan, tmp_path_factory):
    """The bits of the part as a dataset of its own."""
    part = part_of(scan)
    path = ptychodask.create_dataset(
        tmp_path_factory.mktemp("part") / "part.zarr", part.counts.data, scan_step_angstrom=2.0,
        positions_angstrom=part.positions.values, mask=part.mask.values, **OPTICS,
    )  # fmt: skip
    return bits(ptychodask.reconstruct(path, JOB))


def test_a_selection_is_the_dataset_that_holds_nothing_else(scan, expected):
    part = part_of(scan)
    result = ptychodask.reconstruct(part, JOB)
    assert bits(result) == expected
    np.testing.assert_allclose(result.positions.values, part.positions.values, atol=1e-9)
    assert result.positions.shape == (5, 5, 2)
    recorded = json.loads(result.attributes["selection"])
    assert recorded["rows"] == {"start": 1, "stop": 10, "step": 2} and recorded["columns"] == [0, 1, 2, 5, 6]
    assert set(recorded) == {"rows", "columns", "mask", "positions"}
    # steps of 2 and of 1 in the median, 5 % wider
    dose = result.attributes["electrons_per_pattern"] / (2 * 1.05 * 1.05)
    assert result.attributes["dose_per_square_angstrom"] == pytest.approx(dose)
    assert ptychodask.report(result)["iterations"] > 0


def test_a_resumed_run_uses_the_same_selection(scan, expected, tmp_path):
    target = tmp_path / "r.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(part_of(scan), JOB, output=target, progress=Recorder(2))
    moved = RunFolder.of(target).path.rename(tmp_path / "elsewhere.zarr.run")
    result = ptychodask.resume(tmp_path / "elsewhere.zarr")
    assert bits(result) == expected and not moved.exists()
    assert json.loads(result.attributes["selection"])["columns"] == [0, 1, 2, 5, 6]


def test_counts_outside_of_the_selection_do_not_matter(scan, tmp_path):
    """By default blocks are pieces of shards, and of those no other position is used."""
    data = ptychodask.open_dataset(scan)
    other = data.counts.values.copy()
    other[:4] = other[::-1][:4]
    path = ptychodask.create_dataset(
        tmp_path / "other.zarr", other, scan_step_angstrom=1.0, positions_angstrom=data.positions.values,
        chunks=(4, 4), **OPTICS,
    )  # fmt: skip
    one, two = (
        ptychodask.reconstruct(ptychodask.open_dataset(p).sel(scan_y=slice(4, 8)), {"solver": JOB["solver"]})
        for p in (scan, path)
    )
    assert bits(one) == bits(two)


def repair(path):
    """The usual Zarr way."""
    counts = zarr.open_group(str(path), mode="r+")["counts"]
    counts[2:5, 3] = counts[2:5, 4]


@pytest.fixture
def dataset(tmp_path):
    return write_scan(tmp_path / "scan.zarr", (6, 6), electrons=300.0)


def test_repaired_counts_are_read_again(dataset):
    before = bits(ptychodask.reconstruct(dataset, JOB))
    repair(dataset)
    after = ptychodask.reconstruct(dataset, JOB)
    copy = ptychodask.open_dataset(dataset).load()
    again = ptychodask.create_dataset(
        dataset.with_name("copy.zarr"), copy.counts.values, scan_step_angstrom=1.0,
        positions_angstrom=copy.positions.values, chunks=(4, 4), **OPTICS,
    )  # fmt: skip
    assert bits(after) == bits(ptychodask.reconstruct(again, JOB)) != before


def energy(path):
    zarr.open_group(str(path), mode="r+").attrs["energy_ev"] = 200e3


@pytest.mark.parametrize("edit", [repair, energy])
def test_a_run_does_not_go_on_with_other_data(dataset, edit):
    target = dataset.with_name("r.zarr")
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(dataset, JOB, output=target, progress=Recorder(2))
    edit(dataset)
    with pytest.raises(InputError, match="has changed since the run was started"):
        ptychodask.resume(target)


def test_a_truth_is_compared_with_only_if_it_is_the_results_own(tmp_path):
    axis = np.arange(-10.0, 16.0, 0.4)
    truth = xr.Dataset({"phase": (("y", "x"), np.zeros((len(axis),) * 2))}, {"y": axis, "x": axis})
    path = write_scan(tmp_path / "scan.zarr", (8, 8), truth=truth, attributes={"specimen": "mine"})
    result = ptychodask.reconstruct(path, JOB)
    data = report_data(result)
    assert data.truth is not None and data.title.startswith("mine") and not data.remarks
    write_scan(path, (8, 8), truth=truth, attributes={"specimen": "other"}, seed=1, overwrite=True)
    data, figures = report_data(result), ptychodask.report(result)
    assert data.truth is None and data.title.startswith("scan")
    assert "is another dataset now" in figures["remarks"]["truth"] and "correlation" not in figures
    (path / "zarr.json").write_text("{")
    assert "cannot be read" in ptychodask.report(result)["remarks"]["truth"]
    path.rename(tmp_path / "moved.zarr")
    assert report_data(result).truth is None and "truth" not in ptychodask.report(result)["remarks"]
