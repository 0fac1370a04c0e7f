"""Patterns whose places the dataset does not know find them, each on its own, while the image is made."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from tiny_scan import BLUR, OPTICS, Recorder, bits, expected_counts

import ptychodask
from ptychodask import InputError
from ptychodask._geometry import geometry_lines
from ptychodask.io.dataset import dataset_info
from ptychodask.jobs.checks import doubts
from ptychodask.jobs.experiment import Experiment
from ptychodask.jobs.taken_back import take_back
from ptychodask.model.config import JobConfig

SIDE, JITTER = 12, 0.3
JOB = {
    "object": {"regularisation": "spectral"},
    "geometry": {"refine": ["positions"]},
    "solver": {"iterations": 16},
    "engine": {"checkpoint_every": 6, "block": [5, 5]},
}


@pytest.fixture(scope="module")
def planted():
    """Displacements [Y, X, 2] by which the dataset is wrong."""
    return np.random.default_rng(7).standard_normal((SIDE, SIDE, 2)) * (JITTER / math.sqrt(2))


@pytest.fixture(scope="module")
def make(tmp_path_factory, planted):
    """Writes a scan with so many electrons in a pattern, whose positions are wrong."""
    peaks = [(*place, 0.9) for place in np.random.default_rng(3).uniform(-3, SIDE + 3, (60, 2))]
    expected, positions = expected_counts((SIDE, SIDE), 1.0, 1.0, peaks)

    def write(electrons, wrong=True, **options):
        counts = np.random.default_rng(0).poisson(expected * electrons).astype(np.uint16)
        return ptychodask.create_dataset(
            tmp_path_factory.mktemp("scan") / "scan.zarr", counts, scan_step_angstrom=1.0,
            positions_angstrom=positions + planted if wrong else positions, chunks=(5, 5), **OPTICS, **options,
        )  # fmt: skip

    return write


@pytest.fixture(scope="module")
def scan(make):
    return make(30000.0)


@pytest.fixture(scope="module")
def out(scan, tmp_path_factory):
    path = tmp_path_factory.mktemp("out") / "r.zarr"
    ptychodask.reconstruct(scan, JOB, output=path, progress=False)
    return path


def left(result):
    """RMS distance of positions from the raster, which is true, less the mean."""
    y, x = np.mgrid[:SIDE, :SIDE]
    away = result.positions.values - np.stack([y, x], axis=-1)
    return math.sqrt(((away - away.mean(axis=(0, 1))) ** 2).sum(axis=-1).mean())


def test_they_are_found_and_said(scan, out):
    result = ptychodask.open_result(out)
    still = ptychodask.reconstruct(scan, {**JOB, "geometry": {"refine": "none"}}, progress=False)
    (name, found), *others = result.geometry.items()
    assert left(still) == pytest.approx(JITTER, rel=0.1)
    assert left(result) < 0.35 * JITTER
    assert result.history["loss"][-1] < still.history["loss"][-1]
    assert name == "positions_angstrom" and not others and found["how"] == "refined with the image"
    assert found["value"] == pytest.approx(JITTER, rel=0.15) and 0.005 < found["sigma"] < 0.1
    moved, known = (re.escape(f"{found[name]:.3f}") for name in ("value", "sigma"))
    (line,) = geometry_lines(result.geometry)
    assert re.fullmatch(f"patterns moved {moved} Å RMS, each known to {known} Å: refined with the image", line)


def test_right_ones_stay(make):
    result = ptychodask.reconstruct(make(30000.0, wrong=False), JOB, progress=False)
    assert left(result) < result.geometry["positions_angstrom"]["sigma"]


def test_few_electrons_hold_them_and_say_so(make):
    scan = make(100.0)
    result = ptychodask.reconstruct(scan, JOB, progress=False)
    assert result.geometry["positions_angstrom"]["how"] == "held: the electrons cannot tell"
    assert left(result) == pytest.approx(JITTER, rel=0.1)


def test_patience_waits_until_they_move(make):
    job = {**JOB, "object": BLUR["object"] | {"blur_angstrom": 0.1}, "solver": {"iterations": 20, "patience": 2}}
    result = ptychodask.reconstruct(make(30000.0), job, progress=False)
    assert left(result) < 0.9 * JITTER


def test_patterns_that_are_left_out_stay(scan):
    job = {**JOB, "data": {"exclude": [[2, 3], [7, 7]]}}
    moved = ptychodask.reconstruct(scan, job, progress=False).positions.values
    moved = moved - ptychodask.open_dataset(scan).positions.values
    np.testing.assert_allclose(moved[[2, 7], [3, 7]], 0, atol=1e-9)
    assert np.abs(moved[2, 4]).max() > 0.01


@pytest.mark.distributed
def test_the_same_bits_interrupted_resumed_and_on_processes(scan, out, tmp_path):
    whole, target = ptychodask.open_result(out), tmp_path / "r.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, JOB, output=target, progress=Recorder(13))
    resumed = ptychodask.resume(target, progress=False)
    engine = {**JOB["engine"], "workers": 2, "threads": 1}
    two = ptychodask.reconstruct(scan, {**JOB, "engine": engine}, progress=False)
    for other in (resumed, two):
        assert bits(whole) == bits(other) and whole.geometry == other.geometry
        np.testing.assert_array_equal(whole.positions.values, other.positions.values)


def test_with_the_object_in_tiles(scan, out):
    whole = ptychodask.open_result(out)
    tiles = ptychodask.reconstruct(scan, {**JOB, "engine": {**JOB["engine"], "tile_pixels": 24}}, progress=False)
    np.testing.assert_allclose(tiles.positions.values, whole.positions.values, atol=0.01)


@pytest.mark.parametrize("ways", [{"solver": {"iterations": 20, "rounds_per_iteration": 2}}, {"probe": {"modes": 2}}])
def test_with_a_little_blur_rounds_and_modes(scan, ways):
    result = ptychodask.reconstruct(scan, {**JOB, "object": {**BLUR["object"], "blur_angstrom": 0.1}, **ways})
    assert left(result) < 0.5 * JITTER


def test_a_blur_that_hides_them_is_refused(scan):
    with pytest.raises(InputError, match=r"positions with object.blur_angstrom = 0\.5: .* use at most 0\.2"):
        ptychodask.reconstruct(scan, {**JOB, "object": {"regularisation": "blur", "blur_angstrom": 0.5}})


@pytest.mark.parametrize(("iterations", "said"), [(39, 1), (40, 0)])
def test_few_iterations_are_doubted(scan, iterations, said):
    config = JobConfig.parse({**JOB, "solver": {"iterations": iterations}})
    assert len([text for text in doubts(Experiment(dataset_info(scan), config)) if "a drift" in text]) == said


@pytest.mark.parametrize(
    ("solver", "said"),
    [
        ({"residual": "amplitude"}, "solver.residual = amplitude: .* set solver.residual = poisson"),
        ({"iterations": 4}, "solver.iterations = 4: patterns move from iteration 4 on"),
    ],
)
def test_what_spoils_them_or_never_moves_them_is_refused(scan, solver, said):
    with pytest.raises(InputError, match=said):
        ptychodask.reconstruct(scan, {**JOB, "object": BLUR["object"] | {"blur_angstrom": 0.1}, "solver": solver})


def test_they_go_with_numbers_of_all_which_alone_are_written_back(make, tmp_path):
    geometry = {"refine": ["rotation", "positions"]}
    scan, target = make(30000.0), tmp_path / "r.zarr"
    result = ptychodask.reconstruct(scan, {**JOB, "geometry": geometry}, output=target, progress=False)
    assert list(result.geometry) == ["rotation_degrees", "positions_angstrom"]
    assert left(result) < 0.4 * JITTER
    take_back(scan, target, write=True)
    assert list(ptychodask.open_dataset(scan).attrs["calibration"]["values"]) == ["rotation_degrees"]
    with pytest.raises(InputError, match="found already"):
        take_back(scan, target, write=True)


def test_they_are_not_written_back_but_can_be_given(scan, out):
    with pytest.raises(InputError, match="found where each pattern is, which is this scan's own"):
        take_back(scan, out, write=True)
    data, result = ptychodask.open_dataset(scan), ptychodask.open_result(out)
    given = data.assign(positions=(data.positions.dims, result.positions.values))
    again = ptychodask.reconstruct(given, {**JOB, "geometry": {"refine": "none"}}, progress=False)
    np.testing.assert_allclose(again.positions.values, result.positions.values, atol=1e-6)
    assert again.history["loss"][-1] < 1.02 * result.history["loss"][-1]
