"""The page of a scan: panels with their angles, whatever images there are."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ptychodask.viz.overview import draw_overview, figure_of


def images(**more: xr.DataArray) -> xr.Dataset:
    rng = np.random.default_rng(0)
    names = ("electrons", "bf", "adf", "annulus_3_9", "ring", "com_y", "com_x")
    units = ["electron"] * 5 + ["mrad"] * 2
    flat = {n: (("y", "x"), rng.random((6, 9)), {"units": u}) for n, u in zip(names, units, strict=True)}
    made = xr.Dataset(
        {**flat, "pattern": (("ky", "kx"), rng.random((8, 8)), {"units": "electron"}), **more},
        {"y": np.arange(6.0), "x": np.arange(9.0), "ky": np.arange(8.0) - 4, "kx": np.arange(8.0) - 4},
        {
            "path": "/data/$scan$.zarr",
            "energy_ev": 300e3,
            "semi_angle_mrad": 2.0,
            "defocus_angstrom": 100.0,
            "notes": ["no parallax"],
        },
    )
    for name, inner, outer in (("bf", 0, 2), ("adf", 3, 4), ("annulus_3_9", 3, 9)):
        made[name].attrs |= {"inner_mrad": inner, "outer_mrad": outer}
    return made


def texts(page) -> str:
    found = [text.get_text() for text in page.texts]
    for ax in page.axes:
        found += [ax.get_title(loc=side) for side in ("left", "right")]
        found += [text.get_text() for text in ax.texts]
    return " | ".join(found)


def test_titles_say_angles_and_notes_are_there():
    said = texts(figure_of(images()))
    for part in ("$scan$.zarr", "300 keV", "0 to 2 mrad", "3 to 9 mrad", "ring", "no parallax", "Å", "mask"):
        assert part in said, part
    assert "Parallax, phase" not in said


def test_images_that_hold_nan_or_one_value_are_drawn(tmp_path):
    made = images(icom=(("y", "x"), np.full((6, 9), np.nan)), parallax=(("fine_y", "fine_x"), np.ones((11, 17))),
                  parallax_phase=(("fine_y", "fine_x"), np.ones((11, 17))))  # fmt: skip
    made = made.assign_coords(fine_y=np.arange(11) / 2, fine_x=np.arange(17) / 2)
    made["bf"][2, 3] = np.nan
    made["pattern"][:3] = np.nan
    made["adf"][:] = 0
    draw_overview(made, tmp_path / "page.svg")
    assert (tmp_path / "page.svg").read_text().lstrip().startswith("<?xml")
    said = texts(figure_of(made))
    assert "Parallax, phase" in said and "Integrated" in said
