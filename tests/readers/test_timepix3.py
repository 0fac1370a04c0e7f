"""Hits of Timepix3 are counted where the time says, over the clock's end, in any order of chips, in bounded memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from tiny_hits import edge, hit, write

import ptychodask
from ptychodask._errors import InputError
from ptychodask.io.dataset import open_dataset
from ptychodask.readers.hits import PERIOD
from ptychodask.readers.reader import Asked
from ptychodask.readers.registry import open_counts, opened

Y, X, DWELL = 3, 5, 6400  # ticks: 10 us
REAL = Path(__file__).parents[3] / "shared" / "realfiles" / "tpx3"


def scan(path: Path, marks: str, start: int = PERIOD - 4 * DWELL, chips: int = 1) -> tuple[Path, np.ndarray]:
    """A scan with a flyback of two positions, over the end of the clock, and its counts."""
    rng = np.random.default_rng(3)
    side = 256 if chips == 1 else 516
    counts, chunks = np.zeros((Y, X, side, side), np.uint16), []
    flyback = 2 if marks == "lines" else 0
    for y in range(Y):
        line = start + y * (X + flyback) * DWELL
        for x in range(X):
            begin = line + x * DWELL
            body: list[list[int]] = [[] for _ in range(4)]
            if marks == "positions" or (marks == "lines" and x == 0):
                body[0].append(edge(begin % (4 * PERIOD)))
            ticks = [begin, begin + DWELL - 1, *(begin + rng.integers(0, DWELL, 8)).tolist()]
            for tick in ticks:
                chip, ky, kx = int(rng.integers(chips)), int(rng.integers(256)), int(rng.integers(256))
                body[chip].append(hit(int(tick), ky, kx))
                if chip in (1, 2):
                    ky, kx = 255 - ky + 260, 255 - kx
                counts[y, x, ky, kx + (260 if chips > 1 and chip in (0, 1) else 0)] += 1
            chunks += [(chip, words) for chip, words in enumerate(body) if words]
        chunks += [(0, [hit(line + (X + 1) * DWELL, 7, 7)])] if flyback else []
    return write(path, chunks), counts


@pytest.mark.parametrize("marks", ["positions", "lines", "none"])
@pytest.mark.parametrize("chips", [1, 4])
def test_hits_by_position(tmp_path, marks, chips, monkeypatch):
    monkeypatch.setattr("ptychodask.readers.hits.WORDS", 20)  # several blocks
    path, counts = scan(tmp_path / "a.tpx3", marks, chips=chips)
    form, reader = opened(path, asked=Asked((Y, X), dwell_us=None if marks == "positions" else 10.0))
    assert form.name == "tpx3" and reader.shape == counts.shape and len(reader.blocks) > 5
    np.testing.assert_array_equal(reader.read((0, Y), (0, X)), counts)
    np.testing.assert_array_equal(reader.read((1, 2), (2, 4)), counts[1:2, 2:4])
    assert (reader.about.used is None) == (chips == 1)


def test_a_dataset_of_hits(tmp_path):
    path, counts = scan(tmp_path / "a.tpx3", "lines")
    made = ptychodask.import_data(
        path, tmp_path / "scan.zarr", scan_shape=(Y, X), dwell_us=10, energy_ev=200e3, semi_angle_mrad=8,
        angular_step_mrad=0.2, scan_step_angstrom=1.0,
    )  # fmt: skip
    np.testing.assert_array_equal(open_dataset(made).counts.values, counts)
    assert "a fast electron makes several" in str(made)


def test_a_file_is_never_there_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("ptychodask.readers.hits.WORDS", 2**12)
    body = [hit(64 * k, k % 256, 3) for k in range(2**10)]
    path = write(tmp_path / "a.tpx3", [(0, body)] * 2**9)  # 4 MiB
    tracemalloc.start()
    try:
        reader = open_counts(path, asked=Asked((1, 1), dwell_us=1e9))
        total = int(reader.read((0, 1), (0, 1)).sum())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 2**19 and peak < 2**21


def test_what_does_not_fit_is_one_line(tmp_path):
    path, _ = scan(tmp_path / "a.tpx3", "lines")
    for asked, message in (
        (Asked(), r"3 marks of a TDC and does not say its scan.* 1 3, 3 1"),
        (Asked((Y, X)), "give --dwell"),
        (Asked((4, X), dwell_us=10), "neither one for each of 4 rows nor"),
        (Asked((Y, 9), dwell_us=10), "us before the last of 3 x 9 positions of 10 us"),
    ):
        with pytest.raises(InputError, match=message):
            open_counts(path, asked=asked)
    content = path.read_bytes()
    path.write_bytes(content[:-8])
    with pytest.raises(InputError, match="ends within a chunk"):
        open_counts(path, asked=Asked((Y, X), dwell_us=10))
    assert open_counts(path, asked=Asked((Y, X), dwell_us=10, allow_partial=True)).read((0, 1), (0, X)).sum() == 50
    path.write_bytes(content[:8] + b"\0" * 8 + content[8:])
    with pytest.raises(InputError, match="no chunk of Timepix3 at byte"):
        open_counts(path, asked=Asked((Y, X), dwell_us=10))


@pytest.mark.skipif(not REAL.is_dir(), reason="files of detectors are not here")
@pytest.mark.parametrize(("number", "hits"), [("01", 12), ("11", 23), ("21", 30)])
def test_real_files(number, hits):
    reader = open_counts(REAL / f"raw_test_data_{number}.tpx3", asked=Asked((1, 1), dwell_us=1e9))
    assert reader.read((0, 1), (0, 1)).sum() == hits


def test_hits_of_advapix(tmp_path, monkeypatch):
    monkeypatch.setattr("ptychodask.readers.advapix.WORDS", 30)
    rng, counts = np.random.default_rng(5), np.zeros((Y, X, 256, 256), np.uint16)
    start, content = 7_000_000, b""
    for j in range(Y * X):
        for tick in (0, DWELL - 1, *rng.integers(0, DWELL, 6)):
            tick, pixel = start + j * DWELL + int(tick), int(rng.integers(256 * 256))
            counts[j // X, j % X, pixel // 256, pixel % 256] += 1
            arrival = -(-tick // 16)
            content += pixel.to_bytes(4, "little") + arrival.to_bytes(8, "little")
            content += bytes([0, arrival * 16 - tick]) + (9).to_bytes(2, "little")
        content += (5).to_bytes(4, "little") + (0).to_bytes(8, "little") + bytes([1, 0, 0, 0])  # lost
    path = tmp_path / "a.t3p"
    path.write_bytes(content)
    form, reader = opened(path, asked=Asked((Y, X), dwell_us=10.0))
    assert form.name == "t3p" and len(reader.blocks) > 3
    np.testing.assert_array_equal(reader.read((0, Y), (0, X)), counts)
    np.testing.assert_array_equal(reader.read((1, 3), (2, 4)), counts[1:3, 2:4])
    for asked, words in ((Asked((Y, X)), "--dwell"), (Asked((Y, X + 9), dwell_us=10.0), "before the last")):
        with pytest.raises(InputError, match=words):
            opened(path, asked=asked)
    path.write_bytes(content[:-3])
    with pytest.raises(InputError, match="within a hit"):
        opened(path, asked=Asked((Y, X), dwell_us=10.0))
