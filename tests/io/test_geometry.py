"""A geometry is written whole or not at all, and stored ones are read with care."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_scan import write_scan

import ptychodask
from ptychodask import InputError
from ptychodask.io.content import content_digest
from ptychodask.io.dataset import dataset_info, read_positions
from ptychodask.io.geometry import write_geometry

AFFINE = np.array([[0.0, 1.02, 3.0], [1.0, 0.0, -2.0]])


def write(data, affine=AFFINE, **aberrations):
    write_geometry(data, affine, {"C10": -90.0, "C12": 5.0, "phi12": 0.2, **aberrations}, {"values": {"scale": 1.0}})


def test_positions_and_aberrations_are_the_written_ones(tmp_path):
    data = write_scan(tmp_path / "scan.zarr")
    recorded, digest = read_positions(data), content_digest(data)
    write(data)
    np.testing.assert_allclose(read_positions(data), recorded @ AFFINE[:, :2].T + AFFINE[:, 2])
    assert dataset_info(data).microscope.defocus_angstrom == 90 and content_digest(data) != digest
    first = json.loads((data / "zarr.json").read_text())["attributes"]["calibration"]
    write(data, AFFINE + 0.1)
    again = json.loads((data / "zarr.json").read_text())["attributes"]
    assert again["calibration"]["before"] == first["before"] == {"aberrations": {"C10": -100.0}}
    np.testing.assert_array_equal(again["scan_affine"], AFFINE + 0.1)
    assert [p.name for p in tmp_path.iterdir()] == ["scan.zarr"]
    write_scan(tmp_path / "scan.zarr", overwrite=True)
    np.testing.assert_allclose(read_positions(data), recorded)


def test_a_selection_has_its_part_of_them(tmp_path):
    data = write_scan(tmp_path / "scan.zarr")
    write(data)
    from ptychodask.io.opened import asked_for
    from ptychodask.io.selected import positions_of

    part = ptychodask.open_dataset(data).isel(scan_y=slice(0, 4))
    with asked_for(part, str(data)) as info:
        np.testing.assert_array_equal(positions_of(info), part.positions.values.reshape(-1, 2))
        assert not info.selection.positions


@pytest.mark.parametrize("fault", ["crash", "collapse", "aberration", "full"])
def test_nothing_is_changed_by_what_fails(tmp_path, monkeypatch, fault):
    data = write_scan(tmp_path / "scan.zarr")
    before = (data / "zarr.json").read_bytes()
    if fault in ("crash", "full"):

        def fails(self, *arguments, **options):
            raise KeyboardInterrupt if fault == "crash" else OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "replace" if fault == "crash" else "write_text", fails)
    with pytest.raises((KeyboardInterrupt, InputError, OSError)):
        write(
            data, np.zeros((2, 3)) if fault == "collapse" else AFFINE, **({"C99": 1.0} if fault == "aberration" else {})
        )
    monkeypatch.undo()
    assert (data / "zarr.json").read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["scan.zarr"]


@pytest.mark.parametrize(
    "wrong", ["text", [[1, 0], [0, 1]], [[1, 0, 0], [1, 0, 0]], [[1, 0, 1e12], [0, 1, 0]], [[0, 0, 0]] * 2]
)
def test_a_damaged_map_is_one_line(tmp_path, wrong):
    data = write_scan(tmp_path / "scan.zarr")
    document = json.loads((data / "zarr.json").read_text())
    document["attributes"]["scan_affine"] = wrong
    (data / "zarr.json").write_text(json.dumps(document))
    for read in (dataset_info, read_positions, ptychodask.open_dataset):
        with pytest.raises(InputError, match="scan_affine"):
            read(data)


def test_only_a_calibration_writes_it(tmp_path):
    with pytest.raises(InputError, match="scan_affine"):
        write_scan(tmp_path / "scan.zarr", attributes={"scan_affine": AFFINE.tolist()})
    with pytest.raises(InputError, match="does not exist"):
        write(tmp_path / "absent.zarr")
