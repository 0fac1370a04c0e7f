"""Layouts of HDF5: frames in other files, calibration in the units of each, positions, errors of one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ptychodask
from ptychodask._errors import InputError
from ptychodask.io.dataset import open_dataset
from ptychodask.readers.hdf5_files import Stack
from ptychodask.readers.reader import Asked
from ptychodask.readers.registry import open_counts, opened

h5py = pytest.importorskip("h5py")

N = 16
COUNTS = np.random.default_rng(0).poisson(0.5, (4, 6, N, N)).astype(np.uint16)
FRAMES = COUNTS.reshape(-1, N, N)
GIVEN = {"energy_ev": 300e3, "semi_angle_mrad": 8.0, "angular_step_mrad": 1.6, "scan_step_angstrom": 1.2}
REAL = Path(__file__).parents[3] / "shared" / "realfiles"
real = pytest.mark.skipif(not REAL.is_dir(), reason="real files are not here")


def same(reader, counts=COUNTS) -> None:
    """All boxes of the scan are as they should be."""
    height, width = counts.shape[:2]
    assert reader.shape == counts.shape and reader.dtype == counts.dtype.newbyteorder("=")
    for rows, columns in (((0, height), (0, width)), ((1, 3), (1, 4)), ((height - 1, height), (0, width))):
        np.testing.assert_array_equal(reader.read(rows, columns), counts[slice(*rows), slice(*columns)])


def master(folder: Path, mask: bool = True, beside: bool = True, chunk: int = 1) -> Path:
    """A master file and two files of 10 and 14 frames."""
    for k, frames in enumerate((FRAMES[:10], FRAMES[10:]), 1):
        with h5py.File(folder / f"a_data_{k:06d}.h5", "w") as file:
            values = frames.astype("u4")
            values[:, 3, 5] = 2**32 - 1
            file.create_dataset("entry/data/data", data=values, chunks=(chunk, N, N), compression="gzip")
    with h5py.File(folder / "a_master.h5", "w") as file:
        for k in (1, 2):
            file[f"entry/data/data_{k:06d}"] = h5py.ExternalLink(f"a_data_{k:06d}.h5", "/entry/data/data")
        detector = file.create_group("entry/instrument/detector")
        detector["saturation_value"] = 8352
        detector["detectorSpecific/photon_energy"] = 200e3
        if mask:
            bad = np.zeros((N, N), "u4")
            bad[3, 5] = 8
            detector["detectorSpecific/pixel_mask"] = bad
    if beside:
        with h5py.File(folder / "a.h5", "w") as file:
            file.create_group("STEM Metadata").attrs.update({"NumPixelsX": 6, "NumPixelsY": 4, "High Tension": [300e3]})
    return folder / "a_master.h5"


def test_frames_of_a_master_file(tmp_path):
    form, reader = opened(master(tmp_path))
    expected = COUNTS.astype("u4")
    expected[:, :, 3, 5] = 2**32 - 1
    same(reader, expected)
    assert form.name == "dectris" and reader.about.metadata == {"energy_ev": 300e3}
    assert reader.about.most == 8352 and not reader.about.used[3, 5] and reader.about.used.sum() == N * N - 1
    made = ptychodask.import_data(tmp_path / "a_master.h5", tmp_path / "scan.zarr", **{**GIVEN, "energy_ev": None})
    expected[:, :, 3, 5] = 0
    np.testing.assert_array_equal(open_dataset(made).counts.values, expected)
    assert f"of which {N * N - 1} are used" in str(made) and "pixel_mask" in str(made)


def test_a_turned_mask_stays_with_its_pixel(tmp_path):
    made = ptychodask.import_data(master(tmp_path), tmp_path / "scan.zarr", **GIVEN, transpose=True)
    counts = open_dataset(made).counts.values
    assert counts[:, :, 5, 3].max() == 0 and counts[:, :, 3, 5].max() > 0


def test_what_a_master_file_does_not_say(tmp_path):
    path = master(tmp_path, mask=False, beside=False)
    with pytest.raises(InputError, match=r"24 whole frames and does not say its scan.* 4 6, 6 4"):
        open_counts(path)
    reader = open_counts(path, asked=Asked((6, 4)))
    assert reader.about.metadata == {"energy_ev": 200e3} and reader.about.used is None
    with pytest.raises(InputError, match=r"pixels? of .* frames looked at hold 8352"):
        ptychodask.import_data(path, tmp_path / "scan.zarr", **GIVEN, scan_shape=(4, 6))
    with pytest.raises(InputError, match=r"holds 24 whole frames, --scan says 5 x 6 = 30"):
        open_counts(path, asked=Asked((5, 6)))
    partial = open_counts(path, asked=Asked((5, 5), allow_partial=True))
    assert partial.about.missing == 1 and partial.read((4, 5), (4, 5)).max() == 0
    one = open_counts(f"{path}:/entry/data/data_000002", asked=Asked((2, 7)))
    np.testing.assert_array_equal(one.read((0, 2), (0, 7))[..., 0, :], FRAMES[10:, 0].reshape(2, 7, N))


def test_files_that_a_master_file_needs(tmp_path):
    path = master(tmp_path)
    data = tmp_path / "a_data_000002.h5"
    content = data.read_bytes()
    data.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"a_data_000002\.h5, to which .*truncated.*copy it again"):
        open_counts(path)
    data.unlink()
    with pytest.raises(InputError, match=r"is in the file 'a_data_000002\.h5', which is not beside it: put it there"):
        open_counts(path)


def test_a_link_of_any_file_that_leads_nowhere(tmp_path):
    for name in ("linked.h5", "both.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["entry/counts"] = h5py.ExternalLink("other.h5", "/counts")
            if name == "both.h5":
                file["here"] = COUNTS
    for name in ("linked.h5", "both.h5:/entry/counts"):
        with pytest.raises(InputError, match=r"is in the file 'other\.h5', which is not beside it: put it there"):
            open_counts(f"{tmp_path / name}")
    same(open_counts(tmp_path / "both.h5"))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["counts"] = COUNTS[:2]
    assert open_counts(tmp_path / "linked.h5").shape == open_counts(tmp_path / "both.h5:/entry/counts").shape
    assert open_counts(tmp_path / "linked.h5").shape == (2, 6, N, N)


def test_files_of_a_virtual_dataset(tmp_path):
    master(tmp_path)
    layout = h5py.VirtualLayout((24, N, N), "u4")
    layout[:10] = h5py.VirtualSource("a_data_000001.h5", "entry/data/data", (10, N, N))
    layout[10:] = h5py.VirtualSource("a_data_000002.h5", "entry/data/data", (14, N, N))
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("counts", layout)
    reader = open_counts(tmp_path / "virtual.h5", asked=Asked((4, 6)))
    np.testing.assert_array_equal(reader.read((0, 4), (0, 6))[..., 0, :], COUNTS[..., 0, :])
    (tmp_path / "a_data_000001.h5").unlink()
    with pytest.raises(InputError, match=r"'a_data_000001\.h5', which is not beside it"):  # it would be read as 0
        open_counts(tmp_path / "virtual.h5", asked=Asked((4, 6)))


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 5, 24])
def test_chunks_of_frames_are_read_once(tmp_path, chunk, monkeypatch):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_dataset("dp", data=FRAMES, chunks=(chunk, N, N))
    read = []
    original = Stack._fill

    def fill(self, found, start):
        read.append((start, start + len(found)))
        original(self, found, start)

    monkeypatch.setattr(Stack, "_fill", fill)
    reader = open_counts(tmp_path / "scan.h5", asked=Asked((4, 6)))
    rows, columns = reader.chunk
    for y in range(0, 4, rows):
        for x in range(0, 6, columns):
            reader.read((y, min(4, y + rows)), (x, min(6, x + columns)))
    touched = [k for a, b in read for k in range(a // chunk, -(-b // chunk))]
    assert sorted(touched) == list(range(-(-24 // chunk)))
    same(reader)
    made = ptychodask.import_data(
        tmp_path / "scan.h5", tmp_path / "scan.zarr", **GIVEN, scan_shape=(4, 6), chunks=(3, 4)
    )
    np.testing.assert_array_equal(open_dataset(made).counts.values, COUNTS)


def test_one_stack_of_frames_says_which_scans_fit(tmp_path):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["anything"] = FRAMES.astype("f4")
    with pytest.raises(InputError, match=r"24 whole frames and does not say its scan.* 4 6"):
        open_counts(tmp_path / "scan.h5")
    same(open_counts(tmp_path / "scan.h5", asked=Asked((4, 6))), COUNTS.astype("f4"))


def test_what_nexus_plots_is_meant(tmp_path):
    with h5py.File(tmp_path / "scan.nxs", "w") as file:
        file.attrs["default"], file.create_group("entry").attrs["default"] = "entry", "data"
        file["entry/data/counts"], file["entry/data/other"] = COUNTS, COUNTS
        file["entry/data"].attrs["signal"] = "counts"
    reader = open_counts(tmp_path / "scan.nxs")
    same(reader)
    assert reader.about.notes == ("not read: entry/data/other",)


def py4dstem(path: Path, units: tuple[str, str] = ("A", "A^-1"), **more: object) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("root/datacube")
        group.attrs.update({"emd_group_type": "array", "python_class": "DataCube"})
        group["data"] = COUNTS
        for k, (step, unit) in enumerate((("2.5", "A"), ("2.5", "A"), ("0.01", "A^-1"), ("0.01", "A^-1"))):
            group[f"dim{k}"] = [0, float(step)]
            group[f"dim{k}"].attrs["units"] = unit
        held = {"R_pixel_size": 0.3, "R_pixel_units": units[0], "Q_pixel_size": 0.02, "Q_pixel_units": units[1], **more}
        for name, value in held.items():
            file[f"root/metadatabundle/calibration/{name}"] = value
    return path


def test_py4dstem(tmp_path):
    form, reader = opened(py4dstem(tmp_path / "a.h5", QR_flip=True, QR_rotation=np.pi / 2, probe_semiangle=5.5))
    same(reader)
    assert form.name == "emd"
    assert reader.about.metadata == {"scan_step_angstrom": [0.3, 0.3], "reciprocal_step_per_angstrom": 0.02}
    notes = " ".join(reader.about.notes)
    assert "--transpose" in notes and "90 degrees" in notes and "5.5 pixels" in notes
    metadata = open_counts(py4dstem(tmp_path / "b.h5", ("nm", "mrad"))).about.metadata
    assert metadata == {"scan_step_angstrom": [3.0, 3.0], "angular_step_mrad": 0.02}
    assert open_counts(py4dstem(tmp_path / "c.h5", ("pixels", "pixels"))).about.metadata == {}


def prismatic(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        root = file.create_group("4DSTEM_simulation")
        for k in range(2):
            group = root.create_group(f"data/datacubes/CBED_array_depth000{k}")
            group.attrs["emd_group_type"] = np.int32(1)
            group["datacube"] = (COUNTS / 1e4).astype("f4") * (k + 1)
            for d, (step, unit) in enumerate(((0.5, "[n_m]"),) * 2 + ((0.18, "[n_m^-1]"),) * 2, 1):
                group[f"dim{d}"] = np.arange(3) * step
                group[f"dim{d}"].attrs["units"] = np.bytes_(unit)
        made = root.create_group("metadata/metadata_0/original/simulation_parameters")
        made.attrs.update({"rx": np.float32(0.5), "ry": np.float32(0.5), "E": np.float32(100), "sa": np.float32(30)})
    return path


def test_prismatic(tmp_path):
    path = prismatic(tmp_path / "a.emd")
    with pytest.raises(InputError, match=r"has 2 arrays of counts.*CBED_array_depth0001"):
        open_counts(path)
    facts = {"energy_ev": 100e3, "semi_angle_mrad": 30.0, "scan_step_angstrom": [0.5, 0.5]}
    inside = "4DSTEM_simulation/data/datacubes/CBED_array_depth0001"
    for asked in ("CBED_array_depth0001", inside, f"{inside}/datacube"):
        reader = open_counts(path, asked=Asked(inside=asked))
        same(reader, (COUNTS / 1e4).astype("f4") * 2)
        assert reader.about.metadata == {**facts, "reciprocal_step_per_angstrom": pytest.approx(0.18)}
        assert "angstroms, though the file says nm" in reader.about.notes[0]


def test_fpd(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        group = file.create_group("fpd_expt/fpd_data")
        group.attrs["emd_group_type"] = 1
        data = np.stack([COUNTS, COUNTS + 1], axis=2).astype(">u2")
        group.create_dataset("data", data=data, chunks=(2, 3, 1, 8, 8))
        for k, unit in enumerate(("nm", "nm", "", "mrad", "mrad"), 1):
            group[f"dim{k}"] = [0, 0.2]
            group[f"dim{k}"].attrs["units"] = unit
    form, reader = opened(tmp_path / "a.hdf5")
    same(reader)
    assert form.name == "fpd" and reader.chunk == (2, 3)
    assert reader.about.metadata == {"scan_step_angstrom": [2.0, 2.0], "angular_step_mrad": 0.2}
    assert "1 of 2 colours" in reader.about.notes[0]


def raster(step: tuple[float, float]) -> np.ndarray:
    y, x = np.meshgrid(np.arange(4) * step[0], np.arange(6) * step[1], indexing="ij")
    return np.stack([y.ravel(), x.ravel()], axis=1)


def cxi(path: Path, places: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        file["entry_1/data_1/data"] = FRAMES
        file["entry_1/data_1/translation"] = np.stack([places[:, 1], places[:, 0], 0 * places[:, 0]], axis=1) * 1e-10
        file["entry_1/instrument_1/source_1/energy"] = 300e3 * 1.602176634e-19
        detector = file["entry_1/instrument_1"].create_group("detector_1")
        detector.update({"distance": 0.1, "x_pixel_size": 55e-6, "y_pixel_size": 55e-6, "mask": np.zeros((N, N), "u4")})
        detector["mask"][0, 1] = 1
    return path


def test_cxi(tmp_path):
    form, reader = opened(cxi(tmp_path / "a.cxi", raster((1.5, 1.2))))
    same(reader)
    assert form.name == "cxi" and reader.about.positions is None and not reader.about.used[0, 1]
    assert reader.about.metadata == {
        "energy_ev": pytest.approx(300e3), "angular_step_mrad": pytest.approx(0.55),
        "scan_step_angstrom": pytest.approx([1.5, 1.2]),
    }  # fmt: skip
    with pytest.raises(InputError, match=r"--scan says 4 x 5"):
        open_counts(tmp_path / "a.cxi", asked=Asked((4, 5)))


def fold_slice(path: Path, places: np.ndarray) -> Path:
    with h5py.File(path, "w", userblock_size=512) as file:
        file.update({"dp": FRAMES, "ppY": places[:, :1], "ppX": places[:, 1:]})
    content = path.read_bytes()
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + content[512:])
    return path


def test_positions_of_fold_slice(tmp_path):
    exact = raster((1.2, 1.2))
    form, reader = opened(fold_slice(tmp_path / "a.mat", exact))
    same(reader)
    assert form.name == "fold_slice" and "--transpose" in reader.about.notes[0] and reader.about.positions is None
    rough = exact + np.random.default_rng(1).normal(0, 0.05, exact.shape)
    path = fold_slice(tmp_path / "b.mat", rough)
    facts = {**GIVEN, "scan_step_angstrom": None}
    made = ptychodask.import_data(path, tmp_path / "b.zarr", **facts)
    places = open_dataset(made).positions.values.reshape(-1, 2)
    np.testing.assert_allclose(places - places[0], rough - rough[0], atol=1e-9)
    assert "--step makes a raster" in str(made)
    made = ptychodask.import_data(path, tmp_path / "c.zarr", **GIVEN)
    np.testing.assert_allclose(open_dataset(made).positions.values.reshape(-1, 2), exact, atol=1e-9)


def test_positions_that_are_no_rows(tmp_path):
    turn = np.sqrt(np.arange(24))
    spiral = np.stack([turn * np.sin(2.4 * np.arange(24)), turn * np.cos(2.4 * np.arange(24))], axis=1)
    path = fold_slice(tmp_path / "a.mat", spiral)
    with pytest.raises(InputError, match=r"24 whole frames and does not say its scan"):
        open_counts(path)
    reader = open_counts(path, asked=Asked((1, 24)))
    np.testing.assert_allclose(reader.about.positions[0], spiral - spiral.min(axis=0))
    step = np.sqrt(np.ptp(spiral, axis=0).prod() / 24)
    assert reader.about.metadata == {"scan_step_angstrom": [step, step]}
    columns_first = fold_slice(tmp_path / "b.mat", raster((1.5, 1.2))[:, ::-1])
    reader = open_counts(columns_first)
    assert reader.shape[:2] == (4, 6)
    np.testing.assert_allclose(reader.about.positions[1, 2], [2.4, 1.5])


@real
@pytest.mark.parametrize(
    ("name", "inside", "shape", "total", "metadata"),
    [
        ("arina/test_00_master.h5", "", (4, 4, 192, 192), 0, {"energy_ev": 300e3}),
        ("py4dstem/real_py4dstem.h5", "", (2, 2, 4, 4), 2016,
         {"scan_step_angstrom": [2.5, 2.5], "reciprocal_step_per_angstrom": 0.0125}),
        ("emd/Si100_4D.emd", "CBED_array_depth0000", (11, 11, 8, 8), 110.66839,
         {"energy_ev": 100e3, "semi_angle_mrad": 30.0, "scan_step_angstrom": [0.5, 0.5],
          "reciprocal_step_per_angstrom": pytest.approx(1 / 5.43)}),
        ("fpd/fpd_file_test.hdf5", "", (2, 2, 256, 256), 3288875, {}),
    ],
)  # fmt: skip
def test_real_files(name, inside, shape, total, metadata):
    if name.startswith("arina"):
        pytest.importorskip("hdf5plugin")
    reader = open_counts(REAL / name, asked=Asked(inside=inside))
    assert reader.shape == shape and reader.about.metadata == metadata
    assert reader.read((0, shape[0]), (0, shape[1])).sum(dtype=float) == pytest.approx(total)
