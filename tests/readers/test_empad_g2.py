"""EMPAD-G2: words of the sensor become ADU with the tables, processed values stay what they are."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask._errors import InputError
from ptychodask.readers.reader import Asked
from ptychodask.readers.registry import open_counts, opened

RNG = np.random.default_rng(4)
SHAPE = (128, 128)
TABLES = {name: RNG.uniform(0.5, 2, SHAPE).astype("<f4") for name in ("G1A", "G1B", "G2A", "G2B", "FFA", "FFB")}
TABLES |= {name: RNG.uniform(1000, 2000, SHAPE).astype("<f4") for name in ("B2A", "B2B")}


@pytest.fixture
def tables(tmp_path):
    folder = tmp_path / "SENSOR"
    folder.mkdir()
    for name, values in TABLES.items():
        values.tofile(folder / f"{name}.r32")
    return folder


def words(frames: int) -> np.ndarray:
    analog, digital, low = (RNG.integers(0, most, (frames, *SHAPE)) for most in (2**14, 2**16, 2))
    return (analog | digital << 14 | low << 31).astype("<u4")


def defined(word: int, half: str, y: int, x: int) -> float:
    """ADU of a word before a dark scan, from its definition."""
    analog, digital, low = word % 2**14, word // 2**14 % 2**16, word // 2**31
    table = {name[:2]: float(values[y, x]) for name, values in TABLES.items() if name[2] == half}
    return (table["G1"] * (analog - table["B2"]) if low else analog) + table["G2"] * digital


@pytest.mark.parametrize("dark", [False, True])
def test_words_of_the_sensor(tmp_path, tables, dark):
    stored, empty = words(6), words(4)
    path = tmp_path / "scan_x3_y2.raw"
    stored.tofile(path)
    empty.tofile(tmp_path / "dark_x2_y2.raw")
    asked = Asked(tables=tables, dark=tmp_path / "dark_x2_y2.raw" if dark else None)
    form, reader = opened(path, asked=asked)
    assert form.name == "empad-g2" and reader.shape == (2, 3, *SHAPE) and reader.about.unit == "ADU"
    found = reader.read((0, 2), (0, 3))
    for y, x, ky, kx in ((0, 0, 3, 5), (0, 1, 100, 2), (0, 2, 7, 7), (1, 0, 127, 0), (1, 1, 64, 64), (1, 2, 1, 99)):
        half = "AB"[x % 2]
        expected = defined(int(stored[3 * y + x, ky, kx]), half, ky, kx)
        if dark:
            expected -= np.mean([defined(int(frame[ky, kx]), half, ky, kx) for frame in empty[x % 2 :: 2]])
        assert found[y, x, ky, kx] == pytest.approx(expected * TABLES[f"FF{half}"][ky, kx], rel=1e-5, abs=0.02)
    np.testing.assert_array_equal(reader.read((1, 2), (1, 3)), found[1:, 1:])
    assert any("dark" in note for note in reader.about.notes) == (not dark)


def test_processed_values(tmp_path):
    values = RNG.normal(100, 50, (4, *SHAPE)).astype("<f4")
    path = tmp_path / "scan_x2_y2.raw"
    values.tofile(path)
    form, reader = opened(path)
    assert form.name == "empad-g2" and any("processed" in note for note in reader.about.notes)
    np.testing.assert_array_equal(reader.read((0, 2), (0, 2)).reshape(4, *SHAPE), values)


def test_what_is_missing_is_one_line(tmp_path, tables):
    path = tmp_path / "scan_x2_y2.raw"
    words(4).tofile(path)
    with pytest.raises(InputError, match="words of an EMPAD-G2, which are no ADU yet: give --tables FOLDER with G1A"):
        open_counts(path)
    (tables / "B2A.r32").write_bytes(b"short")
    with pytest.raises(InputError, match=r"B2A\.r32 is no table of 128 x 128 float32"):
        open_counts(path, asked=Asked(tables=tables))
    with pytest.raises(InputError, match="none is not there"):
        open_counts(path, asked=Asked(tables=tmp_path / "none"))
    TABLES["B2A"].tofile(tables / "B2A.r32")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match="3 whole frames and 65532 bytes"):
        open_counts(path, "empad-g2", Asked(tables=tables, dark=path))
