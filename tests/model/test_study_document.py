"""The document of a study: its conditions, and one line for what is wrong."""

from __future__ import annotations

import math

import pytest

from ptychodask import InputError
from ptychodask.model.study import StudyConfig

DOSES = {"dose_per_square_angstrom": [math.inf, 100]}


def test_all_combinations_in_order():
    document = {
        "simulate": {"material": "zif-8", "aberrations": {"C30": 1e7}},
        "reconstruct": {"solver": {"iterations": 5}},
        "axes": {"dose": [math.inf, 100], "object": {"regularisation": ["blur", "spectral"]}},
        "conditions": [{"semi_angle_mrad": 10}, {"semi_angle_mrad": 21, "aberrations.C30": 0, "scan_angstrom": 21}],
    }
    study = StudyConfig.parse(document)
    found = list(study.conditions_of())
    assert study.dims == {"condition": 2, "dose_per_square_angstrom": 2, "object.regularisation": 2}
    assert study.count == len(found) == 8
    assert [c.simulated.semi_angle_mrad for c in found] == [10] * 4 + [21] * 4
    assert [c.job.object.regularisation for c in found[:3]] == ["blur", "spectral", "blur"]
    assert [c.simulated.is_noisy for c in found[:3]] == [False, False, True]
    assert found[0].simulated.aberrations == {"C30": 1e7} and found[-1].simulated.aberrations == {"C30": 0}
    assert found[0].simulated.positions == (32, 32) and found[-1].simulated.positions == (21, 21)
    assert all(c.job.solver.iterations == 5 for c in found)


def test_one_simulation_serves_doses_seeds_beliefs_and_jobs():
    axes = {
        **DOSES,
        "seed": [0, 1],
        "defocus_error": [0, 50],
        "aberration_errors.C30": [0, 1e6],
        "solver.patience": [4],
    }
    study = list(StudyConfig.parse({"axes": axes}).conditions_of())
    assert len({str(c.simulated.without_noise()) for c in study}) == 1
    assert len({str(c.identity()) for c in study}) == 16
    moved = StudyConfig.parse({"simulate": {"phonons": 2}, "axes": {**DOSES, "seed": [0, 1]}}).conditions_of()
    assert len({str(c.simulated.without_noise()) for c in moved}) == 2  # the seed moves atoms


def test_where_it_runs_is_no_part_of_what_a_condition_is():
    here, there = ({"axes": DOSES, "reconstruct": {"engine": e}} for e in ({}, {"workers": 3, "cache_gib": 1}))
    first, second = (next(StudyConfig.parse(d).conditions_of()).identity() for d in (here, there))
    assert first == second


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "has no conditions: give axes"),
        ({"axes": {}}, "has no conditions"),
        ({"axis": DOSES}, "unknown option axis: did you mean axes"),
        ({"axes": {"semi_angel_mrad": [1]}}, "unknown option 'semi_angel_mrad': did you mean semi_angle_mrad"),
        ({"axes": {"object.slics": [1]}}, "did you mean object.slices"),
        ({"axes": {"engine.workers": [1]}}, "engine.workers cannot be varied: it says where and how"),
        ({"axes": {"dose": []}}, "axes.dose is empty: give at least one value"),
        ({"axes": {"dose": [1, 1]}}, "has a value twice"),
        ({"axes": {"dose": [1], "dose_per_square_angstrom": [1]}}, "name an option twice"),
        ({"axes": {"dose": 5}}, "axes.dose = 5: input should be a list"),
        ({"axes": {"dose": [-1]}}, "dose_per_square_angstrom = -1"),
        ({"axes": {"dose": [math.nan]}}, "dose_per_square_angstrom = nan"),
        ({"axes": {"seed": [True]}}, "seed = True"),
        ({"axes": {"solver.iterations": [0]}}, "solver.iterations = 0"),
        ({"axes": {"aberrations.C10": [0]}}, "aberrations.C10"),
        ({"axes": DOSES, "simulate": {"thicknes_angstrom": 3}}, "did you mean thickness_angstrom"),
        ({"axes": DOSES, "simulate": {"aberrations": {"C31": 3}}}, "'C31': give C12"),
        ({"axes": DOSES, "reconstruct": {"object": {"slics": 3}}}, "unknown option object.slics"),
        ({"axes": {"seed": [1]}, "conditions": [{"seed": 2}]}, "among the axes and among the conditions"),
        ({"axes": {"seed": list(range(1000)), "dose": list(range(1, 1000))}}, "has 999000 conditions"),
        ({"axes": [1]}, "axes ="),
        ([1], "study ="),
    ],
)
def test_bad_input_is_one_line(document, message):
    with pytest.raises(InputError, match=message) as error:
        list(StudyConfig.parse(document).conditions_of())
    assert "\n" not in str(error.value)
