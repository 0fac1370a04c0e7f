"""Two scans, one object: the same bits on any workers, killed, resumed and in tiles; and one scan keeps its own."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from distributed import Client, LocalCluster
from pair_scan import OFFSET, write_pair
from tiny_scan import Recorder, bits

import ptychodask
from ptychodask import InputError
from ptychodask.io.checkpoint import RunFolder

JOB = {
    "data": {"offsets": [OFFSET]},
    "object": {"regularisation": "blur"},
    "probe": {"modes": 2, "update_start": 0},
    "solver": {"iterations": 9, "finish": 2, "patience": 6},
    "engine": {"checkpoint_every": 3},
}
TILED = {**JOB, "engine": {"checkpoint_every": 3, "tile_pixels": 32}}
SPECTRAL = {"data": JOB["data"], "solver": {"iterations": 7}, "engine": {"checkpoint_every": 3}}
TANGENT = {**TILED, "solver": {**JOB["solver"], "step_rule": "tangent", "tangent_stride": 3}}
JOBS = {"whole": JOB, "tiles": TILED, "spectral": SPECTRAL, "tangent": TANGENT}


def all_bits(result):
    """Object, and the probe of every scan."""
    return bits(result), [scan.probe.values.tobytes() for scan in result.scans]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def references(pair):
    """The results in threads of this process, which nothing disturbs."""
    return {name: ptychodask.reconstruct(pair, job) for name, job in JOBS.items()}


@pytest.fixture(scope="module")
def two_workers():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_every_scan_has_its_own_probe_and_positions(references):
    result = references["whole"]
    first, second = result.scans
    assert first.probe.shape == second.probe.shape == (2, 32, 32)
    assert second.positions.shape == (7, 9, 2)
    np.testing.assert_allclose(second.positions[0, 0], OFFSET, atol=1e-12)
    np.testing.assert_array_equal(result.probe, first.probe)
    powers = [(abs(scan.probe.values) ** 2).sum() for scan in (first, second)]
    assert powers == pytest.approx([100, 60], rel=0.1)  # electrons per pattern
    assert second.attrs["offset_angstrom"] == list(OFFSET)
    assert second.attrs["defocus_angstrom"] == 160
    assert (abs(second.probe.values[1]) ** 2).sum() / powers[1] != pytest.approx(0.02, rel=1e-3)  # both probes moved


@pytest.mark.parametrize("engine", [{"threads": 1}, {"cache_gib": 0}, {"cache_gib": 10e3 / 2**30}], ids=str)
@pytest.mark.parametrize("name", ["whole", "tiles"])
def test_threads_and_caches_change_no_bit(pair, references, name, engine):
    job = {**JOBS[name], "engine": {**JOBS[name]["engine"], **engine}}
    assert all_bits(ptychodask.reconstruct(pair, job)) == all_bits(references[name])


@pytest.mark.distributed
@pytest.mark.parametrize("name", JOBS)
def test_worker_processes_change_no_bit(pair, references, two_workers, name):
    assert all_bits(ptychodask.reconstruct(pair, JOBS[name], two_workers)) == all_bits(references[name])


@pytest.mark.parametrize("name", ["tiles", "tangent"])
def test_tiles_give_the_answer_of_the_whole_object(pair, references, name):
    job = {**JOBS[name], "engine": JOB["engine"]}
    whole, tiled = ptychodask.reconstruct(pair, job), references[name]
    assert bits(tiled) != bits(whole)  # sums are taken in another order: this really was another way
    for one, other in ((whole.object, tiled.object), (whole.scans[1].probe, tiled.scans[1].probe)):
        np.testing.assert_allclose(other, one, rtol=0, atol=2e-5 * float(abs(one).max()))


def test_the_plain_kernels_give_the_same_image(pair, references):
    plain = ptychodask.reconstruct(pair, {**JOB, "engine": {**JOB["engine"], "backend": "numpy"}})
    whole = references["whole"]
    assert bits(whole) != bits(plain)
    pairs = [(whole.object, plain.object)]
    pairs += [(one.probe, other.probe) for one, other in zip(whole.scans, plain.scans, strict=True)]
    for one, other in pairs:
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-4 * float(abs(one).max()))


@pytest.mark.parametrize("stop", [1, 5, 10])
@pytest.mark.parametrize("name", ["whole", "tiles", "spectral"])
def test_interrupt_and_resume_change_no_bit(pair, references, tmp_path, name, stop):
    target = tmp_path / "result.zarr"
    stop = min(stop, len(references[name].history))
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(pair, JOBS[name], output=target, progress=Recorder(stop))
    resumed = ptychodask.resume(target)
    assert all_bits(resumed) == all_bits(references[name])
    assert not RunFolder.of(target).path.exists()
    np.testing.assert_array_equal(resumed.history["loss"], references[name].history["loss"])


@pytest.mark.distributed
def test_a_killed_worker_changes_no_bit(pair, references):
    killed = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):

        def kill(event, values):
            if event == "iteration" and values["iteration"] == 3 and not killed:
                killed.append(min(client.run(os.getpid).values()))
                os.kill(killed[0], signal.SIGKILL)

        result = ptychodask.reconstruct(pair, JOB, client, progress=kill)
    assert killed
    assert all_bits(result) == all_bits(references["whole"])


def test_a_run_goes_on_with_the_same_datasets_only(pair, tmp_path):
    target = tmp_path / "result.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(pair, JOB, output=target, progress=Recorder(2))
    with pytest.raises(InputError, match="--data names one dataset, and this run has several"):
        ptychodask.resume(target, data=pair[0])
    held = pair[1].rename(pair[1].with_name("held.zarr"))
    try:
        with pytest.raises(InputError, match=r"second\.zarr does not exist"):
            ptychodask.resume(target)
    finally:
        held.rename(pair[1])
    assert all_bits(ptychodask.resume(target))


def test_a_list_of_one_scan_has_the_bits_of_the_scan(pair):
    job = {**JOB, "data": {}}
    assert bits(ptychodask.reconstruct([pair[0]], job)) == bits(ptychodask.reconstruct(pair[0], job))
