"""Runs that begin with what another result holds."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from tiny_scan import BLUR, Recorder, bits, write_scan

import ptychodask
from ptychodask import InputError
from ptychodask.jobs.begun import on_canvas
from ptychodask.model.scan import Canvas

FEW = {**BLUR, "solver": {"iterations": 3, "patience": 3, "finish": 0}}


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", electrons=300.0)


@pytest.fixture(scope="module")
def first(scan, tmp_path_factory):
    return ptychodask.reconstruct(scan, BLUR, output=tmp_path_factory.mktemp("first") / "first.zarr")


def begun(of, **more):
    return {**FEW, "object": {**BLUR["object"], "start": of.path}, **more}


def test_a_run_goes_on_where_the_other_ended(scan, first):
    """Three iterations from vacuum are far above what three from the other's object are."""
    cold, warm = Recorder(), Recorder()
    far = ptychodask.reconstruct(scan, FEW, progress=cold)
    near = ptychodask.reconstruct(scan, begun(first), progress=warm)
    assert near.attributes["initial_loss"] < far.history[-1].loss < far.attributes["initial_loss"]
    assert abs(near.phase - first.phase).max() < abs(far.phase - first.phase).max()
    assert near.config.object.start == first.path


def test_a_probe_is_taken_as_it_is(scan, first, tmp_path):
    """Of a run with another defocus, whose probe never moves: it is the other's but for its brightness."""
    away = ptychodask.reconstruct(scan, {**FEW, "probe": {"defocus_angstrom": 60.0}}, output=tmp_path / "away.zarr")
    found = ptychodask.reconstruct(scan, {**FEW, "probe": {"start": away.path}})
    np.testing.assert_allclose(found.probe.values, away.probe.values, rtol=1e-4, atol=1e-5)
    assert abs(found.probe.values - first.probe.values).max() > 0.1 * abs(first.probe.values).max()


@pytest.mark.parametrize("address", ["memory://begun/first.zarr", "file://{path}"])
def test_an_address_stays_one(address, scan, first):
    fsspec = pytest.importorskip("fsspec")
    if address.startswith("memory"):
        fsspec.filesystem("memory").put(first.path, "/begun/first.zarr", recursive=True)
    start = address.format(path=first.path)
    found = ptychodask.reconstruct(scan, {**FEW, "object": {**BLUR["object"], "start": start}})
    assert bits(found) == bits(ptychodask.reconstruct(scan, begun(first)))
    assert found.config.object.start == (start if address.startswith("memory") else first.path)


def test_another_scan_of_the_area_begins_with_its_object(first, tmp_path):
    """Finer and elsewhere: the object is brought onto the new pixels."""
    other = write_scan(tmp_path / "other.zarr", (10, 10), electrons=300.0, step=0.7, origin=(0.4, 0.3))
    cold = ptychodask.reconstruct(other, FEW)
    warm = ptychodask.reconstruct(other, begun(first))
    assert warm.attributes["initial_loss"] < 0.5 * (cold.attributes["initial_loss"] + cold.history[-1].loss)


@pytest.mark.distributed
def test_the_same_bits_on_workers_and_resumed(scan, first, tmp_path, monkeypatch):
    alone = ptychodask.reconstruct(scan, begun(first))
    assert bits(ptychodask.reconstruct(scan, begun(first, engine={"workers": 2, "threads": 1}))) == bits(alone)

    class Stop:
        def iterated(self, event):
            if event.iteration == 2:
                raise KeyboardInterrupt

    path = tmp_path / "stopped.zarr"
    monkeypatch.chdir(first.path.rsplit("/", 1)[0])  # a path from here, resumed from elsewhere
    job = {**FEW, "object": {**BLUR["object"], "start": "first.zarr"}}
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, job, output=path, progress=Stop())
    monkeypatch.chdir(tmp_path)
    assert bits(ptychodask.resume(path)) == bits(alone)


def test_slices_and_kinds_are_made_to_fit():
    canvas = Canvas((4, 5), 0.5, (1.0, 2.0))
    axes = {"y": canvas.coordinates(0), "x": canvas.coordinates(1)}
    rng = np.random.default_rng(3)
    maps = xr.DataArray(rng.standard_normal((2, 4, 5)).astype("f4"), axes, ("slice", "y", "x"))
    np.testing.assert_array_equal(on_canvas(maps, canvas, 2, np.dtype("f4")), maps.values)
    three = on_canvas(maps, canvas, 3, np.dtype("c8"))
    np.testing.assert_allclose(three.sum(axis=0), maps.values.sum(axis=0), rtol=1e-6)
    assert three.shape == (3, 4, 5) and three.dtype == np.complex64
    wider = on_canvas(maps, Canvas((8, 9), 0.5, (0.0, 1.0)), 2, np.dtype("f4"))
    np.testing.assert_allclose(wider[:, 2:6, 2:7], maps.values, atol=1e-5)
    assert not wider[:, 7:].any()


@pytest.mark.parametrize(
    "section, of, told",
    [
        ("object", "nowhere.zarr", "nowhere.zarr"),
        ("object", "far", "its object covers 0 % of what this scan sees"),
        ("probe", "coarse", r"its probe has 32 x 32 pixels of 0.4 A, this run 32 x 32 of 0.2 A"),
        ("modes", "first", r"has 1 mode, probe.modes = 2 and 1 scan asked for"),
    ],
)
def test_what_cannot_be_begun_with_is_one_line(section, of, told, scan, first, tmp_path):
    path, job = str(first.path), FEW
    if of == "nowhere.zarr":
        path = str(tmp_path / of)
    if of == "far":
        scan = write_scan(tmp_path / "far.zarr", electrons=300.0, origin=(500.0, 0.0), peaks=[(502.0, 3.0, 0.9)])
    if of == "coarse":
        its = ptychodask.open_dataset(scan)
        step = 2 * its.attrs["angular_step_mrad"]
        scan = ptychodask.create_dataset(
            tmp_path / "wide.zarr", its.counts.values, energy_ev=300e3, semi_angle_mrad=12.0, defocus_angstrom=50.0,
            angular_step_mrad=step, scan_step_angstrom=1.0,
        )  # fmt: skip
    if section == "modes":
        job = {**FEW, "probe": {"start": path, "modes": 2}}
    elif section == "probe":
        job = {**FEW, "probe": {"start": path}}
    else:
        job = {**FEW, "object": {**BLUR["object"], "start": path}}
    with pytest.raises(InputError, match=told):
        ptychodask.reconstruct(scan, job, output=tmp_path / "r.zarr")
    assert not (tmp_path / "r.zarr.run").exists()


@pytest.mark.parametrize("section", ["object", "probe"])
def test_what_cannot_be_opened_is_said_with_its_option(tmp_path, section):
    scan = write_scan(tmp_path / "s.zarr")
    with pytest.raises(InputError, match=rf"^{section}\.start: .*missing\.zarr"):
        ptychodask.reconstruct(scan, {section: {"start": str(tmp_path / "missing.zarr")}}, progress=False)
    with pytest.raises(InputError, match=rf"^{section}\.start is empty"):
        ptychodask.reconstruct(scan, {section: {"start": ""}}, progress=False)
