"""A scan that grows: writers killed and restarted, watchers killed and resumed, files that end as they should not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_scan

import ptychodask
from ptychodask._errors import InputError
from ptychodask.distributed.cluster import connect
from ptychodask.events import Arrived, Checkpointed, Iterated, Refined, Started, Waiting, Warned
from ptychodask.io.content import content_digest
from ptychodask.io.dataset import dataset_info
from ptychodask.io.geometry import write_geometry
from ptychodask.jobs.watching import calibrated

HEIGHT, WIDTH, BAND = 12, 8, 4
JOB = {"solver": {"iterations": 4, "finish": 1}}
OPTIONS = {**tiny_scan.OPTICS, "scan_step_angstrom": 1.0, "chunks": (BAND, WIDTH)}
WRITER = """
import sys
source, target = open(sys.argv[1], "rb").read(), open(sys.argv[2], "ab")
for line in sys.stdin:
    target.write(source[target.tell():int(line)])
    target.flush()
    print("written", flush=True)
"""
WATCHER = """
import json, sys, ptychodask
path, output, job, options = sys.argv[1], sys.argv[2], *map(json.loads, sys.argv[3:])
options["chunks"] = tuple(options["chunks"])
ptychodask.watch(path, output, job, progress=False, **options)
"""


class Writer:
    """A process that appends to the file, as far as it is told."""

    def __init__(self, source: Path, target: Path) -> None:
        self.header = source.stat().st_size - HEIGHT * WIDTH * tiny_scan.N**2
        command = [sys.executable, "-c", WRITER, str(source), str(target)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def to(self, rows: float) -> None:
        """Append up to so many rows of the scan."""
        size = self.header + int(rows * WIDTH * tiny_scan.N**2)
        print(size, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "written\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def client():
    with connect() as made:
        yield made


@pytest.fixture(scope="module")
def whole(tmp_path_factory, client) -> Path:
    """The file as it will be, the dataset that an import makes of it, and its reconstruction."""
    folder = tmp_path_factory.mktemp("whole")
    expected, _ = tiny_scan.expected_counts((HEIGHT, WIDTH), 1.0, 100.0, tiny_scan.PEAKS)
    np.save(folder / "scan.npy", np.random.default_rng(0).poisson(expected).astype(np.uint8))
    ptychodask.import_data(folder / "scan.npy", folder / "scan.zarr", client=client, **OPTIONS)
    ptychodask.reconstruct(
        folder / "scan.zarr", JOB, client, output=folder / "result.zarr", progress=lambda event: None
    )
    return folder


@pytest.fixture
def writer(whole, tmp_path):
    started: list[Writer] = []

    def start() -> Writer:
        started.append(Writer(whole / "scan.npy", tmp_path / "scan.npy"))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def watched(client):
    """Watches ``scan.npy`` in a folder."""

    def call(folder: Path, told: Any, job: Any = JOB, **options: Any) -> Any:
        options = {"patience_seconds": 60.0, **OPTIONS, **options}
        path, target = folder / "scan.npy", folder / "result.zarr"
        return ptychodask.watch(path, target, job, client=client, progress=told, **options)

    return call


class Told:
    """What a watch tells; ``at`` are functions to call at the round of so many rows."""

    def __init__(self, at: dict[int, Any] | None = None) -> None:
        self.events: list[Any] = []
        self.at = at or {}

    def __call__(self, event: Any) -> None:
        self.events.append(event)
        if isinstance(event, Arrived) and event.rows in self.at:
            self.at.pop(event.rows)()

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def warnings(self) -> str:
        return "\n".join(event.text for event in self.of(Warned))


def bits(path: Path) -> tuple[bytes, bytes]:
    return tiny_scan.bits(ptychodask.open_result(path))


def assert_as_offline(folder: Path, whole: Path) -> None:
    assert content_digest(folder / "result-scan.zarr") == content_digest(whole / "scan.zarr")
    assert bits(folder / "result.zarr") == bits(whole / "result.zarr")
    assert not list(folder.glob("*.growing")) and not list(folder.glob("*.run"))


def test_the_writer_is_killed_and_restarted(watched, whole, writer, tmp_path):
    """Within a frame; rounds go on from each other, and the end has the bits of import and reconstruct."""
    first = writer()
    first.to(BAND + 0.3)

    def again() -> None:
        first.kill()
        writer().to(2 * BAND)

    told = Told({BAND: again, 2 * BAND: lambda: writer().to(HEIGHT)})
    result = watched(tmp_path, told, picture=tmp_path / "live.png")
    assert_as_offline(tmp_path, whole)
    rounds = told.of(Arrived)
    assert [event.rows for event in rounds] == [BAND, 2 * BAND, HEIGHT]
    assert 0 < rounds[0].iteration < rounds[1].iteration < rounds[2].iteration
    assert all(event.seconds_behind > 0 and np.isfinite(event.loss) for event in rounds)
    assert (tmp_path / "live.png").read_bytes().startswith(b"\x89PNG") and rounds[0].picture.endswith("live.png")
    before = [event for event in told.events[: told.events.index(told.of(Started)[0])] if isinstance(event, Iterated)]
    # a round begins from the object so far, not from vacuum
    assert [event.iteration for event in before].count(0) == 1
    assert result.attributes["data"] == str(tmp_path / "result-scan.zarr")


def test_the_watcher_is_killed_and_resumed(watched, whole, writer, tmp_path):
    """Shards that were there are not written again."""
    import json

    its = writer()
    its.to(2 * BAND)
    command = [sys.executable, "-c", WATCHER, "scan.npy", "result.zarr", json.dumps(JOB), json.dumps(OPTIONS)]
    growing = tmp_path / "result-scan.zarr.growing"
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ) as process:
        deadline = time.monotonic() + 120
        while not list(growing.glob("iteration-*.zarr")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    shard = growing / "scan.zarr" / "counts" / "c" / "0" / "0" / "0" / "0"
    written = shard.stat()
    its.to(HEIGHT)
    told = Told()
    watched(tmp_path, told)
    assert_as_offline(tmp_path, whole)
    kept = (tmp_path / "result-scan.zarr" / "counts" / "c" / "0" / "0" / "0" / "0").stat()
    assert (kept.st_ino, kept.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    assert told.of(Iterated)[0].iteration > 0  # the object so far is there too


def test_an_interrupt_goes_on_with_the_same_settings(watched, whole, writer, tmp_path):
    def stop() -> None:
        raise KeyboardInterrupt

    its, told = writer(), Told({BAND: stop})
    its.to(BAND)
    with pytest.raises(KeyboardInterrupt):
        watched(tmp_path, told)
    assert told.of(Checkpointed)[0].iteration == told.of(Arrived)[0].iteration
    with pytest.raises(InputError, match="holds a watch with other settings: give those, or --overwrite"):
        watched(tmp_path, Told(), flip=True)
    its.to(HEIGHT)

    def stop_the_end(event: Any) -> None:
        if isinstance(event, Iterated) and again.of(Started):
            again.at.setdefault("stopped", True)
            raise KeyboardInterrupt

    again = Told()
    with pytest.raises(KeyboardInterrupt):
        watched(tmp_path, [again, stop_the_end])
    assert (tmp_path / "result.zarr.run").exists()
    watched(tmp_path, last := Told())  # the last reconstruction goes on as any run
    assert not last.of(Arrived)
    assert_as_offline(tmp_path, whole)


def test_a_run_of_before_is_not_the_last_reconstruction(watched, whole, tmp_path):
    def stop(event: Any) -> None:
        if isinstance(event, Iterated):
            raise KeyboardInterrupt

    (tmp_path / "scan.npy").write_bytes((whole / "scan.npy").read_bytes())
    other = {"solver": {"iterations": 3}}
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(whole / "scan.zarr", other, output=tmp_path / "result.zarr", progress=stop)
    with pytest.raises(InputError, match=r"holds an unfinished run: finish it with 'ptychodask resume result.zarr'"):
        watched(tmp_path, Told())
    told = Told()

    def stop_at_the_end(event: Any) -> None:
        if isinstance(event, Started):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watched(tmp_path, [told, stop_at_the_end], overwrite=True)
    ptychodask.resume(tmp_path / "result.zarr", progress=lambda event: None)
    watched(tmp_path, again := Told())  # what somebody has resumed stands
    assert not again.of(Started)
    assert_as_offline(tmp_path, whole)


@pytest.mark.parametrize(("prior", "least"), [("blur", 0.95), ("spectral", 0.85)])
def test_warm_ends_sooner_near_the_same_image(watched, whole, writer, tmp_path, prior, least):
    """Though the rounds have a blur, whatever the job's prior is; spectra of so few patterns are hardly known."""
    its = writer()
    its.to(BAND)
    told = Told({BAND: lambda: its.to(HEIGHT)})
    job = {"solver": {"iterations": 12, "finish": 1}, "object": {"regularisation": prior}}
    result = watched(tmp_path, told, finish="warm", job=job)
    offline = ptychodask.reconstruct(whole / "scan.zarr", job, progress=False)
    assert content_digest(tmp_path / "result-scan.zarr") == content_digest(whole / "scan.zarr")
    assert result.config.object.regularisation == prior and result.information is not None
    assert result.config.solver.iterations == 7 < offline.config.solver.iterations
    assert result.attributes["initial_loss"] == pytest.approx(told.of(Arrived)[-1].loss, rel=0.01)
    assert result.attributes["initial_loss"] < offline.attributes["initial_loss"]
    scanned = {"y": slice(0, HEIGHT - 1), "x": slice(0, WIDTH - 1)}
    assert np.corrcoef(*(its.phase.sel(**scanned).values.ravel() for its in (result, offline)))[0, 1] > least


def test_a_file_that_stops_growing_is_finished_in_whole_rows(watched, whole, writer, tmp_path):
    writer().to(BAND + 3.5)
    told = Told()
    result = watched(tmp_path, told, patience_seconds=1.0)
    assert f"has not grown for 1 s: {BAND + 3} of {HEIGHT} rows are whole and are finished" in told.warnings
    ptychodask.import_data(
        whole / "scan.npy", tmp_path / "part.zarr", allow_partial=True,
        **{**OPTIONS, "scan_shape": (BAND + 3, WIDTH)},
    )  # fmt: skip
    assert content_digest(tmp_path / "result-scan.zarr") == content_digest(tmp_path / "part.zarr")
    assert result.positions.shape[0] == (BAND + 3) * WIDTH or result.positions.shape[:2] == (BAND + 3, WIDTH)


def test_what_the_first_rows_decided_otherwise_is_imported_once_more(watched, client, whole, writer, tmp_path):
    """Here the angle, which the disk says, in the first rows and in all."""
    its = writer()
    its.to(BAND)
    told = Told({BAND: lambda: its.to(HEIGHT)})
    watched(tmp_path, told, angular_step_mrad=None)
    assert "than all do: it is imported once more" in told.warnings
    options = {**OPTIONS, "angular_step_mrad": None}
    ptychodask.import_data(whole / "scan.npy", tmp_path / "direct.zarr", client=client, **options)
    assert content_digest(tmp_path / "result-scan.zarr") == content_digest(tmp_path / "direct.zarr")


def test_a_gain_map_and_bad_pixels_are_those_of_an_import(watched, client, whole, writer, tmp_path):
    flat, middle = np.ones((tiny_scan.N, tiny_scan.N)), tiny_scan.N // 2
    flat[:, :3], flat[middle, middle] = 0.5, 0.01  # the last one is hot
    np.save(tmp_path / "flat.npy", flat)
    its = writer()
    its.to(BAND)
    options = {"gain_adu": 1.0, "gain_map": tmp_path / "flat.npy", "mask_bad": True}
    watched(tmp_path, Told({BAND: lambda: its.to(HEIGHT)}), **options)
    ptychodask.import_data(whole / "scan.npy", tmp_path / "direct.zarr", client=client, **OPTIONS, **options)
    assert content_digest(tmp_path / "result-scan.zarr") == content_digest(tmp_path / "direct.zarr")
    found, values = ptychodask.open_dataset(tmp_path / "result-scan.zarr"), np.load(whole / "scan.npy")
    assert found.mask.values[middle, middle] == 0
    np.testing.assert_array_equal(found.counts.values[..., :3], 2 * values[..., :3])


def test_a_scan_that_an_import_would_refuse_is_finished_all_the_same(watched, client, whole, tmp_path):
    counts = np.load(whole / "scan.npy")
    counts[-1, -1, 3, 4] = 255  # electrons may be lost there, which nobody can know before
    np.save(tmp_path / "scan.npy", counts)
    with pytest.raises(InputError, match="--mask-saturated"):
        ptychodask.import_data(tmp_path / "scan.npy", tmp_path / "direct.zarr", client=client, **OPTIONS)
    told = Told()
    watched(tmp_path, told)
    assert "cannot be imported (1 pixel of 1 of the 16 frames looked at hold 255" in told.warnings
    np.testing.assert_array_equal(ptychodask.open_dataset(tmp_path / "result-scan.zarr").counts.values, counts)


def test_a_warm_end_of_a_part_begins_anew(watched, writer, tmp_path):
    """The object so far lies on the canvas of all rows."""
    writer().to(BAND + 3.5)
    told = Told()
    result = watched(tmp_path, told, finish="warm", patience_seconds=1.0)
    assert "finish = warm is not possible for a part of the rows" in told.warnings
    assert told.of(Waiting)[-1].text == "the result is reconstructed from the start"
    assert result.positions.size == 2 * (BAND + 3) * WIDTH and result.iteration > 0


SPOILT = {
    "shrinks": f"shrank from {BAND * WIDTH} to",
    "is cut off": "cannot be read any more",
    "is removed": "is gone",
    "is replaced": "was replaced by another file",
    "is written anew in its place": "was replaced by another file",
    "is written anew in its place while nobody watches": "was replaced by another file",
    "is replaced while nobody watches": "was replaced by another file",
    "is removed while nobody watches": "is gone",
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_file_that_is_another_leaves_what_was_imported(watched, whole, writer, tmp_path, how):
    its, path = writer(), tmp_path / "scan.npy"
    its.to(BAND)

    def spoil() -> None:
        if how == "shrinks":
            os.truncate(path, path.stat().st_size // 2)
            return
        if how == "is cut off":
            os.truncate(path, 0)
            return
        if how.startswith("is removed"):
            path.unlink()
            return
        if how.startswith("is written anew"):
            anew = bytearray((whole / "scan.npy").read_bytes())
            anew[-HEIGHT * WIDTH * tiny_scan.N**2 + tiny_scan.N**2 // 2] += 1  # a pixel of the first frame
            path.write_bytes(anew)  # as one that is copied and truncated, and grows on at once
            return
        (tmp_path / "other.npy").write_bytes((whole / "scan.npy").read_bytes())
        (tmp_path / "other.npy").replace(path)

    def stop() -> None:
        spoil()
        raise KeyboardInterrupt

    told = Told({BAND: stop if "nobody" in how else spoil})
    if "nobody" in how:
        with pytest.raises(KeyboardInterrupt):
            watched(tmp_path, told)
    watched(tmp_path, told)
    assert SPOILT[how] in told.warnings
    assert f"{BAND} of {HEIGHT} rows were imported before and are finished" in told.warnings
    made, offline = (ptychodask.open_dataset(p) for p in (tmp_path / "result-scan.zarr", whole / "scan.zarr"))
    np.testing.assert_array_equal(made.counts.values, offline.counts.values[:BAND])
    np.testing.assert_array_equal(made.positions.values, offline.positions.values[:BAND])


def test_the_geometry_of_the_first_rows_and_of_all(watched, whole, writer, tmp_path, monkeypatch):
    """Rounds go by what the first rows say, also after an interrupt; the end by what all say, as if it came after an
    import."""
    asked: list[tuple[int, bool]] = []
    turn = np.array([[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]])

    def calibrate(info: Any, client: Any, write: bool = False) -> Any:
        asked.append((info.scan_shape[0], write))
        if info.scan_shape[0] < 2 * BAND:
            raise InputError("no disk")
        at = SimpleNamespace(stored_matrix=turn * info.scan_step[0], c12=0.0)
        if write:
            affine = np.concatenate([turn, [[0.0], [0.0]]], axis=1)
            write_geometry(info.path, affine, {**info.microscope.aberrations, "C10": -90.0}, {"values": {}})
        values = {"rotation_degrees": SimpleNamespace(value=5.7, sigma=None, how="told")}
        return SimpleNamespace(geometry=at, defocus_angstrom=90.0, values=values)

    monkeypatch.setattr(calibrated, "calibrate", calibrate)
    monkeypatch.setattr(calibrated, "LEAST", BAND)
    its = writer()
    its.to(BAND)

    def stop() -> None:
        raise KeyboardInterrupt

    told = Told({BAND: lambda: its.to(2 * BAND), 2 * BAND: stop})
    with pytest.raises(KeyboardInterrupt):
        watched(tmp_path, told, calibrate=True)
    assert f"the first {BAND} rows cannot be calibrated (no disk): tried again later" in told.warnings
    assert told.of(Refined)[0].values["rotation_degrees"]["how"] == f"told, {2 * BAND} rows"
    assert [event.iteration for event in told.of(Iterated)].count(0) == 2  # the canvas is another one then
    its.to(HEIGHT)
    again = Told()
    watched(tmp_path, again, calibrate=True)
    assert asked == [(BAND, False), (2 * BAND, False), (HEIGHT, True)]
    assert again.of(Iterated)[0].iteration > 0
    ptychodask.import_data(whole / "scan.npy", tmp_path / "direct.zarr", **OPTIONS)
    calibrate(dataset_info(tmp_path / "direct.zarr"), None, write=True)
    ptychodask.reconstruct(tmp_path / "direct.zarr", JOB, output=tmp_path / "d.zarr", progress=lambda event: None)
    assert bits(tmp_path / "result.zarr") == bits(tmp_path / "d.zarr") != bits(whole / "result.zarr")
    with pytest.raises(InputError, match="finish = warm keeps the positions, and calibrate moves them: use exact"):
        watched(tmp_path, Told(), calibrate=True, finish="warm")


RAW = {
    (): "told by its size, which still changes: give --format",
    (("format", "raw"),): "is raw: give --dtype",
    (("dtype", "u1"),): "still grows: give the pixels of a frame with --detector",
    (("dtype", "u1"), ("detector_shape", (8, 8))): "still grows and does not say its scan: give --scan",
    (("dtype", "u1"), ("detector_shape", (8, 8)), ("scan_shape", (3, 4))): "did not appear within 0.5 s",
}


def test_what_cannot_be_followed_is_one_line(client, whole, tmp_path):
    def refused(**options: Any) -> str:
        with pytest.raises(InputError) as caught:
            ptychodask.watch(tmp_path / "scan.npy", tmp_path / "r.zarr", client=client, progress=False,
                             **{**OPTIONS, "patience_seconds": 0.5, **options})  # fmt: skip
        assert not list(tmp_path.glob("*.growing/scan.zarr"))
        return str(caught.value)

    assert "did not appear within 0.5 s" in refused()
    assert "did not appear within 0.5 s" in refused(semi_angle_mrad=11.0)  # nothing came of it: other settings will do
    (tmp_path / "scan.npy").write_bytes((whole / "scan.npy").read_bytes()[:128])
    assert "has not grown for 0.5 s and holds no whole frame" in refused(overwrite=True)
    (tmp_path / "scan.npy").write_bytes((whole / "scan.npy").read_bytes()[:5000])
    assert "holds no whole row of the scan" in refused(overwrite=True)
    stack = BytesIO()
    np.savez_compressed(stack, counts=np.load(whole / "scan.npy"))
    (tmp_path / "scan.npy").write_bytes(stack.getvalue())
    assert "cannot be followed while it grows" in refused(overwrite=True, format="npz")
    raw = {"client": client, "progress": (told := Told()), "patience_seconds": 0.5, **OPTIONS}
    for said, why in RAW.items():  # before it is there
        with pytest.raises(InputError, match=why):
            ptychodask.watch(tmp_path / "scan.raw", tmp_path / "r.zarr", **raw, **dict(said))
    assert [event.text for event in told.of(Waiting)] == [
        f"{tmp_path / 'scan.raw'} is not there yet: waiting for it, 0.5 s (--patience) at most"
    ]
    assert "scan_step_angstroms is no option of an import" in refused(scan_step_angstroms=1)
    assert "finish = 'soon': give exact (same bits) or warm (sooner)" in refused(finish="soon")
