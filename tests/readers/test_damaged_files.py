"""Files with bytes that are wrong or missing: opened and read, or one line, whatever the decoder makes of it."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from ptychodask._errors import InputError
from ptychodask.readers.counted import Counted, Frame
from ptychodask.readers.reader import Asked
from ptychodask.readers.registry import open_counts

COUNTS = np.random.default_rng(0).integers(0, 9, (3, 4, 16, 16)).astype(np.uint16)


def hdf5(path: Path, *names: str) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", libver="latest") as file:  # whose metadata have checksums
        for name in names:
            stack = COUNTS if name.endswith("data") else COUNTS.reshape(-1, 16, 16)
            file.create_dataset(name, data=stack, chunks=True, compression="gzip").attrs["energy_ev"] = 300e3
    return path


def whole(folder: Path, kind: str) -> Path:
    if kind == "npy":
        np.save(folder / "scan.npy", COUNTS)
        return folder / "scan.npy"
    if kind == "npz":
        np.savez_compressed(folder / "scan.npz", counts=COUNTS, energy_ev=300e3)
        return folder / "scan.npz"
    if kind == "dectris":
        return hdf5(folder / "scan_master.h5", "entry/data/data_000001", "entry/instrument/detector/x")
    return hdf5(folder / "scan.h5", "entry/some/data", "other/frames")


@pytest.mark.parametrize("kind", ["npy", "npz", "hdf5", "dectris"])
def test_nonsense_is_read_or_refused_in_one_line(tmp_path, kind):
    good = whole(tmp_path, kind).read_bytes()
    name, rng, refused = whole(tmp_path, kind).name, random.Random(4), 0
    asked = Asked(scan=(3, 4)) if kind == "dectris" else Asked()
    for trial in range(60):
        bad = bytearray(good)
        if trial % 4 == 0:
            bad = bad[: rng.randrange(len(bad))]
        reach = len(bad) if trial % 2 else min(len(bad), 1500)
        for _ in range(rng.choice([1, 4, 32])):
            if bad:
                bad[rng.randrange(reach)] = rng.choice([0, 255, 127, ord("9"), rng.randrange(256)])
        path = tmp_path / f"{trial}_{name}"
        path.write_bytes(bad)
        try:
            counted = Counted(open_counts(path, asked=asked))
            assert counted[0:1, 0:2].shape[1] <= 2
        except InputError as error:
            refused += 1
            assert str(error) and "\n" not in str(error)
        path.unlink()
    assert 5 < refused < 60


def test_frames_that_cannot_be_unpacked_are_named(tmp_path):
    path = hdf5(tmp_path / "scan.h5", "data")
    with pytest.importorskip("h5py").File(path) as file:
        chunk = file["data"].id.get_chunk_info(0)
    damaged = bytearray(path.read_bytes())
    damaged[chunk.byte_offset + 10 : chunk.byte_offset + 40] = b"\xff" * 30
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"frames of scan rows 0 to 2, columns 0 to 3, cannot be read"):
        Counted(open_counts(path))[:, :]


def test_a_small_detector_is_put_into_the_middle_of_a_pattern(tmp_path):
    np.save(tmp_path / "small.npy", COUNTS[..., :4, :4])
    counted = Counted(open_counts(tmp_path / "small.npy"))
    assert counted.side == 8 and counted.used.sum() == 16
    np.testing.assert_array_equal(counted[:, :][..., 2:6, 2:6], COUNTS[..., :4, :4])
    assert Frame(crop=4, bin=2).side(16) == 8
