"""Runs that begin with what a file of another program holds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from foreign_files import CORNER, FEW, SCAN, SHAPE, WRITERS, truth, with_start, write
from tiny_scan import BLUR, MICROSCOPE, PIXEL, N, write_scan

import ptychodask
from ptychodask import InputError
from ptychodask.io.foreign.found import Found, phases_of, placed
from ptychodask.io.foreign.opening import read_foreign
from ptychodask.io.layouts import export_ptyrad
from ptychodask.jobs.begins_with import object_of
from ptychodask.jobs.experiment import Experiment
from ptychodask.model.config import JobConfig
from ptychodask.model.optics import energy_of, interaction_constant, wavelength
from ptychodask.physics.probe import make_probe

h5py = pytest.importorskip("h5py")


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", SCAN, electrons=2000.0, origin=(0.4, -0.3))


def odd_probe():
    """A probe that no mirror, turn or conjugation maps on itself: an asymmetric piece of it is weakened."""
    probe = make_probe(MICROSCOPE, N, PIXEL, 2000.0)
    probe[N // 2 + 2 :, N // 2 + 1 :] *= 0.7
    return probe[None]


@pytest.mark.parametrize("kind", WRITERS)
def test_the_object_lies_where_ours_does(kind, scan, tmp_path):
    """To a hundredth of a pixel, the right way round; a constant phase is free."""
    positions = ptychodask.open_dataset(scan).positions.values.reshape(-1, 2)
    found = read_foreign(tmp_path / write(kind, tmp_path / "file.h5", scan))
    assert found.energy_ev == pytest.approx(300e3, rel=1e-5) and found.pixel == pytest.approx(PIXEL)
    object_ = placed(found, positions)
    assert object_.y.values[0] == pytest.approx(CORNER[0], abs=1e-5)
    assert object_.x.values[0] == pytest.approx(CORNER[1], abs=1e-5)
    here, wanted = object_.values[0].real, truth(object_.y.values, object_.x.values)
    np.testing.assert_allclose(here - here.min(), wanted - wanted.min(), atol=1e-4)
    assert here.min() > -0.05  # what positivity would cut off is lifted
    modulus = np.exp(-np.asarray(object_.values).imag)
    np.testing.assert_allclose(modulus, 0.9 if kind == "ptyrad" else 1.0, rtol=1e-4)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_run_begins_lower_than_from_vacuum(kind, scan, tmp_path):
    job = with_start("object", write(kind, tmp_path / "file.h5", scan))
    warm, cold = ptychodask.reconstruct(scan, job), ptychodask.reconstruct(scan, FEW)
    floor = warm.attributes["loss_expected"]
    assert cold.attributes["initial_loss"] > floor + 20
    assert warm.attributes["initial_loss"] < floor + 0.3 * (cold.attributes["initial_loss"] - floor)
    (said,) = [text for text in json.loads(warm.attributes["remarks"]) if text.startswith("object.start")]
    assert "the mean of its 56 positions is that of this scan's" in said


@pytest.mark.parametrize("kind", ["ptyrad", "py4dstem", "phaser"])
def test_slices_stay_in_the_order_of_the_beam(kind, scan, tmp_path):
    ramp = np.linspace(0.0, 0.9, SHAPE[0] * SHAPE[1]).reshape(1, *SHAPE)
    found = read_foreign(tmp_path / write(kind, tmp_path / "file.h5", scan, phases=np.concatenate([ramp, 0.3 * ramp])))
    np.testing.assert_allclose([np.ptp(its.real) for its in found.phases], [0.9, 0.27], rtol=1e-4)


def test_the_constraints_of_the_run_hold_from_the_start(scan, tmp_path):
    """A sharp, noisy object would let the first update raise the loss, which looks like divergence."""
    noisy = 0.3 + 0.6 * np.random.default_rng(2).standard_normal((1, *SHAPE))
    path = write("py4dstem", tmp_path / "file.h5", scan, phases=noisy)
    losses = [
        ptychodask.reconstruct(
            scan, {**FEW, "object": {**BLUR["object"], "start": path, "blur_angstrom": blur, "positivity": False}}
        ).attributes["initial_loss"]
        for blur in (0.0, 0.8)
    ]
    assert losses[1] < 0.7 * losses[0]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_probe_is_taken_the_right_way_round(kind, scan, tmp_path):
    wanted = odd_probe()
    job = with_start("probe", write(kind, tmp_path / "file.h5", scan, wanted))
    found = ptychodask.reconstruct(scan, {**job, "solver": {**FEW["solver"], "iterations": 1}}).probe.values
    wanted = wanted * np.sqrt((np.abs(found) ** 2).sum() / (np.abs(wanted) ** 2).sum())
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_a_resumed_run_says_it_without_the_file(scan, tmp_path):
    path = tmp_path / "file.h5"
    job, result = with_start("object", write("ptyrad", path, scan)), tmp_path / "r.zarr"

    class Stop:
        def iterated(self, event):
            if event.iteration == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, job, output=result, progress=Stop())
    path.unlink()
    told = json.loads(ptychodask.resume(result).attributes["remarks"])
    assert [text for text in told if text.startswith("object.start is of PtyRAD 1.0.0: ")]


def test_modes_that_are_left_out_are_said(scan, tmp_path):
    two = np.concatenate([odd_probe(), 0.5 * odd_probe()[:, ::-1]])
    job = with_start("probe", write("phaser", tmp_path / "file.h5", scan, two))
    told = json.loads(ptychodask.reconstruct(scan, job).attributes["remarks"])
    assert "probe.start has 2 modes, 20.0% of its power in those that probe.modes = 1 leaves out" in told


def test_a_phase_of_another_energy_is_scaled(scan, tmp_path):
    """By the interaction constants: of another program's, and of a result of ours."""
    assert energy_of(wavelength(80e3)) == pytest.approx(80e3)
    share = interaction_constant(300e3) / interaction_constant(200e3)
    assert 0.8 < share < 0.95
    slow = write_scan(tmp_path / "slow.zarr", SCAN, electrons=2000.0, origin=(0.4, -0.3), energy_ev=200e3)
    ours = ptychodask.reconstruct(slow, FEW, output=tmp_path / "slow_result.zarr")
    experiment = Experiment(ptychodask.io.dataset.dataset_info(scan), JobConfig.model_validate(FEW))
    taken = object_of(ours.path, experiment)
    np.testing.assert_allclose(taken.object.values, share * ours.object.values, rtol=1e-6)
    assert taken.told == (
        "object.start was made at 200 keV, this scan at 300 keV: its phase is taken times"
        f" {share:.3f}, the share of the interaction constants",
    )
    path = write("py4dstem", tmp_path / "file.h5", scan, ev=200e3)
    theirs = object_of(path, experiment).object
    np.testing.assert_allclose(theirs.values[0], share * truth(theirs.y.values, theirs.x.values), atol=1e-5)
    with pytest.raises(InputError, match=r"probe\.start = .* was made at 200 keV, this scan at 300 keV"):
        ptychodask.reconstruct(scan, with_start("probe", path))


def test_a_phase_that_turns_by_a_constant_does_not_jump():
    """Of a slice whose level is near pi; it is lifted to 0."""
    centres = np.array([[2.0, 2.0], [7.0, 7.0]])
    wanted = np.linspace(0.0, 0.9, 100).reshape(1, 10, 10)
    found = Found("made up", 3e5, 0.4, phases_of(np.exp(1j * (wanted + 2.9)), centres), None, centres)
    values = placed(found, centres * 0.4).values.real
    np.testing.assert_allclose(np.diff(values.ravel()), np.diff(wanted.ravel()), atol=1e-9)


def test_what_we_export_for_ptyrad_is_taken_back(scan, tmp_path):
    """Within float32: also its places, which are the very positions of the run."""
    ours = ptychodask.reconstruct(scan, FEW, output=tmp_path / "r.zarr")
    facts = {"wavelength_angstrom": wavelength(300e3), "slice_thickness_angstrom": 0.0}
    path = export_ptyrad(ours.object, ours.probe, ours.positions.values, facts, tmp_path / "model.hdf5")
    found = read_foreign(path)
    object_ = placed(found, ours.positions.values.reshape(-1, 2))
    np.testing.assert_allclose(object_.values.real, ours.object.values, atol=1e-6)
    for axis in ("y", "x"):
        np.testing.assert_allclose(object_[axis], ours.object[axis], atol=1e-5)
    np.testing.assert_allclose(found.probe.values, ours.probe.values, rtol=1e-6)
