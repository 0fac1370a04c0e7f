"""Which optics for a material."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("abtem")

import ptychodask
from ptychodask import InputError
from ptychodask.jobs import advising


@pytest.fixture(scope="module")
def made():
    return ptychodask.advise(
        "zif-8", thickness_angstrom=30, semi_angles_mrad=[5, 10], defoci_angstrom=[0, 600, 1400], progress=False
    )


def test_defocus_beats_focus_for_a_framework(made):
    """As full simulations say of this material: 1400 over 600 over 0 angstrom."""
    of_ten = [o.defocus_angstrom for o in made.optics if o.semi_angle_mrad == 10]
    assert of_ten == [1400, 600, 0]
    assert made.thickness_angstrom == pytest.approx(34, abs=0.1)  # whole repeats
    assert made.recommended.semi_angle_mrad == 10


def test_table_and_json_say_the_same(made):
    lines = str(made).splitlines()
    assert len(lines) == 1 + len(made.optics) == 7 and "correlation" in lines[0]
    found = made.as_dict()
    assert [o["correlation"] for o in found["optics"]] == sorted((o.correlation for o in made.optics), reverse=True)
    assert found["recommended"]["defocus_angstrom"] == made.recommended.defocus_angstrom
    assert f"{made.recommended.defocus_angstrom:g} angstrom underfocus" in made.in_words()


def test_a_strong_phase_is_remarked(made):
    assert made.remark == "" and 0.05 < made.phase_rms_rad < 0.2
    strong = replace(made, phase_rms_rad=0.8)
    assert "RMS of 0.8 rad" in strong.remark and "--check" in strong.remark


def test_the_best_are_checked_by_simulation(monkeypatch):
    asked = []

    def stand_in(material, conditions, job, resolutions, client):
        asked.append(conditions["defocus_angstrom"])
        return dict.fromkeys(resolutions, 0.5)

    monkeypatch.setattr(advising, "correlation_with_truth", stand_in)
    made = ptychodask.advise("zif-8", semi_angles_mrad=[10], defoci_angstrom=[0, 600], check=1, progress=False)
    assert asked == [made.optics[0].defocus_angstrom] and made.checked == (0.5,)
    assert "tried" in str(made)


def test_a_trial_is_a_simulated_reconstruction():
    from ptychodask.jobs.trial import correlation_with_truth

    conditions = {
        "thickness_angstrom": 17.0, "scan_shape": (12, 12), "scan_step_angstrom": 1.5, "detector_pixels": 48,
        "angular_step_mrad": 0.8, "defocus_angstrom": 150.0, "dose_per_square_angstrom": 1000.0,
    }  # fmt: skip
    job = ptychodask.JobConfig.parse({"solver": {"iterations": 8}, "object": {"regularisation": "blur"}})
    assert correlation_with_truth("zif-8", conditions, job, [2.5])[2.5] > 0.6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"semi_angles_mrad": []}, "0 semi-angles and 6 defoci are 0 candidates: give 1 to 1000"),
        ({"semi_angles_mrad": [10] * 200}, "1200 candidates"),
        ({"semi_angles_mrad": "abc"}, "semi_angles_mrad = 'abc': give convergence semi-angles in mrad, as one number"),
        ({"defoci_angstrom": [0, None]}, r"defoci_angstrom\[1\] = None: give defoci in angstrom"),
        ({"semi_angles_mrad": [0.01]}, "semi_angle_mrad = 0.01: give the convergence semi-angle in mrad"),
        ({"defoci_angstrom": [6e-8]}, "is this in m"),
        ({"resolution_angstrom": 0.1}, "resolution_angstrom"),
        ({"dose_per_square_angstrom": 0}, "dose_per_square_angstrom"),
        ({"dose_per_square_angstrom": 0.01}, "nothing can be seen of zif-8 at 2 angstrom"),
        ({"semi_angles_mrad": [25], "defoci_angstrom": [5000]}, "no candidate can be recorded: 25 mrad at 5000"),
        ({"check": -1}, "check"),
    ],
)
def test_bad_input_is_one_line(options, message):
    with pytest.raises(InputError, match=message) as error:
        ptychodask.advise("zif-8", thickness_angstrom=17, progress=False, **options)
    assert "\n" not in str(error.value)
