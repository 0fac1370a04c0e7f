"""Files of frames that somebody still writes: the scan is whole, and what is not there is 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_empad import NEW, XML
from test_merlin import header

from ptychodask._errors import InputError
from ptychodask.readers.reader import Asked
from ptychodask.readers.registry import open_counts

N, SCAN = 16, (3, 4)
COUNTS = np.random.default_rng(5).integers(1, 200, (*SCAN, N, N)).astype(np.uint8)


def npy(path: Path) -> tuple[Path, list[bytes]]:
    np.save(path, COUNTS)
    whole = path.read_bytes()
    return path, [whole[: len(whole) - COUNTS.nbytes], *(frame.tobytes() for frame in COUNTS.reshape(-1, N, N))]


def raw(path: Path) -> tuple[Path, list[bytes]]:
    return path, [b"head", *(frame.tobytes() + b"gap" for frame in COUNTS.reshape(-1, N, N))]


def merlin(path: Path) -> tuple[Path, list[bytes]]:
    frames = COUNTS.reshape(-1, N, N)
    return path, [b"", *(header(j, 1, N, N, "U08", 6) + frame.tobytes() for j, frame in enumerate(frames))]


def empad(path: Path) -> tuple[Path, list[bytes]]:
    frames = np.zeros((12, 130, 128), "<f4")
    frames[:, :N, :N] = COUNTS.reshape(-1, N, N)
    said = XML.format(raw=path.name, measured=NEW, version="1.2.0").replace("64", "2")  # the search has four positions
    path.with_suffix(".xml").write_text(said)
    return path, [b"", *(frame.tobytes() for frame in frames)]


KINDS = {
    "npy": (npy, {}),
    "raw": (raw, {"dtype": "u1", "offset": 4, "gap": 3, "detector": (N, N)}),
    "merlin": (merlin, {}),
    "empad": (empad, {}),
}


@pytest.mark.parametrize("name", KINDS)
def test_frames_that_are_there_are_read_in_the_whole_scan(tmp_path, name):
    make, said = KINDS[name]
    path, pieces = make(tmp_path / f"scan.{name}")
    for there in (0, 4, 7, 12):  # four are all that the search of this EMPAD would have
        path.write_bytes(b"".join(pieces[: there + 1]) + (pieces[there + 1][:50] if there < 12 else b""))
        if name == "merlin" and there == 0:
            continue  # nobody knows it without a header
        reader = open_counts(path, name, Asked(SCAN, growing=2**53, **said))
        assert reader.shape[:2] == SCAN and reader.about.missing == 12 - there and reader.whole == there
        found = reader.read((0, 3), (0, 4))[..., :N, :N].reshape(-1, N, N)
        np.testing.assert_array_equal(found[:there], COUNTS.reshape(-1, N, N)[:there])
        assert not found[there:].any()
    # what was there at the first look is looked at again, however much has come since
    assert open_counts(path, name, Asked(SCAN, growing=5, **said)).about.missing == 7


def test_a_scan_that_nobody_says(tmp_path):
    path, pieces = raw(tmp_path / "scan.bin")
    path.write_bytes(b"".join(pieces))
    said = {"dtype": "u1", "offset": 4, "gap": 3}
    with pytest.raises(InputError, match="still grows and does not say its scan: give --scan Y X"):
        open_counts(path, "raw", Asked(growing=0, detector=(N, N), **said))
    with pytest.raises(InputError, match="still grows: give the pixels of a frame with --detector KY KX"):
        open_counts(path, "raw", Asked(SCAN, growing=0, **said))
    path, _ = empad(tmp_path / "scan.raw")
    path.write_bytes(bytes(4 * 130 * 128 * 4))
    assert open_counts(path, "empad", Asked(growing=2**53)).shape[:2] == (2, 3)  # that of the acquisition
