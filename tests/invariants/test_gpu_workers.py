"""Whole runs on a CUDA device: in threads, in processes that share it, by dask-cuda, killed and resumed: same bits."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import tiny_scan
from distributed import Client, LocalCluster
from tiny_scan import BLUR, MICROSCOPE, PIXEL, Recorder, bits, write_scan

import ptychodask
from ptychodask._array import cupy_available
from ptychodask.kernels.gpu.cuda import TILES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not cupy_available(), reason="no CUDA device with CuPy"),
]

JOB = {
    "object": {**BLUR["object"], "slices": 2, "thickness_angstrom": 20.0},
    "probe": {"modes": 2, "update_start": 2},
    "solver": {"iterations": 10, "finish": 2, "patience": 20},
    "engine": {"backend": "cupy", "checkpoint_every": 3},
}


def job(**engine):
    return {**JOB, "engine": {**JOB["engine"], **engine}}


@pytest.fixture(scope="module", params=[32, 64], ids=["cufft", "chain"])
def scan(tmp_path_factory, request):
    """One for each way through the slices."""
    n = request.param
    assert (n in TILES) == (n == 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_scan, "N", n)
        angle = MICROSCOPE.wavelength / (n * PIXEL) * 1e3
        return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", angular_step_mrad=angle)


@pytest.fixture(scope="module")
def reference(scan):
    return bits(ptychodask.reconstruct(scan, job(threads=1)))


def test_the_cpu_comes_to_the_same_image(scan, reference):
    cpu = ptychodask.reconstruct(scan, job(backend="cpu"))
    found = np.frombuffer(reference[0], np.float32).reshape(cpu.object.shape)
    scale = np.abs(cpu.object.values).max()
    assert scale > 0.1
    np.testing.assert_allclose(found, cpu.object.values, atol=1e-3 * scale)


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_no_bit(scan, reference, threads):
    assert bits(ptychodask.reconstruct(scan, job(threads=threads))) == reference


@pytest.mark.distributed
@pytest.mark.parametrize("workers", [1, 3])
def test_processes_that_share_the_device_change_no_bit(scan, reference, workers):
    assert bits(ptychodask.reconstruct(scan, job(workers=workers))) == reference


@pytest.mark.distributed
def test_a_worker_of_dask_cuda_changes_no_bit(scan, reference):
    pytest.importorskip("dask_cuda")
    assert bits(ptychodask.reconstruct(scan, job(gpus="all"))) == reference


@pytest.mark.distributed
def test_a_killed_worker_changes_no_bit(scan, reference):
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        pids = list(client.run(os.getpid).values())
        killed = []

        def kill(event, values):
            if event == "iteration" and values["iteration"] == 4 and not killed:
                killed.append(pids[0])
                os.kill(pids[0], signal.SIGKILL)

        assert bits(ptychodask.reconstruct(scan, JOB, client, progress=kill)) == reference
        assert killed


def test_interrupted_and_resumed_no_bit_changes(scan, reference, tmp_path):
    target = tmp_path / "result.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, JOB, output=target, progress=Recorder(5))
    assert bits(ptychodask.resume(target)) == reference
