"""The job configuration."""

from __future__ import annotations

import json
import tomllib

import pytest
from pydantic import ValidationError

from ptychodask._errors import InputError
from ptychodask.model.config import JobConfig, ObjectConfig, commented_default, option_names
from ptychodask.model.presets import PRESETS, SPECTRAL


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_fills_what_is_not_said(preset):
    dumped = JobConfig.parse({"preset": preset}).model_dump()
    for section, values in PRESETS[preset].items():
        expected = {**values, **(SPECTRAL.get(section, {}) if preset == "low-dose" else {})}
        assert {k: dumped[section][k] for k in expected} == expected


def test_what_is_said_wins_over_the_preset():
    said = {"object": {"kind": "phase"}, "solver": {"validation_fraction": 0.2}}
    config = JobConfig.parse({"preset": "high-dose", **said})
    assert config.object.kind == "phase"
    assert config.solver.validation_fraction == 0.2
    assert config.object.coupling == "gaussian"  # the rest of the section still comes from the preset
    assert config.probe.modes == 4


def test_a_section_object_wins_over_the_preset_only_in_what_it_says():
    config = JobConfig(preset="high-dose", object=ObjectConfig(blur_angstrom=0.7))
    assert config.object.blur_angstrom == 0.7
    assert config.object.kind == "complex"


def test_low_dose_is_the_default():
    assert JobConfig().model_dump() == JobConfig.parse({"preset": "low-dose"}).model_dump()


NOT_SPECTRAL = {
    "is for pure phase objects": {"object": {"kind": "complex", "positivity": False}},
    "takes the place of the blur": {"object": {"blur_angstrom": 0.3}},
    "needs slices that are tied: set object.coupling = identical": {"object": {"coupling": "gaussian"}},
    "needs slices that are tied": {"object": {"coupling": "none", "slices": 2}},
    "erases what is not repeated": {"object": {"residual": 0}},
    "has a step of its own": {"solver": {"step_rule": "tangent"}},
    "sees the whole scan": {"solver": {"rounds_per_iteration": 2}},
    "has two stages": {"solver": {"iterations": 1}},
}


@pytest.mark.parametrize("told", NOT_SPECTRAL)
def test_what_does_not_go_with_the_spectral_prior_takes_it_from_the_preset_and_is_refused_beside_it(told):
    job = NOT_SPECTRAL[told]
    config = JobConfig.parse(job)
    assert config.object.regularisation == "blur" and told in config.why_not_spectral()
    assert config == JobConfig.parse({**job, "object": {**job.get("object", {}), "regularisation": "blur"}})
    with pytest.raises(InputError, match=f"object.regularisation = spectral .*{told}"):
        JobConfig.parse({**job, "object": {**job.get("object", {}), "regularisation": "spectral"}})


def test_one_word_turns_the_spectral_prior_off_and_on():
    on, off = JobConfig(), JobConfig.parse({"object": {"regularisation": "blur"}})
    assert on == JobConfig.parse({"object": {"regularisation": "spectral"}})
    assert (on.object.blur_angstrom, on.object.positivity, on.solver.iterations) == (0.0, True, 13)
    assert (off.object.blur_angstrom, off.solver.iterations, off.solver.acceleration) == (0.45, 40, True)
    assert not on.says_regularisation and off.says_regularisation and on.with_blur() == off
    none = JobConfig.parse({"object": {"blur_angstrom": 0}})  # who speaks of a blur has it
    assert (none.object.regularisation, none.object.blur_angstrom, none.solver.iterations) == ("blur", 0.0, 40)
    said = JobConfig.parse({"solver": {"iterations": 13, "seed": 3}}).with_blur()
    assert (said.solver.iterations, said.solver.seed, said.object.blur_angstrom) == (13, 3, 0.45)


@pytest.mark.parametrize("preset", PRESETS)
def test_toml_round_trip_keeps_what_is_unset(preset, tmp_path):
    values = {
        "preset": preset,
        "object": {"amplitude_max": None, "tilt_mrad": [1.5, -2.0], "coupling": "none"},
        "probe": {"update_start": None},
        "solver": {"validation_fraction": None},
        "engine": {"block": [4, 8], "scheduler": "tcp://a:1"},
    }
    config = JobConfig.parse(values)
    path = tmp_path / "job.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    again = JobConfig.load(path)
    assert again.model_dump() == config.model_dump()
    assert again.solver.validation_fraction is None
    assert again.probe.update_start is None
    assert again.object.amplitude_max is None
    assert again.object.coupling == "none"
    assert again.object.tilt_mrad == (1.5, -2.0)


@pytest.mark.parametrize("preset", PRESETS)
def test_commented_default_parses_to_the_default(preset):
    text = commented_default(preset)
    expected = JobConfig.parse({"preset": preset})
    assert JobConfig.parse(tomllib.loads(text)).model_dump() == expected.model_dump()
    for name in option_names():
        assert name.rpartition(".")[2] in text


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"solver": {"iteratons": 3}}, r"solver\.iteratons: did you mean solver\.iterations\?$"),
        ({"sover": {}}, r"unknown option sover: did you mean solver\?"),
        ({"zzzzqqq": 1}, r"unknown option zzzzqqq: 'ptychodask config' lists all options"),
        ({"solver": {"iterations": 0}}, r"solver\.iterations = 0: .*greater than or equal to 1"),
        ({"object": {"kind": "real"}}, r"object\.kind = 'real': .*phase.*complex"),
        ({"preset": "lowdose"}, r"preset = 'lowdose': .*low-dose"),
        ({"solver": 3}, r"solver = 3"),
        ({"preset": ["medium"]}, r"preset = \['medium'\]"),
        ({"preset": {"x": 1}}, r"preset = \{'x': 1\}"),
        ({"object": {"blur_angstrom": float("nan")}}, r"object\.blur_angstrom = nan"),
        (
            {"object": {"kind": "complex", "positivity": True}},
            r"of a complex object also .* set object.positivity = false",
        ),
    ],
)
def test_errors_are_one_line_and_say_what_to_do(values, match):
    with pytest.raises(InputError, match=match) as caught:
        JobConfig.parse(values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "section", "name", "value"),
    [
        ("solver.iterations=20", "solver", "iterations", 20),
        ("solver.iterations = 20", "solver", "iterations", 20),
        ("object.kind=phase", "object", "kind", "phase"),
        ('object.kind="phase"', "object", "kind", "phase"),
        ("solver.acceleration=false", "solver", "acceleration", False),
        ("solver.validation_fraction=none", "solver", "validation_fraction", None),
        ("object.tilt_mrad=[1.5, -2.0]", "object", "tilt_mrad", (1.5, -2.0)),
        ("object.coupling=none", "object", "coupling", "none"),
        ("engine.scheduler=tcp://host:8786", "engine", "scheduler", "tcp://host:8786"),
        ("object.blur_angstrom=1e-1", "object", "blur_angstrom", 0.1),
        ("object.blur = 0.2", "object", "blur_angstrom", 0.2),  # as tune and study take it
        ("object.tilt=[1.5, -2.0]", "object", "tilt_mrad", (1.5, -2.0)),
    ],
)
def test_set(text, section, name, value):
    assert getattr(getattr(JobConfig.load(overrides=[text]), section), name) == value


@pytest.mark.parametrize("text", ["solver.iterations", "=3", "solver.=3", "a.b.c=3"])
def test_bad_set(text):
    with pytest.raises(InputError, match=r"section\.name=value"):
        JobConfig.load(overrides=[text])


def test_order_of_precedence(tmp_path):
    path = tmp_path / "job.toml"
    path.write_text('preset = "medium"\n[solver]\niterations = 7\nbatch = 3\n', encoding="utf-8")
    config = JobConfig.load(path, overrides=["solver.iterations=9"], preset="high-dose")
    assert (config.preset, config.solver.iterations, config.solver.batch) == ("high-dose", 9, 3)
    assert config.probe.modes == 4
    assert JobConfig.load(path).solver.iterations == 7
    assert JobConfig.load(overrides=["preset=medium"]).probe.modes == 2


def test_unreadable_files(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        JobConfig.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = = 1", encoding="utf-8")
    with pytest.raises(InputError, match="not valid TOML"):
        JobConfig.load(tmp_path / "bad.toml")


def test_schema_builds_and_describes_every_option():
    schema = JobConfig.model_json_schema()
    json.dumps(schema)
    for section in ("ObjectConfig", "ProbeConfig", "SolverConfig", "EngineConfig"):
        options = schema["$defs"][section]["properties"]
        assert options
        assert all(option.get("description") for option in options.values())


def test_frozen():
    config = JobConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.solver.iterations = 3
    with pytest.raises(ValidationError, match="frozen"):
        config.preset = "medium"


def test_json_round_trip():
    unset = ["solver.validation_fraction=none", "probe.update_start=none"]
    config = JobConfig.load(overrides=unset, preset="medium")
    again = JobConfig.model_validate_json(config.model_dump_json())
    assert again.model_dump() == config.model_dump()
