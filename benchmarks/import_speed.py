"""What does an import cost beyond reading the file and packing what is in it?

Counts of 100 electrons per pattern as a Merlin file (16 bit, big-endian), a NumPy array and HDF5 chunks, of two sizes.
``ptychodask.import_data`` is timed in a process of its own whose kernels are compiled, the file in the system's cache
or not (its pages are given up first). Beside it the least that such an import has to do, on as many threads: to read
all bytes, and to pack all numbers with the codec of the dataset (Blosc: zstd, bit shuffle) into one file.

What the JSON holds for every file: ``patterns``, ``file_mib``, ``seconds``, ``cpu_seconds``, ``more_mib`` (peak memory
of the process above that before the import), ``floor_seconds`` of the least and ``share``, the floor over the import.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numcodecs import Blosc
from record import arguments, machine, save

import ptychodask

QUESTION = "an import over the least that it has to do: read the file and pack its numbers"
PIXELS, AT_ONCE = 128, 256
KNOWN: dict[str, Any] = {
    "energy_ev": 300e3,
    "semi_angle_mrad": 10.0,
    "scan_step_angstrom": 1.0,
    "angular_step_mrad": 0.47,
}


def counts(side: int) -> np.ndarray:
    """A hundred electrons in a disk, per pattern; a few thousand patterns again and again."""
    k = np.hypot(*np.meshgrid(*2 * [np.arange(PIXELS) - PIXELS // 2], indexing="ij"))
    disk = np.where(k < 21, 1.0, 0.0)
    some = np.random.default_rng(0).poisson(100 * disk / disk.sum(), (min(side**2, 1024), PIXELS, PIXELS))
    return np.resize(some.astype(np.uint16), (side, side, PIXELS, PIXELS))


def merlin(folder: Path, values: np.ndarray) -> Path:
    path = folder / "scan.mib"
    head = ["MQ1", "000001", "00384", "01", f"{PIXELS:04d}", f"{PIXELS:04d}", "U16", "1x1", "01",
            "2024-07-02 13:49:15.390226", "0.001000", "0", "0", "0", *["511"] * 20, "MQ1A",
            "2024-07-02T11:49:15.390226675Z", "1000000ns", "12", ""]  # fmt: skip
    frames = np.zeros(values.shape[0] * values.shape[1], [("head", "S384"), ("frame", ">u2", values.shape[2:])])
    frames["head"], frames["frame"] = ",".join(head).encode().ljust(384, b"\0"), values.reshape(-1, *values.shape[2:])
    frames.tofile(path)
    lines = ["HDR,\t", f"ScanX:\t{values.shape[1]}", f"ScanY:\t{values.shape[0]}", "Counter Depth (number):\t12", "End"]
    path.with_suffix(".hdr").write_text("\n".join(lines))
    return path


def npy(folder: Path, values: np.ndarray) -> Path:
    np.save(folder / "scan.npy", values)
    return folder / "scan.npy"


def hdf5(folder: Path, values: np.ndarray) -> Path:
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_dataset("data", data=values, chunks=(1, values.shape[1], *values.shape[2:]))
    return folder / "scan.h5"


FILES: tuple[Callable[[Path, np.ndarray], Path], ...] = (merlin, npy, hdf5)


def _cold(path: Path) -> None:
    """Give up the pages of a file, so that the disk is asked."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def once(path: str, small: str, out: str) -> None:
    """Import, in this process."""
    ptychodask.import_data(small, Path(out).with_name("warm.zarr"), progress=False, **KNOWN)
    before, cpu, began = _peak(), time.process_time(), time.perf_counter()
    ptychodask.import_data(path, Path(out).with_name("scan.zarr"), progress=False, **KNOWN)
    found = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    Path(out).write_text(json.dumps({**found, "more_mib": _peak() - before}))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def floor(path: Path, patterns: int, to: Path) -> float:
    """Seconds to read a file and to pack as many numbers, ``AT_ONCE`` patterns at a time on all threads."""
    frame = PIXELS**2 * 2
    ahead = path.stat().st_size - patterns * frame  # whatever else is in it, here all at the beginning
    codec = Blosc("zstd", 5, Blosc.BITSHUFFLE)

    def packed(first: int) -> bytes:
        many = min(AT_ONCE, patterns - first)
        with path.open("rb", buffering=0) as file:
            file.seek(ahead + first * frame)
            numbers = np.frombuffer(file.read(many * frame), "<u2")
        return codec.encode(numbers.astype(np.uint8))  # type: ignore[no-any-return]

    began = time.perf_counter()
    with ThreadPoolExecutor(machine()["cores"]) as pool, to.open("wb") as file:
        for chunk in pool.map(packed, range(0, patterns, AT_ONCE)):
            file.write(chunk)
    return time.perf_counter() - began


def measured(write: Callable[[Path, np.ndarray], Path], side: int, cold: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name), Path(name) / "found.json"
        (folder / "small").mkdir()
        path, small = write(folder, counts(side)), write(folder / "small", counts(8))
        least = []
        for turn in (0, 1):
            if cold:
                _cold(path)
            least.append(floor(path, side**2, folder / f"floor{turn}"))
        if cold:
            _cold(path)
        process = multiprocessing.get_context("spawn").Process(target=once, args=(str(path), str(small), str(out)))
        process.start()
        process.join()
        found = json.loads(out.read_text())
        size = path.stat().st_size / 2**20
    return {"file": write.__name__, "cold": cold, "patterns": side**2, "file_mib": size, **found,
            "floor_seconds": min(least), "share": min(least) / found["seconds"]}  # fmt: skip


def main() -> None:
    options = arguments(QUESTION)
    cases = (
        [(FILES[1], 8, False)] if options.tiny else [(f, s, c) for f in FILES for s in (64, 160) for c in (False, True)]
    )
    save("import_speed", QUESTION, [measured(*case) for case in cases], options)


if __name__ == "__main__":
    main()
