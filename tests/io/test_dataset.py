"""A dataset round trips exactly, opens without computing, refuses bad input, and damage never reads as counts."""

from __future__ import annotations

import json
import math
import os
import pickle
import shutil
import threading
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from dask.local import get_sync

from ptychodask._errors import InputError
from ptychodask._warnings import PtychodaskWarning
from ptychodask.io.create import create_dataset
from ptychodask.io.dataset import dataset_info, open_dataset, read_mask, read_positions, read_truth
from ptychodask.io.source import ZarrBlocks
from ptychodask.model.blocks import Block, make_blocks
from ptychodask.model.scan import raster

N = 16
CALIBRATION = dict(
    energy_ev=300e3, semi_angle_mrad=8.0, defocus_angstrom=150.0, angular_step_mrad=1.6, scan_step_angstrom=1.5
)


def some_counts(shape=(6, 8), dtype=np.uint8, high=5, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, (*shape, N, N)).astype(dtype)


def write(path: Path, counts=None, **options) -> Path:
    return create_dataset(path, some_counts() if counts is None else counts, **{**CALIBRATION, **options})


@pytest.fixture
def store(tmp_path) -> Path:
    return write(tmp_path / "scan.zarr", chunks=(3, 4))


def shard_files(path: Path) -> list[Path]:
    return sorted(p for p in (path / "counts" / "c").rglob("*") if p.is_file())


# -- what is stored ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize(
    ("dtype", "high", "stored"),
    [
        (bool, 2, "uint8"),
        (np.uint8, 256, "uint8"),
        (np.uint16, 9, "uint16"),
        (np.int64, 256, "uint8"),
        (np.int64, 65536, "uint16"),
        (np.float64, 256, "uint8"),
        (np.float32, 300, "uint16"),
    ],
)
def test_whole_counts_round_trip_in_the_smallest_type(tmp_path, lazy, dtype, high, stored):
    counts = some_counts(dtype=dtype, high=high)
    counts[-1, -1, 0, 0] = high - 1  # the largest value, in the last tile
    given = da.from_array(counts, chunks=(4, 3, N, N)) if lazy else counts
    data = open_dataset(write(tmp_path / "scan.zarr", given))
    assert data.counts.dtype == stored
    np.testing.assert_array_equal(data.counts.values, counts)


@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
def test_fractional_counts_round_trip_as_float32(tmp_path, lazy):
    counts = np.random.default_rng(1).gamma(0.3, size=(6, 8, N, N)).astype(np.float32)
    given = da.from_array(counts, chunks=(4, 3, N, N)) if lazy else counts
    data = open_dataset(write(tmp_path / "scan.zarr", given))
    assert data.counts.dtype == np.float32
    np.testing.assert_array_equal(data.counts.values, counts)


def test_labels(tmp_path):
    counts = some_counts()
    path = write(tmp_path / "scan.zarr", xr.DataArray(counts, dims=("scan_y", "scan_x", "ky", "kx")))
    data = open_dataset(path)
    assert data.counts.dims == ("scan_y", "scan_x", "ky", "kx")
    assert data.positions.dims == ("scan_y", "scan_x", "axis")
    assert data.mask.dims == ("ky", "kx")
    for name in ("ky", "kx"):
        np.testing.assert_allclose(data[name], (np.arange(N) - N // 2) * 1.6)
        assert data[name].attrs["units"] == "mrad"
    assert float(data.ky[N // 2]) == 0
    assert list(data.axis.values) == ["y", "x"]
    assert data.counts.attrs["units"] == "electron"
    assert data.positions.attrs["units"] == "angstrom"
    assert data.attrs["aberrations"] == {"C10": -150.0}
    assert "underfocus" in data.attrs["aberration_convention"]
    mean = counts.sum() / 48
    assert data.attrs["electrons_per_pattern"] == pytest.approx(mean)
    assert data.attrs["dose_per_square_angstrom"] == pytest.approx(mean / 1.5**2)
    assert data.attrs["brightest_pixel"] == counts.max()


def test_positions_are_a_raster_unless_given(tmp_path):
    raster = read_positions(write(tmp_path / "raster.zarr", scan_step_angstrom=(1.5, 0.75))).reshape(6, 8, 2)
    assert raster.dtype == np.float64
    np.testing.assert_array_equal(raster[..., 0], np.broadcast_to(1.5 * np.arange(6)[:, None], (6, 8)))
    np.testing.assert_array_equal(raster[..., 1], np.broadcast_to(0.75 * np.arange(8)[None, :], (6, 8)))
    given = np.random.default_rng(0).normal(size=(6, 8, 2))
    path = write(tmp_path / "given.zarr", positions_angstrom=given)
    np.testing.assert_array_equal(open_dataset(path).positions.values, given)
    np.testing.assert_array_equal(read_positions(path), given.reshape(48, 2))


def test_mask_is_stored_centred_and_read_corner_centred(tmp_path):
    mask = np.ones((N, N), bool)
    mask[2, 5] = mask[N // 2, N // 2] = False
    path = write(tmp_path / "scan.zarr", mask=mask)
    np.testing.assert_array_equal(open_dataset(path).mask.values, mask)
    used = read_mask(path)
    assert used.dtype == np.float32
    assert used[0, 0] == 0  # zero angle
    assert used[(2 - N // 2) % N, (5 - N // 2) % N] == 0
    assert used.sum() == N * N - 2
    assert read_mask(write(tmp_path / "all.zarr")).all()


def test_aberrations_attributes_and_truth_are_kept(tmp_path):
    truth = xr.Dataset({"phase": (("y", "x"), np.eye(3))}, {"y": [0.0, 1, 2], "x": [0.0, 1, 2]})
    extra = {"specimen": "mine", "thickness_angstrom": 34.0, "note": ["a", 1]}
    path = write(tmp_path / "scan.zarr", aberrations={"C30": 1e6}, attributes=extra, truth=truth)
    info = dataset_info(path)
    assert dict(info.microscope.aberrations) == {"C10": -150.0, "C30": 1e6}
    assert info.microscope.defocus_angstrom == 150.0
    assert {name: info.attributes[name] for name in extra} == extra
    assert info.has_truth
    xr.testing.assert_equal(read_truth(path), truth)
    plain = write(tmp_path / "plain.zarr")
    assert not dataset_info(plain).has_truth
    assert read_truth(plain) is None


def test_numpy_scalars_are_calibration_too(tmp_path):
    plain = dataset_info(write(tmp_path / "plain.zarr"))
    scalars = {name: np.float64(value) for name, value in CALIBRATION.items()}
    scalars["angular_step_mrad"] = np.float64(CALIBRATION["angular_step_mrad"])
    scalars["semi_angle_mrad"] = np.float32(8)
    scalars["energy_ev"] = np.int64(300_000)
    assert dataset_info(write(tmp_path / "numpy.zarr", **scalars)).fingerprint == plain.fingerprint


# -- laziness and memory -------------------------------------------------------------------------------------------


def test_opening_computes_nothing(store):
    calls = []

    def counting_get(dsk, keys, **kwargs):
        calls.append(keys)
        return get_sync(dsk, keys, **kwargs)

    with dask.config.set(scheduler=counting_get):
        data = open_dataset(store)
        mean = data.counts.mean(("scan_y", "scan_x"))
        assert calls == []
        mean.compute()
        assert len(calls) == 1


def test_one_dask_chunk_per_shard(store):
    data = open_dataset(store)
    assert data.counts.chunks == ((3, 3), (4, 4), (N,), (N,))
    assert len(shard_files(store)) == 4
    assert dataset_info(store).shard == (3, 4)


def test_ragged_shards_at_the_rim(tmp_path):
    counts = some_counts((5, 7))
    path = write(tmp_path / "scan.zarr", counts, chunks=(4, 4))
    assert open_dataset(path).counts.chunks == ((4, 1), (4, 3), (N,), (N,))
    np.testing.assert_array_equal(open_dataset(path).counts.values, counts)


def test_shards_larger_than_the_scan_are_cut_to_it(tmp_path):
    assert dataset_info(write(tmp_path / "scan.zarr", chunks=(64, 4))).shard == (6, 4)


class Live:
    """Counts the tiles that are alive at once."""

    def __init__(self) -> None:
        self.now, self.most, self.made, self.lock = 0, 0, 0, threading.Lock()

    def tile(self, block_info=None) -> np.ndarray:
        shape = block_info[None]["chunk-shape"]
        live = self

        class Tile(np.ndarray):
            def __del__(self) -> None:
                if self.base is None:
                    with live.lock:
                        live.now -= 1

        out = np.ndarray.__new__(Tile, shape, np.uint8)
        out[...] = 1
        with self.lock:
            self.now += 1
            self.made += 1
            self.most = max(self.most, self.now)
        return out


def test_writing_holds_a_shard_at_a_time(tmp_path):
    live = Live()
    counts = da.map_blocks(
        live.tile, chunks=((2,) * 4, (2,) * 6, (N,), (N,)), dtype=np.uint8, meta=np.empty((0,) * 4, np.uint8)
    )
    write(tmp_path / "scan.zarr", counts, chunks=(2, 2))
    assert live.made == 24
    assert live.most <= 3


# -- the fingerprint -----------------------------------------------------------------------------------------------


def test_fingerprint_names_counts_calibration_positions_and_mask(tmp_path):
    def fingerprint(name, counts=None, **options):
        return dataset_info(write(tmp_path / f"{name}.zarr", counts, **options)).fingerprint

    first = fingerprint("first")
    counts = some_counts()
    assert fingerprint("again", counts) == first
    assert fingerprint("dask", da.from_array(counts, chunks=(1, 5, N, 4))) == first  # chunks of the input do not count
    counts[5, 7, 3, 3] += 1
    mask = np.ones((N, N))
    mask[0, 0] = 0
    moved = read_positions(tmp_path / "first.zarr").reshape(6, 8, 2) + 1e-3
    others = [
        fingerprint("counts", counts),
        fingerprint("swapped", some_counts()[::-1]),
        fingerprint("energy", energy_ev=200e3),
        fingerprint("angle", semi_angle_mrad=7.9),
        fingerprint("defocus", defocus_angstrom=-150.0),
        fingerprint("step", scan_step_angstrom=1.4),
        fingerprint("detector", angular_step_mrad=1.5),
        fingerprint("aberration", aberrations={"C30": 1e6}),
        fingerprint("mask", mask=mask),
        fingerprint("positions", positions_angstrom=moved),
    ]
    assert len({first, *others}) == 11


# -- reading blocks ------------------------------------------------------------------------------------------------


def test_blocks_are_corner_centred_and_travel(store):
    counts = some_counts()
    source = ZarrBlocks(str(store), dataset_info(store).fingerprint)
    blocks = (*make_blocks((6, 8), (3, 4)), Block(0, 1, 5, 2, 7))
    for opened in (source, pickle.loads(pickle.dumps(source))):
        for block in blocks:
            expected = counts[block.y0 : block.y1, block.x0 : block.x1].reshape(-1, N, N)
            expected = np.roll(expected, (-(N // 2), -(N // 2)), axis=(1, 2))
            np.testing.assert_array_equal(opened.dense(block), expected)
    assert len(pickle.dumps(source)) < 1000  # used, with the array open
    assert source.key == dataset_info(store).fingerprint


# -- bad input -----------------------------------------------------------------------------------------------------


def damaged(value: float, dtype: type) -> np.ndarray:
    counts = some_counts(dtype=dtype)
    counts[4, 6, 2, 2] = value
    return counts


def endless() -> np.ndarray:
    positions = np.zeros((6, 8, 2))
    positions[..., 0] = np.arange(6)[:, None] * 1e9
    return positions


BAD = {
    "three dimensions": (lambda: some_counts()[0], {}, "3 dimensions"),
    "a list": (lambda: [[1]], {}, "are no array"),
    "one dimension": (lambda: np.ones(4), {}, r"counts have 1 dimension \("),
    "no square": (lambda: some_counts()[..., :8], {}, "16 x 8 pixels"),
    "odd": (lambda: some_counts()[..., :15, :15], {}, "must be even"),
    "order": (lambda: xr.DataArray(some_counts(), dims=("kx", "ky", "scan_x", "scan_y")), {}, "transpose"),
    "no positions": (lambda: some_counts()[:0], {}, "empty"),
    "complex": (lambda: some_counts().astype(complex), {}, "type complex128"),
    "text": (lambda: some_counts().astype(str), {}, "type"),
    "NaN": (lambda: damaged(np.nan, float), {}, r"NaN or infinite: 1 count in .*rows 3 to 5, columns 4 to 7"),
    "infinite": (lambda: damaged(np.inf, float), {}, "infinite"),
    "negative": (lambda: damaged(-0.5, float), {}, r"as low as -0\.5 .*negative"),
    "negative whole": (lambda: damaged(-3, int), {}, r"as low as -3 .*rows 3 to 5, columns 4 to 7"),
    "huge": (lambda: damaged(70_000, int), {}, "exceed uint16"),
    "zero": (lambda: np.zeros((6, 8, N, N), np.uint8), {}, "all zero"),
    "energy": (None, {"energy_ev": np.nan}, "energy_ev"),
    "energy in keV": (None, {"energy_ev": 300}, "300 kV is 300e3"),
    "semi-angle": (None, {"semi_angle_mrad": np.inf}, "semi_angle_mrad"),
    "defocus": (None, {"defocus_angstrom": np.nan}, "defocus_angstrom"),
    "detector": (None, {"angular_step_mrad": np.nan}, "angular_step_mrad"),
    "step": (None, {"scan_step_angstrom": np.inf}, "scan_step_angstrom"),
    "step and positions missing": (None, {"scan_step_angstrom": None}, "scan_step_angstrom is missing: .*positions"),
    "all at one place, no step": (
        None,
        {"scan_step_angstrom": None, "positions_angstrom": np.ones((6, 8, 2))},
        "positions_angstrom say no scan step",
    ),
    "step of 0": (None, {"scan_step_angstrom": (1.0, 0.0)}, "scan_step_angstrom"),
    "aberration": (None, {"aberrations": {"C30": np.nan}}, "C30"),
    "aberration's name": (None, {"aberrations": {"Cs": 1.0}}, "'Cs' is not known"),
    "disk beyond the detector": (None, {"semi_angle_mrad": 13.0}, "exceeds the detector's 12.8 mrad"),
    "positions' shape": (None, {"positions_angstrom": np.zeros((48, 2))}, r"shape \(48, 2\)"),
    "positions in the wrong unit": (None, {"positions_angstrom": endless()}, "in angstrom"),
    "positions of NaN": (None, {"positions_angstrom": np.full((6, 8, 2), np.nan)}, "not finite"),
    "mask's shape": (None, {"mask": np.ones((8, 8))}, r"shape \(8, 8\)"),
    "empty mask": (None, {"mask": np.zeros((N, N))}, "every detector pixel"),
    "chunks of 0": (None, {"chunks": (0, 4)}, "chunks"),
    "thickness": (None, {"attributes": {"thickness_angstrom": "34"}}, "thickness_angstrom"),
    "attributes": (
        None,
        {"attributes": {"scale": object()}},
        r"attributes\[.scale.\] = an object of type object cannot be stored",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_and_leaves_nothing(tmp_path, name):
    make, options, message = BAD[name]
    with pytest.raises(InputError, match=message) as caught:
        write(tmp_path / "scan.zarr", make() if make else None, **{"chunks": (3, 4), **options})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("columns", "to_and_fro", "step"), [(8, False, (1.5, 1.25)), (8, True, (1.5, 1.25)), (1, False, (1.5, 1.5))]
)
def test_the_step_follows_of_positions(tmp_path, columns, to_and_fro, step):
    places = raster((6, columns), (1.5, 1.25))
    if to_and_fro:
        places[1::2] = places[1::2, ::-1]
    places[2, 0] += 0.3  # a median does not see one place
    with pytest.warns(PtychodaskWarning, match=rf"scan_step_angstrom = {step[0]:g} x {step[1]:g} A, y x x: the median"):
        path = write(
            tmp_path / "scan.zarr", some_counts((6, columns)), scan_step_angstrom=None, positions_angstrom=places
        )
    assert dataset_info(path).scan_step == pytest.approx(step, rel=0.03)


def test_places_that_are_off_do_not_make_the_step_longer(tmp_path):
    places = raster((16, 16), (1.5, 1.25)) + 0.5 * np.random.default_rng(2).standard_normal((16, 16, 2))
    for name, shape in (("rows", (16, 16)), ("line", (1, 256))):
        with pytest.warns(PtychodaskWarning, match="scan_step"):
            path = write(
                tmp_path / f"{name}.zarr", some_counts(shape), scan_step_angstrom=None,
                positions_angstrom=places.reshape(*shape, 2),
            )  # fmt: skip
        if name == "rows":
            assert dataset_info(path).scan_step == pytest.approx((1.5, 1.25), rel=0.05)


def test_an_existing_output_stays(store):
    before = dataset_info(store).fingerprint
    other = some_counts(seed=5)
    with pytest.raises(InputError, match="overwrite"):
        write(store, other)
    with pytest.raises(InputError, match="NaN"):
        write(store, damaged(np.nan, float), overwrite=True)
    assert dataset_info(store).fingerprint == before
    write(store, other, overwrite=True)
    np.testing.assert_array_equal(open_dataset(store).counts.values, other)
    assert [p.name for p in store.parent.iterdir()] == ["scan.zarr"]


def test_a_folder_of_other_files_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    with pytest.raises(InputError, match="other files"):
        write(tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.tex").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_refused(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(InputError, match="not writable"):
            write(tmp_path / "scan.zarr")
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_source_that_fails_leaves_nothing(tmp_path, error):
    def tile(block_info=None):
        if block_info[None]["chunk-location"][1] == 1:
            raise error("disk")
        return np.ones(block_info[None]["chunk-shape"], np.uint8)

    counts = da.map_blocks(tile, chunks=((3, 3), (4, 4), (N,), (N,)), dtype=np.uint8, meta=np.empty((0,) * 4, "u1"))
    with pytest.raises(error), dask.config.set(scheduler="sync"):
        write(tmp_path / "scan.zarr", counts, chunks=(3, 4))
    assert list(tmp_path.iterdir()) == []


# -- damage --------------------------------------------------------------------------------------------------------


def test_stores_that_are_no_dataset(tmp_path, store):
    with pytest.raises(InputError, match="does not exist"):
        open_dataset(tmp_path / "absent.zarr")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="not a Zarr group"):
        open_dataset(tmp_path / "folder")
    (tmp_path / "file").write_text("counts")
    with pytest.raises(InputError, match="not a Zarr group"):
        open_dataset(tmp_path / "file")
    zarr.create_group(str(tmp_path / "other.zarr"))
    with pytest.raises(InputError, match="schema None"):
        open_dataset(tmp_path / "other.zarr")
    del zarr.open_group(str(store), mode="r+").attrs["fingerprint"]
    with pytest.raises(InputError, match="lacks the attribute 'fingerprint'"):
        open_dataset(store)


@pytest.mark.parametrize("name", ["counts", "positions", "mask"])
def test_a_missing_array_is_found(store, name):
    shutil.rmtree(store / name)
    with pytest.raises(InputError, match=f"scan.zarr lacks {name}"):
        dataset_info(store)


@pytest.mark.parametrize("name", ["counts", "positions", "mask"])
def test_an_array_whose_description_is_cut_off_is_one_line(store, name):
    description = store / name / "zarr.json"
    description.write_bytes(description.read_bytes()[:100])
    with pytest.raises(InputError, match=r"scan\.zarr is damaged \(.*\): copy or write the dataset again"):
        dataset_info(store)


@pytest.mark.parametrize("harm", [Path.unlink, lambda file: file.write_bytes(b"")], ids=["deleted", "emptied"])
def test_a_missing_shard_is_found(store, harm):
    harm(shard_files(store)[2])
    for opened in (dataset_info, open_dataset):
        with pytest.raises(InputError, match=r"scan\.zarr: 1 of 4 shards of counts are missing.*truncated"):
            opened(store)


@pytest.mark.parametrize("name", ["positions", "mask"])
def test_missing_positions_or_mask_do_not_read_as_zeros(store, name):
    next(p for p in (store / name / "c").rglob("*") if p.is_file()).unlink()
    with pytest.raises(InputError, match=f"shards of {name} are missing"):
        dataset_info(store)


def test_shards_of_zeros_are_there(tmp_path):
    counts = np.zeros((6, 8, N, N), np.uint8)
    counts[0, 0, 8, 8] = 1
    path = write(tmp_path / "scan.zarr", counts, positions_angstrom=np.zeros((6, 8, 2)), chunks=(3, 4))
    assert len(shard_files(path)) == 4
    assert dataset_info(path).scan_shape == (6, 8)


def flip(file: Path, where: float) -> None:
    content = bytearray(file.read_bytes())
    content[int(where * len(content))] ^= 0x10
    file.write_bytes(content)


def cut(file: Path, where: float) -> None:
    file.write_bytes(file.read_bytes()[: int(where * file.stat().st_size)])


# a bit in the counts, at several places down to the index at the end of the shard; a file cut short
@pytest.mark.parametrize(
    ("harm", "where"), [*((flip, w) for w in (0.0, 0.03, 0.3, 0.5, 0.9, 0.995)), *((cut, w) for w in (0.5, 0.999))]
)
def test_a_damaged_shard_is_an_error_and_never_wrong_counts(store, harm, where):
    harm(shard_files(store)[3], where)
    source = ZarrBlocks(str(store), dataset_info(store).fingerprint)
    first, *_, last = make_blocks((6, 8), (3, 4))
    assert source.dense(first).shape == (12, N, N)  # the others stay readable
    with pytest.raises(
        InputError,
        match=r"scan\.zarr: the counts of scan rows [345] to [345], columns 4 to 7.* cannot be read .*counts/c/1/1/0/0",
    ):
        source.read(last)


@pytest.mark.parametrize("name", ["positions", "mask"])
def test_a_damaged_small_array_is_an_error(store, name):
    flip(next(p for p in (store / name / "c").rglob("*") if p.is_file()), 0.5)
    with pytest.raises(InputError, match=rf"scan\.zarr: {name} cannot be read"):
        (read_positions if name == "positions" else read_mask)(store)


def edited(store: Path, name: str, **changes: object) -> None:
    """Change keys of the description of an array, or, without a name, attributes of the group."""
    file = store / name / "zarr.json"
    document = json.loads(file.read_text())
    (document if name else document["attributes"]).update(changes)
    file.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("", {"energy_ev": "300e3"}, r"zarr\.json: energy_ev = '300e3': input should be a valid number"),
        ("", {"scan_step_angstrom": [1.0]}, r"zarr\.json lacks 'scan_step_angstrom\.1'"),
        ("", {"scan_step_angstrom": [1.0, math.nan]}, r"scan_step_angstrom\.1 = nan: input should be a finite number"),
        ("", {"aberrations": {"C10": 10**400}}, r"aberrations\.C10 = 1000"),
        ("", {"aberrations": {"Cs\x1b[2J": 1.0}}, r"scan\.zarr: aberration 'Cs.*' is not known"),
        ("", {"energy_ev": 300}, r"scan\.zarr: energy_ev = 300"),
        ("", {"fingerprint": ["a"]}, r"fingerprint = \['a'\]: input should be a valid string"),
        ("", {"schema": "ptychodask-dataset/2"}, "was written by a newer version of ptychodask"),
        ("counts", {"shape": [2**30, 2, N, N]}, r"positions have shape \(6, 8, 2\), expected 1073741824 x 2 x 2"),
        ("counts", {"shape": [2**30, 2**30, N, N]}, "at most|1 to 2147483648 are read"),
        (
            "counts",
            {"data_type": "float64"},
            "counts have values of type 'float64', expected uint8 or uint16",
        ),
        ("counts", {"dimension_names": ["kx", "ky", "scan_x", "scan_y"]}, "transpose them"),
        ("mask", {"shape": [N, N + 2]}, rf"the mask has shape \({N}, {N + 2}\), expected {N} x {N}"),
        ("positions", {"codecs": "zstd"}, r"positions/zarr\.json: codecs = 'zstd'"),
    ],
)
def test_an_edited_description_is_one_line_that_names_file_and_key(store, name, changes, message):
    edited(store, name, **changes)
    for reader in (dataset_info, open_dataset, read_positions) if name else (dataset_info, open_dataset):
        with pytest.raises(InputError, match=message) as caught:
            reader(store)
        assert str(caught.value).isprintable() and str(store) in str(caught.value)


def test_shapes_that_fit_each_other_but_no_files_are_refused_at_once(store):
    edited(store, "counts", shape=[2**20, 2**10, N, N])
    edited(store, "positions", shape=[2**20, 2**10, 2])
    for whole in (True, False):
        with pytest.raises(InputError, match=r"more than 1000 of \d+ shards of (counts|positions) are missing"):
            dataset_info(store, whole=whole)


def test_an_array_that_claims_more_than_its_files_can_hold_is_refused(store):
    edited(store, "counts", shape=[2**15, 2**11, N, N])
    grid = {"name": "regular", "configuration": {"chunk_shape": [2**15, 2**11, 2]}}
    edited(store, "positions", shape=[2**15, 2**11, 2], chunk_grid=grid)
    with pytest.raises(InputError, match=r"positions claims \(32768, 2048, 2\) values, its files hold \d+ bytes"):
        dataset_info(store, whole=False)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("positions", np.nan, "48 of 48 positions are not finite"),
        ("positions", np.inf, "48 of 48 positions are not finite"),
        ("mask", 0, "the mask excludes every detector pixel"),
    ],
)
def test_values_that_cannot_be_used_are_refused(store, name, value, message):
    zarr.open_group(str(store), mode="r+")[name][...] = value
    if name == "mask":  # a chunk of zeros is not written unless that is asked for
        array = zarr.open_group(str(store), mode="r+")[name]
        array.with_config({"write_empty_chunks": True})[...] = value
    with pytest.raises(InputError, match=rf"scan\.zarr: {message}"):
        (read_positions if name == "positions" else read_mask)(store)


@pytest.mark.parametrize("harm", [flip, cut])
def test_a_damaged_truth_is_one_line(tmp_path, harm):
    axis = np.arange(40.0)
    truth = xr.Dataset({"phase": (("y", "x"), np.random.default_rng(0).random((40, 40)))}, {"y": axis, "x": axis})
    path = write(tmp_path / "scan.zarr", truth=truth)
    xr.testing.assert_equal(read_truth(path), truth)
    harm(next(p for p in (path / "truth" / "phase" / "c").rglob("*") if p.is_file()), 0.5)
    with pytest.raises(InputError, match=r"scan\.zarr is damaged \(.*\): copy or write the dataset again"):
        read_truth(path)
