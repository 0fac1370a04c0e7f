"""Blockfiles, MRC movies, TVIPS and TIA: files written from their definition."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from ptychodask._errors import InputError
from ptychodask.readers.reader import Asked
from ptychodask.readers.registry import open_counts, opened

N = 16
COUNTS = np.random.default_rng(5).integers(0, 200, (3, 4, N, N)).astype(np.uint16)
FRAMES = COUNTS.reshape(12, N, N)


def blockfile(path: Path) -> Path:
    header = struct.pack("<6sHIIIHHHHHddI", b"IMGBLO", 0x0102, 0x1000, 0x1010, 131141, N, 0, 4, 3, 0, 1.5, 1.25, 200000)
    frames = b"".join(
        b"\xaa\x55" + struct.pack("<I", k) + frame.astype("u1").tobytes() for k, frame in enumerate(FRAMES)
    )
    path.write_bytes(header.ljust(0x1010, b"\0") + frames)
    return path


def mrc(path: Path, mode: int = 6, extended: int = 0, info: dict | None = None) -> Path:
    words = np.zeros(256, "<i4")
    words[:4], words[23] = (N, N, 12, mode), extended
    dtype = {0: "i1", 1: "<i2", 2: "<f4", 6: "<u2"}[mode]
    path.write_bytes(words.tobytes() + b"x" * extended + FRAMES.astype(dtype).tobytes())
    if info is not None:
        beside = path.with_name(path.name.replace("_movie.mrc", "_info.txt"))
        beside.write_text("\n".join(f"{name:<64}= {value}" for name, value in info.items()))
    return path


INFO = {
    "ADUs Per Electron": 51, "Diffraction Pixel Size X": 0.1, "Image Processing - Mode": "Integrating",
    "Instrument Accelerating Voltage (V)": 300000, "Scan - ROI Enable": "Disable", "Scan - ROI Size X": 9,
    "Scan - ROI Size Y": 9, "Scan - Size X": 4, "Scan - Size Y": 3, "Scan - Type": "Raster",
    "Specimen Pixel Size X (nanometers)": 0.1, "Specimen Pixel Size Y (nanometers)": 0.2,
}  # fmt: skip


def tvips(folder: Path, version: int = 2, split: int = 12) -> Path:
    before = 12 if version == 1 else 80
    header = np.array([256, version, N, N, 16, 0, 0, 1, 1, 0, 200, 0, before], "<u4").tobytes().ljust(256, b"\0")
    for k in range(0, 12, split):
        records = b"".join(b"h" * before + frame.astype("<u2").tobytes() for frame in FRAMES[k : k + split])
        (folder / f"scan_{k // split:03d}.tvips").write_bytes((b"" if k else header) + records)
    return folder / "scan_000.tvips"


def tia(path: Path, version: int = 0x220, kind: int = 2, valid: int = 12) -> Path:
    word = "<I" if version <= 0x210 else "<Q"
    dimension = struct.pack("<IddI", 0, 0.0, 1e-10, 0) + struct.pack("<I", 6) + b"Number" + struct.pack("<I", 0)
    dimensions = b"".join(struct.pack("<I", size) + dimension[4:] for size in (4, 3))
    size = struct.calcsize(word)
    table = 22 + size + 4 + len(dimensions)
    first = table + 12 * 2 * size
    dtype = {1: "u1", 2: "<u2", 7: "<f4"}[kind]
    element = struct.pack("<ddIddIHII", 0, 1e-3, 0, 0, 1e-3, 0, kind, N, N)
    records = [element + frame.astype(dtype).tobytes() + b"tag of it" for frame in FRAMES]
    offsets = [first + k * len(records[0]) for k in range(12)]
    content = struct.pack("<HHHIIII", 0x4949, 0x0197, version, 0x4122, 0x4142, 12, valid)
    content += struct.pack(word, table) + struct.pack("<I", 2) + dimensions
    content += b"".join(struct.pack(word, offset) for offset in offsets + offsets)
    path.write_bytes(content + b"".join(records))
    return path


FILES = {
    "blockfile": (lambda f: blockfile(f / "scan.blo"), {"energy_ev": 200e3, "scan_step_angstrom": [12.5, 15.0]}),
    "mrc": (lambda f: mrc(f / "a_movie.mrc", info=INFO), {"energy_ev": 300e3, "scan_step_angstrom": [2.0, 1.0],
                                                         "reciprocal_step_per_angstrom": 0.01}),
    "tia": (lambda f: tia(f / "scan.ser"), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_counts_scan_and_what_is_said(tmp_path, name):
    make, facts = FILES[name]
    form, reader = opened(make(tmp_path))
    assert form.name == name and reader.about.metadata == facts and reader.about.unit == "ADU"
    np.testing.assert_array_equal(reader.read((0, 3), (0, 4)), COUNTS)
    np.testing.assert_array_equal(reader.read((1, 3), (1, 3)), COUNTS[1:, 1:3])


@pytest.mark.parametrize("name", FILES)
def test_files_that_end_too_early(tmp_path, name):
    path = FILES[name][0](tmp_path)
    path.write_bytes(path.read_bytes()[: -N * N])
    with pytest.raises(InputError, match=r"11 whole frames.*its header says 3 x 4 = 12: it ends too early"):
        open_counts(path)
    reader = open_counts(path, asked=Asked(allow_partial=True))
    assert reader.about.missing == 1 and not reader.read((2, 3), (3, 4)).any()


@pytest.mark.parametrize(("mode", "extended"), [(0, 0), (1, 64), (2, 0)])
def test_kinds_of_mrc(tmp_path, mode, extended):
    reader = open_counts(mrc(tmp_path / "scan.mrc", mode, extended), asked=Asked((3, 4)))
    expected = COUNTS.astype(np.int8) if mode == 0 else COUNTS
    np.testing.assert_array_equal(reader.read((0, 3), (0, 4)), expected)
    assert reader.about.unit == ""
    with pytest.raises(InputError, match="12 whole frames and does not say its scan"):
        open_counts(tmp_path / "scan.mrc")


def test_scans_of_mrc(tmp_path):
    counting = open_counts(mrc(tmp_path / "b_movie.mrc", info={**INFO, "Image Processing - Mode": "Counting"}))
    assert counting.about.unit == "electron"
    region = {**INFO, "Scan - ROI Enable": "Enable", "Scan - ROI Size X": 6, "Scan - ROI Size Y": 2}
    assert open_counts(mrc(tmp_path / "c_movie.mrc", info=region)).shape[:2] == (2, 6)
    path = mrc(tmp_path / "d_movie.mrc", info={**INFO, "Scan - Type": "Random"})
    with pytest.raises(InputError, match="'Random', not row by row"):
        open_counts(path)
    assert any("Random" in note for note in open_counts(path, asked=Asked((3, 4))).about.notes)


def test_a_random_scan_of_mrc_with_a_list_of_its_positions(tmp_path):
    path = mrc(tmp_path / "d_movie.mrc", info={**INFO, "Scan - Type": "Random"})
    order = np.random.default_rng(2).permutation(12)  # of the positions, row by row
    listed = np.stack([order % 4 + 3, order // 4 + 1], axis=1)
    beside = tmp_path / "d_scan_coordinates.csv"
    np.savetxt(beside, listed, "%d", delimiter=",")
    reader, flat = open_counts(path), COUNTS.reshape(12, *COUNTS.shape[2:])
    assert reader.shape == COUNTS.shape and any("scan_coordinates" in note for note in reader.about.notes)
    expected = np.empty_like(flat)
    expected[order] = flat
    expected = expected.reshape(COUNTS.shape)
    np.testing.assert_array_equal(reader.read((0, 3), (0, 4)), expected)
    np.testing.assert_array_equal(reader.read((1, 3), (2, 3)), expected[1:3, 2:3])
    for wrong in (listed[:-1], np.concatenate([listed[:-1], listed[:1]]), listed * 2):
        np.savetxt(beside, wrong, "%d", delimiter=",")
        with pytest.raises(InputError, match="names every position of a raster once"):
            open_counts(path)
    beside.write_text("x,y\nfrom,here\n")
    with pytest.raises(InputError, match="names every position of a raster once"):
        open_counts(path)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("split", [12, 5])
def test_tvips(tmp_path, version, split):
    path = tvips(tmp_path, version, split)
    with pytest.raises(InputError, match="12 whole frames and does not say its scan"):
        open_counts(path)
    form, reader = opened(path, asked=Asked((3, 4)))
    assert form.name == "tvips" and reader.about.metadata == {"energy_ev": 200e3} and reader.about.unit == "ADU"
    np.testing.assert_array_equal(reader.read((0, 3), (0, 4)), COUNTS)
    if split == 5:
        with pytest.raises(InputError, match=r"not the first of its series: give scan_000|give .*scan_000\.tvips"):
            open_counts(tmp_path / "scan_001.tvips")
        (tmp_path / "scan_001.tvips").write_bytes((tmp_path / "scan_001.tvips").read_bytes()[:-1])
        with pytest.raises(InputError, match="ends within a frame"):
            open_counts(path, asked=Asked((3, 4)))


@pytest.mark.parametrize(("version", "kind"), [(0x210, 1), (0x210, 7), (0x220, 2)])
def test_kinds_of_tia(tmp_path, version, kind):
    tia(tmp_path / "scan_1.ser", version, kind)
    (tmp_path / "scan.emi").write_bytes(b"JF")
    for name in ("scan_1.ser", "scan.emi"):
        reader = open_counts(tmp_path / name)
        np.testing.assert_array_equal(reader.read((0, 3), (0, 4)), COUNTS)
    with pytest.raises(InputError, match=r"10 whole frames.*3 x 4 = 12"):
        open_counts(tia(tmp_path / "short.ser", valid=10))
    (tmp_path / "lonely.emi").write_bytes(b"JF")
    with pytest.raises(InputError, match=r"describes 0 series"):
        open_counts(tmp_path / "lonely.emi")


@pytest.mark.parametrize("name", ["a.blo", "a.mrc", "a.tvips", "a.ser"])
@pytest.mark.parametrize("content", [b"", b"no header", b"\0" * 3000])
def test_other_content_is_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name) as caught:
        open_counts(tmp_path / name)
    assert "\n" not in str(caught.value)


REAL = Path(__file__).parents[3] / "shared" / "realfiles"


@pytest.mark.skipif(not REAL.is_dir(), reason="files of detectors are not here")
@pytest.mark.parametrize(
    ("name", "shape", "total"),
    [
        ("blo/test1.blo", (3, 2, 144, 144), 5164570),
        ("de/20241021_00405_movie.mrc", (4, 8, 4, 8), 15872),
        ("de/ROI_Random_Scan_movie.mrc", (29, 12, 16, 16), 104477835),
    ],
)
def test_files_of_detectors(name, shape, total):
    reader = open_counts(REAL / name)
    counts = reader.read((0, shape[0]), (0, shape[1]))
    assert counts.shape == shape and counts.sum() == total
