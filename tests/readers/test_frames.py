"""Raw frames, stacks and EMPAD: values, scans that fit, files that end too early."""

from __future__ import annotations

import numpy as np
import pytest

from ptychodask._errors import InputError
from ptychodask.readers import frames
from ptychodask.readers.reader import Asked
from ptychodask.readers.registry import open_counts
from ptychodask.readers.scans import fitting_scans

N = 16
COUNTS = np.random.default_rng(1).integers(0, 900, (4, 6, N, N)).astype(np.uint16)


def everything(reader) -> np.ndarray:
    return reader.read((0, reader.shape[0]), (0, reader.shape[1]))


def raw(path, dtype="<u2", offset=0, gap=0, last_gap=True):
    content = b"o" * offset
    for j, frame in enumerate(COUNTS.reshape(-1, N, N)):
        content += frame.astype(dtype).tobytes() + b"g" * (gap if last_gap or j < 23 else 0)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("dtype", "offset", "gap", "last"), [("<u2", 0, 0, True), (">u4", 7, 13, True),
                                                            ("<f4", 512, 32, False), (">i2", 0, 4, False)])  # fmt: skip
@pytest.mark.parametrize("detector", [None, (N, N)])
def test_raw_frames(tmp_path, dtype, offset, gap, last, detector, monkeypatch):
    path = raw(tmp_path / "scan.bin", dtype, offset, gap, last)
    monkeypatch.setattr(frames, "AT_ONCE", 3000)  # a few frames
    reader = open_counts(path, asked=Asked((4, 6), dtype=dtype, offset=offset, gap=gap, detector=detector))
    assert reader.dtype == np.dtype(dtype).newbyteorder("=") and reader.dtype.isnative
    np.testing.assert_array_equal(everything(reader), COUNTS)
    np.testing.assert_array_equal(reader.read((1, 3), (2, 5)), COUNTS[1:3, 2:5])


REFUSED = {
    "no type": (Asked((4, 6)), "give --dtype"),
    "no number": (Asked((4, 6), dtype="U4"), "--dtype U4: give a type of real numbers"),
    "no scan": (Asked(dtype="<u2"), "give --scan Y X, or the pixels"),
    "another scan": (Asked((4, 5), dtype="<u2"), "12288 bytes after the offset, which are not 20 square frames"),
    "cut": (Asked((5, 6), dtype="<u2"), "not 30 square frames .* ends too early .*--detector and --allow-partial"),
    "an offset beyond the end": (Asked((4, 6), dtype="<u2", offset=12289), "12289 is beyond the end of .* 12288 bytes"),
    "an offset at the end": (
        Asked((4, 6), dtype="<u2", offset=12288, detector=(N, N)),
        "12288 is beyond the end of .* 12288 bytes: give less",
    ),
    "too large a scan": (Asked((5, 6), dtype="<u2", detector=(N, N)), r"24 whole frames.*5 x 6 = 30.*the 6 missing"),
    "too small a scan": (Asked((2, 6), dtype="<u2", detector=(N, N)), r"24 whole frames.* 2 x 6 = 12.*4 6, 6 4, 3 8"),
    "an unknown scan": (Asked(dtype="<u2", detector=(N, N)), r"does not say its scan: give --scan Y X .*4 6, 6 4"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_one_line(tmp_path, name):
    asked, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        open_counts(raw(tmp_path / "scan.bin"), "raw", asked)


def test_a_file_that_ends_too_early(tmp_path):
    path = tmp_path / "scan.npy"
    np.save(path, COUNTS)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 8 * 2 * N * N - 5])  # 15 whole frames
    with pytest.raises(InputError, match=r"15 whole frames and 507 bytes of another, its header says 4 x 6 = 24"):
        open_counts(path)
    reader = open_counts(path, asked=Asked(allow_partial=True))
    assert reader.shape[:2] == (3, 6) and reader.about.missing == 3
    assert [note.split(":")[0] for note in reader.about.notes] == [
        "the file ends too early", "the last 3 positions of the last row are missing and stored as 0",
    ]  # fmt: skip
    expected = COUNTS[:3].copy()
    expected[2, 3:] = 0
    np.testing.assert_array_equal(everything(reader), expected)
    path.write_bytes(whole[:130])
    with pytest.raises(InputError, match="0 whole frames"):
        open_counts(path, asked=Asked(allow_partial=True))


def test_a_file_that_holds_more(tmp_path):
    path = raw(tmp_path / "scan.bin")
    asked = {"dtype": "<u2", "detector": (N, N)}
    with pytest.raises(InputError, match=r"24 whole frames.* 3 x 7 = 21: .*or --allow-partial to take the first 21"):
        open_counts(path, asked=Asked((3, 7), **asked))
    reader = open_counts(path, asked=Asked((3, 7), allow_partial=True, **asked))
    np.testing.assert_array_equal(everything(reader), COUNTS.reshape(24, N, N)[:21].reshape(3, 7, N, N))
    assert reader.about.notes == ("not read: 3 frames after the scan",) and reader.about.missing == 0
    path.write_bytes(path.read_bytes() + b"a footer")
    reader = open_counts(path, asked=Asked((4, 6), **asked))
    np.testing.assert_array_equal(everything(reader), COUNTS)
    assert reader.about.notes == ("not read: 8 bytes after the scan",)


@pytest.mark.parametrize("kind", ["npy", "npz", "packed"])
def test_a_stack_needs_a_scan(tmp_path, kind):
    stack = COUNTS.reshape(24, N, N)
    path = tmp_path / f"scan.{'npy' if kind == 'npy' else 'npz'}"
    if kind == "npy":
        np.save(path, stack)
    else:
        (np.savez if kind == "npz" else np.savez_compressed)(path, stack=stack, mask=stack[0])
    with pytest.raises(InputError, match=r"24 whole frames|0 arrays of counts"):
        open_counts(path)
    np.testing.assert_array_equal(everything(open_counts(path, asked=Asked((4, 6)))), COUNTS)
    with pytest.raises(InputError, match="4 6, 6 4"):
        open_counts(path, asked=Asked((5, 5)))


def test_scans_that_fit():
    assert fitting_scans(12) == [(3, 4), (4, 3), (2, 6), (6, 2), (1, 12), (12, 1)]
    assert fitting_scans(9) == [(3, 3), (1, 9), (9, 1)]
