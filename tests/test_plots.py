"""Figures for publications: right way up, in angstrom, and refused in one line where they cannot be."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from tiny_scan import write_scan

import ptychodask
from ptychodask import InputError, plots

STEP = 0.4


def image(values: np.ndarray, start: float = 0.0) -> xr.DataArray:
    axes = {name: start + STEP * np.arange(n) for name, n in zip("yx", values.shape, strict=True)}
    return xr.DataArray(values, dims=("y", "x"), coords=axes)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plots")
    scan = write_scan(folder / "scan.zarr", (12, 12), electrons=1000.0)
    job = {
        "object": {"slices": 3, "coupling": "none", "thickness_angstrom": 60, "blur_angstrom": 0},
        "probe": {"modes": 2, "update_start": 1},
        "solver": {"iterations": 3, "finish": 1},
    }
    return ptychodask.reconstruct(scan, job, output=folder / "result.zarr", progress=False)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def on_top(ax: Axes) -> bool:
    bottom, top = ax.get_ylim()
    return bottom > top


def titles(axes) -> list[str]:
    return [ax.get_title(loc="left") for ax in axes]


def test_a_phase_is_that_of_the_scan_with_row_0_on_top(result):
    ax = plots.phase(result)
    assert on_top(ax) and ax.get_ylim()[0] == pytest.approx(11, abs=0.5)
    values = np.zeros((20, 30))
    values[0] = 1
    drawn = plots.phase(image(values), colorbar=False).images[0]
    assert drawn.get_array()[0].min() == 1 and drawn.origin == "upper"
    assert [text.get_text() for text in ax.texts] == ["2 Å"]


def test_any_axes_may_be_given_and_come_back(result):
    _, axes = plt.subplots(1, 4)
    for function, ax in zip((plots.phase, plots.probe, plots.history, plots.spectrum), axes, strict=True):
        assert function(result, ax) is ax
    assert "chosen" in axes[2].texts[-1].get_text() and any("finish" in t.get_text() for t in axes[2].texts)
    with pytest.raises(InputError, match="matplotlib Axes"):
        plots.phase(result, "here")


def test_a_probe_has_a_legend_of_hues_unless_it_is_unwanted(result):
    assert len(plots.probe(result).child_axes) == 1
    assert plots.probe(result, mode=1, legend=False).child_axes == []
    with pytest.raises(InputError, match="0 to 1"):
        plots.probe(result, mode=2)


def test_slices_are_told_by_their_depth(result):
    axes = plots.slices(result, columns=2)
    assert titles(axes) == ["10 Å", "30 Å", "50 Å"]
    assert len({ax.images[0].get_clim() for ax in axes}) == 1
    for s, ax in enumerate(axes):
        part = result.object.isel(slice=s).sel(y=slice(0, 11.01), x=slice(0, 11.01))
        assert np.array_equal(ax.images[0].get_array(), part.values)


def test_what_is_compared_has_one_grey_scale_and_the_area_of_both():
    rng = np.random.default_rng(0)
    one, two = image(rng.random((40, 40))), image(rng.random((40, 40)) + 5, start=4.0)
    axes = plots.compare({"before": one, "after": two})
    assert titles(axes) == ["before", "after"]
    assert {ax.images[0].get_array().shape for ax in axes} == {(30, 30)}
    assert len({ax.images[0].get_clim() for ax in axes}) == 1
    # planes are gone: an offset of 5 rad does not eat the scale
    assert max(abs(v) for v in axes[0].images[0].get_clim()) < 1
    with pytest.raises(InputError, match="share no area"):
        plots.compare({"a": one, "b": image(np.ones((40, 40)), start=100.0)})


def test_atoms_lie_where_the_cell_says():
    ase = pytest.importorskip("ase")
    cell = ase.Atoms("ZrHH", [[1, 2, 0], [3, 3, 0], [1, 2, 4]], cell=[6, 8, 8], pbc=True)
    ax = plots.phase(image(np.zeros((60, 60))))  # 24 angstrom
    view = ax.get_xlim(), ax.get_ylim()
    plots.structure(ax, cell, origin_angstrom=(0.5, 0.25), legend=False)
    assert (ax.get_xlim(), ax.get_ylim()) == view
    (circles,) = ax.collections
    centres = {tuple(np.round(path.vertices.mean(axis=0), 1)) for path in circles.get_paths()}
    found = sorted({(round(x - 0.25, 1) % 6, round(y - 0.5, 1) % 8) for x, y in centres})
    assert len(circles.get_paths()) == 12 and found == [(1.0, 2.0)]
    with pytest.raises(InputError, match="the crystal has H, Zr"):
        plots.structure(ax, cell, elements="Cu")


def test_a_turned_crystal_is_turned_clockwise():
    ase = pytest.importorskip("ase")
    ax = plots.phase(image(np.zeros((30, 30)), start=-6.0))
    plots.structure(ax, ase.Atoms("Zr", [[3, 0, 0]], cell=[40, 40, 8], pbc=True), rotation_degrees=90)
    (path,) = ax.collections[0].get_paths()
    assert path.vertices.mean(axis=0) == pytest.approx((0, 3), abs=0.1)  # x went to y, which is down


def test_two_halves_agree_where_their_images_do():
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:120, :120] * STEP
    same = np.cos(2 * np.pi * x / 6) + np.cos(2 * np.pi * y / 6) + np.cos(2 * np.pi * (x + y) / 5)
    noise = [rng.normal(size=same.shape) for _ in range(2)]
    found = ptychodask.ring_correlation(image(same + noise[0]), image(same + noise[1]))
    at = [float(np.interp(1 / d, found.q, found.frc)) for d in (6, 2)]
    assert at[0] > 0.9 and abs(at[1]) < 0.3 and 1.5 < found.resolution_angstrom < 6
    assert plots.ring_correlation(found).get_xlim()[1] == pytest.approx(found.q[-1])
    with pytest.raises(InputError, match="larger margin"):
        ptychodask.ring_correlation(image(same), image(same[:50, :50]))


def test_what_the_electrons_carry_is_drawn_where_it_was_measured(result, tmp_path):
    line = plots.information(result).lines[0]
    assert line.get_ydata().tolist() == result.information.values[: len(line.get_ydata())].tolist()
    scan = write_scan(tmp_path / "scan.zarr", (6, 6), electrons=1000.0)
    job = {"object": {"slices": 1}, "solver": {"iterations": 1, "finish": 0}}
    with pytest.raises(InputError, match="whole electrons"):
        plots.information(ptychodask.reconstruct(scan, job, progress=False))


def test_defects_are_marked_where_noise_is_rare():
    z = np.zeros((2, 1, 40, 40))
    z[0, 0, 10, 30] = 6
    found = xr.Dataset(
        {
            "z": (("kind", "scale", "y", "x"), z),
            "false_alarms": ("threshold", [30.0, 2.0, 0.1]),
            "place_y": ("place", [4.0, 8.0]),
            "place_x": ("place", [12.0, 8.0]),
            "place_z": ("place", [6.0, 3.0]),
            "place_kind": ("place", ["missing", "missing"]),
        },
        {"kind": ["missing", "added"], "y": STEP * np.arange(40), "x": STEP * np.arange(40), "threshold": [2.0, 3, 4]},
    )
    ax = plots.defects(found)
    assert np.asarray(ax.collections[0].get_offsets()).tolist() == [[12.0, 4.0]]
    assert "above 4" in ax.get_title(loc="right") and on_top(ax)
    with pytest.raises(InputError, match="missing or added"):
        plots.defects(found, kind="wrong")


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.tif", {}), ("a.mrc", {"slices": True}), ("a.zarr", {}), ("b.h5", {}), ("c.h5", {"layout": "py4dstem"}),
     ("d.h5", {"layout": "ptyrad"})],
)  # fmt: skip
def test_a_result_is_exported_by_its_ending(result, tmp_path, name, options):
    written = ptychodask.export(result, tmp_path / name, **options)
    assert written.exists() and [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("a.mrc", {"layout": "ptyrad"}, "one of HDF5"),
        ("a.h5", {"slices": True}, "every slice anyway"),
        ("a.h5", {"layout": "wrong"}, "use ptychodask, py4dstem or ptyrad"),
        ("a.doc", {}, "use .tif, .mrc, .zarr or .h5"),
    ],
)
def test_what_cannot_be_exported_is_said(result, tmp_path, name, options, words):
    with pytest.raises(InputError, match=words):
        ptychodask.export(result, tmp_path / name, **options)
