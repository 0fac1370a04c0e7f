"""Merlin: every depth of the counter, raw and not, one chip and four, single files and series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptychodask._errors import InputError
from ptychodask.readers.reader import Asked
from ptychodask.readers.registry import open_counts, opened

RNG = np.random.default_rng(3)
DTYPES = {1: np.uint8, 6: np.uint8, 12: np.uint16, 24: np.uint32}


def header(number: int, chips: int, width: int, height: int, kind: str, bits: int) -> bytes:
    length = 768 if chips == 4 else 384
    words = ["MQ1", f"{number:06d}", f"{length:05d}", f"{chips:02d}", f"{width:04d}", f"{height:04d}", kind,
             "2x2" if chips == 4 else "1x1", "01", "2024-07-02 13:49:15.390226", "0.001000", "0", "0", "0",
             *["511"] * 20, "MQ1A", "2024-07-02T11:49:15.390226675Z", "1000000ns", str(bits), ""]  # fmt: skip
    return ",".join(words).encode().ljust(length, b"\0")


def sent(row_of_chips: np.ndarray, bits: int) -> bytes:
    """A frame as the chips send it, written from its definition, word by word."""
    flat = row_of_chips.ravel()
    if bits == 24:
        return sent(row_of_chips >> 12, 12) + sent(row_of_chips & 0xFFF, 12)
    if bits == 1:
        words = [sum(int(bit) << k for k, bit in enumerate(flat[i : i + 64])) for i in range(0, len(flat), 64)]
        return b"".join(word.to_bytes(8, "big") for word in words)
    size = 8 if bits == 6 else 4
    groups = [flat[i : i + size][::-1] for i in range(0, len(flat), size)]
    return np.concatenate(groups).astype(">u2" if bits == 12 else "u1").tobytes()


def apart(image: np.ndarray) -> np.ndarray:
    """The rows of four chips side by side, from the image."""
    c3, c2 = np.hsplit(image[:256], 2)
    c1, c0 = (np.rot90(part, 2) for part in np.hsplit(image[256:], 2))
    return np.hstack([c0, c1, c2, c3])


def images(number: int, chips: int, bits: int) -> np.ndarray:
    side = 512 if chips == 4 else 256
    return RNG.integers(0, 2**bits, (number, side, side)).astype(DTYPES[bits])


def write(path: Path, frames: np.ndarray, bits: int, raw: bool, chips: int = 1, first: int = 1) -> Path:
    kind, stored = (
        ("R64", None) if raw else {1: ("U08", ">u1"), 6: ("U08", ">u1"), 12: ("U16", ">u2"), 24: ("U32", ">u4")}[bits]
    )
    content = b""
    for number, frame in enumerate(frames, first):
        height, width = (256, 256 * chips) if raw else frame.shape
        values = sent(apart(frame) if chips == 4 else frame, bits) if raw else frame.astype(stored).tobytes()
        content += header(number, chips, width, height, kind, bits) + values
    path.write_bytes(content)
    return path


def describe(path: Path, **values: int) -> Path:
    names = {"frames": "Frames in Acquisition (Number)", "x": "ScanX", "y": "ScanY", "bits": "Counter Depth (number)"}
    lines = ["HDR,\t", *(f"{names[name]}:\t{value}" for name, value in values.items()), "End\t"]
    path.write_text("\n".join(lines).ljust(2048))
    return path


@pytest.mark.parametrize("bits", [1, 6, 12, 24])
@pytest.mark.parametrize("chips", [1, 4])
@pytest.mark.parametrize("raw", [False, True])
def test_every_depth(tmp_path, bits, chips, raw):
    counts = images(2, chips, bits)
    reader = open_counts(write(tmp_path / "scan.mib", counts, bits, raw, chips), asked=Asked((1, 2)))
    found = reader.read((0, 1), (0, 2))[0]
    assert found.dtype == DTYPES[bits] and found.dtype.isnative
    np.testing.assert_array_equal(found, counts)
    assert reader.about.most == (None if bits == 1 else 2**bits - 1) and reader.about.unit == "electron"


def test_scan_from_the_hdr_and_a_region(tmp_path):
    counts = RNG.integers(0, 4096, (6, 64, 256)).astype(np.uint16)
    path = write(tmp_path / "scan.mib", counts, 12, raw=False)
    described = describe(tmp_path / "scan.hdr", x=3, y=2)
    for file in (path, described):
        form, reader = opened(file)
        assert form.name == "merlin" and reader.shape == (2, 3, 64, 256)
        np.testing.assert_array_equal(reader.read((0, 2), (1, 3)), counts.reshape(2, 3, 64, 256)[:, 1:])
    assert open_counts(path, asked=Asked((3, 2))).shape[:2] == (3, 2)  # a person comes first


@pytest.mark.parametrize(
    "names", [("scan_000001.mib", "scan_000002.mib", "scan_000010.mib"), ("scan1.mib", "scan2.mib", "scan10.mib")]
)
def test_series_of_files(tmp_path, names):
    counts = images(6, 1, 6)
    for k, name in enumerate(names):
        write(tmp_path / name, counts[2 * k : 2 * k + 2], 6, raw=False, first=2 * k + 1)
    describe(tmp_path / "scan.hdr", frames=6, x=3, y=2)
    write(tmp_path / "scan_of_another_day.mib", counts[:1], 6, raw=False)
    for name in ("scan.hdr", names[0]):
        reader = open_counts(tmp_path / name)
        np.testing.assert_array_equal(reader.read((0, 2), (0, 3)).reshape(6, 256, 256), counts)
    (tmp_path / "scan.hdr").unlink()  # nothing says that it is a series
    assert open_counts(tmp_path / names[1], asked=Asked((1, 2))).shape == (1, 2, 256, 256)
    write(tmp_path / names[1], counts[2:4], 6, raw=False)
    (tmp_path / names[0]).write_bytes((tmp_path / names[0]).read_bytes()[:-1])
    describe(tmp_path / "scan.hdr", frames=6, x=3, y=2)
    with pytest.raises(InputError, match="ends within a frame"):
        open_counts(tmp_path / "scan.hdr")


def test_numbered_scans_that_are_no_series(tmp_path):
    counts = images(4, 1, 1)
    for k in (0, 1):
        write(tmp_path / f"scan{k + 1}.mib", counts[2 * k : 2 * k + 2], 1, raw=True)
        describe(tmp_path / f"scan{k + 1}.hdr", frames=2, x=2, y=1)
    np.testing.assert_array_equal(open_counts(tmp_path / "scan2.mib").read((0, 1), (0, 2))[0], counts[2:])


def test_what_cannot_be_read_is_one_line(tmp_path):
    path = write(tmp_path / "scan.mib", images(3, 1, 12), 12, raw=False)
    with pytest.raises(InputError, match=r"3 whole frames and does not say its scan: .* 1 3, 3 1 fit"):
        open_counts(path)
    path.write_bytes(path.read_bytes()[:-7])
    describe(tmp_path / "scan.hdr", x=3, y=1)
    with pytest.raises(InputError, match=r"2 whole frames and 131449 bytes of another, its header says 1 x 3"):
        open_counts(path)
    assert open_counts(path, asked=Asked(allow_partial=True)).about.missing == 1
    (tmp_path / "text.mib").write_text("no header")
    with pytest.raises(InputError, match="does not begin with the header of a Merlin frame"):
        open_counts(tmp_path / "text.mib")
    describe(tmp_path / "lonely.hdr", x=3, y=1)
    with pytest.raises(InputError, match="describes frames that are not beside it"):
        open_counts(tmp_path / "lonely.hdr")


REAL = Path(__file__).parents[3] / "shared" / "realfiles" / "merlin"
FILES = {
    "003_merlin_test_roi_sig256x64_nav4x2_hot_pixel_52x_39y": (None, (2, 4, 64, 256), 77, 15),
    "Single_9_Frame_CounterDepth_6_Rows_256": ((3, 3), (3, 3, 256, 256), None, 63),
    "Single_9_Frame_CounterDepth_1_Rows_256RAW": ((3, 3), (3, 3, 256, 256), 21605, 1),
    "Quad_9_Frame_CounterDepth_1_Rows_256RAW": ((3, 3), (3, 3, 512, 512), 92621, 1),
}


@pytest.mark.skipif(not REAL.is_dir(), reason="files of detectors are not here")
@pytest.mark.parametrize("name", FILES)
def test_files_of_detectors(name):
    scan, shape, total, most = FILES[name]
    reader = open_counts(REAL / f"{name}.mib", asked=Asked(scan))
    counts = reader.read((0, shape[0]), (0, shape[1]))
    assert counts.shape == shape and counts.max() == most and (total is None or counts.sum() == total)
    if scan is None:
        assert counts.sum(axis=(0, 1)).argmax() == 39 * 256 + 52
