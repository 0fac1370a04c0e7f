"""Will it run here, and on what? What a machine or a cluster has, what is wrong with it, and what would be used."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement

from .._errors import InputError
from .._numba import unusual_places
from .._processor import cuda_version, processor
from .._tables import counted, table
from ..distributed.cluster import ALLOCATOR, Client, connect, describe, has_dask_cuda, has_ucx
from ..distributed.machine import cores, cuda_devices, memory_limit, spill_folder, worker_versions
from ..kernels.gpu.device import device_trouble
from ..model.config import EngineConfig
from .recipe import kernels

OPTIONAL = {
    "cupy": "CUDA devices: pip install 'ptychodask[cuda12]' or [cuda13]",
    "dask-cuda": "one worker per GPU (--gpus): pip install 'ptychodask[cuda12]' or [cuda13]",
    "distributed-ucxx": "UCX between workers (engine.protocol = ucx)",
    "abtem": "simulation: pip install 'ptychodask[simulate]'",
}
SAME = ("ptychodask", "numpy", "scipy", "numba", "zarr", "dask", "distributed", "cloudpickle", "msgpack")
"""What must be the same everywhere: the bits of a result, and what Dask sends, depend on it."""
TRIM = "MALLOC_TRIM_THRESHOLD_"
ROOM_GIB, MEMORY_GIB = 1.0, 2.0
"""Free space for spilling, and memory, below which something is wrong."""


@dataclass(frozen=True)
class Check:
    """One line of the diagnosis; ``ok`` is None where there is nothing to judge."""

    topic: str
    name: str
    value: str
    ok: bool | None = None
    remark: str = ""


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """All lines, and in one what would be used."""

    checks: tuple[Check, ...]
    use: str

    def __repr__(self) -> str:
        wrong = [check.name for check in self.checks if check.ok is False]
        return f"Diagnosis({'wrong: ' + ', '.join(wrong) if wrong else 'all is well'}; would use {self.use})"

    def __str__(self) -> str:
        rows = [(f"{check.topic}: {check.name}", check.value, check.remark, check.ok) for check in self.checks]
        return f"{table(rows)}\nwould use: {self.use}"

    @property
    def ok(self) -> bool:
        """Does no check fail?"""
        return all(check.ok is not False for check in self.checks)


def diagnose(engine: EngineConfig) -> Diagnosis:
    """Look at this machine, and at the scheduler where the engine names one."""
    checks = [*_versions(), *_optional(), *_machine(), *_devices(engine)]
    if engine.scheduler is None:
        use, trouble = _use_here(engine)
    else:
        found, use, trouble = _cluster(engine)
        checks += found
    if trouble:
        checks.append(Check("use", "engine", "cannot run", False, trouble))
    return Diagnosis(tuple(checks), use)


def _versions() -> Iterator[Check]:
    yield Check("version", "ptychodask", metadata.version("ptychodask"))
    yield Check("version", "python", platform.python_version())
    for text in metadata.requires("ptychodask") or ():
        needed = Requirement(text)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        found = _version(needed.name)
        ok = found is not None and needed.specifier.contains(found, prereleases=True)
        remark = "" if ok else f"{needed.specifier} is needed: pip install '{needed.name}{needed.specifier}'"
        yield Check("version", needed.name, found or "absent", ok, remark)


def _version(name: str) -> str | None:
    """Version of a distribution; those that CUDA's version is part of the name of are found under any of them."""
    for candidate in (name, f"{name}-cuda12x", f"{name}-cuda13x", f"{name}-cu12", f"{name}-cu13"):
        try:
            return metadata.version(candidate)
        except metadata.PackageNotFoundError:
            continue
    return None


def _optional() -> Iterator[Check]:
    for name, what in OPTIONAL.items():
        found = _version(name)
        yield Check("optional", name, found or "absent", None, what)


def _machine() -> Iterator[Check]:
    yield Check("machine", "system", f"{platform.system()} {platform.release()}, {platform.machine()}")
    yield Check("machine", "processor", processor(), None, "the same bits are promised on one kind")
    yield Check("machine", "cores", f"{cores()} of {os.cpu_count()}", None, "by affinity and control group")
    memory = memory_limit() / 2**30
    enough = memory >= MEMORY_GIB
    yield Check(
        "machine", "memory limit", f"{memory:.1f} GiB", enough, "" if enough else f"{MEMORY_GIB:g} GiB are little"
    )
    places = unusual_places()
    remark = "set NUMBA_CACHE_DIR to a folder that stays: nothing can be written beside the package or at home"
    yield Check("machine", "compiled code", ", ".join(places) or "kept", None, remark if places else "")
    folder = spill_folder()
    try:
        with tempfile.TemporaryFile(dir=folder):
            room = shutil.disk_usage(folder).free / 2**30
    except OSError as error:
        remark = f"not writable ({error.strerror}): set Dask's temporary-directory to a local disk"
        yield Check("machine", "spill folder", str(folder), False, remark)
        return
    remark = f"{room:.1f} GiB free" + ("" if room >= ROOM_GIB else ": set Dask's temporary-directory to a larger disk")
    yield Check("machine", "spill folder", str(folder), room >= ROOM_GIB, remark)


def _devices(engine: EngineConfig) -> Iterator[Check]:
    wanted = engine.gpus is not None or engine.backend == "cupy"
    devices, why = cuda_devices()
    for number, device in enumerate(devices):
        memory = f"{device.free / 2**30:.1f} of {device.memory / 2**30:.1f} GiB free"
        versions = f"driver for CUDA {cuda_version(device.driver)}, runtime {cuda_version(device.runtime)}"
        yield Check("device", f"GPU {number}", device.name, True, f"{memory}; {versions}")
    if devices:
        why = device_trouble()
        remark = f"{why}: pip install 'ptychodask[cuda12]' or [cuda13] brings compiler and cuFFT" if why else ""
        yield Check("device", "kernels", "fail" if why else "compiled and run", not why, remark)
    else:
        yield Check("device", "GPU", "none", False if wanted and engine.scheduler is None else None, why)
    if engine.gpus is not None:
        found = has_dask_cuda()
        yield Check("device", "one worker per GPU", "dask-cuda" if found else "absent", found, "needs dask-cuda")
        missing = [] if engine.gpus == "all" else [n for n in engine.gpus if n >= len(devices)]
        if missing:
            yield Check("device", f"GPU {missing[0]}", "absent", False, f"engine.gpus = {list(engine.gpus)}")
    if engine.protocol == "ucx":
        found = has_ucx()
        yield Check("device", "UCX", "distributed-ucxx" if found else "absent", found, "needs distributed-ucxx")


def _use_here(engine: EngineConfig) -> tuple[str, str]:
    """What would be used on this machine, and why it cannot be."""
    try:
        backend = kernels(engine)
    except InputError as error:
        return "nothing", str(error)
    place = engine.place
    threads, count = place.threads_each(cores()), place.count(len(cuda_devices()[0]) if place.gpus == "all" else 0)
    if place.kind == "threads":
        return (
            f"backend {backend}, this process with {counted(threads, 'thread')}, in memory, listening on 127.0.0.1"
            " (dashboard only)"
        ), ""
    if place.kind == "devices":
        workers = f"{counted(count, 'worker')}, one per GPU"
    else:
        workers = counted(count, "worker process", "worker processes")
    protocol = "tls" if place.tls is not None else place.protocol or "tcp"
    return (
        f"backend {backend}, {workers}, each with {counted(threads, 'thread')}, {protocol}, listening on {place.host}",
        "",
    )


def _cluster(engine: EngineConfig) -> tuple[list[Check], str, str]:
    """Checks of a running cluster, what would be used there, and why it cannot be."""
    try:
        with connect(place=engine.place) as client:
            checks = list(_same_versions(client))
            about = describe(client)
            try:
                found = client.run(kernels, engine.model_copy(update={"scheduler": None}))
            except Exception as error:
                text = (str(error).splitlines() or [""])[0]
                return checks, "nothing", f"a worker cannot compute ({type(error).__name__}: {text})"
            checks.append(_same_processors(client, found))
            checks.append(_allocator(client))
    except InputError as error:
        return [], "nothing", str(error)
    kinds = sorted({f"backend {backend}" for backend in found.values()})
    value = f"{counted(about['workers'], 'worker')}, {counted(about['threads'], 'thread')}"
    alike = len(kinds) == 1
    remark = "" if alike else "workers differ: set engine.backend, or start only one kind"
    checks.append(Check("cluster", str(engine.scheduler), value, alike, remark))
    return checks, f"{' or '.join(kinds)}, {value} at {engine.scheduler}", ""


def _same_versions(client: Client) -> Iterator[Check]:
    versions = worker_versions(client, SAME)
    here = versions["here"]
    for name in ("python", *SAME):
        others = {place: found[name] for place, found in versions.items() if found[name] != here[name]}
        remark = "; ".join(f"{place} has {version or 'none'}" for place, version in sorted(others.items()))
        if remark:
            remark += f": install {here[name]} everywhere, a result depends on it"
        yield Check("cluster", name, here[name] or "absent", not others, remark)


def _allocator(client: Client) -> Check:
    """Do workers keep the memory of one block for the next?"""
    limits = {int(text) for text in client.run(os.environ.get, TRIM).values() if text and text.isdecimal()}
    low = bool(limits) and min(limits) < int(ALLOCATOR[TRIM])
    better = " ".join(f"{name}={value}" for name, value in ALLOCATOR.items())
    remark = f"freed memory is given back at once, which slows CPUs: start workers with {better}" if low else ""
    return Check("cluster", TRIM, " / ".join(map(str, sorted(limits))) or "glibc's own", None, remark)


def _same_processors(client: Client, backends: dict[str, str]) -> Check:
    """Do all workers compute the same bits?"""
    kinds: set[str] = set()
    for backend in set(backends.values()):
        workers = [place for place, its in backends.items() if its == backend]
        kinds |= set(client.run(processor, backend, workers=workers).values())
    different = sorted(kinds)
    remark = "" if len(different) == 1 else f"{len(different)} kinds: a result's bits depend on who computes what"
    return Check("cluster", "processor", " / ".join(different), None, remark)
