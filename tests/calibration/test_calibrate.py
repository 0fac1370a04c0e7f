"""The whole chain on datasets: what is found, written and refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import scans
from tiny_scan import BLUR

import ptychodask
from ptychodask import InputError
from ptychodask.calibration.bright_field import make_bins
from ptychodask.calibration.read import middle, read_bright_field
from ptychodask.calibration.table import NAMES
from ptychodask.io.dataset import dataset_info, read_positions
from ptychodask.model.scan import raster

ASKED = (
    "defocus_angstrom", "c12_angstrom", "phi12_rad", "rotation_degrees", "transpose", "scale", "asymmetry", "shear",
    "centre_y_pixels", "centre_x_pixels", "semi_angle_pixels",
)  # fmt: skip


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory):
    """Patterns of which rows and columns are exchanged."""
    return scans.write(tmp_path_factory.mktemp("data") / "scan.zarr", scans.counts().swapaxes(2, 3))


@pytest.fixture(scope="module")
def found(exchanged, tmp_path_factory):
    picture = tmp_path_factory.mktemp("picture") / "scan.png"
    made = ptychodask.calibrate(exchanged, output=picture, progress=False)
    assert picture.read_bytes().startswith(b"\x89PNG")
    return made


def test_what_is_found(found):
    told = found.as_dict()
    assert tuple(told) == ASKED == tuple(NAMES)
    assert json.loads(json.dumps(told)) == told and all(set(v) == {"value", "sigma", "how"} for v in told.values())
    assert told["transpose"]["value"] is True
    planted = {"defocus_angstrom": 600, "c12_angstrom": 25, "rotation_degrees": 25, "scale": 1, "asymmetry": 0.02}
    planted |= {"shear": -0.01, "centre_y_pixels": 16, "centre_x_pixels": 16, "semi_angle_pixels": scans.RADIUS}
    for name, value in planted.items():
        assert abs(told[name]["value"] - value) < 4 * told[name]["sigma"], name
    assert found.values["defocus_angstrom"].said == 500
    assert "defocus" in str(found) and "500" in str(found)


def test_written_geometry_is_used(exchanged, found, tmp_path):
    data = tmp_path / "scan.zarr"
    shutil.copytree(exchanged, data)
    before = {p: p.read_bytes() for p in data.rglob("*") if p.is_file() and p != data / "zarr.json"}
    recorded, fingerprint = read_positions(data), dataset_info(data).fingerprint
    known = {"transpose": True, "rotation_degrees": 25, "asymmetry": 0.02, "shear": -0.01, "defocus_angstrom": 600}
    made = ptychodask.calibrate(data, write=True, thickness_angstrom=40, progress=False, **known)
    assert dataset_info(data).attributes["thickness_angstrom"] == 40  # which the defocus is the entrance of
    assert {p: p.read_bytes() for p in data.rglob("*") if p.is_file() and p != data / "zarr.json"} == before
    assert made.values["rotation_degrees"].sigma is None and made["rotation_degrees"] == pytest.approx(25)
    positions = read_positions(data)
    true = raster(scans.SCAN, (scans.STEP,) * 2).reshape(-1, 2) @ scans.PLANTED.matrix.T
    true = true[:, ::-1]  # in the axes of the stored patterns
    np.testing.assert_allclose(positions - positions.mean(0), true - true.mean(0), atol=1e-6)
    np.testing.assert_allclose(positions.mean(0), recorded.mean(0))
    np.testing.assert_array_equal(read_positions(data, recorded=True), recorded)
    opened = ptychodask.open_dataset(data)
    np.testing.assert_array_equal(opened.positions.values.reshape(-1, 2), positions)
    info = dataset_info(data)
    assert info.fingerprint != fingerprint and info.microscope.defocus_angstrom == pytest.approx(600)
    assert info.microscope.aberrations["C12"] == pytest.approx(made["c12_angstrom"])
    # the other way of writing the same astigmatism: kx and ky are exchanged
    assert np.cos(2 * info.microscope.aberrations["phi12"]) == pytest.approx(-np.cos(2 * made["phi12_rad"]))
    assert np.sin(2 * info.microscope.aberrations["phi12"]) == pytest.approx(np.sin(2 * made["phi12_rad"]))
    assert not [w for w in ptychodask.info(data).warnings if "positions" in w]
    again = ptychodask.calibrate(data, progress=False, **known)
    assert again.values["rotation_degrees"].said == pytest.approx(25) and again.values["transpose"].said is True
    assert opened.attrs["calibration"]["before"] == {"aberrations": {"C10": -500.0}}

    result = ptychodask.reconstruct(opened, {**BLUR, "solver": {"iterations": 2, "finish": 0}}, progress=False)
    placed = np.asarray(result.positions.values).reshape(-1, 2)
    np.testing.assert_allclose(placed - placed[0], positions - positions[0], atol=1e-3)


def test_reconstruction_fits_better_with_it(exchanged, found, tmp_path):
    data = tmp_path / "scan.zarr"
    shutil.copytree(exchanged, data)
    job = {**BLUR, "solver": {"iterations": 6, "finish": 0}}
    wrong = ptychodask.reconstruct(data, job, progress=False).history[-1].loss
    ptychodask.calibrate(data, write=True, progress=False)
    right = ptychodask.reconstruct(data, job, progress=False).history[-1].loss
    assert right < wrong - 1  # nats per pattern


def test_processes_and_threads_read_the_same(exchanged):
    info = dataset_info(exchanged)
    bins = make_bins(np.ones((scans.N, scans.N), bool), (16.0, 16.0), scans.RADIUS)
    here = read_bright_field(info, bins)
    from distributed import Client

    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None) as client:
        there = read_bright_field(info, bins, client)
    counts = ptychodask.open_dataset(exchanged).counts.values.reshape(-1, scans.N, scans.N)
    for one in (here, there):
        np.testing.assert_array_equal(one.totals, counts.sum(axis=(1, 2)))
        np.testing.assert_array_equal(one.pattern, counts.sum(axis=0))
        np.testing.assert_array_equal(one.electrons, here.electrons)
    assert here.electrons.sum() == counts[:, np.fft.fftshift(bins.label) < bins.number].sum()


def test_a_scan_that_is_too_large_is_read_in_its_middle():
    assert middle((100, 60), 10) == (0, 100, 0, 60)
    y0, y1, x0, x1 = middle((1000, 500), 100, 4, 5_000_000)
    assert 4 * 100 * (y1 - y0) * (x1 - x0) <= 5_000_000 and abs(y0 + y1 - 1000) <= 1 >= abs(x0 + x1 - 500)


def test_a_selection_can_be_calibrated_but_not_written(exchanged):
    part = ptychodask.open_dataset(exchanged).isel(scan_y=slice(2, 30), scan_x=slice(0, 28))
    made = ptychodask.calibrate(part, transpose=True, progress=False)
    assert made["rotation_degrees"] == pytest.approx(25, abs=2)
    with pytest.raises(InputError, match="whole dataset"):
        ptychodask.calibrate(part, write=True, progress=False)


def test_bad_input_is_one_line(exchanged, tmp_path):
    patterns = scans.counts()

    def refused(match, data, **options):
        with pytest.raises(InputError, match=match) as caught:
            ptychodask.calibrate(data, progress=False, **options)
        assert "\n" not in str(caught.value)

    refused("at least 16 x 16", scans.write(tmp_path / "few.zarr", patterns[:12]))
    serpent = raster(scans.SCAN, (scans.STEP,) * 2)
    serpent[1::2] = serpent[1::2, ::-1].copy()
    data = scans.write(tmp_path / "serpent.zarr", patterns, positions_angstrom=serpent)
    refused("needs a raster", data)
    refused("touches the edge", scans.write(tmp_path / "off.zarr", np.roll(patterns, 8, axis=2)))
    refused("phi12_rad", exchanged, c12_angstrom=30)
    refused("scale", exchanged, scale=100)
    refused("transpose", exchanged, transpose="yes")
    refused("defocus_angstrom", exchanged, defocus_angstrom=1e9)
    refused("ends in", exchanged, output=tmp_path / "scan.txt")
    if (tmp_path / "few.zarr").stat().st_uid != 0:
        (tmp_path / "few.zarr" / "zarr.json").chmod(0o400)
        refused("cannot be written", tmp_path / "few.zarr", write=True)
