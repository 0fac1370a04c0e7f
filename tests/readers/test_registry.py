"""Files of counts are known by ending or content, read row by row, and a new format is one line."""

from __future__ import annotations

import shutil
import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import ptychodask
from ptychodask._errors import InputError
from ptychodask.io.dataset import dataset_info, open_dataset
from ptychodask.readers import registry
from ptychodask.readers.reader import CALIBRATION, About, Asked, FileCounts
from ptychodask.readers.registry import Format, open_counts

N = 16
COUNTS = np.random.default_rng(0).integers(0, 500, (5, 7, N, N)).astype(np.uint16)
FACTS = {
    "energy_ev": 300e3, "semi_angle_mrad": 8.0, "defocus_angstrom": 150.0, "angular_step_mrad": 1.6,
    "scan_step_angstrom": [1.5, 1.25],
}  # fmt: skip
FACTS_GIVEN = {"npy": {}, "npz": FACTS, "packed.npz": FACTS, "h5": FACTS}


def save(folder: Path, kind: str) -> Path:
    path = folder / f"scan.{kind}"
    if kind == "npy":
        np.save(path, COUNTS)
    elif kind == "npz":
        np.savez(path, counts=COUNTS, **FACTS)
    elif kind == "packed.npz":
        np.savez_compressed(path, counts=COUNTS, **FACTS)
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file.create_dataset("entry/counts", data=COUNTS, chunks=(2, 3, N, N)).attrs.update({**FACTS, "gain": 3})
    return path


@pytest.mark.parametrize("kind", FACTS_GIVEN)
@pytest.mark.parametrize("renamed", [False, True])
def test_rows_in_any_order(tmp_path, kind, renamed):
    path = save(tmp_path, kind)
    if renamed:
        path = Path(shutil.move(path, tmp_path / "scan.of_mine"))
    reader = open_counts(path)
    assert (reader.shape, reader.dtype) == (COUNTS.shape, COUNTS.dtype)
    assert dict(reader.about.metadata) == FACTS_GIVEN[kind]
    for low, high in ((3, 5), (0, 1), (1, 4), (0, 5)):
        np.testing.assert_array_equal(reader.read((low, high), (0, 7)), COUNTS[low:high])
        np.testing.assert_array_equal(reader.read((low, high), (2, 6)), COUNTS[low:high, 2:6])


@pytest.mark.parametrize("kind", FACTS_GIVEN)
def test_a_file_becomes_a_dataset_with_what_it_says(tmp_path, kind):
    reader = open_counts(save(tmp_path, kind))
    options = {**FACTS, **reader.about.metadata, "chunks": (3, 2)}
    path = ptychodask.create_dataset(tmp_path / "scan.zarr", FileCounts(reader), **options)
    np.testing.assert_array_equal(open_dataset(path).counts.values, COUNTS)
    assert dataset_info(path).scan_step == (1.5, 1.25)


def test_all_facts_are_arguments_of_create_dataset():
    import inspect

    assert set(CALIBRATION) == set(FACTS) < set(inspect.signature(ptychodask.create_dataset).parameters)


@pytest.mark.parametrize("kind", ["npy", "h5"])
def test_files_larger_than_memory_are_opened(tmp_path, kind):
    shape, path = (4096, 4096, 128, 128), tmp_path / f"scan.{kind}"  # 256 GiB, of which nothing is stored
    if kind == "npy":
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            start = file.tell()
            file.truncate(start + 4096 * 4096 * 128 * 128)
    else:
        with pytest.importorskip("h5py").File(path, "w") as file:
            file.create_dataset("counts", shape, "u1", chunks=(1, 16, 128, 128))
    reader = open_counts(path)
    assert reader.shape == shape
    assert reader.read((4000, 4001), (4090, 4096))[0, -1].sum() == 0


def test_an_archive_is_never_there_whole(tmp_path):
    counts = np.ones((64, 8, 128, 128), np.uint8)  # 8 MiB
    np.savez_compressed(tmp_path / "scan.npz", counts=counts)
    tracemalloc.start()
    try:
        reader = open_counts(tmp_path / "scan.npz")
        total = sum(int(reader.read((y, y + 1), (0, 8)).sum()) for y in range(64))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == counts.size and peak < counts.nbytes / 4


@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_one_of_several_arrays_is_named(tmp_path, kind):
    path, arrays = tmp_path / f"scan.{kind}", {"first": COUNTS, "second": COUNTS[:2], "flat": COUNTS[0]}
    if kind == "npz":
        np.savez(path, **arrays)
    else:
        with pytest.importorskip("h5py").File(path, "w") as file:
            for name, values in arrays.items():
                file[name] = values
    for given, told in (("", "has 2 arrays of counts"), (":/third", "no array 'third'")):
        with pytest.raises(InputError, match=f"{told}.*flat .*name one, as .*:/first"):
            open_counts(f"{path}{given}")
    reader = open_counts(f"{path}:/second")
    np.testing.assert_array_equal(reader.read((0, 2), (0, 7)), COUNTS[:2])
    assert reader.about.notes == ("not read: first, flat",)
    with pytest.raises(InputError, match=r"7 whole frames and does not say its scan.* 1 7, 7 1 fit"):
        open_counts(f"{path}:/flat")
    flat = open_counts(f"{path}:/flat", asked=Asked(scan=(1, 7)))
    np.testing.assert_array_equal(flat.read((0, 1), (0, 7)), COUNTS[:1])


def _cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def _text(path: Path) -> Path:
    path.write_text("scan")
    return path


def _columns(path: Path) -> Path:
    np.savez(path, counts=np.asfortranarray(COUNTS))
    return path


BAD = {
    "no file": (lambda folder: folder / "none.npy", "is no file"),
    "a folder": (lambda folder: folder, "is no file"),
    "no format": (
        lambda folder: _text(folder / "scan.txt"),
        r"in no format that is known .*npy \.npy 0%.*sure\): give --format",
    ),
    "another content": (lambda folder: _text(folder / "scan.npy"), "cannot be read as NumPy array"),
    "cut npy": (
        lambda folder: _cut(save(folder, "npy")),
        r"17 whole frames and 192 bytes.*header says 5 x 7 = 35: it ends too",
    ),
    "cut npz": (lambda folder: _cut(save(folder, "npz")), "cannot be read as NumPy archive"),
    "cut h5": (lambda folder: _cut(save(folder, "h5")), "cannot be read as HDF5"),
    "a name in npy": (lambda folder: f"{save(folder, 'npy')}:/counts", "leave :/counts out"),
    "columns first": (lambda folder: _columns(folder / "scan.npz"), "column by column"),
    "no path": (lambda folder: 3, "give a path"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_one_line(tmp_path, name):
    make, message = BAD[name]
    with pytest.raises(InputError, match=message) as caught:
        open_counts(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_python_objects_are_not_loaded(tmp_path):
    np.save(tmp_path / "scan.npy", np.array([[[[{}]]]], object), allow_pickle=True)
    np.savez(tmp_path / "scan.npz", counts=COUNTS, energy_ev=np.array({}, object))
    for name in ("scan.npy", "scan.npz"):
        with pytest.raises(InputError, match=name):
            open_counts(tmp_path / name)


@dataclass(frozen=True)
class Pairs:
    """A reader of what is stored in pairs of rows, as an importer would bring one."""

    path: Path
    shape: tuple[int, ...] = COUNTS.shape
    dtype: np.dtype = COUNTS.dtype
    chunk: tuple[int, int] = (2, 7)
    about: About = field(default_factory=lambda: About({"energy_ev": 300e3}))

    def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
        assert rows[0] % 2 == 0 and (rows[1] % 2 == 0 or rows[1] == 5), "what is stored together is read together"
        data = np.memmap(self.path, self.dtype, "r", shape=self.shape)
        return np.asarray(data[slice(*rows), slice(*columns)])


def test_a_format_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "scan.pairs").write_bytes(COUNTS.tobytes())
    with pytest.raises(InputError, match="no format"):
        open_counts(tmp_path / "scan.pairs")
    line = Format("pairs", "pairs of rows", (".pairs",), b"", lambda path, asked: Pairs(path))
    monkeypatch.setattr(registry, "FORMATS", (*registry.FORMATS, line))
    reader = open_counts(tmp_path / "scan.pairs")
    options = {**FACTS, **reader.about.metadata, "chunks": (1, 3)}  # shards end within what is stored together
    path = ptychodask.create_dataset(tmp_path / "scan.zarr", FileCounts(reader), **options)
    np.testing.assert_array_equal(open_dataset(path).counts.values, COUNTS)
    made = ptychodask.import_data(tmp_path / "scan.pairs", tmp_path / "other.zarr", **FACTS)
    np.testing.assert_array_equal(open_dataset(made).counts.values, COUNTS)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Asked((5, 7)), r"holds 0 whole frames.*; it was taken for EMPAD by its name: give --format, or --dtype where"),
        (Asked((5, 7), offset=512), "is raw: give --dtype"),
        (Asked((5, 7), gap=4), "is raw: give --dtype"),
        (Asked((5, 7), detector=(N, N)), "is raw: give --dtype"),
    ],
)
def test_raw_frames_that_look_like_another_format(tmp_path, asked, message):
    path = tmp_path / "scan.raw"
    path.write_bytes(b"h" * 512 + COUNTS.tobytes())
    with pytest.raises(InputError, match=message) as caught:
        open_counts(path, asked=asked)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError) as caught:
        open_counts(path, "empad", Asked((5, 7)))
    assert "taken for" not in str(caught.value)  # it was said


def test_a_format_is_named(tmp_path):
    path = Path(shutil.copy(save(tmp_path, "npy"), tmp_path / "scan.of_mine"))
    assert open_counts(path, "NPY").shape == COUNTS.shape
    with pytest.raises(InputError, match="'tiff' is not known: give npy, npz"):
        open_counts(path, "tiff")
    with pytest.raises(InputError, match="cannot be read as NumPy archive"):
        open_counts(path, "npz")
