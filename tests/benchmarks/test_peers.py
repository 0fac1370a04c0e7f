"""The comparison with other packages, with a made-up package in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

import ptychodask

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

RUNNER = f"""
import itertools, json, sys, time
from pathlib import Path
sys.path.insert(0, {str(BENCHMARKS / "peers")!r})
import numpy as np
from stopwatch import Stopwatch

p = json.loads(Path(sys.argv[1]).read_text())
if "images" in p:  # a clock that says the same on every machine: an iteration takes one second, a phase another
    time.perf_counter = itertools.count().__next__
truth = np.load(p["truth"])
if p.get("mirrored"):
    truth = truth[::-1]
noise = np.random.default_rng(0).normal(size=truth.shape) * truth.std()
watch, done = Stopwatch(p), False
while not done:
    done = watch.iteration(lambda: truth + noise * 3 / len(watch.seconds))
print("something that a package prints")
print(json.dumps(watch.answer(p["first"], p["pixel_angstrom"], version="1")))
"""


@pytest.fixture
def peers(monkeypatch):
    """The two modules beside the script."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import peer_environments
    import peer_images

    return peer_environments, peer_images


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A dataset whose counts nobody looks at, for its positions."""
    path = tmp_path_factory.mktemp("peers") / "scan.zarr"
    return ptychodask.create_dataset(
        path, np.ones((16, 16, 16, 16), np.uint8), energy_ev=300e3, semi_angle_mrad=10.0, angular_step_mrad=2.0,
        scan_step_angstrom=1.05, defocus_angstrom=0.0,
    )  # fmt: skip


def sample_of(scan, truth):
    from peer_cases import Sample

    return Sample(scan, truth)


@pytest.fixture
def truth():
    """A phase without any symmetry: that of a crystal would hardly notice a mirror."""
    axis = -5.0 + 0.3 * np.arange(90)
    values = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(90, 90)), 3.0)
    phase = xr.DataArray(values, dims=("y", "x"), coords={"y": axis, "x": axis})
    return phase


@pytest.fixture
def runner(tmp_path):
    file = tmp_path / "madeup.py"
    file.write_text(RUNNER)
    return file


def given(truth, tmp_path, **more):
    """Parameters for the made-up package, whose pixels are those of the truth."""
    np.save(tmp_path / "truth.npy", truth.values)
    pixel = float(truth["y"][1] - truth["y"][0])
    first = [-float(truth[a][0]) / pixel for a in ("y", "x")]
    return {"truth": str(tmp_path / "truth.npy"), "first": first, "pixel_angstrom": pixel, "threads": 1, **more}


def test_a_timing_runs_one_iteration_more_than_asked(peers, truth, runner, tmp_path):
    environments, _ = peers
    answer = environments.run(runner, Path(sys.executable), given(truth, tmp_path, iterations=3), tmp_path)
    assert answer["iterations"] == 3 and len(answer["seconds"]) == 4


def image(peers, scan, truth, runner, tmp_path, **more):
    environments, images = peers
    file = tmp_path / "images.npy"
    answer = environments.run(
        runner, Path(sys.executable), given(truth, tmp_path, images=str(file), seconds=4, **more), tmp_path
    )
    assert answer["seconds"] == [1] * 5  # the first, which may hold compilation, and four within the seconds given
    return images.peer_images(answer, np.load(file), sample_of(scan, truth), [0.5, 2.0, 4.0])


def test_images_are_compared_at_the_last_iteration_within_the_budget(peers, scan, truth, runner, tmp_path):
    none, early, late = image(peers, scan, truth, runner, tmp_path)["after"]
    assert none == {"budget_seconds": 0.5, "failed": "no iteration ended"}
    assert (early["iterations"], late["iterations"]) == (2, 4)
    assert early["correlation_2.5A"] < late["correlation_2.5A"]
    assert late["correlation_2.5A"] > 0.8
    assert np.allclose(late["shift_angstrom"], 0, atol=0.2)


def test_a_mirrored_image_does_not_pass_for_the_truth(peers, scan, truth, runner, tmp_path):
    mirrored = image(peers, scan, truth, runner, tmp_path, mirrored=True)["best_by_truth"]
    assert abs(mirrored["correlation_2.5A"]) < 0.5


def test_an_image_that_is_not_finite_is_said_to_be_so(peers, scan, truth):
    _, images = peers
    phases = np.stack([truth.values, np.full(truth.shape, np.nan)])
    answer = {"seconds": [1.0, 1.0], "origin_angstrom": [-5.0, -5.0], "pixel_angstrom": 0.3}
    found = images.peer_images(answer, phases, sample_of(scan, truth), [2.0])
    assert found["after"][0]["failed"] == "the image is not finite"
    assert found["best_by_truth"]["iterations"] == 1


def test_compilation_in_the_first_iteration_is_not_counted(peers):
    _, images = peers
    assert images.elapsed([30.0, 2.0, 2.0]) == [2.0, 4.0, 6.0]
    assert images.elapsed([1.0, 2.0, 2.0]) == [1.0, 3.0, 5.0]
    assert images.last_within([2.0, 4.0], 1.0) is None


def test_a_peer_that_cannot_run_says_why(peers, tmp_path):
    environments, _ = peers
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('needs a device that is not here')")
    answer = environments.run(broken, Path(sys.executable), {"threads": 1}, tmp_path)
    assert answer == {"failed": "RuntimeError: needs a device that is not here"}


def test_every_peer_has_a_runner(peers):
    environments, _ = peers
    runners = {p.stem for p in (BENCHMARKS / "peers").glob("*.py") if not p.stem.startswith("geometry_")}
    assert runners - {"stopwatch", "operators"} == set(environments.PEERS)
