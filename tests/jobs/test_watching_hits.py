"""Hits that grow: positions are whole when later hits are there, and the end is that of an import of the whole file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_hits
import tiny_scan

import ptychodask
from ptychodask._errors import InputError
from ptychodask.distributed.cluster import connect
from ptychodask.events import Arrived, Warned
from ptychodask.io.content import content_digest
from ptychodask.readers.growing_hits import growing_events
from ptychodask.readers.hits import PER_US, PERIOD, Index, indexed
from ptychodask.readers.reader import Asked

HEIGHT, WIDTH, BAND, DWELL = 12, 8, 4, 20_000
"""The last in us."""
TICKS = int(DWELL * PER_US)
JOB = {"solver": {"iterations": 4, "finish": 1}}
OPTIONS = {**tiny_scan.OPTICS, "scan_step_angstrom": 1.0, "chunks": (BAND, WIDTH), "scan_shape": (HEIGHT, WIDTH)}


@pytest.fixture(scope="module")
def client():
    with connect() as made:
        yield made


def chunks_of(counts: np.ndarray, marks: str) -> list[tuple[int, list[int]]]:
    """A chunk of words for every position, over the end of the clock; two positions of flyback after a line."""
    rng, start, chunks = np.random.default_rng(1), PERIOD - 10 * TICKS, []
    edges = 128 - counts.shape[2] // 2
    for y in range(HEIGHT):
        for x in range(WIDTH):
            begin = start + (y * (WIDTH + 2 * (marks == "lines")) + x) * TICKS
            words = [tiny_hits.edge(begin)] if marks == "positions" or (marks == "lines" and x == 0) else []
            ky, kx = (axis.repeat(counts[y, x][counts[y, x] > 0]) for axis in counts[y, x].nonzero())
            ticks = np.sort(begin + rng.integers(0, TICKS, len(ky)))
            ticks[:1] = begin  # where no mark says it, the first hit of all says when the scan begins
            words += [tiny_hits.hit(*map(int, hit)) for hit in zip(ticks, ky + edges, kx + edges, strict=True)]
            chunks.append((0, words))
    return chunks


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    expected, _ = tiny_scan.expected_counts((HEIGHT, WIDTH), 1.0, 100.0, tiny_scan.PEAKS)
    return np.random.default_rng(0).poisson(expected)


def cut(chunks: list[tuple[int, list[int]]], positions: float) -> int:
    """Bytes of the file up to so many positions."""
    whole = int(positions)
    words = sum(1 + len(body) for _, body in chunks[:whole])
    return 8 * words + int((positions - whole) * 8 * len(chunks[min(whole, len(chunks) - 1)][1]))


@pytest.mark.parametrize("marks", ["positions", "lines", "none"])
def test_positions_that_are_whole(tmp_path, counts, marks, monkeypatch):
    """A position ends with its dwell time; the last one when nothing comes any more. No word is read twice."""
    path, chunks = tmp_path / "scan.tpx3", chunks_of(counts, marks)
    whole = tiny_hits.write(tmp_path / "whole.tpx3", chunks).read_bytes()
    asked = Asked((HEIGHT, WIDTH), dwell_us=None if marks == "positions" else float(DWELL))
    index, words = Index(), 0
    for there in (0, 0.5, 10.3, 30, 65.5, HEIGHT * WIDTH):
        path.write_bytes(whole[: cut(chunks, there)])
        if there:
            index = indexed(path, index, True)
            assert all(block.words[0] >= words for block in index.blocks[-1:])
            words = index.words
        reader, done = growing_events(path, index, asked, False)
        assert int(there) - 2 <= done < max(1, there)
        rows = done // WIDTH
        if rows:
            read = reader.read((0, rows), (0, WIDTH))[..., 112:144, 112:144]
            np.testing.assert_array_equal(read, counts[:rows])
    assert growing_events(path, index, asked, True)[1] == HEIGHT * WIDTH


@pytest.mark.parametrize("marks", ["positions", "lines"])
def test_the_end_is_that_of_an_import(client, counts, tmp_path, marks):
    chunks, path = chunks_of(counts, marks), tmp_path / "scan.tpx3"
    whole = tiny_hits.write(tmp_path / "whole.tpx3", chunks).read_bytes()
    options = {**OPTIONS, "crop": tiny_scan.N, "client": client}
    options |= {} if marks == "positions" else {"dwell_us": float(DWELL)}
    path.write_bytes(whole[: cut(chunks, BAND * WIDTH + 5.5)])
    events: list[Any] = []

    def told(event: Any) -> None:
        events.append(event)
        if isinstance(event, Arrived) and event.rows == BAND:
            with path.open("ab") as file:
                file.write(whole[path.stat().st_size :])
            if marks == "lines":
                raise KeyboardInterrupt

    if marks == "lines":  # and is interrupted
        with pytest.raises(KeyboardInterrupt):
            ptychodask.watch(path, tmp_path / "result.zarr", JOB, progress=told, **options)
    ptychodask.watch(path, tmp_path / "result.zarr", JOB, progress=told, **options)
    ptychodask.import_data(tmp_path / "whole.tpx3", tmp_path / "direct.zarr", **options)
    direct = ptychodask.open_dataset(tmp_path / "direct.zarr")
    made = ptychodask.open_dataset(tmp_path / "result-scan.zarr")
    np.testing.assert_array_equal(made.counts.values, direct.counts.values)
    assert made.counts.values.sum() == counts.sum() and made.attrs["fingerprint"] == direct.attrs["fingerprint"]
    rows = [event.rows for event in events if isinstance(event, Arrived)]
    assert rows[0] == BAND and rows[-1] == HEIGHT
    assert content_digest(tmp_path / "result-scan.zarr") == content_digest(tmp_path / "direct.zarr")


@pytest.mark.parametrize(
    ("how", "why"), [("stops", "has not grown for 2 s"), ("shrinks", "shrank from 43 to 0 frames")]
)
def test_hits_that_stop_or_shrink(client, counts, tmp_path, how, why):
    chunks, path = chunks_of(counts, "lines"), tmp_path / "scan.tpx3"
    whole = tiny_hits.write(tmp_path / "whole.tpx3", chunks).read_bytes()
    options = {**OPTIONS, "crop": tiny_scan.N, "client": client, "dwell_us": float(DWELL), "patience_seconds": 2.0}
    path.write_bytes(whole[: cut(chunks, BAND * WIDTH + 12.5)])
    events: list[Any] = []

    def told(event: Any) -> None:
        events.append(event)
        if isinstance(event, Arrived) and how == "shrinks":
            path.write_bytes(whole[: cut(chunks, 4.5)])

    result = ptychodask.watch(path, tmp_path / "result.zarr", JOB, progress=told, **options)
    warned = "\n".join(event.text for event in events if isinstance(event, Warned))
    assert why in warned and f"{BAND} of {HEIGHT} rows were imported before and are finished" in warned
    assert result.positions.size == 2 * BAND * WIDTH


def test_hits_of_a_scan_that_nobody_says(tmp_path):
    with pytest.raises(InputError, match="still grows and does not say its scan: give --scan"):
        ptychodask.watch(tmp_path / "scan.tpx3", tmp_path / "r.zarr", JOB, **{**OPTIONS, "scan_shape": None})
