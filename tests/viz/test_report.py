"""The report is drawn from plain arrays, with and without a truth, and leaves nothing half done."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Circle

from ptychodask._errors import InputError
from ptychodask.analysis.halves import agreement
from ptychodask.viz import report as report_module
from ptychodask.viz.draw import extent, rounded_length, wave_rgb
from ptychodask.viz.figures import ReportData, analyse, figures_of
from ptychodask.viz.panels import mode_text
from ptychodask.viz.report import _Page, draw_report, less_plane, report_figures

DX = 0.35


def _on(values: np.ndarray) -> xr.DataArray:
    axes = {a: (np.arange(n) - n // 2) * DX for a, n in zip(("y", "x"), values.shape[-2:], strict=True)}
    if values.ndim == 3:
        return xr.DataArray(values, dims=("mode", "y", "x"), coords={"mode": range(len(values)), **axes})
    return xr.DataArray(values, dims=("y", "x"), coords=axes)


@pytest.fixture(scope="module")
def data() -> ReportData:
    rng = np.random.default_rng(0)
    y, x = (np.arange(120) - 60)[:, None] * DX, (np.arange(130) - 65)[None, :] * DX
    truth = 0.1 * (1 + np.cos(2 * np.pi * y / 5.1)) * (1 + np.cos(2 * np.pi * x / 4.3))
    phase = truth + rng.normal(scale=0.05, size=truth.shape)
    r2 = (np.arange(64) - 32)[:, None] ** 2 + (np.arange(64) - 32)[None, :] ** 2
    waves = np.exp(-r2 / 50) * np.exp(0.05j * r2) * np.array([1.0, 0.5])[:, None, None]
    steps = np.arange(1, 9)
    history = {
        "iteration": steps,
        "loss": 400 + 1 / steps,
        "validation": 40 + 1 / steps + 0.01 * steps,
        "seconds": np.ones(8),
    }
    scan = np.stack(np.meshgrid(np.arange(-14, 15), np.arange(-15, 16), indexing="ij"), axis=-1).astype(float)
    summary = {"dose": "100 e/Å²", "electrons per pattern": 110.7, "slices": 2}
    return ReportData("test", _on(phase), _on(waves), scan, history, 5, _on(truth), summary)


def test_with_truth(data: ReportData, tmp_path: Path) -> None:
    target = tmp_path / "report.png"
    figures = draw_report(data, target)
    assert figures["resolution_angstrom"] == figures["frc_resolution_angstrom"]
    assert "ring correlation with the truth" in figures["resolution_by"]
    assert figures["remarks"] == {}
    assert figures["slope"] == pytest.approx(1, abs=0.05)
    assert imread(target).shape[:2] == (1100, 1760)
    assert [p.name for p in tmp_path.iterdir()] == ["report.png"]
    assert figures == report_figures(data)
    assert json.loads(json.dumps(figures)) == figures
    assert figures["correlation_2.5A"] > 0.9
    assert figures["correlation_2.0A"] > 0.9
    assert {"nrmse", "ssim", "frc_resolution_angstrom"} <= set(figures)
    assert figures["mode_powers"] == pytest.approx([0.8, 0.2])
    # intensity exp(-2 r2 / 50) px: half of it within r = sqrt(25 ln 2)
    assert figures["probe_d50_angstrom"] == pytest.approx(2 * DX * np.sqrt(25 * np.log(2)), rel=0.03)
    assert figures["probe_d90_angstrom"] == pytest.approx(2 * DX * np.sqrt(25 * np.log(10)), rel=0.03)
    assert figures["loss"] == pytest.approx(400.2)
    assert figures["iterations"] == 8
    assert figures["peak_limit_angstrom"] == pytest.approx(1 / np.hypot(1 / 5.1, 1 / 4.3), abs=0.3)


def test_what_was_found_of_the_geometry_is_shown(data: ReportData) -> None:
    found = {
        "defocus_angstrom": {"value": 612.34, "sigma": 2.1, "how": "refined with the image"},
        "shear": {"value": 0.0, "sigma": 0.03, "how": "held: the electrons cannot tell"},
    }
    shown = replace(data, geometry=found)
    texts = [text.get_text() for text in _Page(shown, analyse(shown)).figure.texts]
    assert "geometry: defocus 612.3 ± 2.1 Å: refined with the image" in texts
    assert "geometry: shear 0.000 ± 0.030: held: the electrons cannot tell" in texts
    assert report_figures(shown)["geometry"] == found and "geometry" not in report_figures(data)


@pytest.mark.parametrize("truth", [True, False])
def test_every_panel_is_drawn(data: ReportData, truth: bool) -> None:
    shown = data if truth else replace(data, truth=None)
    page = _Page(shown, analyse(shown))
    assert page.attempt.remarks == {}
    over = [text.get_text() for axes in page.figure.axes for text in axes.texts]
    beside = [text.get_text() for text in page.figure.texts]
    assert "phase" in over  # the wheel
    assert any(text.endswith("1/Å") for text in over)
    assert any(text.startswith("2 modes: 80 %") for text in beside)
    assert not any("mode" in text or "lattice" in text for text in over)


def test_without_truth_and_without_validation(data: ReportData, tmp_path: Path) -> None:
    blind = replace(data, truth=None, history={**data.history, "validation": np.full(8, np.nan)})
    figures = draw_report(blind, str(tmp_path / "a.png"))
    assert (tmp_path / "a.png").stat().st_size > 50_000
    assert figures["validation"] is None
    assert "nrmse" not in figures
    # an image's own spectrum tells how regular it is, and no resolution
    assert figures["resolution_angstrom"] is None and "ptychodask halves" in figures["resolution_by"]
    assert figures["peak_limit_angstrom"] is not None and figures["lattice_peaks"] == 4


def test_a_filtered_image_has_no_resolution_from_its_own_spectrum(data: ReportData, tmp_path: Path) -> None:
    """The prior decides what is left in it."""
    t = xr.DataArray(np.linspace(0.6, 0.1, 20), {"frequency": np.arange(20) * 0.03}, ("frequency",))
    figures = draw_report(replace(data, truth=None, information=t, filtered=True, sharper=4), str(tmp_path / "a.png"))
    assert figures["resolution_angstrom"] is None and "ptychodask halves" in figures["resolution_by"]
    assert figures["information_limit_angstrom"] is None
    shown = replace(data, truth=None, information=t, filtered=True, sharper=4)
    page = _Page(shown, analyse(shown))
    power = next(axes for axes in page.figure.axes if axes.get_title(loc="left") == "Power spectrum")
    assert [patch for patch in power.patches if isinstance(patch, Circle)] == []
    assert any("no limit is read from it" in text.get_text() for text in page.figure.texts)
    assert not any("above the noise" in text.get_text() for text in page.figure.texts)


def test_halves_give_the_resolution_and_their_panel(data: ReportData) -> None:
    rng = np.random.default_rng(5)
    halves = [_on(data.truth.values + rng.normal(scale=0.1, size=data.truth.shape)) for _ in range(2)]
    found = agreement(*halves)
    shown = replace(data, truth=None, halves=found)
    figures, page = report_figures(shown), _Page(shown, analyse(shown))
    assert figures["resolution_angstrom"] == figures["halves_resolution_angstrom"]
    assert "two halves of the electrons agree" in figures["resolution_by"]
    assert page.attempt.remarks == {}
    assert any(axes.get_title(loc="left") == "Halves of the electrons" for axes in page.figure.axes)
    assert any("halves agree" in line for line in figures["told"])
    with_truth = replace(data, halves=found, dose=100.0)
    assert _Page(with_truth, analyse(with_truth)).attempt.remarks == {}
    assert report_figures(with_truth)["dose_efficiency_2.5A"] > 0


def test_what_the_head_says_fits_beside_the_summary(data: ReportData) -> None:
    """What averages is above what scanned diffraction carries, and halves claim a resolution beside the truth's."""
    rng = np.random.default_rng(5)
    found = agreement(*(_on(data.truth.values + rng.normal(scale=0.1, size=data.truth.shape)) for _ in range(2)))
    shown = replace(data, halves=found, dose=100.0)
    analysis = analyse(shown)
    averaged = replace(analysis, efficiency=xr.full_like(analysis.efficiency, 0.62))
    page = _Page(shown, averaged)
    head = [text for text in page.figure.texts if text.get_ha() == "right"]
    assert [text.get_text() for text in head if text.get_text().endswith("...")] == []
    assert any("halves claim" in text.get_text() for text in head)
    assert any(text.get_text().endswith(" Å, above 1/2 by averaging") for text in head)
    page.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in head if text.get_text()]
    left = [text.get_window_extent() for text in page.figure.texts if text.get_ha() == "left"]
    assert not any(box.overlaps(other) for box in boxes for other in left)
    assert any("more than scanned diffraction can carry" in line for line in figures_of(shown, averaged)["told"])


def test_a_misfit_shows_where_it_is(data: ReportData) -> None:
    maps = xr.Dataset({"detector": (("ky", "kx"), np.eye(32)), "scan": (("scan_y", "scan_x"), 5 * np.eye(12))})
    page = _Page(replace(data, misfit=maps), analyse(data))
    assert page.attempt.remarks == {}
    labels = [axes.get_xlabel() for axes in page.figure.axes]
    assert any(label.startswith("over the detector") for label in labels)
    assert any(label.startswith("over the scan") for label in labels)


def test_positions_that_were_found_are_shown(data: ReportData) -> None:
    y, x = np.mgrid[:12, :12].astype(float)
    places = np.stack([2.0 * y + 0.1 * x, 2.0 * x], axis=-1)
    places[5, 5] += 3.0, 4.0
    found = {"positions_angstrom": {"value": 0.2, "sigma": 0.1, "how": "refined with the image"}}
    page = _Page(replace(data, positions=places, geometry=found), analyse(data))
    assert page.attempt.remarks == {}
    labels = [axes.get_xlabel() for axes in page.figure.axes]
    assert "off an even raster: 0.42 Å RMS, enlarged" in labels  # 5 of 144 places, less the raster's


NAN = np.full((120, 130), np.nan)
HISTORY = {"iteration": np.array([1]), "loss": np.array([400.0])}
HARD = {
    "no history": ({"history": {"iteration": np.array([]), "loss": np.array([])}}, "loss", None),
    "one iteration": ({"history": HISTORY, "best_iteration": 1}, "validation", None),
    "a loss that is not a number": ({"history": {**HISTORY, "loss": np.array([np.nan])}}, "loss", None),
    "one position": ({"positions": np.zeros((1, 1, 2))}, "peak_limit_angstrom", "power_spectrum"),
    "one row": ({"positions": np.zeros((1, 32, 2)) + np.arange(32)[:, None] * [0, 0.5]}, "nrmse", "comparison"),
    "positions that are not numbers": ({"positions": np.full((3, 3, 2), np.nan)}, "nrmse", "comparison"),
    "a scan outside": ({"positions": np.full((3, 3, 2), 1e4)}, "peak_limit_angstrom", "power_spectrum"),
    "a phase that is not a number": ({"phase": _on(NAN)}, "peak_limit_angstrom", "power_spectrum"),
    "a truth that is not a number": ({"truth": _on(NAN)}, "nrmse", "comparison"),
    "a truth that is flat": ({"truth": _on(np.zeros((120, 130)))}, "nrmse", None),
    "a flat phase": ({"phase": _on(np.zeros((120, 130)))}, "correlation_2.5A", None),
    "a probe of zeros": ({"probe": _on(np.zeros((2, 64, 64), complex))}, "probe_d50_angstrom", "probe_diameters"),
    "a probe that is not a number": ({"probe": _on(np.full((1, 64, 64), np.nan + 0j))}, "mode_powers", "mode_powers"),
    "hundreds of modes": ({"probe": _on(np.ones((300, 16, 16), complex))}, None, None),
}


@pytest.mark.parametrize("name", HARD)
def test_a_figure_that_fails_takes_no_other_with_it(data: ReportData, tmp_path: Path, name: str) -> None:
    changes, missing, remark = HARD[name]
    figures = draw_report(replace(data, **changes), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 30_000
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert missing is None or figures.get(missing) is None
    assert remark is None or figures["remarks"][remark]
    others = {"loss": 400.2, "probe_d50_angstrom": 2 * DX * np.sqrt(25 * np.log(2))}
    untouched = {"loss": "history", "probe_d50_angstrom": "probe"}
    for figure, value in others.items():
        if untouched[figure] not in changes:
            assert figures[figure] == pytest.approx(value, rel=0.03)


def test_text_of_many_modes_is_short() -> None:
    assert mode_text(np.array([1.0])) == "1 mode: 100 %"
    assert mode_text(np.array([0.5, 0.3, 0.1, 0.06, 0.04])) == "5 modes: 50 %, 30 %, 10 %, 6 %, 4 %"
    assert mode_text(np.full(300, 1 / 300)).endswith("and 296 more")


def test_noise_and_one_iteration(data: ReportData, tmp_path: Path) -> None:
    # nothing is found and nothing can be scaled from one point: still a page
    noise = _on(np.random.default_rng(1).normal(size=data.phase.shape))
    history = {"iteration": np.array([1]), "loss": np.array([400.0]), "validation": np.array([np.nan])}
    figures = draw_report(replace(data, phase=noise, history=history, best_iteration=1), tmp_path / "a.png")
    assert figures["information_limit_angstrom"] is None
    assert figures["peak_limit_angstrom"] is None
    assert figures["frc_resolution_angstrom"] is None
    flat = draw_report(replace(data, phase=noise * 0, truth=None), tmp_path / "b.png")
    assert flat["information_limit_angstrom"] is None


@pytest.mark.parametrize(
    ("error", "line"),
    [(OSError(errno.ENOSPC, "No space left on device"), "report.png cannot be written"), (KeyError("x"), "x")],
)
def test_a_failed_drawing_leaves_nothing(data: ReportData, tmp_path: Path, monkeypatch, error, line) -> None:
    old = tmp_path / "report.png"
    old.write_bytes(b"\x89PNG\r\n\x1a\nold")

    def broken(self: Figure, name: Path, **_: object) -> None:
        Path(name).write_bytes(b"half")
        raise error

    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(type(error), match=line):
        draw_report(data, old, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["report.png"]
    assert old.read_bytes() == b"\x89PNG\r\n\x1a\nold"


@pytest.mark.parametrize(("ending", "head"), [("pdf", b"%PDF-"), ("svg", b"<?xml"), ("JPG", b"\xff\xd8\xff")])
def test_the_ending_says_what_is_written(data: ReportData, tmp_path: Path, ending, head) -> None:
    path = tmp_path / f"a.{ending}"
    draw_report(replace(data, truth=None), path)
    assert path.read_bytes().startswith(head)


def test_bad_outputs_are_one_line_before_anything_is_drawn(data: ReportData, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(report_module, "analyse", lambda data: pytest.fail("the report was computed"))
    (tmp_path / "notes.png").write_text("mine")
    draw_bad = {"a.docx": "no picture ends in '.docx'", "a": "use a.png", "notes.png": "not a PNG picture"}
    for name, message in draw_bad.items():
        with pytest.raises(InputError, match=message):
            draw_report(data, tmp_path / name, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.png"]


def test_global_matplotlib_state_is_left_alone(data: ReportData, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    draw_report(replace(data, truth=None), tmp_path / "a.png")
    assert dict(matplotlib.rcParams) == before


def test_errors_name_the_remedy(data: ReportData, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="create it"):
        draw_report(data, tmp_path / "missing" / "a.png")
    with pytest.raises(InputError, match="'mode', 'y', 'x'"):
        report_figures(replace(data, probe=data.probe[0]))
    with pytest.raises(InputError, match="one length"):
        report_figures(replace(data, history={"iteration": np.arange(3), "loss": np.arange(2)}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("width", "length"), [(50, 10), (19, 2), (200, 50), (4.1, 1), (80, 20)])
def test_scale_bars_are_round(width: float, length: float) -> None:
    assert rounded_length(width) == length


def test_page_turns_nothing_upside_down(data: ReportData) -> None:
    left, right, bottom, top = extent(data.phase)
    assert left < right
    assert top < bottom  # y increases downward
    assert right - left == pytest.approx(130 * DX)
    slope = data.phase + 0.5 * data.phase.y
    level = less_plane(slope, slope)
    assert float(level.isel(y=0).mean()) == pytest.approx(float(level.isel(y=-1).mean()), abs=0.15)
    assert float(level.mean()) == pytest.approx(float(slope.mean()))


def test_wave_colours_follow_amplitude() -> None:
    rgb = wave_rgb(np.array([[0, 1], [1j, -1]]))
    assert rgb[0, 0].max() == 0
    assert rgb.max() <= 1
    assert not np.allclose(rgb[0, 1], rgb[1, 0])
