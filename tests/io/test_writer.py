"""A dataset is the same whoever writes its shards and in whatever order, and it is whole or absent."""

from __future__ import annotations

import numpy as np
import pytest

import ptychodask
from ptychodask._errors import InputError
from ptychodask.io.dataset import dataset_info, open_dataset
from ptychodask.io.writer import DatasetWriter
from ptychodask.io.written import write_shard
from ptychodask.model.blocks import Block
from ptychodask.model.optics import Microscope
from ptychodask.model.scan import Detector

N = 16
COUNTS = np.random.default_rng(0).integers(0, 5, (5, 7, N, N)).astype(np.uint8)
SCOPE, DETECTOR, STEP = Microscope.of(300e3, 8.0, 150.0), Detector(N, 1.6), 1.5
MASK = np.ones((N, N))
MASK[3, 4] = 0


def writer(path, **options) -> DatasetWriter:
    arguments = {"scan_shape": COUNTS.shape[:2], "microscope": SCOPE, "detector": DETECTOR, "scan_step_angstrom": STEP}
    return DatasetWriter(path, **{**arguments, "chunks": (2, 3), **options})


def of(block: Block, counts: np.ndarray = COUNTS) -> np.ndarray:
    return counts[block.y0 : block.y1, block.x0 : block.x1]


def files(path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_any_order_and_any_hand_give_the_same_files(tmp_path):
    create = {"energy_ev": 300e3, "semi_angle_mrad": 8.0, "defocus_angstrom": 150.0, "angular_step_mrad": 1.6}
    first = ptychodask.create_dataset(
        tmp_path / "first.zarr", COUNTS, **create, scan_step_angstrom=STEP, chunks=(2, 3), attributes={"source": "me"}
    )
    with writer(tmp_path / "second.zarr", dtype="uint8", attributes={"source": "me"}) as second:
        here, elsewhere = second.blocks[::2], second.blocks[1::2]
        for block in reversed(here):
            second.write(block, of(block))
        second.add(write_shard(second.folder, block, of(block)) for block in reversed(elsewhere))
    assert files(tmp_path / "second.zarr") == files(first)


@pytest.mark.parametrize("bright", [0, 3, 8])
def test_the_type_grows_with_what_is_written(tmp_path, bright):
    counts = COUNTS.astype(float)
    with writer(tmp_path / "scan.zarr") as growing:
        blocks = growing.blocks
        of(blocks[bright], counts)[0, 0, 2, 2] = 300
        of(blocks[5], counts)[0, 0, 2, 2] = 0.5
        for block in blocks:
            growing.write(block, of(block, counts))
    data = open_dataset(tmp_path / "scan.zarr").counts
    assert data.dtype == np.float32
    np.testing.assert_array_equal(data.values, counts)
    assert dataset_info(tmp_path / "scan.zarr").attributes["brightest_pixel"] == 300


def test_what_is_written_twice_is_what_was_written_last(tmp_path):
    with writer(tmp_path / "scan.zarr") as twice:
        for block in (*twice.blocks, twice.blocks[4]):
            twice.write(block, of(block) + (block.index == 4))
        twice.write(twice.blocks[4], of(twice.blocks[4]))
    np.testing.assert_array_equal(open_dataset(tmp_path / "scan.zarr").counts.values, COUNTS)
    total = dataset_info(tmp_path / "scan.zarr").attributes["electrons_per_pattern"] * 35
    assert total == pytest.approx(COUNTS.sum(dtype=float))


def test_pixels_that_are_not_used_hold_zeros(tmp_path):
    counts = COUNTS.astype(np.float32)
    counts[..., 3, 4] = np.nan
    with writer(tmp_path / "scan.zarr", mask=MASK) as masked:
        for block in masked.blocks:
            masked.write(block, of(block, counts))
    data = open_dataset(tmp_path / "scan.zarr")
    np.testing.assert_array_equal(data.counts.values, COUNTS * MASK)
    np.testing.assert_array_equal(data.mask.values, MASK)


def _fail(opened):
    raise RuntimeError("camera")


FAULTS = {
    "an error in the block": (_fail, RuntimeError, "camera"),
    "a missing shard": (lambda w: None, InputError, r"1 of 9 shards were not written, the first in scan rows 4 to 4"),
    "another shape": (
        lambda w: w.write(w.blocks[0], COUNTS[:2, :2]),
        InputError,
        r"\(2, 2, 16, 16\).*\(2, 3, 16, 16\)",
    ),
    "no block of it": (lambda w: w.write(Block(0, 1, 3, 0, 3), COUNTS[1:3, :3]), InputError, "whole blocks"),
    "more than the type": (lambda w: w.write(w.blocks[0], of(w.blocks[0]) + np.uint16(999)), InputError, "fit uint8"),
    "no numbers": (lambda w: w.write(w.blocks[0], of(w.blocks[0]).astype(complex)), InputError, "type complex128"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_after_an_error_there_is_what_was_before(tmp_path, name):
    fault, error, message = FAULTS[name]
    with writer(tmp_path / "scan.zarr") as old:
        for block in old.blocks:
            old.write(block, of(block))
    before = files(tmp_path)
    with pytest.raises(error, match=message), writer(tmp_path / "scan.zarr", dtype="uint8", overwrite=True) as new:
        for block in new.blocks[:-1]:
            new.write(block, of(block))
        fault(new)
    assert files(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["scan.zarr"]
    with pytest.raises(InputError, match="overwrite"), writer(tmp_path / "scan.zarr"):
        pytest.fail("entered")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scan_shape", (0, 4)),
        ("microscope", 300e3),
        ("detector", 128),
        ("semi_angle_mrad", {"microscope": Microscope(300e3, 13.0)}),
        ("scan_step_angstrom", -1.0),
        ("dtype", "int64"),
        ("chunks", (0, 4)),
        ("positions_angstrom", np.ones((4, 4, 2))),
        ("mask", np.zeros((N, N))),
        ("fingerprint", {"attributes": {"fingerprint": "a"}}),
        ("overwrite", "no"),
    ],
)
def test_what_is_refused_when_it_is_made(tmp_path, name, value):
    with pytest.raises(InputError, match=name):
        writer(tmp_path / "scan.zarr", **(value if isinstance(value, dict) else {name: value}))
    assert list(tmp_path.iterdir()) == []
