"""The page of a local structure, and its panels alone."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import ptychodask
from ptychodask import InputError, plots
from ptychodask.viz.structure import figure_of, lines_of, told_of

AXIS = np.arange(120) * 0.5


@pytest.fixture(scope="module")
def phase():
    y, x = np.meshgrid(AXIS, AXIS, indexing="ij")
    values = sum(
        np.exp(-((y - 3 - 10 * i) ** 2 + (x - 2 - 10 * j) ** 2) / 2)
        for i in range(-1, 7) for j in range(-1, 7) if (i, j) != (3, 2)
    )  # fmt: skip
    values = values + 0.05 * np.random.default_rng(0).standard_normal(values.shape)
    return xr.DataArray(values, {"y": AXIS, "x": AXIS}, ("y", "x"))


@pytest.fixture(scope="module")
def found(phase, tmp_path_factory):
    target = tmp_path_factory.mktemp("page") / "page.png"
    its = ptychodask.local_structure(phase, target)
    assert target.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="exists"):
        ptychodask.local_structure(phase, target)
    return its


def test_the_page_says_lattice_errors_and_what_stands_out(found):
    page = figure_of(found)
    said = [text.get_text() for text in page.texts]
    for ax in page.axes:
        said += [ax.get_title(loc=side) for side in ("left", "right")] + [text.get_text() for text in ax.texts]
    text = " | ".join(said)
    for part in ("a 9.9", "±", "γ 90", "Motifs", "strain xx", "rotation", "Columns", "read off the image", "σ"):
        assert part in text, part
    assert sum(ax.get_ylim()[0] > ax.get_ylim()[1] for ax in page.axes) >= 9  # row 0 on top
    assert any("120 x 120 pixels" in line for line in said)


def test_the_missing_column_is_named(found):
    told = found.sel(site=found.site_stands_out)
    place = float(told.site_y[0]), float(told.site_x[0])
    assert told.sizes["site"] == 1 and place == pytest.approx((33, 22), abs=0.5)
    assert float(told.site_change[0]) == pytest.approx(-1, abs=0.2)
    assert np.isnan(found.kind_kept).all() and np.isnan(found.kept).all()


def test_panels_alone(found):
    ax = plots.motifs(found)
    assert any("σ" in text.get_text() for text in ax.texts)
    assert plots.strain(found, component="rotation", limit=1).images[0].get_clim() == (-1, 1)
    assert "fitted" in plots.columns(found).get_title(loc="right")
    plt.close("all")


def test_how_many_stand_out_is_said_in_words(found):
    assert told_of(found) == f"1 of {found.sizes['site']} sites stands out, at most 5 % of such by chance"
    none = found.assign(site_stands_out=found.site_stands_out & False)
    assert told_of(none) == f"none of {found.sizes['site']} sites stands out"


def test_labels_stand_beside_their_marks_with_a_white_outline(found):
    ax = plots.motifs(found)
    (label,) = [text for text in ax.texts if "σ" in text.get_text()]
    assert label.get_text().startswith("−")
    stroke = label.get_path_effects()[0]
    assert stroke._gc["foreground"] == "white"
    ax.figure.canvas.draw()
    middle = ax.transData.transform((float(found.site_x[found.site_stands_out][0]), label.xy[1]))
    assert label.get_window_extent().x0 > middle[0] + 5
    plt.close("all")


def test_cells_and_arrows_have_a_key(found):
    page = figure_of(found)
    said = [ax.get_title(loc="right") for ax in page.axes]
    assert "dashed: the cell of the lattice" in said
    columns = next(ax for ax in page.axes if ax.get_title(loc="left") == "Columns")
    keys = [a for a in columns.get_children() if type(a).__name__ == "QuiverKey"]
    assert len(keys) == 1 and "expected" in keys[0].text.get_text()


def test_strain_that_noise_alone_makes_is_pale(found):
    quiet = found.assign(strain=found.strain * 0 + 0.5 * found.strain_error)
    top = plots.strain(quiet, component="xx").images[0].get_clim()[1]
    assert top >= 5 * 100 * float(np.nanmedian(quiet.strain.sel(component="xx")))
    plt.close("all")


def test_what_is_no_local_structure_is_refused(found):
    with pytest.raises(InputError, match="local_structure"):
        plots.motifs(xr.Dataset())
    with pytest.raises(InputError, match="component = 'zz'"):
        plots.strain(found, component="zz")
    without = found.drop_vars(["strain", "strain_error"]).assign_attrs(notes=["no strain: too few peaks"])
    with pytest.raises(InputError, match="too few peaks"):
        plots.strain(without)
    assert "strain xx" not in [ax.get_title(loc="left") for ax in figure_of(without).axes]
    assert lines_of(without)[-1] == "no strain: too few peaks"


def test_bad_arguments(phase):
    with pytest.raises(InputError, match="resolution_angstrom"):
        ptychodask.local_structure(phase, resolution_angstrom=-1)
    pytest.importorskip("ase")
    with pytest.raises(InputError, match="unknown material"):
        ptychodask.local_structure(phase, structure="zif8")
    import ase

    slanted = ase.Atoms("Zr", cell=[[10, 0, 0], [5, 9, 0], [0, 0, 8]], pbc=True)
    with pytest.raises(InputError, match="not rectangular"):
        ptychodask.local_structure(phase, structure=slanted)
