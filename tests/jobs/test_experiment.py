"""From dataset and configuration to the solver's problem: rules, remarks, refusals and the first state."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from tiny_scan import BLUR, MICROSCOPE, N, bits, write_scan

import ptychodask
from ptychodask import InputError, JobConfig
from ptychodask.io.dataset import dataset_info
from ptychodask.jobs import experiment
from ptychodask.jobs import recipe as recipes
from ptychodask.jobs.build import build_algorithm, initial_state
from ptychodask.jobs.checks import check, doubts
from ptychodask.jobs.experiment import Experiment
from ptychodask.jobs.recipe import Decisions, Recipe, choose_kernels
from ptychodask.jobs.settled import experiment_of
from ptychodask.kernels.gpu import Gpu
from ptychodask.physics.constraints import AmplitudeBound, CoupledSlices, LateralBlur, PositivePhase


@pytest.fixture(scope="module")
def info(tmp_path_factory):
    return dataset_info(write_scan(tmp_path_factory.mktemp("setup") / "scan.zarr", (4, 4), electrons=200))


def job(**sections) -> JobConfig:
    return JobConfig.parse({**sections, "object": {**BLUR["object"], **sections.get("object", {})}})


def recipe(info, config=None, mean=200.0, **changes) -> Recipe:
    return Recipe(info.path, (config or job()).model_dump_json(), Decisions(mean), **changes)


def with_thickness(info, thickness):
    return replace(info, attributes={**info.attributes, "thickness_angstrom": thickness})


def test_thickness_is_the_jobs_then_the_datasets_then_unknown(info):
    assert Experiment(info, job()).thickness is None
    assert Experiment(with_thickness(info, 80.0), job()).thickness == 80.0
    assert Experiment(with_thickness(info, 80.0), job(object={"thickness_angstrom": 50.0})).thickness == 50.0


def test_slices_follow_half_the_depth_of_field(info):
    half = 0.5 * info.microscope.depth_of_field
    assert Experiment(info, job()).slices == 1
    for share, slices in [(0.3, 1), (1.0, 1), (1.01, 2), (3.5, 4)]:
        assert Experiment(with_thickness(info, share * half), job()).slices == slices
    assert Experiment(with_thickness(info, 9 * half), job(object={"slices": 2})).slices == 2


def test_slices_without_a_thickness_are_refused_with_the_remedy(info):
    assert Experiment(info, job(object={"slices": 1})).slices == 1
    with pytest.raises(InputError, match=r"object\.slices = 3 .*object\.thickness_angstrom"):
        check(Experiment(info, job(object={"slices": 3})))


def test_slices_thinner_than_an_atom_are_refused(info):
    """However thin the specimen is, one slice is allowed."""
    thin = with_thickness(info, 20.0)
    for slices in (41, 500):
        with pytest.raises(InputError, match=rf"slices = {slices} for 20 A .* at least 0.5 A .* to at most 40, "):
            check(Experiment(thin, job(object={"slices": slices})))
    assert Experiment(thin, job(object={"slices": 40})).slices == 40
    assert Experiment(with_thickness(info, 0.3), job(object={"slices": 1})).slices == 1
    assert Experiment(with_thickness(info, 0.3), job()).slices == 1
    with pytest.raises(InputError, match=r"to at most 1, "):
        check(Experiment(with_thickness(info, 0.3), job(object={"slices": 2})))


def test_defocus_is_replaced_and_nothing_else(info):
    kept = replace(info, microscope=replace(MICROSCOPE, aberrations={"C10": -100.0, "C30": 1e4}))
    assert Experiment(kept, job()).microscope is kept.microscope
    moved = Experiment(kept, job(probe={"defocus_angstrom": 60.0})).microscope
    assert moved.defocus_angstrom == 60.0 and moved.aberrations["C30"] == 1e4
    assert moved.semi_angle_mrad == 12.0 and kept.microscope.defocus_angstrom == 100.0
    zero = Experiment(kept, job(probe={"defocus_angstrom": 0.0})).microscope
    assert zero.defocus_angstrom == 0.0


def test_the_probe_has_the_replaced_defocus(info):
    made = [recipe(info, job(probe={"defocus_angstrom": d})) for d in (100.0, 40.0)]
    same, other = (initial_state(r, build_algorithm(r)).model.probe for r in made)
    plain = initial_state(recipe(info), build_algorithm(recipe(info))).model.probe
    np.testing.assert_array_equal(same, plain)
    assert abs(same - other).max() > 0.1 * abs(same).max()


def test_a_defocus_that_the_box_cannot_hold_is_refused(info):
    with pytest.raises(InputError, match="less defocus"):
        check(Experiment(info, job(probe={"defocus_angstrom": 2000.0})))


def test_modes_that_leave_nothing_to_the_first_are_refused(info):
    with pytest.raises(InputError, match=r"probe\.modes = 4 .*mode_power < 0\.333"):
        check(Experiment(info, job(probe={"modes": 4, "mode_power": 0.4})))
    check(Experiment(info, job(probe={"modes": 4, "mode_power": 0.3})))
    check(Experiment(info, job(probe={"modes": 1, "mode_power": 0.4})))


def test_blocks_are_joined_shards_unless_the_job_says_other(info):
    small = replace(info, scan_shape=(24, 24), shard=(2, 1))
    assert {block.size for block in Experiment(small, job()).blocks} == {144}
    assert {block.size for block in Experiment(small, job(engine={"block": [2, 1]})).blocks} == {2}


def test_the_shards_of_the_same_counts_do_not_change_the_bits(tmp_path):
    options = {"electrons": 50, "seed": 3}
    results = [
        ptychodask.reconstruct(
            write_scan(tmp_path / f"{i}.zarr", (20, 20), chunks=chunks, **options),
            {"solver": {"iterations": 2, "finish": 0}, "object": {"slices": 1}},
        )
        for i, chunks in enumerate([(10, 10), (2, 5)])
    ]
    assert bits(results[0]) == bits(results[1])


def test_remarks_say_what_was_decided(info):
    assert check(Experiment(info, job()))[0].startswith(
        "object.slices is unset: 1 slice, because the thickness is not known"
    )
    thick = with_thickness(info, 1.5 * info.microscope.depth_of_field)
    assert check(Experiment(thick, job()))[0].startswith("object.slices is unset: 3 slices for ")
    assert check(Experiment(info, job(object={"slices": 1}))) == []


def test_float_counts_switch_validation_off_with_a_remark(info, tmp_path):
    floats = dataset_info(write_scan(tmp_path / "float.zarr", (4, 4), noise=False))
    assert floats.dtype == "float32"
    assert Experiment(info, job()).counts_are_whole and not Experiment(floats, job()).counts_are_whole
    assert Experiment(info, job()).train_fraction == 0.9 and Experiment(floats, job()).train_fraction is None
    config = job(object={"slices": 1})
    assert any("nothing is held out" in text for text in doubts(Experiment(floats, config)))
    none = job(object={"slices": 1}, solver={"validation_fraction": None})
    assert doubts(Experiment(floats, none)) == [] and Experiment(info, none).train_fraction is None
    assert build_algorithm(recipe(floats)).problem.settings.train_fraction is None


def test_the_probe_has_the_power_of_the_counts(info):
    state = initial_state(recipe(info, mean=123.0), build_algorithm(recipe(info, mean=123.0)))
    assert (abs(state.model.probe) ** 2).sum() == pytest.approx(123.0, rel=1e-5)
    assert state.model.object.dtype == np.float32 and not state.model.object.any()
    assert state.momentum == 0 and state.damping == 1.0 and state.model.iteration == 0
    still = job(solver={"acceleration": False}, object={"kind": "complex", "positivity": False})
    other = initial_state(recipe(info, still), build_algorithm(recipe(info, still)))
    assert other.momentum == -1 and other.model.object.dtype == np.complex64 and not other.model.object.any()


def test_a_mask_that_hides_part_of_the_disk_is_made_up_for(tmp_path):
    """The mean counts are those of the pixels in use; the probe must hold the hidden electrons too."""
    mask = np.ones((N, N), np.uint8)
    mask[:, : N // 2] = 0  # a bit more than half of the disk is left
    path = write_scan(tmp_path / "scan.zarr", (4, 4), electrons=200, mask=mask)
    masked = dataset_info(path)
    algorithm = build_algorithm(recipe(masked, mean=100.0))
    probe = initial_state(recipe(masked, mean=100.0), algorithm).model.probe
    pattern = abs(np.fft.fft2(probe[0], norm="ortho")) ** 2
    assert (pattern * algorithm.problem.weights).sum() == pytest.approx(100.0, rel=1e-5)
    assert 150 < (abs(probe) ** 2).sum() < 200


def test_a_mask_that_hides_the_disk_is_refused(tmp_path):
    mask = np.ones((N, N), np.uint8)
    mask[4:-4, 4:-4] = 0
    hidden = dataset_info(write_scan(tmp_path / "scan.zarr", (4, 4), mask=mask))
    with pytest.raises(InputError, match="bright-field disk"):
        initial_state(recipe(hidden), build_algorithm(recipe(hidden)))


def test_modes_start_with_their_power(info):
    config = job(probe={"modes": 3, "mode_power": 0.1})
    probe = initial_state(recipe(info, config), build_algorithm(recipe(info, config))).model.probe
    powers = (abs(probe) ** 2).sum(axis=(1, 2)) / 200.0
    np.testing.assert_allclose(powers, [0.8, 0.1, 0.1], rtol=1e-4)


def test_slices_share_the_thickness(info):
    config = job(object={"slices": 4, "thickness_angstrom": 80.0})
    problem = build_algorithm(recipe(info, config)).problem
    assert problem.slices == 4 and problem.propagators.shape == (3, N, N)
    # H = exp(-i pi lambda dz k^2): read dz from the first frequency
    k = 1 / (N * problem.canvas.pixel)
    distance = -np.angle(problem.propagators[0, 0, 1]) / (math.pi * info.microscope.wavelength * k**2)
    assert distance == pytest.approx(20.0, rel=1e-3)


@pytest.mark.parametrize(("rule", "coupling", "slices", "stride"), [
    ("auto", "none", 4, 0), ("auto", "none", 5, 8), ("auto", "identical", 9, 0), ("pooled", "none", 9, 0),
    ("tangent", "none", 1, 8), ("tangent", "identical", 9, 8),
])  # fmt: skip
def test_the_tangent_step_is_for_many_free_slices(info, rule, coupling, slices, stride):
    objects = {"slices": slices, "thickness_angstrom": 100.0, "coupling": coupling}
    config = job(object=objects, solver={"step_rule": rule})
    algorithm = build_algorithm(recipe(info, config))
    assert algorithm.problem.settings.tangent_stride == stride
    assert algorithm.searches_line == (stride > 0)


def test_settings_are_in_the_solvers_units(info):
    config = job(object={"blur_angstrom": 0.8, "kind": "phase", "coupling": "gaussian", "slices": 4,
                         "thickness_angstrom": 100.0, "coupling_sigma_angstrom": 50.0})  # fmt: skip
    problem = build_algorithm(recipe(info, config)).problem
    positive, blur, coupled = problem.settings.constraints
    assert positive == PositivePhase() and coupled == CoupledSlices(pytest.approx(2.0))
    assert blur == LateralBlur(pytest.approx(0.8 / problem.canvas.pixel))
    complex_ = build_algorithm(
        recipe(info, job(object={"kind": "complex", "amplitude_max": 1.2, "positivity": False}))
    ).problem
    assert complex_.settings.constraints[0] == AmplitudeBound(1.2)
    aperture = problem.settings.probe_rules.aperture
    assert aperture is not None and aperture[0, 0] == 1 and aperture[N // 2, N // 2] == 0
    disk = math.pi * (12.0 / info.detector.angular_step_mrad) ** 2
    assert disk < aperture.sum() < 1.5 * disk
    free = build_algorithm(recipe(info, job(probe={"keep_aperture": False}))).problem
    assert free.settings.probe_rules.aperture is None


def test_the_finish_uses_all_electrons(info):
    fit, finish = build_algorithm(recipe(info)), build_algorithm(recipe(info, begins_finish=3))
    assert not fit.problem.settings.use_all and finish.problem.settings.use_all
    assert fit.data_key == finish.data_key  # what is cached serves both


def test_the_devices_choices_travel_with_the_recipe(info, monkeypatch):
    """One worker looks at its device; all others, and a resumed run, build the same problem from the stored recipe."""
    seen = []
    monkeypatch.setattr(recipes, "backend_module", lambda name: None)
    monkeypatch.setattr(recipes, "choose_device", lambda *shape: seen.append(shape) or (True, 7))
    monkeypatch.setattr(recipes, "processor", lambda backend: f"that of {backend}")
    config = job(engine={"backend": "cupy", "block": [3, 4], "threads": 2, "workers": 3}, probe={"modes": 2})
    chosen = choose_kernels(recipe(info, config))
    assert seen == [(1, 2, N, 12, 6)]  # slices, modes, pixels, patterns of a block, threads of all workers
    stored = Decisions.load(json.loads(json.dumps(asdict(chosen.decided))))
    kernels = build_algorithm(replace(chosen, decided=stored)).kernels
    assert isinstance(kernels, Gpu) and (kernels.chains, kernels.batch) == (True, 7)
    assert stored.processor == "that of cupy"


@pytest.mark.parametrize(
    ("engine", "threads"),
    [
        ({"gpus": "all"}, 1),
        ({"gpus": "0,1", "threads": 3}, 3),
        ({"backend": "cupy"}, 2),
        ({"backend": "cupy", "workers": 2}, 5),
        ({"scheduler": "tcp://a:1", "threads": 2}, 2),
    ],
)
def test_a_device_is_shared_by_those_threads_that_are_started(info, monkeypatch, engine, threads):
    seen = []
    monkeypatch.setattr(recipes, "backend_module", lambda name: None)
    monkeypatch.setattr(recipes, "cupy_available", lambda: True)
    monkeypatch.setattr(recipes, "cores", lambda: 5)  # of many more that the machine has
    monkeypatch.setattr(recipes, "processor", lambda backend: "any")
    monkeypatch.setattr(recipes, "choose_device", lambda *shape: seen.append(shape[-1]) or (True, 7))
    choose_kernels(recipe(info, job(engine=engine)))
    assert seen == [threads]


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A canvas of about 250 x 250 pixels."""
    return dataset_info(write_scan(tmp_path_factory.mktemp("wide") / "scan.zarr", (8, 8), step=12.0, electrons=200))


@pytest.mark.parametrize(("kind", "pixel_bytes"), [("phase", 2 * 48), ("complex", 2 * 80)])
def test_an_object_that_exceeds_a_workers_memory_is_kept_in_tiles(wide, kind, pixel_bytes):
    def side(pixels, **engine):
        sections = {"object": {"slices": 2, "thickness_angstrom": 40.0, "kind": kind, "positivity": False}}
        return Experiment(
            wide, job(**sections, engine={"object_gib": pixels * pixel_bytes / 2**30, **engine})
        ).tile_side

    canvas = Experiment(wide, job()).canvas.shape
    assert side(canvas[0] * canvas[1] + 0.5) is None
    assert side(canvas[0] * canvas[1] - 0.5) is not None
    halo = N + 2 * math.ceil(4 * 0.45 / 0.4)
    for tile in (32, 60):
        assert side(4 * (tile + halo + 0.5) ** 2) == tile
    # the number of workers and threads does not matter, and what is said is done
    assert side(4 * (60 + halo + 0.5) ** 2, workers=7, threads=3) == 60
    assert (
        side(4 * (60 + halo + 0.5) ** 2, tile_pixels=50)
        == 50
        == Experiment(wide, job(engine={"tile_pixels": 50})).tile_side
    )
    with pytest.raises(InputError, match="holds no tile of 32 pixels: use at least") as error:
        side(4 * (31 + halo) ** 2)
    least = float(str(error.value).rsplit(" ", 1)[1])
    assert least == pytest.approx(4 * (32 + halo) ** 2 * pixel_bytes / 2**30, rel=0.01)
    assert Experiment(wide, job()).tile_side is None


def test_nobody_has_to_ask_for_tiles(wide, monkeypatch):
    """A fixed bound decides, whatever the machine and the workers, because tiles change bits."""
    assert job().engine.object_gib == "auto" and Experiment(wide, job()).tile_side is None
    monkeypatch.setattr(experiment, "AUTO_OBJECT_GIB", 0.01)
    assert Experiment(wide, job(object={"slices": 8, "thickness_angstrom": 40.0})).tile_side is not None
    whole = {"object": {"slices": 8, "thickness_angstrom": 40.0}, "engine": {"object_gib": "none"}}
    assert Experiment(wide, job(**whole)).tile_side is None
    with pytest.raises(InputError, match=r"engine\.object_gib = 'much': .*number.*, or auto, or none$"):
        job(engine={"object_gib": "much"})
    with pytest.raises(InputError, match=r"engine\.object_gib = 0: input should be greater than 0, or auto, or none$"):
        job(engine={"object_gib": 0})


def test_tiles_are_remarked(wide):
    assert any("tiles of at most 50 x 50 pixels" in r for r in check(Experiment(wide, job(engine={"tile_pixels": 50}))))
    assert not any("tiles" in r for r in check(Experiment(wide, job())))


def test_windows_of_the_spectral_prior_are_no_larger_than_the_scan(tmp_path):
    """A larger one would see one place only, and no lattice stands out of one place."""
    sides = {}
    for shape in ((6, 14), (20, 20), (60, 60)):
        path = write_scan(tmp_path / f"{shape[0]}.zarr", shape, step=0.8, electrons=20.0)
        its = Experiment(dataset_info(path), job(object={"regularisation": "spectral", "spectral_window": 1.5}))
        sides[shape] = its.spectral.side
    # 0.8 A are 2 pixels; half a box at least, one and a half at most; a multiple of 4
    assert sides == {(6, 14): N // 2, (20, 20): 36, (60, 60): 3 * N // 2}


def test_a_preset_that_cannot_have_the_prior_takes_the_blur_and_says_why(wide, tmp_path):
    counted = experiment_of(wide, JobConfig())
    assert counted.spectral is not None and check(counted) == check(Experiment(wide, JobConfig()))
    floats = dataset_info(write_scan(tmp_path / "floats.zarr", noise=False))
    blurred = experiment_of(floats, JobConfig.parse({"solver": {"seed": 3}}))
    assert blurred.spectral is None and blurred.config == job(solver={"seed": 3}, geometry={"refine": "none"})
    assert "a blur holds noise back: the spectral prior needs whole electrons" in check(blurred)
    # who resumes a run has the configuration that was settled
    again = JobConfig.model_validate_json(blurred.config.model_dump_json())
    assert check(experiment_of(floats, again)) == check(blurred)
    said = JobConfig.parse({"object": {"regularisation": "spectral"}})
    assert experiment_of(floats, said).config.object == said.object  # refused when it is asked for
    free = experiment_of(wide, JobConfig.parse({"object": {"kind": "complex", "positivity": False}}))
    assert any("the spectral prior is for pure phase objects" in remark for remark in check(free))
    assert not any("blur" in remark for remark in check(Experiment(wide, job())))


def test_tiles_that_have_no_room_for_the_prior_have_the_blur(wide):
    def within(pixels):
        return JobConfig.parse({"object": {"slices": 1}, "engine": {"object_gib": 4 * pixels**2 * 48 / 2**30}})

    tight, roomy = experiment_of(wide, within(90)), experiment_of(wide, within(140))
    assert tight.spectral is None and tight.tile_side is not None
    assert "a blur holds noise back: a tile with the rim" in " ".join(check(tight))
    assert roomy.spectral is not None and roomy.tile_side is None
    with pytest.raises(InputError, match="holds no tile"):
        experiment_of(wide, within(40))
