"""A dataset to which another process appends: whoever is killed, the end is that of an offline run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_scan

import ptychodask
from ptychodask._errors import InputError
from ptychodask.distributed.cluster import connect
from ptychodask.events import Arrived, Warned
from ptychodask.io.content import content_digest
from ptychodask.io.geometry import write_geometry
from ptychodask.model.scan import Detector

HEIGHT, WIDTH, BAND = 12, 8, 4
JOB = {"solver": {"iterations": 4, "finish": 1}}
WRITER = """
import sys, numpy as np, ptychodask
from test_watching_datasets import writer_of
counts = np.load(sys.argv[1])
with ptychodask.GrowingDataset(writer_of(sys.argv[2])) as scan:
    for line in sys.stdin:
        for block in scan.missing:
            if block.y1 <= int(line):
                scan.write(block, counts[block.y0 : block.y1, block.x0 : block.x1])
        print(len(scan.missing), flush=True)
"""
WATCHER = """
import sys, ptychodask
ptychodask.watch("scan.zarr", "result.zarr", {"solver": {"iterations": 4, "finish": 1}}, progress=False)
"""


def writer_of(path: str | Path, **options: Any) -> ptychodask.DatasetWriter:
    """Shards of half a row of the scan, and all that a dataset may say beside its counts."""
    mask, detector = np.ones((tiny_scan.N,) * 2), Detector(tiny_scan.N, tiny_scan.STEP_MRAD)
    mask[0, 1] = 0
    said = {"dtype": "uint8", "chunks": (BAND, WIDTH // 2), "mask": mask, "attributes": {"specimen": "x"}, **options}
    return ptychodask.DatasetWriter(path, (HEIGHT, WIDTH), tiny_scan.MICROSCOPE, detector, 1.0, **said)


class Writer:
    """A process that appends shards, as far as it is told."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", WRITER, str(folder / "counts.npy"), str(folder / "scan.zarr")]
        path = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
        )

    def to(self, rows: int) -> None:
        print(rows, file=self.process.stdin, flush=True)
        assert int(self.process.stdout.readline()) == (HEIGHT - rows) // BAND * 2

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0


@pytest.fixture(scope="module")
def client():
    with connect() as made:
        yield made


@pytest.fixture(scope="module")
def whole(tmp_path_factory, client) -> Path:
    """The dataset as it will be, written at once, and its reconstruction."""
    folder = tmp_path_factory.mktemp("whole")
    expected, _ = tiny_scan.expected_counts((HEIGHT, WIDTH), 1.0, 100.0, tiny_scan.PEAKS)
    np.save(folder / "counts.npy", counts := np.random.default_rng(0).poisson(expected).astype(np.uint8))
    with writer_of(folder / "scan.zarr") as writer:
        for block in writer.blocks:
            writer.write(block, counts[block.y0 : block.y1, block.x0 : block.x1])
    ptychodask.reconstruct(folder / "scan.zarr", JOB, client, output=folder / "result.zarr", progress=lambda _: None)
    return folder


@pytest.fixture
def start(whole, tmp_path):
    (tmp_path / "counts.npy").write_bytes((whole / "counts.npy").read_bytes())
    started: list[Writer] = []

    def make() -> Writer:
        started.append(Writer(tmp_path))
        return started[-1]

    yield make
    for one in started:
        one.kill()


@pytest.fixture
def watched(client):
    def call(folder: Path, told: Any, patience: float = 60.0, **options: Any) -> Any:
        return ptychodask.watch(
            folder / "scan.zarr", folder / "result.zarr", JOB, client=client, progress=told, patience_seconds=patience,
            **options,
        )  # fmt: skip

    return call


def told_to(at: dict[int, Any]) -> tuple[list[Any], Any]:
    """Events, and an observer that calls these at the round of so many rows."""
    events: list[Any] = []

    def told(event: Any) -> None:
        events.append(event)
        if isinstance(event, Arrived) and event.rows in at:
            at.pop(event.rows)()

    return events, told


def bits(path: Path) -> tuple[bytes, bytes]:
    return tiny_scan.bits(ptychodask.open_result(path))


def assert_as_offline(folder: Path, whole: Path) -> None:
    for name in ("scan.zarr", "result-scan.zarr"):
        assert content_digest(folder / name) == content_digest(whole / "scan.zarr")
        mine, offline = (ptychodask.open_dataset(path).attrs for path in (folder / name, whole / "scan.zarr"))
        assert {**mine, "path": ""} == {**offline, "path": ""}
    assert bits(folder / "result.zarr") == bits(whole / "result.zarr")
    assert not list(folder.glob("*.growing")) and not list(folder.glob("*.run"))


def test_the_writer_is_killed_and_restarted(watched, whole, start, tmp_path):
    first = start()
    first.to(BAND)

    def again() -> None:
        first.kill()
        second = start()
        second.to(2 * BAND)  # it finds two shards there
        second.to(HEIGHT)
        second.end()

    events, told = told_to({BAND: again})
    watched(tmp_path, told)
    assert_as_offline(tmp_path, whole)
    rows = [event.rows for event in events if isinstance(event, Arrived)]
    assert rows[0] == BAND and rows[-1] == HEIGHT


def test_the_watcher_is_killed_and_resumed(watched, whole, start, tmp_path):
    """Meanwhile the dataset becomes whole and goes to its place."""
    writer = start()
    writer.to(2 * BAND)
    growing = tmp_path / "result-scan.zarr.growing"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", WATCHER], cwd=tmp_path, env=env) as process:
        deadline = time.monotonic() + 120
        while not list(growing.glob("iteration-*.zarr")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    shard = growing / "scan.zarr" / "counts" / "c" / "0" / "0" / "0" / "0"
    written = shard.stat()
    writer.to(HEIGHT)
    writer.end()
    watched(tmp_path, lambda event: None)
    assert_as_offline(tmp_path, whole)
    kept = (tmp_path / "result-scan.zarr" / "counts" / "c" / "0" / "0" / "0" / "0").stat()
    assert (kept.st_ino, kept.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


def test_a_writer_that_stops(watched, whole, start, tmp_path):
    """What it listed is finished; what it leaves can still be written to its end."""
    start().to(2 * BAND)
    events, told = told_to({})
    watched(tmp_path, told, patience=1.0)
    warnings = "\n".join(event.text for event in events if isinstance(event, Warned))
    assert f"scan.zarr has not grown for 1 s: {2 * BAND} of {HEIGHT} rows were imported before" in warnings
    made, offline = (ptychodask.open_dataset(p) for p in (tmp_path / "result-scan.zarr", whole / "scan.zarr"))
    np.testing.assert_array_equal(made.counts.values, offline.counts.values[: 2 * BAND])


def test_a_dataset_that_is_another(watched, start, tmp_path):
    writer = start()
    writer.to(BAND)

    def replaced() -> None:
        writer.kill()
        counts = np.load(tmp_path / "counts.npy")[::-1]
        with pytest.raises(InputError, match="holds shards of another writer: give the same arguments, or overwrite"):
            ptychodask.GrowingDataset(writer_of(tmp_path / "scan.zarr", attributes={})).__enter__()
        with ptychodask.GrowingDataset(writer_of(tmp_path / "scan.zarr", attributes={}, overwrite=True)) as scan:
            for block in scan.missing:
                scan.write(block, counts[block.y0 : block.y1, block.x0 : block.x1])

    events, told = told_to({BAND: replaced})
    watched(tmp_path, told)
    warnings = "\n".join(event.text for event in events if isinstance(event, Warned))
    assert "scan.zarr was replaced by another file: 4 of 12 rows were imported before" in warnings


def test_what_cannot_be_followed_is_one_line(watched, whole, tmp_path):
    with pytest.raises(InputError, match=r"scan.zarr did not appear within 0.5 s"):
        watched(tmp_path, False, patience=0.5)
    with pytest.raises(InputError, match="says all of its scan itself: leave energy_ev, flip out"):
        watched(tmp_path, False, energy_ev=300e3, flip=True)
    with pytest.raises(InputError, match=r"scan.zarr is what is watched: give another --data"):
        watched(tmp_path, False, data=tmp_path / "scan.zarr")
    (tmp_path / "scan.zarr").mkdir()
    with pytest.raises(InputError, match=r"scan.zarr (is no|lacks|holds)"):
        watched(tmp_path, False, patience=0.5)


def test_a_dataset_that_was_calibrated_is_for_reconstruct(watched, whole, tmp_path):
    """Its copy would not know."""
    shutil.copytree(whole / "scan.zarr", tmp_path / "scan.zarr")
    write_geometry(tmp_path / "scan.zarr", np.eye(2, 3), {"C10": -90.0}, {"values": {}})
    with pytest.raises(InputError, match=r"is whole and has a calibration: give it to 'ptychodask reconstruct'"):
        watched(tmp_path, False, patience=0.5)
