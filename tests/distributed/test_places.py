"""Places to run that not every machine has: GPUs, UCX, other addresses, encrypted schedulers."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import weakref
from types import ModuleType

import pytest
from distributed import LocalCluster
from fault_tools import dask_processes

from ptychodask import InputError, JobConfig
from ptychodask.distributed import cluster as cluster_module
from ptychodask.distributed.cluster import connect
from ptychodask.jobs.recipe import kernels
from ptychodask.model.place import Place


@pytest.fixture
def gpu_clusters(monkeypatch):
    """A stand-in for dask_cuda that records how it is called and starts threads."""
    calls = []

    class Fake(LocalCluster):
        def __init__(self, CUDA_VISIBLE_DEVICES=None, threads_per_worker=1, **options):
            calls.append({"devices": CUDA_VISIBLE_DEVICES, "threads": threads_per_worker, **options})
            super().__init__(n_workers=1, processes=False, dashboard_address="127.0.0.1:0")

    module = ModuleType("dask_cuda")
    module.LocalCUDACluster = Fake
    monkeypatch.setitem(sys.modules, "dask_cuda", module)
    return calls


@pytest.mark.parametrize(("asked", "devices"), [("all", None), ([0, 1], [0, 1]), ("0,1", [0, 1]), ("3", [3]), (2, [2])])
def test_one_worker_per_gpu_on_loopback(gpu_clusters, asked, devices):
    with connect(place=place_of(gpus=asked)) as client:
        assert client.submit(int, 3).result() == 3
    (call,) = gpu_clusters
    assert call["devices"] == devices and call["threads"] == 1 and call["host"] == "127.0.0.1"
    assert call["protocol"] is None and call["preload"] == [cluster_module.PRELOAD]
    assert call["dashboard_address"].startswith("127.0.0.1") and "n_workers" not in call


def test_ucx_is_used_where_it_is_installed_and_asked_for(gpu_clusters, monkeypatch):
    monkeypatch.setattr(cluster_module, "has_ucx", lambda: True)
    with connect(place=place_of(gpus="all", protocol="ucx", host="10.0.0.1", threads=2)):
        pass
    assert (gpu_clusters[0]["protocol"], gpu_clusters[0]["host"], gpu_clusters[0]["threads"]) == ("ucx", "10.0.0.1", 2)


def test_ucx_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setattr(cluster_module, "has_ucx", lambda: False)
    with (
        pytest.raises(InputError, match="needs distributed-ucxx: pip install"),
        connect(place=place_of(workers=1, protocol="ucx")),
    ):
        pass


def test_dask_cuda_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_cuda", None)
    with (
        pytest.raises(InputError, match=r"dask-cuda.*pip install 'ptychodask\[cuda12\]'"),
        connect(place=place_of(gpus="all")),
    ):
        pass


def test_dask_cuda_is_imported_only_where_gpus_are_asked_for(gpu_clusters):
    with connect():
        pass
    assert gpu_clusters == []


def test_gpus_without_a_device_are_an_error_and_not_slow(monkeypatch):
    monkeypatch.setattr("ptychodask._array.cupy_available", lambda: False)
    engine = JobConfig.parse({"engine": {"gpus": "all"}}).engine
    with pytest.raises(InputError, match="no CUDA device"):
        kernels(engine)


def place_of(**options):
    """As a job says it."""
    return JobConfig.parse({"engine": options}).engine.place


BAD = [
    ({"workers": 2, "scheduler": "tcp://a:1"}, "engine.workers and engine.scheduler are two places"),
    ({"workers": 2, "gpus": "all"}, "engine.workers and engine.gpus are two places"),
    ({"gpus": []}, "give device numbers"),
    ({"gpus": [-1]}, "give device numbers"),
    ({"gpus": "0,a"}, "engine.gpus"),
    ({"gpus": "all", "backend": "numpy"}, "engine.gpus runs the backend cupy"),
    ({"host": "0.0.0.0"}, "of workers of our own"),
    ({"protocol": "ucx"}, "of workers of our own"),
    ({"protocol": "mpi"}, "engine.protocol"),
    ({"scheduler": "tls://a:1", "tls_cert": "a"}, "TLS needs all of"),
    ({"scheduler": "tcp://a:1", "tls_ca_file": "a", "tls_cert": "a", "tls_key": "a"}, "tls://"),
    ({"tls_ca_file": "a", "tls_cert": "a", "tls_key": "a"}, "tls://"),
    ({"workers": 1, "protocol": "ucx", "tls_ca_file": "a", "tls_cert": "a", "tls_key": "a"}, "cannot be encrypted"),
    ({"workers": 1, "tls_ca_file": "absent", "tls_cert": "absent", "tls_key": "absent"}, "PEM files that belong"),
    ({"workers": 1, "host": "203.0.113.7"}, "no workers can be started here"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[message for _, message in BAD])
def test_what_cannot_be_is_one_line(options, message):
    with pytest.raises(InputError, match=message) as error, connect(place=place_of(**options)):
        pass
    assert "\n" not in str(error.value)


def test_an_error_without_a_text_says_where_it_was_raised(monkeypatch):
    def start(**options):
        raise AssertionError

    monkeypatch.setattr(cluster_module, "LocalCluster", start)
    with pytest.raises(InputError, match=r"AssertionError: line \d+ of .*test_places.py"):
        cluster_module._cluster(Place())


@pytest.fixture
def half_made(monkeypatch):
    """Clients and clusters that were begun; nothing is collected unless it is asked for."""
    begun = []

    def remembers(kind):
        def make(*arguments, **options):
            made = kind.__new__(kind)
            begun.append(weakref.ref(made))
            made.__init__(*arguments, **options)
            return made

        return make

    for name in ("Client", "LocalCluster"):
        monkeypatch.setattr(cluster_module, name, remembers(getattr(cluster_module, name)))
    gc.disable()
    yield begun
    gc.enable()


def test_a_cluster_that_cannot_start_is_gone_at_once(half_made):
    """Collected while another one starts, its closing would wait for that for ever."""
    with pytest.raises(InputError, match="no workers can be started"), connect(place=place_of(**BAD[-1][0])):
        pass
    assert [its() for its in half_made] == [None]


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A certificate that is its own authority, as the three options; and one of somebody else."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("tls")

    def make(name):
        key, certificate = str(folder / f"{name}.key"), str(folder / f"{name}.pem")
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
        subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        return {"tls_ca_file": certificate, "tls_cert": certificate, "tls_key": key}

    return make("ours"), make("theirs")


@pytest.mark.distributed
def test_an_encrypted_scheduler_takes_those_with_a_certificate(tls, tmp_path, monkeypatch, half_made):
    ours, theirs = tls
    options = [f"--tls-ca-file={ours['tls_ca_file']}", f"--tls-cert={ours['tls_cert']}", f"--tls-key={ours['tls_key']}"]
    with dask_processes(tmp_path, 1, ("--protocol", "tls", *options)) as running:
        assert running.address.startswith("tls://127.0.0.1:")
        with connect(place=place_of(scheduler=running.address, **ours)) as client:
            assert client.submit(os.getpid).result() == running.workers[0].pid
        monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 1)
        for wrong in (theirs, {}):
            with (
                pytest.raises(InputError, match=r"no Dask scheduler answers.*certificates"),
                connect(place=place_of(scheduler=running.address, **wrong)),
            ):
                pass
            assert half_made.pop()() is None, "as for clusters"


@pytest.mark.distributed
def test_workers_of_our_own_speak_tls(tls):
    with connect(place=place_of(workers=1, threads=1, **tls[0])) as client:
        assert client.scheduler_info(n_workers=-1)["address"].startswith("tls://127.0.0.1:")
        assert client.submit(int, 3).result() == 3
