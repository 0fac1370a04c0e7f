"""Whole runs with the spectral prior: the same bits and answers as ever, and what the result keeps of it."""

from __future__ import annotations

import numpy as np
import pytest
from distributed import Client, LocalCluster
from tiny_scan import Recorder, bits, write_scan

import ptychodask
from ptychodask import InputError
from ptychodask.io.checkpoint import RunFolder

JOB = {
    "object": {"regularisation": "spectral", "slices": 2, "thickness_angstrom": 40.0},
    "engine": {"checkpoint_every": 3},
}
TILED = {**JOB, "engine": {"checkpoint_every": 3, "tile_pixels": 30}}


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    peaks = tuple((2.0 + 3 * i, 2.0 + 3 * j, 0.5) for i in range(5) for j in range(5))
    folder = tmp_path_factory.mktemp("scan")
    return write_scan(folder / "scan.zarr", (14, 14), electrons=300.0, chunks=(5, 5), peaks=peaks)


@pytest.fixture(scope="module")
def whole(scan):
    return ptychodask.reconstruct(scan, JOB)


@pytest.fixture(scope="module")
def tiled(scan):
    return ptychodask.reconstruct(scan, TILED)


def test_a_run_goes_through_its_stages_to_the_end(whole):
    stages = [entry["stage"] for entry in whole.history]
    assert stages.count("finish") == 3 and whole.iteration == 10
    loss = whole.history["loss"]
    assert loss[9] < loss[6] and whole.attributes["restarts"] == 0


def test_lattice_and_residual_are_kept_apart(whole):
    assert whole.phase.dims == whole.lattice.dims == whole.residual.dims == ("y", "x")
    both = (whole.lattice + whole.residual).values
    np.testing.assert_allclose(np.maximum(both, 0), whole.phase.values, atol=1e-6)
    # no negative lattice, but a residual that has any sign: clipped, its noise would not have a mean of zero
    assert whole.lattice.min() >= 0 > both.min() and whole.phase.min() == 0
    assert 0 < float(whole.residual.std()) < float(whole.lattice.std())
    assert whole.information.dims == ("frequency",) and whole.information.frequency.attrs["units"] == "1/angstrom"
    assert ((whole.information > 0) & (whole.information < 1.2)).all()
    np.testing.assert_array_equal(whole.object[0], whole.object[1])


@pytest.fixture(scope="module")
def plain(scan):
    return ptychodask.reconstruct(scan, {"object": {"regularisation": "blur"}, "solver": {"iterations": 2}})


def test_a_run_with_a_blur_has_neither_and_the_same_information(plain, whole):
    assert plain.lattice is None and plain.residual is None
    said, other = plain.information, whole.information
    told = (other > 0.11).values & (said > 0.11).values  # above the bounds of what is measured
    assert told.sum() > 5
    assert 0.7 < float(np.median(said.values[told] / other.values[told])) < 1.4


def test_without_a_finish_a_blur_measures_nothing(scan):
    job = {"object": {"regularisation": "blur"}, "solver": {"iterations": 2, "finish": 0}}
    assert ptychodask.reconstruct(scan, job).information is None


def test_a_map_of_defects_is_made_of_a_result(whole, plain):
    found = ptychodask.defects(whole)
    assert found.z.sizes["kind"] == 2 and np.isfinite(found.z).all() and found.z.std() < 3
    with pytest.raises(InputError, match="has no residual beside its lattice"):
        ptychodask.defects(plain)


def test_tiles_give_the_answer_of_the_whole(whole, tiled):
    assert (tiled.history["bytes_exchanged"] > 0).all() and not whole.history["bytes_exchanged"].any()
    for name in ("object", "lattice", "information"):
        found, expected = getattr(tiled, name).values, getattr(whole, name).values
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * abs(expected).max())
    np.testing.assert_allclose(tiled.history["loss"], whole.history["loss"], rtol=1e-6)


@pytest.mark.distributed
def test_the_same_bits_on_processes(scan, tiled):
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        found = ptychodask.reconstruct(scan, TILED, client)
    assert bits(found) == bits(tiled)
    np.testing.assert_array_equal(found.lattice.values, tiled.lattice.values)


def test_the_same_bits_however_often_it_is_stopped(scan, whole, tmp_path):
    target, parts, resumed = tmp_path / "result.zarr", 0, None
    while resumed is None:
        seen = Recorder(4)
        try:
            resumed = (
                ptychodask.resume(target, progress=seen)
                if parts
                else ptychodask.reconstruct(scan, JOB, output=target, progress=seen)
            )
        except KeyboardInterrupt:
            parts += 1
            assert RunFolder.of(target).checkpoints() and parts < 10
    assert parts >= 2 and bits(resumed) == bits(whole)
    np.testing.assert_array_equal(resumed.lattice.values, whole.lattice.values)
    np.testing.assert_array_equal(resumed.information.values, whole.information.values)


def test_counts_that_are_no_electrons_are_refused_by_the_prior_and_blurred_by_the_preset(tmp_path):
    path = write_scan(tmp_path / "floats.zarr", noise=False)
    with pytest.raises(InputError, match="spectral needs whole electrons"):
        ptychodask.reconstruct(path, JOB)
    asked = {"object": {"slices": 1}, "solver": {"iterations": 2}}
    result = ptychodask.reconstruct(path, asked)
    assert result.config.object.regularisation == "blur" and result.config.object.blur_angstrom > 0
    assert "the spectral prior needs whole electrons" in result.attributes["remarks"] and result.lattice is None
    assert ptychodask.plan(path, asked).footprint.config == result.config


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 2)], ids=str)
def test_the_preset_makes_an_image_of_the_smallest_scans(tmp_path, shape):
    path = write_scan(tmp_path / "small.zarr", shape, chunks=(2, 2))
    result = ptychodask.reconstruct(path, {"object": {"slices": 1}})
    assert np.isfinite(result.phase).all() and float(result.phase.max()) > 0
