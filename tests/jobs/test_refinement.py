"""A run that refines its geometry: what it finds, what it says, the same bits however it runs, and what it refuses."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tiny_scan import BLUR, OPTICS, Recorder, bits, expected_counts, write_scan

import ptychodask
from ptychodask import InputError
from ptychodask.counts.patterns import Patterns, dense
from ptychodask.io.checkpoint import RunFolder
from ptychodask.io.dataset import dataset_info
from ptychodask.io.geometry import write_geometry
from ptychodask.io.source import source_of
from ptychodask.jobs import geometry, refine
from ptychodask.jobs.build import build_algorithm, initial_state
from ptychodask.jobs.experiment import Experiment
from ptychodask.jobs.found import found
from ptychodask.jobs.geometry import BEGINS, CHI, MOVES, SCORED, calibrated, crosses, part_of, pixels_of_stage, wanted
from ptychodask.jobs.recipe import Decisions, Recipe
from ptychodask.jobs.refine import recipe_of_stage
from ptychodask.jobs.settled import experiment_of, held_still
from ptychodask.jobs.taken_back import take_back
from ptychodask.kernels import kernels_for
from ptychodask.model.config import JobConfig
from ptychodask.model.geometry import Geometry
from ptychodask.model.optics import Microscope
from ptychodask.model.refining import Refine, Refining
from ptychodask.model.selection import Selection
from ptychodask.physics.probe import aberration_phase
from ptychodask.solver.lsqml import LsqMl
from ptychodask.solver.unknowns.geometry import GeometrySums
from ptychodask.solver.unknowns.object import ObjectSums

JOB = {**BLUR, "geometry": {"refine": "auto"}, "solver": {"iterations": 5}, "engine": {"checkpoint_every": 6}}
SCAN, MANY = (10, 10), [(y, x, 0.7) for y, x in ((1, 2), (3, 6), (5, 1), (6, 7), (8, 4), (2, 8.5), (8.5, 8), (5, 4.5))]


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """Counts whose dataset says a defocus that is 30 angstrom wrong, and positions that are turned by 3 degrees."""
    expected, positions = expected_counts(SCAN, 1.0, 4000.0, MANY)
    matrix = Geometry(math.radians(-3)).matrix
    centre = positions.reshape(-1, 2).mean(axis=0)
    turned = centre + (positions - centre) @ matrix.T
    path = tmp_path_factory.mktemp("scan") / "scan.zarr"
    counts = np.random.default_rng(1).poisson(expected).astype(np.uint16)
    optics = {**OPTICS, "defocus_angstrom": OPTICS["defocus_angstrom"] + 30.0}
    return ptychodask.create_dataset(
        path, counts, scan_step_angstrom=1.0, positions_angstrom=turned, chunks=(5, 5), **optics
    )


@pytest.fixture(scope="module")
def reference(scan):
    seen = Recorder()
    return ptychodask.reconstruct(scan, JOB, progress=seen), seen


def test_what_was_planted_is_found_and_said(reference):
    result, seen = reference
    found = result.geometry
    assert abs(found["rotation_degrees"]["value"]) < 1.5  # -3 is what the dataset says
    assert abs(found["defocus_angstrom"]["value"] - 100) < 5  # 130
    assert 0.2 < found["rotation_degrees"]["sigma"] < 1.5 and 0.5 < found["defocus_angstrom"]["sigma"] < 5
    assert "refined" in found["rotation_degrees"]["how"] and "refined" in found["defocus_angstrom"]["how"]
    for name in ("asymmetry", "shear"):
        assert abs(found[name]["value"]) < 0.03 and 0.005 < found[name]["sigma"] < 0.03
    assert result.attributes["defocus_angstrom"] == pytest.approx(found["defocus_angstrom"]["value"])
    positions = result.positions.values
    down = positions[-1, 0] - positions[0, 0]
    assert math.degrees(math.atan2(down[1], down[0])) == pytest.approx(found["rotation_degrees"]["value"], abs=1e-6)
    decided, settled = seen.named("refined")
    assert not decided["settled"] and settled["settled"] and settled["values"] == found
    stages = [e["stage"] for e in seen.named("iteration")]
    assert stages[: BEGINS + MOVES + 1] == ["geometry"] * (BEGINS + MOVES + 1)
    assert "geometry" not in [entry.stage for entry in result.history]


def test_written_back_it_gives_the_same_image_without_refinement(scan, tmp_path):
    copy, out = shutil.copytree(scan, tmp_path / "copy.zarr"), tmp_path / "r.zarr"
    result = ptychodask.reconstruct(copy, JOB, output=out, progress=False)
    assert take_back(copy, out, write=False) == result.geometry
    with pytest.raises(InputError, match="says nothing of"):
        take_back(scan, out, write=True)
    take_back(copy, out, write=True)
    again = ptychodask.reconstruct(copy, {**JOB, "geometry": {"refine": "none"}}, progress=False)
    assert again.geometry == {}
    assert np.abs(again.phase.values - result.phase.values).max() < 1e-3 * np.abs(result.phase.values).max()
    with pytest.raises(
        InputError, match=r"has the geometry .* found already, written from .*r\.zarr: there is nothing"
    ):
        take_back(copy, out, write=True)
    write_geometry(copy, np.eye(2, 3), dataset_info(copy).microscope.aberrations, {"values": {}})
    with pytest.raises(InputError, match="as it is now"):  # somebody else's geometry
        take_back(copy, out, write=True)
    again_out = tmp_path / "again.zarr"
    shutil.copytree(again.path, again_out)
    with pytest.raises(InputError, match="found no geometry"):
        take_back(copy, again_out, write=True)


@pytest.fixture(scope="module")
def crossed(tmp_path_factory):
    """So few electrons that halves of them score the geometry; the dataset says a defocus that is 30 angstrom wrong."""
    expected, positions = expected_counts(SCAN, 1.0, 900.0, MANY)
    counts = np.random.default_rng(1).poisson(expected).astype(np.uint16)
    optics = {**OPTICS, "defocus_angstrom": OPTICS["defocus_angstrom"] + 30.0}
    path = tmp_path_factory.mktemp("crossed") / "scan.zarr"
    return ptychodask.create_dataset(
        path, counts, scan_step_angstrom=1.0, positions_angstrom=positions, chunks=(5, 5), **optics
    )


@pytest.fixture(scope="module")
def crossed_reference(crossed):
    seen = Recorder()
    return ptychodask.reconstruct(crossed, JOB, progress=seen), seen


def test_halves_find_the_same(crossed_reference):
    result, seen = crossed_reference
    found = result.geometry
    assert abs(found["defocus_angstrom"]["value"] - 100) < 10 and 1 < found["defocus_angstrom"]["sigma"] < 10
    assert "refined" in found["defocus_angstrom"]["how"]
    assert any("a half of the electrons scores it" in remark for remark in seen.named("start")[0]["remarks"])


@pytest.mark.parametrize("stop_at", [3, 9, BEGINS + MOVES + 3])
def test_interrupted_and_resumed_gives_the_same_bits(crossed, crossed_reference, tmp_path, stop_at):
    scan, reference = crossed, crossed_reference
    out = tmp_path / "r.zarr"
    with pytest.raises(KeyboardInterrupt):
        ptychodask.reconstruct(scan, JOB, output=out, progress=Recorder(stop_at))
    left = RunFolder(RunFolder.of(out).path, stage="geometry").checkpoints()
    assert left == ([6] if stop_at == 9 else [])
    result = ptychodask.resume(out, progress=False)
    assert bits(result) == bits(reference[0]) and result.geometry == reference[0].geometry


@pytest.mark.distributed
def test_processes_give_the_same_bits(crossed, crossed_reference):
    job = {**JOB, "engine": {**JOB["engine"], "workers": 2, "threads": 1}}
    result = ptychodask.reconstruct(crossed, job, progress=False)
    assert bits(result) == bits(crossed_reference[0]) and result.geometry == crossed_reference[0].geometry


@pytest.mark.distributed
def test_in_tiles_too(crossed, crossed_reference):
    alone, together = (
        ptychodask.reconstruct(crossed, {**JOB, "engine": {"tile_pixels": 40, **workers}}, progress=False)
        for workers in ({}, {"workers": 2, "threads": 1})
    )
    assert bits(alone) == bits(together) and alone.geometry == together.geometry == crossed_reference[0].geometry


def test_a_geometry_that_helps_nobody_is_not_taken(tmp_path, monkeypatch):
    scan = write_scan(tmp_path / "s.zarr", electrons=300.0)
    monkeypatch.setattr(refine, "_trial", lambda stage, recipe, label: math.inf)
    seen = Recorder()
    result = ptychodask.reconstruct(scan, JOB, progress=seen)
    assert any("the geometry stays as the dataset says" in text for text in seen.warned())
    assert all("not refined" in its["how"] for its in result.geometry.values())
    assert result.geometry["defocus_angstrom"]["value"] == 100
    plain = ptychodask.reconstruct(scan, {**JOB, "geometry": {"refine": "none"}}, progress=False)
    np.testing.assert_allclose(result.phase.values, plain.phase.values, atol=1e-5)


@pytest.mark.parametrize(
    "job, told",
    [
        ({"geometry": {"refine": ["defocsu"]}}, "did you mean defocus"),
        ({"geometry": {"refine": ["probe"]}}, "nothing that can be refined"),
        ({"geometry": {"refine": ["defocus", "tilt"]}}, "tilt is refused: slices that are free shift instead"),
        ({"geometry": {"refine": ["angular_step"]}}, "angular_step is refused: it goes with the scale"),
        ({"geometry": {"refine": []}}, "give calibrated, none, auto, or a list"),
    ],
)
def test_what_cannot_be_refined_is_refused(scan, job, told):
    with pytest.raises(InputError, match=told):
        ptychodask.reconstruct(scan, job, progress=False)


def test_scale_and_defocus_together_are_refused_at_large_angles(tmp_path):
    scan = write_scan(tmp_path / "s.zarr", semi_angle_mrad=20.0)
    with pytest.raises(InputError, match="leave scale out"):
        ptychodask.reconstruct(scan, {"geometry": {"refine": ["scale", "defocus"]}}, progress=False)


def test_what_64_patterns_do_not_know_is_held(tmp_path):
    seen = Recorder()
    result = ptychodask.reconstruct(write_scan(tmp_path / "s.zarr", electrons=1000.0), JOB, progress=seen)
    for name in ("asymmetry", "shear"):  # what everybody knows: 0 +- 3 %
        assert abs(result.geometry[name]["value"]) < 1e-12 and result.geometry[name]["sigma"] > 0.015
        assert "held" in seen.named("refined")[0]["values"][name]["how"]
        assert result.geometry[name]["how"].startswith(("held", "not refined"))


@pytest.mark.parametrize("semi_angle, share", [(12.0, 0.7), (20.0, 0.25)])
def test_what_astigmatism_makes_up_for_must_be_known_better_at_large_angles(tmp_path, semi_angle, share):
    info = dataset_info(write_scan(tmp_path / "s.zarr", semi_angle_mrad=semi_angle))
    rules = Experiment(info, JobConfig.parse(JOB), refines=True).refine
    asked = dict(zip(rules.names, rules.known.tolist(), strict=True))
    assert asked["asymmetry"] == asked["shear"] == share
    assert {asked[name] for name in ("defocus", "c12a", "c12b", "rotation")} == {0.7}


def test_names_and_their_order():
    assert wanted(JobConfig()) == ()
    assert wanted(JobConfig.load(overrides=["geometry.refine=auto"])) == (
        "defocus", "c12a", "c12b", "rotation", "asymmetry", "shear",
    )  # fmt: skip
    assert wanted(JobConfig.load(overrides=["geometry.refine=shear,c21,defocus"])) == (
        "defocus", "c21a", "c21b", "shear",
    )  # fmt: skip


def test_auto_stands_beside_other_names(tmp_path):
    """Its numbers are held where the electrons cannot tell, as they are by itself; what is named moves in any case."""
    for alone in (["auto"], "auto"):
        assert JobConfig.parse({"geometry": {"refine": alone}}).geometry.refine == "auto"
    with pytest.raises(InputError, match=r"geometry\.refine = none stands alone"):
        JobConfig.load(overrides=["geometry.refine=none,positions"])
    info = dataset_info(write_scan(tmp_path / "s.zarr"))

    def rules(refine, refines=True):
        return Experiment(info, JobConfig.load(overrides=[f"geometry.refine={refine}"]), refines=refines)

    auto, more, named = (rules(refine).refine for refine in ("auto", "auto,positions", "auto,shear,scale"))
    assert rules("auto,positions", refines=False).places is not None
    assert more.names == auto.names and more.known.tolist() == auto.known.tolist() == [0.7] * 6
    assert (rules("shear").refine.known == np.inf).all()
    assert dict(zip(named.names, named.known.tolist(), strict=True)) == {
        **dict.fromkeys(("defocus", "c12a", "c12b", "rotation", "asymmetry"), 0.7), "shear": np.inf, "scale": np.inf,
    }  # fmt: skip


def test_halves_of_the_electrons_score_it_where_there_are_few(crossed, tmp_path):
    info = dataset_info(crossed)
    plain = JobConfig()
    assert crosses(plain, info)
    assert not crosses(plain, dataset_info(write_scan(tmp_path / "many.zarr", electrons=4000.0)))
    assert not crosses(plain, dataset_info(write_scan(tmp_path / "expected.zarr", noise=False)))  # nothing to deal out
    assert not crosses(JobConfig.parse({"object": {"kind": "complex", "positivity": False}}), info)
    job = recipe_of_stage(JobConfig.parse(JOB), 100, crossed=True)
    assert job.solver.validation_fraction == 0.5 and job.object.regularisation == "spectral"
    assert crosses(job, info)
    recipe = Recipe(str(crossed), job.model_dump_json(), Decisions(400.0, backend="numpy"), refines=True)
    algorithm, block = build_algorithm(recipe), recipe.blocks[0]
    patterns = algorithm.prepare(block, source_of(info).read(block))
    model = replace(initial_state(recipe, algorithm).model, iteration=BEGINS)
    rng = np.random.default_rng(0)
    model = replace(model, object=gaussian_filter(rng.standard_normal(model.object.shape), (0, 2, 2)).astype("f4"))
    found = algorithm.partial(block, patterns, model, False)
    alone = LsqMl(algorithm.problem, kernels_for(algorithm.problem, "numpy"))
    own = alone.partial(block, patterns, model, False)
    others = alone.partial(block, Patterns(patterns.held, None, None, patterns.pixels), model, False)
    np.testing.assert_array_equal(found[ObjectSums].gradient, own[ObjectSums].gradient)
    # a part of the patterns in a pass, and each once in so many passes
    turns = [algorithm.partial(block, patterns, replace(model, iteration=BEGINS + i), False) for i in range(SCORED)]
    each = np.array([update[GeometrySums].score for update in turns])
    np.testing.assert_allclose(each.mean(axis=0), others[GeometrySums].score, rtol=1e-3)
    assert np.ptp(each, axis=0).min() > 0
    assert (
        np.abs(found[GeometrySums].score - own[GeometrySums].score).max() > 0.01 * np.abs(own[GeometrySums].score).max()
    )
    assert found.sums == own.sums


@pytest.mark.parametrize(
    "away, gained, said, warnings",
    [
        (2.85, 1.0, "", 0),  # 4.06 nats
        (2.8, 50.0, "within its errors (3.9 nats, 3.9 are asked)", 0),
        (9.0, -1.0, "tell no difference", 0),
        (9.0, -7.0, "like the refined one less, by 7 nats", 1),
        (9.0, -math.inf, "like the refined one less", 1),
    ],
)
def test_it_is_kept_only_where_it_is_farther_than_its_errors_and_better(away, gained, said, warnings):
    told, one = [], np.ones(4)
    names = ("rotation", "scale", "asymmetry", "shear")
    rules = Refine(names, Geometry(), np.zeros((0, 4, 4)), 0.1 * one, one, one, (0.0, 0.0), 0, 1)
    free = np.array([True, True, False, True])  # three that move: 1.5 +- 1.2 nats by noise
    values = rules.first + np.array([0.1 * away, 0, 0, 0])
    settled = replace(Refining.begin(rules), values=values, information=np.eye(4), free=free)
    stage = SimpleNamespace(report=told.append)
    found = refine._no_gain(stage, rules, settled, gained, calibrated=False)
    assert (said in found) if said else found == ""
    if not said:  # of what was calibrated more is asked
        assert "6.4 are asked" in refine._no_gain(stage, rules, settled, gained, calibrated=True)
    assert len(told) == warnings


def test_a_calibration_is_refined_where_the_job_leaves_it_to_the_data(tmp_path):
    path, left = write_scan(tmp_path / "s.zarr"), {"geometry": {"refine": "calibrated"}}
    assert wanted(JobConfig()) == () and JobConfig() == JobConfig.parse(left)

    def settled(**job):
        return experiment_of(dataset_info(path), JobConfig.parse(job)).config.geometry.refine

    assert settled() == settled(**left) == "none"
    affine = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    write_geometry(path, affine, {"C10": -90.0}, {"values": {"rotation_degrees": {"value": 0.0, "sigma": 0.3}}})
    assert settled(**left) == "auto" and settled(**left, engine={"tile_pixels": 40}) == "auto"
    assert settled() == "auto" and settled(geometry={"refine": "none"}) == "none"
    assert settled(geometry={"refine": ["defocus"]}) == ("defocus",)
    for positions, its in (("", True), ("p.npy", False)):  # positions of its own are no calibration's
        assert calibrated(replace(dataset_info(path), selection=Selection((0, 1), (0, 1), "", positions))) == its
    assert held_still(JobConfig.parse(left)).geometry.refine == "none"  # trials are compared at one geometry
    assert held_still(JobConfig.parse(JOB)).geometry.refine == "auto"
    write_geometry(path, affine, {"C10": -90.0}, {"values": {}, "from": "a result"})  # it was refined already
    assert settled(**left) == "none"


def test_tiles_take_the_geometry_of_the_middle_of_the_scan(tmp_path, monkeypatch):
    info = dataset_info(write_scan(tmp_path / "s.zarr", scan=(8, 6)))
    assert part_of(info) is None
    monkeypatch.setattr(geometry, "PART", 4)
    assert part_of(info) == Selection((2, 3, 4, 5), (1, 2, 3, 4))
    inner = Selection((7, 6, 5, 4, 3), (0, 2, 4), "mask.npy")
    chosen = replace(info, scan_shape=inner.scan_shape, selection=inner)
    assert part_of(chosen) == Selection((7, 6, 5, 4), (0, 2, 4), "mask.npy")
    with pytest.raises(InputError, match="positions of its own"):
        part_of(replace(chosen, selection=replace(inner, positions="p.npy")))
    decided = Decisions(damaged=((0, 3, 0, 2), (7, 8, 0, 6)), excluded=((4, 5, 5, 6),))
    made = refine._of_part(Recipe(info.path, "{}", decided), SimpleNamespace(info=info))
    assert made.decided.damaged == ((0, 1, 0, 1),) and made.decided.excluded == ()
    assert made.selection.scan_shape == (4, 4)


def test_the_stage_has_little_blur_and_one_kind_of_slices():
    job = recipe_of_stage(JobConfig.parse({"probe": {"update_start": 2}}), 100)
    assert job.object.regularisation == "blur" and job.solver.acceleration
    assert job == recipe_of_stage(JobConfig.parse({"object": {"regularisation": "blur"}}), 100)
    assert recipe_of_stage(JobConfig.parse({"object": {"blur_angstrom": 0.1}}), 100).object.blur_angstrom == 0.1
    assert recipe_of_stage(JobConfig(), 100).object.blur_angstrom == 0.3
    assert recipe_of_stage(JobConfig(), 1600).object.blur_angstrom == 0.15
    assert recipe_of_stage(JobConfig(), 1).object.blur_angstrom == 0.45  # the job's
    assert job.probe.update_start is None and job.object.coupling == "identical"


def test_aberrations_come_out_as_they_act():
    names = ("defocus", "c12a", "c12b", "c21a", "c21b", "c30")
    before = Microscope(300e3, 12.0, {"C10": -100.0, "C12": 30.0, "phi12": 0.4, "C21": 200.0, "phi21": 1.0, "C30": 1e4})
    one = np.ones(6)
    rules = Refine(names, Geometry(), np.zeros((6, 4, 4)), one, one, one, (0.0, 0.0), 0, 1)
    values = np.array([12.0, -5.0, 8.0, 90.0, -40.0, 500.0])
    made = found(rules, replace(Refining.begin(rules), values=values), before)
    k = np.random.default_rng(0).uniform(-0.6, 0.6, (2, 50))
    parts = [CHI[name] for name in names]
    expected = aberration_phase(*k, before.wavelength, before.aberrations)
    expected = expected + sum(
        v * aberration_phase(*k, before.wavelength, p) for v, p in zip(values, parts, strict=True)
    )
    after = aberration_phase(*k, before.wavelength, {**before.aberrations, **made.aberrations})
    np.testing.assert_allclose(after, expected, atol=1e-9)
    assert made.values["defocus_angstrom"]["value"] == 112 and made.values["c30_angstrom"]["value"] == 10_500


def test_coarse_pixels_are_made_finer_and_it_is_said(scan, reference):
    assert pixels_of_stage(32, 0.4) == 0
    assert pixels_of_stage(64, 0.656) == 96
    assert pixels_of_stage(64, 3.0) == 128  # twice at most
    told = reference[1].named("start")[0]["remarks"]
    assert any("the geometry is refined in 12 + 4 iterations before the image" in remark for remark in told)


def test_a_number_at_its_limit_was_too_far_off():
    one = np.ones(2)
    rules = Refine(("defocus", "shear"), Geometry(), np.zeros((1, 4, 4)), one, one, 300 * one, (0.0, 0.0), 0, 1)
    at = Refining.begin(rules)
    assert refine._beyond(rules, at) == ""
    assert "defocus ran beyond" in refine._beyond(rules, replace(at, values=np.array([-299.0, 0.0])))


def test_a_disk_off_centre_is_moved_before_patterns_are_padded(tmp_path):
    expected, positions = expected_counts((6, 6), 1.0, 4000.0, MANY)
    counts = np.random.default_rng(1).poisson(expected).astype(np.uint16)
    common = {**OPTICS, "scan_step_angstrom": 1.0, "positions_angstrom": positions, "chunks": (3, 3)}
    right = ptychodask.create_dataset(tmp_path / "right.zarr", counts, **common)
    off = ptychodask.create_dataset(tmp_path / "off.zarr", np.roll(counts, (2, -1), (2, 3)), **common)
    info = dataset_info(off)
    affine = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    centre = np.array([[18.0, 0.0, 0.0], [15.0, 0.0, 0.0]])  # of 32 pixels, where 16 is the middle
    write_geometry(off, affine, info.microscope.aberrations, {}, centre=centre)
    prepared = []
    for path in (right, off):
        recipe = Recipe(str(path), JobConfig().model_dump_json(), Decisions(4000.0), pixels=48)
        algorithm, block = build_algorithm(recipe), recipe.blocks[0]
        read = source_of(recipe.experiment.info).read(block)
        prepared.append(
            (dense(algorithm.prepare(block, read).fitted, 0, 4, 48, np, np.float32), algorithm.problem.weights)
        )
    inside = prepared[1][1] > 0
    assert inside.sum() == 30 * 31  # what has left the detector is nowhere used
    np.testing.assert_array_equal(prepared[0][0][:, inside], prepared[1][0][:, inside])
    assert prepared[0][0].sum() > 5000
