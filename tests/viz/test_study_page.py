"""The page of a study: what stands above an image covers no other, and curves hold losses of one measure."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from ptychodask.viz.study import figure_of

NAMES = {"dose_per_square_angstrom": [30.0, 100.0], "object.thickness_angstrom": [50.0, 60.0, 75.0]}


@pytest.fixture
def study():
    """Six conditions whose losses fall, and jump up after iteration 5, where epsilon becomes smaller."""
    dims, shape, rng = tuple(NAMES), (2, 3), np.random.default_rng(0)
    values = {
        name: (dims, np.full(shape, value))
        for name, value in (
            ("status", 0),
            ("simulation_of", 0),
            ("frc_resolution_angstrom", 2.0),
            ("sharper_from", 6.0),
        )
    }
    loss = 10 + np.exp(-np.arange(9.0)) + 50 * (np.arange(9) > 5)
    return xr.Dataset(
        {
            **values,
            "correlation": ((*dims, "resolution"), np.full((*shape, 1), 0.5)),
            "loss_curve": ((*dims, "iteration"), np.broadcast_to(loss, (*shape, 9)).copy()),
            "phase": ((*dims, "y", "x"), rng.normal(size=(*shape, 8, 8))),
            "truth": (("simulation", "y", "x"), rng.normal(size=(1, 8, 8))),
        },
        {
            **{name: (name, values) for name, values in NAMES.items()},
            "a_belief_about_the_aberrations": (dims[1], ["as it is, and said at length", "without any", "other"]),
            "resolution": [2.0], "y": np.arange(8.0), "x": np.arange(8.0),
        },
        {"remarks": [""] * 6},
    )  # fmt: skip


def test_titles_cover_no_image(study):
    page = figure_of(study)
    page.canvas.draw()
    images = [ax for ax in page.axes if ax.images]
    assert len(images) == 6 + 3  # and the truth before each line
    titles = [ax.title.get_window_extent() for ax in images if ax.get_title()]
    assert max(ax.get_title().count("\n") for ax in images) > 0
    frames = [ax.get_window_extent() for ax in images]
    assert not any(title.overlaps(other) for title in titles for other in frames)
    assert not any(a.overlaps(b) for at, a in enumerate(titles) for b in titles[:at])
    assert all(title.y1 <= page.bbox.y1 for title in titles)


def test_curves_end_where_losses_are_measured_anew(study):
    (curves,) = (ax for ax in figure_of(study).axes if "Error curves" in ax.get_title(loc="left") + ax.get_title())
    assert [line.get_xdata()[-1] for line in curves.lines] == [5] * 6
    (whole,) = (
        ax for ax in figure_of(study.drop_vars("sharper_from")).axes
        if "Error curves" in ax.get_title(loc="left") + ax.get_title()
    )  # fmt: skip
    assert whole.lines[0].get_xdata()[-1] == 8
