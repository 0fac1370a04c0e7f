"""Results in other programs' files, read back as those programs do: values, scale, places."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from ptychodask import InputError
from ptychodask.io.layouts import export_mrc, export_ptyrad, export_py4dstem, export_zarr
from ptychodask.readers.mrc import mrc_sure

DY, DX = 0.33, 0.32


def image(shape=(12, 17)) -> xr.DataArray:
    axes = {"y": -1.2 + DY * np.arange(shape[-2]), "x": 4.0 + DX * np.arange(shape[-1])}
    values = np.random.default_rng(1).normal(size=shape)
    array = xr.DataArray(values, dims=("slice", "y", "x")[-len(shape) :], coords=axes, attrs={"units": "rad"})
    for name in axes:
        array.coords[name].attrs["units"] = "angstrom"
    return array


@pytest.mark.parametrize("shape", [(12, 17), (3, 12, 17)])
def test_mrc_has_values_cell_and_origin(tmp_path, shape):
    phase = image(shape)
    path = export_mrc(phase, tmp_path / "phase.mrc", depth=10.0)
    words = np.fromfile(path, "<i4", 256)
    floats = words.view("<f4")
    n = 1 if len(shape) == 2 else 3
    assert words[:4].tolist() == [17, 12, n, 2] and path.stat().st_size == 1024 + 4 * phase.size
    assert floats[10:13] == pytest.approx([17 * DX, 12 * DY, 10.0 * n]) and floats[49:51] == pytest.approx([4, -1.2])
    known = [phase.values.min(), phase.values.max(), phase.values.mean()]
    assert floats[19:22] == pytest.approx(known, abs=1e-6)
    read = np.fromfile(path, "<f4", offset=1024).reshape(shape)  # row 0 is the first
    assert np.array_equal(read, phase.values.astype("f4"))
    assert mrc_sure(path, path.read_bytes()[:512]) > 0.8  # import knows it


def test_mrc_as_mrcfile_reads_it(tmp_path):
    mrcfile = pytest.importorskip("mrcfile")
    path = export_mrc(image(), tmp_path / "phase.mrc")
    assert mrcfile.validate(path)
    with mrcfile.open(path) as file:
        assert np.array_equal(file.data, image().values.astype("f4"))
        assert float(file.voxel_size.x) == pytest.approx(DX) and float(file.voxel_size.y) == pytest.approx(DY)


@pytest.mark.parametrize(("depth", "unit"), [(None, None), (25.0, "angstrom")])
def test_ome_zarr_says_where_every_pixel_lies(tmp_path, depth, unit):
    zarr = pytest.importorskip("zarr")
    phase = image((3, 12, 17))
    path = export_zarr(phase, tmp_path / "phase.zarr", depth=depth)
    group = zarr.open_group(path, mode="r")
    (multiscale,) = group.attrs["ome"]["multiscales"]
    assert group.attrs["ome"]["version"] == "0.5" and [a["name"] for a in multiscale["axes"]] == ["z", "y", "x"]
    assert [a.get("unit") for a in multiscale["axes"]] == [unit, "angstrom", "angstrom"]
    scale, move = multiscale["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == pytest.approx([depth or 1, DY, DX]) and move["translation"] == pytest.approx([0, -1.2, 4])
    assert np.array_equal(group["0"][...], phase.values.astype("f4"))
    assert json.loads((path / "0" / "zarr.json").read_text())["dimension_names"] == ["z", "y", "x"]


def test_an_ome_zarr_of_ours_is_replaced_and_nothing_else(tmp_path):
    path = tmp_path / "phase.zarr"
    export_zarr(image(), path)
    with pytest.raises(InputError, match="exists"):
        export_zarr(image(), path)
    export_zarr(image() + 1, path, overwrite=True)
    (path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="other files"):
        export_zarr(image(), path, overwrite=True)
    assert (path / "mine.txt").exists()
    with pytest.raises(InputError, match="complex"):
        export_zarr(image() * 1j, tmp_path / "other.zarr")


def waves() -> xr.DataArray:
    values = np.exp(1j * np.arange(2 * 64).reshape(2, 8, 8))
    return xr.DataArray(values, dims=("mode", "probe_y", "probe_x"), attrs={"units": "sqrt(electron)"})


def test_py4dstem_finds_a_tree_of_calibrated_arrays(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = export_py4dstem({"phase": image(), "probe": waves()}, {"energy_ev": 3e5}, tmp_path / "result.h5")
    with h5py.File(path) as file:
        assert file.attrs["emd_group_type"] == "file" and file.attrs["version_major"] == 1
        phase = file["ptychodask/phase"]
        assert phase.attrs["emd_group_type"] == "array" and phase["data"].attrs["units"] == "rad"
        assert phase["dim1"][...] == pytest.approx([4, 4 + DX]) and phase["dim1"].attrs["units"] == "A"
        assert file["ptychodask/metadatabundle/reconstruction/energy_ev"][()] == 3e5


def test_py4dstem_as_emdfile_reads_it(tmp_path):
    emdfile = pytest.importorskip("emdfile")
    path = export_py4dstem({"phase": image(), "probe": waves()}, {"energy_ev": 3e5}, tmp_path / "result.h5")
    root = emdfile.read(path, emdpath="ptychodask", tree=True)
    read = root.tree("phase") if hasattr(root, "tree") else root
    assert np.array_equal(read.data, image().values) and read.dims[0][:2] == pytest.approx([-1.2, -1.2 + DY])


def test_ptyrad_puts_the_windows_where_ours_were(tmp_path):
    h5py = pytest.importorskip("h5py")
    phase = image((2, 30, 40))
    rng = np.random.default_rng(2)
    positions = np.stack([rng.uniform(1, 6, (3, 4)), rng.uniform(6, 14, (3, 4))], axis=-1)
    facts = {"wavelength_angstrom": 0.0197, "slice_thickness_angstrom": 25.0}
    object_ = phase + 1j * np.log(2.0)  # modulus exp(-Im) of a half
    path = export_ptyrad(object_.assign_coords(phase.coords), waves(), positions, facts, tmp_path / "model.hdf5")
    with h5py.File(path) as file:
        tensors, about = file["optimizable_tensors"], file["model_attributes"]
        assert tensors["objp"][...] == pytest.approx(phase.values[None]) and tensors["obja"][...] == pytest.approx(0.5)
        assert np.array_equal(tensors["probe"][...], waves().values.astype("c8"))
        assert (about["N_scan_slow"][()], about["N_scan_fast"][()]) == (3, 4)
        assert np.abs(tensors["probe_pos_shifts"]).max() <= 0.5
        pixels = about["crop_pos"][...] + tensors["probe_pos_shifts"][...] + 4  # the middle of 8 pixels
        back = pixels * (DY, DX) + (-1.2, 4.0)
        assert back == pytest.approx(positions.reshape(-1, 2), abs=1e-4)
        assert about["dx"][()] * about["dk"][()] * 8 == pytest.approx(1)
