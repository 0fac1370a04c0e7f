"""The diagnosis: what is wrong is found, and what would be used is what a run uses."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from distributed import LocalCluster

from ptychodask.distributed import machine
from ptychodask.distributed.machine import Device
from ptychodask.jobs import doctor
from ptychodask.jobs.doctor import diagnose
from ptychodask.model.config import EngineConfig


def named(found, name):
    (check,) = [check for check in found.checks if check.name == name]
    return check


def test_a_sound_machine():
    found = diagnose(EngineConfig(threads=2))
    assert found.ok, [check for check in found.checks if check.ok is False]
    assert named(found, "zarr").ok and named(found, "cores").value.startswith(f"{machine.cores()} of")
    assert "this process with 2 threads, in memory" in found.use and "127.0.0.1" in found.use


def test_workers_and_where_they_listen():
    found = diagnose(EngineConfig(workers=3, threads=2, host="10.1.2.3"))
    assert "3 worker processes, each with 2 threads, tcp, listening on 10.1.2.3" in found.use
    assert "1 worker process, each with 1 thread, " in diagnose(EngineConfig(workers=1, threads=1)).use


def test_a_library_that_is_too_old(monkeypatch):
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: "2.18.0" if name == "zarr" else version(name))
    found = diagnose(EngineConfig())
    assert not found.ok and named(found, "zarr").ok is False
    assert "pip install 'zarr>=3.1.6'" in named(found, "zarr").remark


def test_little_memory_and_no_place_to_spill(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "memory_limit", lambda: 2**30)
    monkeypatch.setattr(doctor, "spill_folder", lambda: tmp_path / "absent")
    found = diagnose(EngineConfig())
    assert named(found, "memory limit").ok is False and named(found, "memory limit").value == "1.0 GiB"
    assert named(found, "spill folder").ok is False and "temporary-directory" in named(found, "spill folder").remark


def test_gpus_that_are_not_there(monkeypatch):
    monkeypatch.setattr(doctor, "cuda_devices", lambda: ([], "CuPy is not installed"))
    monkeypatch.setattr(doctor, "has_dask_cuda", lambda: False)
    monkeypatch.setattr("ptychodask._array.cupy_available", lambda: False)
    found = diagnose(EngineConfig(gpus="all"))
    assert not found.ok and found.use == "nothing"
    assert named(found, "GPU").remark == "CuPy is not installed" and named(found, "one worker per GPU").ok is False
    assert diagnose(EngineConfig()).ok  # nobody asked for one


def test_gpus_that_are_there(monkeypatch):
    devices = [Device("A100", 40 * 2**30, 39 * 2**30, 12040, 12020), Device("A100", 40 * 2**30, 2**30, 12040, 12020)]
    monkeypatch.setattr(doctor, "cuda_devices", lambda: (devices, ""))
    monkeypatch.setattr(doctor, "has_dask_cuda", lambda: True)
    monkeypatch.setattr(doctor, "kernels", lambda engine: "cupy")
    monkeypatch.setattr(doctor, "device_trouble", lambda: "")
    found = diagnose(EngineConfig(gpus="all"))
    assert found.ok and "backend cupy, 2 workers, one per GPU" in found.use
    assert named(found, "GPU 1").remark == "1.0 of 40.0 GiB free; driver for CUDA 12.4, runtime 12.2"
    assert not diagnose(EngineConfig(gpus=(0, 2))).ok
    monkeypatch.setattr(doctor, "device_trouble", lambda: "RuntimeError: libnvrtc.so.12 is absent")
    found = diagnose(EngineConfig(gpus="all"))
    assert not found.ok and "libnvrtc.so.12 is absent: pip install" in named(found, "kernels").remark


def test_devices_are_found_by_cupy(monkeypatch):
    class Number:
        def __init__(self, number):
            self.number = number

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    runtime = SimpleNamespace(
        getDeviceCount=lambda: 2, memGetInfo=lambda: (1, 2), getDeviceProperties=lambda n: {"name": b"A%d" % n},
        driverGetVersion=lambda: 12040, runtimeGetVersion=lambda: 12020,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime, Device=Number)))
    assert machine.cuda_devices() == ([Device(f"A{n}", 2, 1, 12040, 12020) for n in (0, 1)], "")

    def broken():
        raise RuntimeError("cudaErrorInsufficientDriver: too old\nmore")

    monkeypatch.setattr(runtime, "getDeviceCount", broken)
    assert machine.cuda_devices() == ([], "CuPy finds no usable device (cudaErrorInsufficientDriver: too old)")
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert machine.cuda_devices()[0] == []


def test_a_cluster_and_a_version_that_differs(monkeypatch):
    with LocalCluster(
        n_workers=1, threads_per_worker=2, protocol="tcp", processes=False, host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as cluster:  # fmt: skip
        engine = EngineConfig(scheduler=cluster.scheduler_address)
        found = diagnose(engine)
        assert found.ok, [check for check in found.checks if check.ok is False]
        assert f"1 worker, 2 threads at {cluster.scheduler_address}" in found.use
        monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")  # as Dask starts its workers
        (low,) = [check for check in diagnose(engine).checks if check.name == "MALLOC_TRIM_THRESHOLD_"]
        assert low.value == "65536" and "MALLOC_TRIM_THRESHOLD_=67108864" in low.remark
        monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
        (own,) = [check for check in diagnose(engine).checks if check.name == "MALLOC_TRIM_THRESHOLD_"]
        assert (own.value, own.remark) == ("glibc's own", "")
        versions = doctor.worker_versions

        def other(client, packages):
            seen = versions(client, packages)
            return {place: {**v, "numpy": v["numpy"] if place == "here" else "1.26.4"} for place, v in seen.items()}

        monkeypatch.setattr(doctor, "worker_versions", other)
        found = diagnose(engine)
        (check,) = [c for c in found.checks if c.topic == "cluster" and c.name == "numpy"]
        assert not found.ok and check.ok is False
        assert f"scheduler has 1.26.4; {next(iter(cluster.workers.values())).address} has 1.26.4" in check.remark


def test_a_scheduler_that_does_not_answer(monkeypatch):
    monkeypatch.setattr("ptychodask.distributed.cluster.CONNECT_SECONDS", 1)
    found = diagnose(EngineConfig(scheduler="tcp://127.0.0.1:9"))
    assert not found.ok and found.use == "nothing"
    assert "no Dask scheduler answers" in found.checks[-1].remark
