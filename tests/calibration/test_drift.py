"""Rows that drift are found by the lattice, written and followed; where they do not, nothing is found."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scans

import ptychodask
from ptychodask import InputError
from ptychodask.io.dataset import dataset_info, read_positions
from ptychodask.io.geometry import write_geometry
from ptychodask.model.scan import raster

KNOWN = {"transpose": False, "rotation_degrees": 25, "asymmetry": 0.02, "shear": -0.01, "defocus_angstrom": 600}


def rms(values):
    return float(np.sqrt((values**2).sum(axis=-1).mean()))


def test_drift_is_found_and_written(tmp_path):
    data = scans.write(tmp_path / "scan.zarr", scans.counts(drift=0.4))
    made = ptychodask.calibrate(data, write=True, progress=False, **KNOWN)
    planted = scans.walk(scans.SCAN[0], 0.4)
    assert made.drift.certain and made.drift.nats > 30
    assert rms(made.drift.rows - planted) < 0.4 * rms(planted)  # and well below what nothing leaves
    assert rms(made.drift.rows - planted) < 3 * made.drift.sigma
    (note,) = [note for note in made.notes if "drift" in note]
    assert "\n" not in note and "written" in note
    nominal = raster(scans.SCAN, (scans.STEP,) * 2)
    true = (nominal + planted[:, None]).reshape(-1, 2) @ scans.PLANTED.matrix.T
    straight = nominal.reshape(-1, 2) @ scans.PLANTED.matrix.T

    def away(positions, others):
        return rms(positions - positions.mean(0) - others + others.mean(0))

    positions = read_positions(data)
    assert away(positions, true) < 0.4 * away(straight, true)
    opened = ptychodask.open_dataset(data)
    np.testing.assert_allclose(opened.positions.values.reshape(-1, 2), positions, atol=1e-9)
    assert opened.attrs["calibration"]["drift"]["nats"] == made.drift.nats
    again = ptychodask.calibrate(data, progress=False, **KNOWN)  # patterns are those that were recorded
    np.testing.assert_allclose(again.drift.rows, made.drift.rows, atol=1e-6)


def test_no_drift_is_no_drift(tmp_path):
    data = scans.write(tmp_path / "scan.zarr", scans.counts())
    made = ptychodask.calibrate(data, write=True, progress=False, **KNOWN)
    assert not made.drift.certain and made.drift.rms < 0.05
    assert not [note for note in made.notes if "drift" in note]
    assert "row_drift" not in ptychodask.open_dataset(data).attrs


def test_a_drift_that_does_not_fit_is_refused(tmp_path):
    data = scans.write(tmp_path / "scan.zarr", scans.counts())
    write_geometry(data, np.eye(2, 3), {"C10": -600.0}, {}, drift=np.zeros((5, 2)))
    with pytest.raises(InputError, match="row_drift has 5 rows"):
        read_positions(data)
    write_geometry(data, np.eye(2, 3), {"C10": -600.0}, {})
    assert "row_drift" not in json.loads((data / "zarr.json").read_text())["attributes"]
    document = json.loads((data / "zarr.json").read_text())
    document["attributes"]["row_drift"] = [["a", 1]]
    (data / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="row_drift"):
        dataset_info(data)
