"""Several scans of one area: what they give, what is found of them, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pair_scan import OFFSET, phase_at, random_peaks, write_one, write_pair
from tiny_scan import STEP_MRAD, Recorder, bits

import ptychodask
from ptychodask import InputError
from ptychodask.io.checkpoint import RunFolder

AT = {"data": {"offsets": [OFFSET]}}
SHORT = {"object": {"regularisation": "blur"}, "solver": {"iterations": 2, "finish": 0}}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("pair"))


# -- what they give --------------------------------------------------------------------------------------------------

PEAKS = random_peaks(26.0)
LIES = (3.2, -1.7)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Two scans of 24 x 24 and 20 x 26 positions of the same specimen, the second turned, in other steps."""
    folder, turn = tmp_path_factory.mktemp("large"), np.deg2rad(7.0)
    matrix = ((np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn)))
    common = {"peaks": PEAKS, "chunks": (8, 8), "electrons": 150.0}
    first = write_one(folder / "first.zarr", defocus=150.0, scan=(24, 24), **common)
    second = write_one(
        folder / "second.zarr", defocus=300.0, scan=(20, 26), step=(1.1, 0.9), matrix=matrix, offset=LIES, seed=1,
        **common,
    )  # fmt: skip
    return [first, second]


def agreement(result, low, high, shift=(0.0, 0.0)):
    """Correlation with the true phase inside a box (angstrom, in the frame of the first scan)."""
    its = result.phase
    inside = its.sel(y=slice(low - shift[0], high - shift[0]), x=slice(low - shift[1], high - shift[1]))
    truth = phase_at(inside.y.values + shift[0], inside.x.values + shift[1], PEAKS)
    return float(np.corrcoef(np.ravel(inside.values), np.ravel(truth))[0, 1])


def test_two_defoci_give_a_better_image_than_each_and_are_placed_by_their_counts(large):
    seen = Recorder()
    both = ptychodask.reconstruct(large, progress=seen)
    found = both.scans[1].attrs["offset_angstrom"]
    np.testing.assert_allclose(found, LIES, atol=0.2)
    told = [r for r in seen.named("start")[0]["remarks"] if r.startswith("scan 2 lies at (+3.")]
    assert len(told) == 1 and "of scan 1, +- (" in told[0]
    alone = [ptychodask.reconstruct(path) for path in large]
    figures = [agreement(alone[0], 5, 18), agreement(alone[1], 5, 18, LIES), agreement(both, 5, 18)]
    assert figures[2] > max(figures[:2]), figures
    assert both.described.dose_per_square_angstrom == pytest.approx(150 + 150 / 0.99, rel=0.05)


@pytest.mark.distributed
def test_places_are_found_once_and_are_the_same_on_workers_and_after_an_interrupt(large, tmp_path, monkeypatch):
    expected = ptychodask.reconstruct(large, SHORT)
    on_workers = ptychodask.reconstruct(large, {**SHORT, "engine": {"workers": 2}})
    target = tmp_path / "result.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(large, SHORT, output=target, progress=Recorder(1))
    decided = RunFolder.of(target).path / "decisions.json"
    said = json.loads(decided.read_text())
    assert said["offsets"] == [expected.scans[1].attrs["offset_angstrom"]]
    for wrong in ({"further": []}, {"offsets": []}):
        decided.write_text(json.dumps({**said, **wrong}))
        with pytest.raises(InputError, match=r"decisions\.json is of 1 scan, the run of another number: start it anew"):
            ptychodask.resume(target)
    decided.write_text(json.dumps(said))
    monkeypatch.setattr("ptychodask.calibration.offset.map_of", lambda *a, **k: pytest.fail("it was looked for again"))
    seen = Recorder()
    resumed = ptychodask.resume(target, progress=seen)
    assert any(remark.startswith("scan 2 lies at") for remark in seen.named("start")[0]["remarks"])
    for result in (on_workers, resumed):
        assert result.scans[1].attrs == expected.scans[1].attrs
        assert bits(result) == bits(expected)


def test_where_a_pair_does_not_fit_is_told_of_its_first_scan(large):
    maps = ptychodask.misfit(ptychodask.reconstruct(large, {**SHORT, "data": {"offsets": [LIES]}}))
    assert maps.scan.shape == (24, 24) and np.isfinite(maps.scan.values).all()
    assert 0.5 < float(maps.scan.std()) < 3


def test_report_of_a_pair(large, tmp_path):
    job = {**SHORT, "data": {"offsets": [LIES]}}
    result = ptychodask.reconstruct(large, job, output=tmp_path / "result.zarr")
    figures = ptychodask.report(result, tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 0
    assert figures
    with pytest.raises(InputError, match="of 2 scans: halves are made of a result of one"):
        ptychodask.halves(result)


def test_scans_of_other_specimens_are_said_not_to_overlap(large, tmp_path):
    other = write_one(
        tmp_path / "other.zarr", defocus=300.0, scan=(24, 24), peaks=random_peaks(26.0, seed=99), electrons=150.0,
        chunks=(8, 8),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"scan 2 shows nothing of the first: .* do they overlap\?.*data.offsets"):
        ptychodask.reconstruct([large[0], other], SHORT, output=tmp_path / "result.zarr")
    assert not (tmp_path / "result.zarr.run").exists()


def test_a_crystal_whose_place_is_not_clear_is_refused_with_both_places(tmp_path):
    lattice = [(y, x, 0.3) for y in np.arange(-8, 32, 4.0) for x in np.arange(-8, 32, 4.0)]
    common = {"peaks": lattice, "chunks": (8, 8), "scan": (20, 20), "electrons": 40.0}
    scans = [
        write_one(tmp_path / "first.zarr", defocus=150.0, **common),
        write_one(tmp_path / "second.zarr", defocus=250.0, offset=(1.0, 0.5), seed=1, **common),
    ]
    told = (
        r"scan 2 fits nearly as well at \(.*\) A as at \(.*\) A \(\d\.\d nats, 6 are asked\), as crystals do: say where"
    )
    with pytest.raises(InputError, match=told):
        ptychodask.reconstruct(scans, SHORT)


# -- what is refused, before anything is computed --------------------------------------------------------------------


def refused(scans, job, match):
    seen = Recorder()
    with pytest.raises(InputError, match=match):
        ptychodask.reconstruct(scans, job, progress=seen)
    assert not seen.named("iteration") and not seen.named("start")


@pytest.mark.parametrize(
    ("job", "match"),
    [
        ({"geometry": {"refine": "auto"}}, "several scans go without geometry.refine"),
        ({"geometry": {"refine": ["defocus"]}}, "several scans go without geometry.refine"),
        ({"probe": {"defocus_angstrom": 100}}, "several scans go without probe.defocus_angstrom"),
        ({"analysis": {"halves": True}}, "several scans go without analysis.halves"),
        ({"data": {"half": "first"}}, "several scans go without data.half"),
        ({"data": {"exclude": [[0, 0]]}}, "several scans go without data.exclude with numbers"),
        ({"solver": {"background": True}}, "several scans go without solver.background"),
        (
            {"object": {"regularisation": "blur"}, "solver": {"rounds_per_iteration": 2}},
            "several scans go without solver.rounds_per_iteration",
        ),
        ({"data": {"offsets": [[0, 0], [1, 1]]}}, "data.offsets has 2 places for 1 further scan:"),
        ({"data": {"offsets": [[90, 0]]}}, r"scan 2 at \(\+90, \+0\) A does not overlap with the first"),
        ({}, "scan 1 cannot be placed .*8 x 8 positions, at least 16 x 16.*data.offsets"),
    ],
    ids=str,
)
def test_what_does_not_work_with_several_scans_is_refused(pair, job, match):
    refused(pair, job, match)


def test_places_without_further_scans_are_refused(pair):
    refused(pair[0], AT, "data.offsets places further scans, and there is one")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"energy_ev": 200e3}, "scan 2 has 200 keV, the first 300: a specimen has another phase"),
        ({"angular_step_mrad": 1.01 * STEP_MRAD}, r"scan 2 has 1\.5\d+ mrad per detector pixel, the first 1\.5"),
        ({"attributes": {"thickness_angstrom": 50.0}}, "scan 2 is of 50 A, the first of 40"),
    ],
    ids=str,
)
def test_scans_that_do_not_go_together_are_refused(tmp_path, options, match):
    thin = {"attributes": {"thickness_angstrom": 40.0}}
    first = write_one(tmp_path / "first.zarr", **thin)
    second = write_one(tmp_path / "second.zarr", seed=1, **{**thin, **options})
    refused([first, second], AT, match)


def test_patterns_of_other_sizes_are_refused(pair, tmp_path):
    counts = np.random.default_rng(0).poisson(0.1, (8, 8, 24, 24))
    other = ptychodask.create_dataset(
        tmp_path / "other.zarr", counts, energy_ev=300e3, semi_angle_mrad=12.0, defocus_angstrom=100.0,
        angular_step_mrad=STEP_MRAD, scan_step_angstrom=1.0,
    )  # fmt: skip
    refused([pair[0], other], AT, "scan 2 has patterns of 24 pixels, the first of 32")


def test_one_scan_given_twice_is_refused(pair, tmp_path):
    import shutil

    refused([pair[0], pair[0]], AT, "first.zarr holds the counts of .*first.zarr: give every scan once")
    copy = shutil.copytree(pair[0], tmp_path / "copy.zarr")
    refused([pair[0], copy], AT, "copy.zarr holds the counts of .*first.zarr")


def test_lists_of_something_else_are_refused(pair):
    refused([], AT, r"data = \[\]: give the path of a dataset")
    refused([ptychodask.open_dataset(pair[0]), pair[1]], AT, "several scans are given by their paths, not as")
    refused([pair[0], 3], AT, "several scans are given by their paths, not as")
    with pytest.raises(InputError, match="give the path"):
        ptychodask.plan(list(pair))


def test_other_verbs_take_one_scan(pair, tmp_path):
    for call in (ptychodask.info, ptychodask.calibrate, ptychodask.view):
        with pytest.raises(InputError, match="give the path or address of a dataset"):
            call(list(pair))


def test_damaged_chunks_of_a_further_scan_are_left_out_and_said(tmp_path):
    scans = write_pair(tmp_path)
    (scans[1] / "counts" / "c" / "0" / "0" / "0" / "0").unlink()
    seen = Recorder()
    job = {**SHORT, "data": {**AT["data"], "on_damage": "mask"}}
    result = ptychodask.reconstruct(scans, job, progress=seen)
    assert np.isfinite(result.phase.values).all()
    assert any("second.zarr is damaged: 20 of 63 patterns are left out" in text for text in seen.warned())
