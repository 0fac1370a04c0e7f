"""Files of other programs that no run can begin with: one line each, which says what was found and what is taken."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from foreign_files import CORNER, FEW, SCAN, SHAPE, with_start, write
from tiny_scan import PIXEL, write_scan

import ptychodask
from ptychodask import InputError

h5py = pytest.importorskip("h5py")


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_scan(tmp_path_factory.mktemp("scan") / "scan.zarr", SCAN, electrons=2000.0, origin=(0.4, -0.3))


def broken(path, change):
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def without(name):
    def change(file):
        del file[name]

    return change


@pytest.mark.parametrize(
    "section, kind, options, change, told",
    [
        ("probe", "phaser", {"pixel": 0.3}, None, "its probe has 32 x 32 pixels of 0.3 A, this run 32 x 32 of 0.4 A"),
        ("object", "phaser", {}, without("object"), "it is of phaser and has no object in it: give a result of"),
        ("object", "ptyrad", {}, without("optimizable_tensors/objp"), r"it is of PtyRAD 1\.0\.0 and has no object"),
        ("probe", "phaser", {}, without("probe"), "it has no probe in it: give a result of ptychodask, a model"),
        ("object", "ptyrad", {}, without("model_attributes"), "it is HDF5 with 'niter', 'optimizable_tensors', 'p"),
        ("object", "ptyrad", {}, without("model_attributes/dx"), r"it cannot be read \(.*dx"),
        ("object", "phaser", {"phases": np.full((1, *SHAPE), np.nan)}, None, "its object has values that are not"),
        ("object", "py4dstem", {"centres": np.ones((9, 2))}, None, "was made of 9 positions, this scan has 56"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_one_line(section, kind, options, change, told, scan, tmp_path):
    path = write(kind, tmp_path / "file.h5", scan, **options)
    if change is not None:
        broken(path, change)
    with pytest.raises(InputError, match=rf"^{section}\.start = .*file\.h5: .*{told}") as caught:
        ptychodask.reconstruct(scan, with_start(section, path), output=tmp_path / "r.zarr")
    assert "\n" not in str(caught.value) and not (tmp_path / "r.zarr.run").exists()


@pytest.mark.parametrize(
    "turned", [lambda c: c[:, ::-1], lambda c: c[::-1], lambda c: c * (1, -1) + (0, 60), lambda c: 1.3 * c]
)
def test_another_geometry_is_refused(turned, scan, tmp_path):
    """Transposed, backward, mirrored, of another step."""
    positions = ptychodask.open_dataset(scan).positions.values.reshape(-1, 2)
    path = write("py4dstem", tmp_path / "file.h5", scan, centres=turned((positions - CORNER) / PIXEL))
    with pytest.raises(InputError, match=r"its positions are .* A \(rms\) from those of this scan"):
        ptychodask.reconstruct(scan, with_start("object", path))


@pytest.mark.parametrize("layout", ["ptychodask", "py4dstem"])
def test_an_export_of_ours_is_named_for_what_it_is(layout, scan, tmp_path):
    result = ptychodask.reconstruct(scan, FEW)
    path = ptychodask.export(result, tmp_path / "export.h5", layout=layout)
    with pytest.raises(InputError, match=r"export\.h5: it is an export of ptychodask .*: give the result itself"):
        ptychodask.reconstruct(scan, with_start("object", path))


def test_other_files_and_a_missing_library_are_one_line(scan, tmp_path, monkeypatch):
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY" + bytes(99))
    with pytest.raises(
        InputError, match=r"object\.start = .*x\.npy is a file that is neither HDF5 nor a zipped result"
    ):
        ptychodask.reconstruct(scan, with_start("object", tmp_path / "x.npy"))
    path = write("phaser", tmp_path / "file.h5", scan)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"object\.start = .*pip install 'ptychodask\[formats\]'"):
        ptychodask.reconstruct(scan, with_start("object", path))
