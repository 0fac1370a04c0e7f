"""A study is killed and started again; what it finds; what it refuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("abtem")

import ptychodask
from ptychodask import InputError
from ptychodask.analysis.conditions import columns, notes
from ptychodask.io.study import SCRATCH, Parts
from ptychodask.jobs.studying.outline import outline
from ptychodask.model.study import StudyConfig
from ptychodask.simulation.width import defocus_of_width

COMMON = {
    "material": "zif-8", "thickness_angstrom": 17, "scan_shape": [12, 12], "scan_step_angstrom": 1.5,
    "detector_pixels": 48, "angular_step_mrad": 0.8, "defocus_angstrom": 150, "slice_thickness_angstrom": 8,
}  # fmt: skip
TOY = {
    "simulate": COMMON,
    "reconstruct": {"solver": {"iterations": 4, "finish": 1}},
    "axes": {"dose": [float("inf"), 1000.0, 5.0], "object.blur_angstrom": [0.3, 0.6]},
    "conditions": [{"semi_angle_mrad": 12.0}, {"semi_angle_mrad": 70.0}],  # a disk that no such detector holds
}
KILLED = """
import json, sys, distributed, ptychodask
cluster = distributed.LocalCluster(n_workers=1, processes=False, threads_per_worker=2, dashboard_address=None)
ptychodask.study(json.loads(sys.argv[1]), sys.argv[2], client=cluster, progress=False)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study that was killed outright after its first conditions, and started again."""
    target = tmp_path_factory.mktemp("study") / "study.zarr"
    parts = Parts.of(target)
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", KILLED, json.dumps(TOY), str(target)])
    wanted = list((parts.path / "records").glob("*.zarr"))
    until = time.monotonic() + 200
    while len(wanted) < 6 + 2:  # six are refused at once
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
        wanted = list((parts.path / "records").glob("*.zarr"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in (parts.path / "records").glob("*.zarr")}
    flying, told = list(parts.path.glob(f"{SCRATCH}*")), []
    found = ptychodask.study(TOY, target, picture=target.with_suffix(".png"), progress=lambda *step: told.append(step))
    return SimpleNamespace(found=found, target=target, parts=parts, kept=kept, flying=flying, told=told)


def test_after_a_kill_only_what_was_in_flight_is_done_again(made):
    assert 8 <= len(made.kept) < 12
    assert len(made.flying) <= 2  # threads
    assert made.told[0][1:] == (len(made.kept), 12) and made.told[-1][1:] == (12, 12)
    assert len(made.told) == 1 + 12 - len(made.kept)
    assert {path: path.stat().st_mtime_ns for path in made.kept} == made.kept
    left = {path.name for path in made.parts.path.iterdir()}
    assert left == {"scans", "truths", "records", "study.json"} and not list((made.parts.path / "scans").iterdir())


def test_results_are_labelled(made):
    found = made.found
    assert dict(found.correlation.sizes) == {
        "condition": 2, "dose_per_square_angstrom": 3, "object.blur_angstrom": 2, "resolution": 2,
    }  # fmt: skip
    assert found.semi_angle_mrad.values.tolist() == [12, 70]
    sharp = found.correlation.sel(resolution=2.5).isel(condition=0)
    assert float(sharp.sel(dose_per_square_angstrom=np.inf).max()) > 0.9
    assert (sharp.sel(dose_per_square_angstrom=np.inf) > sharp.sel(dose_per_square_angstrom=1000)).all()
    assert found.status.isel(condition=0).values.tolist() == [[0, 0]] * 3
    curve = found.loss_curve.isel({"condition": 0, "object.blur_angstrom": 0}).sel(dose_per_square_angstrom=1000)
    assert float(curve[0]) > float(curve.min())
    # the phase is on the pixels of the truth
    phase, truth = found.phase[0, 0, 0].values, found.truth[int(found.simulation_of[0, 0, 0])].values
    assert np.corrcoef(phase.ravel(), truth.ravel())[0, 1] > 0.8
    assert np.isnan(found.phase[1]).all() and (found.simulation_of[1] == -1).all()
    assert made.target.with_suffix(".png").stat().st_size > 30_000


def test_table_and_notes(made):
    table = dict(columns(made.found))
    assert table["dose"][:3] == ["inf", "inf", "1000"] and table["semi angle"][::6] == ["12", "70"]
    assert table["status"] == ["done"] * 6 + ["refused"] * 6
    refused, blind = notes(made.found)
    assert refused.startswith("6 of 12 conditions refused, the first (") and "exceeds the detector" in refused
    assert "nothing can be seen in" in blind


def test_a_finished_study_is_opened_and_an_extended_one_does_what_is_missing(made):
    told = []
    again = ptychodask.study(TOY, made.target, progress=lambda *step: told.append(step))
    assert told == [] and again.attrs["name"] == made.found.attrs["name"]
    less = {**TOY, "conditions": TOY["conditions"][:1]}
    with pytest.raises(InputError, match=r"study\.zarr exists: use overwrite=True"):
        ptychodask.study(less, made.target, progress=False)
    other = made.target.with_name("other.zarr")
    Parts.of(made.target).path.rename(Parts.of(other).path)
    found = ptychodask.study(less, other, progress=lambda *step: told.append(step))
    Parts.of(other).path.rename(Parts.of(made.target).path)
    assert [step[1:] for step in told] == [(6, 6)] and "0 conditions of 0 simulations" in told[0][0]
    np.testing.assert_array_equal(found.phase.values, made.found.phase.values[:1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"simulate": {**COMMON, "material": "zif-9"}}, "unknown material 'zif-9'"),
        ({"simulate": {**COMMON, "material": "/nowhere.cif"}}, "nowhere.cif"),
        ({"simulate": {**COMMON, "thickness_angstrom": 2}}, "none of the conditions .* less than one cell of zif-8"),
        ({"simulate": {**COMMON, "probe_diameter_angstrom": 1}}, "wide .D90. in focus"),
        ({"axes": {"dose": [1e12]}}, "none of the conditions can be simulated: .* uint16"),
        ({"axes": {"dose": list(range(1, 300))}}, r"has 299 conditions of 1 simulation, about .* \(--yes\)"),
        ({"axes": {"dsoe": [1]}}, "unknown option 'dsoe'"),
    ],
)
def test_bad_input_is_one_line(tmp_path, changes, message):
    document = {**TOY, "conditions": [], **changes}
    with pytest.raises(InputError, match=message) as error:
        ptychodask.study(document, tmp_path / "study.zarr", progress=False)
    assert "\n" not in str(error.value) and not (tmp_path / "study.zarr").exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "study.zarr.parts").mkdir()
    (tmp_path / "study.zarr.parts" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is in the way"):
        ptychodask.study({**TOY, "conditions": []}, tmp_path / "study.zarr", progress=False)
    assert [path.name for path in (tmp_path / "study.zarr.parts").iterdir()] == ["thesis.txt"]


def test_a_probe_of_a_wanted_width(tmp_path):
    """Table of the microscope: 10 mrad at 400 angstrom has a D90 of 9.5 angstrom."""
    assert defocus_of_width(300e3, 10.0, {}, 9.5) == pytest.approx(400, abs=40)
    document = {"simulate": {**COMMON, "probe_diameter_angstrom": 7.8}, "axes": {"semi_angle_mrad": [10, 15]}}
    plan = outline(StudyConfig.parse(document), tmp_path)
    defoci = [work.scan.options["defocus_angstrom"] for work in plan.works]
    assert defoci[0] > defoci[1] > 100 and not plan.refused


def test_the_reconstruction_may_be_wrong_about_the_lens(tmp_path):
    axes = {"defocus_error_angstrom": [0, 50], "aberration_errors.C30": [0, 1e5]}
    document = {"simulate": {**COMMON, "aberrations": {"C30": 1e6}}, "axes": axes}
    works = outline(StudyConfig.parse(document), tmp_path).works
    believed = [(w.believed.defocus_angstrom, w.believed.aberrations["C30"]) for w in works]
    assert believed == [(150, 1e6), (150, 1.1e6), (200, 1e6), (200, 1.1e6)]
    assert len({w.scan.name for w in works}) == 1 and len({w.name for w in works}) == 4
