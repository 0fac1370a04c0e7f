"""Exports read back by other programs' readers: values, scale, units."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import xarray as xr

from ptychodask._errors import InputError
from ptychodask.io.export import export_hdf5, export_tiff

DY, DX = 0.3273, 0.3281


def image(shape=(12, 17), **coords) -> xr.DataArray:
    dims = ("slice", "y", "x")[-len(shape) :]
    values = np.random.default_rng(1).normal(size=shape)
    axes = {"y": -1.2 + DY * np.arange(shape[-2]), "x": 4.0 + DX * np.arange(shape[-1])} | coords
    array = xr.DataArray(values, dims=dims, coords={k: v for k, v in axes.items() if v is not None})
    for name in array.coords:
        array.coords[name].attrs["units"] = "angstrom"
    return array


@pytest.fixture
def tifffile():
    return pytest.importorskip("tifffile")


def test_tiff_image(tmp_path, tifffile):
    phase = image()
    path = export_tiff(phase, tmp_path / "phase.tif")
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        np.testing.assert_array_equal(tiff.asarray(), phase.values.astype(np.float32))
        assert page.dtype == np.float32
        assert tiff.is_imagej
        metadata = tiff.imagej_metadata
        assert metadata["unit"] == "angstrom"
        x, y = (page.tags[tag].value for tag in (282, 283))
        assert x[1] / x[0] == pytest.approx(DX, rel=1e-6)
        assert y[1] / y[0] == pytest.approx(DY, rel=1e-6)
        assert page.tags[296].value == 1
        assert metadata["min"] == pytest.approx(phase.values.min())
        assert metadata["max"] == pytest.approx(phase.values.max())
        # coordinate of pixel p is (p - origin) * step
        assert -metadata["xorigin"] * DX == pytest.approx(4.0, rel=1e-4)
        assert -metadata["yorigin"] * DY == pytest.approx(-1.2, rel=1e-4)
    assert [p.name for p in tmp_path.iterdir()] == ["phase.tif"]


def test_tiff_takes_axes_by_name(tmp_path, tifffile):
    phase = image()
    path = export_tiff(phase.transpose("x", "y"), tmp_path / "phase.tif")
    np.testing.assert_array_equal(tifffile.imread(path), phase.values.astype(np.float32))


def test_tiff_stack(tmp_path, tifffile):
    phase = image((5, 12, 17), slice=10.0 + 20.0 * np.arange(5))
    path = export_tiff(phase, tmp_path / "phase.tif")
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 5
        np.testing.assert_array_equal(tiff.asarray(), phase.values.astype(np.float32))
        assert tiff.imagej_metadata["slices"] == tiff.imagej_metadata["images"] == 5
        assert tiff.imagej_metadata["spacing"] == pytest.approx(20.0)


def test_tiff_stack_without_depths(tmp_path, tifffile):
    path = export_tiff(image((3, 12, 17)), tmp_path / "phase.tif")
    with tifffile.TiffFile(path) as tiff:
        assert tiff.asarray().shape == (3, 12, 17)
        assert "spacing" not in tiff.imagej_metadata


@pytest.mark.parametrize("shape", [(12, 17), (3, 12, 17)])
def test_every_page_says_that_its_unit_is_in_the_description(tmp_path, shape):
    """Neither inch nor centimetre: a reader of tags alone would take pixels per angstrom for pixels per centimetre."""
    from PIL import Image

    with Image.open(export_tiff(image(shape), tmp_path / "phase.tif")) as picture:
        for page in range(picture.n_frames):
            picture.seek(page)
            assert picture.tag_v2[296] == 1
            assert "unit=angstrom" in picture.tag_v2[270]


def test_tiff_reads_in_pillow_too(tmp_path):
    from PIL import Image

    path = export_tiff(image(), tmp_path / "phase.tif")
    with Image.open(path) as picture:
        assert picture.mode == "F"
        assert picture.tag_v2[270].isascii()
        assert 1 / float(picture.tag_v2[282]) == pytest.approx(DX, rel=1e-6)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (image() * 1j, "complex"),
        (image().rename(y="ky"), "dimensions"),
        (image(y=None), "no coordinate 'y'"),
        (image(x=np.geomspace(1, 2, 17)), "evenly"),
        (image(x=-DX * np.arange(17)), "rising"),
        (image((1, 17)), "at least 2"),
    ],
)
def test_tiff_refuses(tmp_path, array, words):
    with pytest.raises(InputError, match=words):
        export_tiff(array, tmp_path / "phase.tif")
    assert list(tmp_path.iterdir()) == []


def test_tiff_refuses_another_unit(tmp_path):
    phase = image()
    phase.coords["x"].attrs["units"] = "nm"
    with pytest.raises(InputError, match="'nm'"):
        export_tiff(phase, tmp_path / "phase.tif")


@pytest.mark.parametrize("kind", ["tif", "h5"])
def test_existing_output_needs_overwrite(tmp_path, kind):
    if kind == "h5":
        pytest.importorskip("h5py")
    target = tmp_path / f"phase.{kind}"

    def export(**options):
        if kind == "tif":
            return export_tiff(image(), target, **options)
        return export_hdf5({"phase": image()}, {}, target, **options)

    target.write_text("old")
    for options in ({}, {"overwrite": True}):  # a file of somebody else
        with pytest.raises(InputError, match="exists and is a file with other content"):
            export(**options)
    assert target.read_text() == "old"
    target.unlink()
    export()
    first = target.stat().st_ino
    with pytest.raises(InputError, match="exists: use overwrite=True"):
        export()
    assert export(overwrite=True) == target
    assert target.stat().st_ino != first
    with pytest.raises(InputError, match="does not exist"):
        target = tmp_path / "absent" / f"phase.{kind}"
        export()


def test_hdf5_round_trip(tmp_path):
    h5py = pytest.importorskip("h5py")
    phase = image((2, 12, 17), slice=[5.0, 15.0]).assign_attrs(units="rad", long_name="phase")
    probe = xr.DataArray(
        np.random.default_rng(2).normal(size=(3, 8, 8, 2)).astype(np.float32).view(np.complex64)[..., 0],
        dims=("mode", "y", "x"),
        coords={name: (name, 0.33 * np.arange(8), {"units": "angstrom"}) for name in "yx"},
    )
    mean = phase.mean("slice", keep_attrs=True)
    attrs = {
        "energy_ev": 300e3,
        "name": "ZIF-8 Å",
        "steps": [1.0, 2.0],
        "job": {"a": [1, None]},
        "none": None,
    }
    path = export_hdf5({"phase": phase, "probe": probe, "mean": mean}, attrs, tmp_path / "result.h5")
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["phase"][()], phase.values)
        np.testing.assert_array_equal(file["probe"][()], probe.values)
        assert file["probe"].dtype == np.complex64
        assert file["phase"].attrs["units"] == "rad"
        for name, array in (("phase", phase), ("probe", probe), ("mean", mean)):
            for axis, dimension in enumerate(array.dims):
                assert file[name].dims[axis].label == dimension
                scale = file[name].dims[axis][0]
                expected = array.coords[dimension] if dimension in array.coords else np.arange(3)
                np.testing.assert_array_equal(scale[()], expected)
                assert scale.attrs["units"] == ("1" if dimension == "mode" else "angstrom")
        # one scale for equal coordinates, another for different ones
        assert file["mean"].dims[0][0] == file["phase"].dims[1][0]
        assert set(file) == {"phase", "probe", "mean", "slice", "y", "x", "mode", "probe_y", "probe_x"}
        assert file.attrs["energy_ev"] == 300e3
        assert file.attrs["name"] == "ZIF-8 Å"
        np.testing.assert_array_equal(file.attrs["steps"], [1.0, 2.0])
        assert json.loads(file.attrs["job"]) == {"a": [1, None]}
        assert json.loads(file.attrs["none"]) is None


def test_hdf5_array_named_as_a_dimension_and_text(tmp_path):
    h5py = pytest.importorskip("h5py")
    y = xr.DataArray(np.arange(3.0), dims="y", coords={"y": ("y", np.arange(3.0) * 2, {"units": "angstrom"})})
    names = xr.DataArray([1, 2], dims="material", coords={"material": ["ZIF-8", "UiO-66"]})
    path = export_hdf5({"y": y, "names": names}, {}, tmp_path / "result.h5")
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["y"][()], [0, 1, 2])
        np.testing.assert_array_equal(file["y"].dims[0][0][()], [0, 2, 4])
        assert file["names"].dims[0][0].asstr()[()].tolist() == ["ZIF-8", "UiO-66"]
        assert file["names"].dims[0][0].attrs["units"] == "unknown"


def test_hdf5_failure_leaves_nothing(tmp_path):
    pytest.importorskip("h5py")

    class Broken:
        values = np.zeros(3)
        attrs: dict = {}  # noqa: RUF012

        @property
        def dims(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_hdf5({"phase": image(), "broken": Broken()}, {}, tmp_path / "result.h5")
    assert list(tmp_path.iterdir()) == []


def test_hdf5_without_h5py_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"pip install 'ptychodask\[formats\]'"):
        export_hdf5({"phase": image()}, {}, tmp_path / "result.h5")
    assert list(tmp_path.iterdir()) == []
