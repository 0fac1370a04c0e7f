"""What is searched over: from text and from Python, and one line for what is wrong."""

from __future__ import annotations

import pytest

from ptychodask import InputError, JobConfig
from ptychodask.model.search import Choice, Span, options_of, with_values


def test_ranges_and_values():
    texts = [
        "object.thickness=50:200",
        "object.slices=1:8",
        "solver.epsilon=0.01:1:log",
        "object.positivity=true,false",
    ]
    found = options_of([*texts, "object.regularisation=blur,spectral"])
    assert found == (
        Span("object.thickness_angstrom", 50, 200),
        Span("object.slices", 1, 8, whole=True),
        Span("solver.epsilon", 0.01, 1, log=True),
        Choice("object.positivity", (True, False)),
        Choice("object.regularisation", ("blur", "spectral")),
    )
    given = {"object.thickness": (50, 200), "object.slices": [1, 2, 4]}
    assert options_of(given) == (found[0], Choice("object.slices", (1, 2, 4)))
    assert found[0].spread(4) == [50, 100, 150, 200] and found[1].spread(3) == [1, 4, 8]
    assert found[2].spread(3) == pytest.approx([0.01, 0.1, 1])


def test_what_a_preset_filled_in_does_not_stand_against_a_value():
    job = JobConfig.parse({"solver": {"iterations": 9}})
    found = with_values(job, {"object.regularisation": "spectral"})
    assert found.object.blur_angstrom == 0 and found.solver.iterations == 9
    assert with_values(found, {"object.regularisation": "blur"}).object.blur_angstrom == 0.45
    said = JobConfig.parse({"object": {"blur_angstrom": 0.3}})
    with pytest.raises(InputError, match="takes the place of the blur"):
        with_values(said, {"object.regularisation": "spectral"})


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ([], "over names no option"),
        (["object.thickness"], "write OPTION=LOW:HIGH"),
        (["object.thicknes=1:2"], "did you mean object.thickness_angstrom"),
        (["object.thickness=2:1"], "give low before high"),
        (["object.thickness=a:2"], "with numbers"),
        (["object.thickness=0:2:log"], "above 0"),
        (["object.thickness=1:2:linear"], "only 'log'"),
        (["object.slices=1.5:3"], "whole numbers"),
        (["object.regularisation=1:3"], "it is no number"),
        (["object.slices=1:3", "object.slices=1,2"], "twice"),
        (["solver.seed=1:3"], "solver.seed cannot be searched over: it chooses the electrons that are held out"),
        (
            ["geometry.refine=none,auto"],
            "geometry.refine cannot be searched over: it asks the held-out electrons itself",
        ),
        (["preset=low-dose,medium"], "preset cannot be searched over"),
        (["engine.workers=1:3"], "engine.workers cannot be varied: it says where and how"),
        (["data.exclude=1,2"], "data.exclude cannot be varied: it says which data"),
        (["object.slices=1,2,1"], r"object.slices = \[1, 2, 1\] has 1 twice: say it once"),
        ({"object.slices": 3}, "give a range"),
        (3, "give a dictionary"),
    ],
)
def test_bad_input_is_one_line(over, message):
    with pytest.raises(InputError, match=message) as error:
        options_of(over)
    assert "\n" not in str(error.value)
