"""Constants of the electron, and the microscope."""

from __future__ import annotations

import pickle

import pytest

from ptychodask._errors import InputError
from ptychodask.model.optics import Microscope, interaction_constant, wavelength


@pytest.mark.parametrize(
    ("kv", "length", "sigma"),
    [
        (60, 0.048661, 1.1357e-3),
        (80, 0.041757, 1.0087e-3),
        (200, 0.025079, 7.2884e-4),
        (300, 0.019687, 6.5262e-4),
    ],
)
def test_wavelength_and_interaction_constant(kv, length, sigma):
    assert wavelength(kv * 1e3) == pytest.approx(length, abs=0.5e-6)
    assert interaction_constant(kv * 1e3) == pytest.approx(sigma, rel=5e-5)


@pytest.mark.parametrize("energy", [0, 300, -300e3, 1e8, float("nan"), float("inf")])
def test_bad_energy(energy):
    with pytest.raises(InputError, match="energy_ev"):
        Microscope(energy, 20.0)


@pytest.mark.parametrize("angle", [0, -1.0, 0.02, 200.1, float("nan")])
def test_bad_angle(angle):
    with pytest.raises(InputError, match="semi_angle_mrad"):
        Microscope(300e3, angle)


@pytest.mark.parametrize("aberrations", [{"C11": 1.0}, {"defocus": 100.0}, {"phi10": 0.1}, {"C10": float("nan")}])
def test_bad_aberrations(aberrations):
    with pytest.raises(InputError, match=next(iter(aberrations))):
        Microscope(300e3, 20.0, aberrations)


def test_derived_values():
    microscope = Microscope(300e3, 20.0, {"C10": -150.0})
    assert microscope.defocus_angstrom == 150.0
    assert Microscope(300e3, 20.0).defocus_angstrom == 0.0
    assert microscope.semi_angle == pytest.approx(0.02)
    assert microscope.depth_of_field == pytest.approx(0.0196875 / 4e-4, rel=1e-4)


def test_pickle_and_frozen():
    given = {"C10": -150.0, "phi12": 0.2}
    microscope = Microscope(300e3, 20.0, given)
    again = pickle.loads(pickle.dumps(microscope))
    assert again == microscope
    assert dict(again.aberrations) == given
    with pytest.raises(TypeError):
        microscope.aberrations["C10"] = 1.0  # type: ignore[index]
    given["C10"] = 7.0
    assert microscope.aberrations["C10"] == -150.0


def test_from_what_is_known_at_the_microscope():
    microscope = Microscope.of(300e3, 20.0, 150.0, {"C12": 20.0, "phi12": 0.2})
    assert microscope == Microscope(300e3, 20.0, {"C10": -150.0, "C12": 20.0, "phi12": 0.2})
    assert Microscope.of(300e3, 20.0, 150.0, {"C10": -150.0}) == Microscope(300e3, 20.0, {"C10": -150.0})
    with pytest.raises(InputError, match="give defocus_angstrom = 100"):
        Microscope.of(300e3, 20.0, 150.0, {"C10": -100.0})
    with pytest.raises(InputError, match="angle of C12, which is not given"):
        Microscope.of(300e3, 20.0, 150.0, {"phi12": 0.2})


def test_both_facts_of_a_scan_are_public():
    import ptychodask

    scope, detector = ptychodask.Microscope.of(300e3, 10, defocus_angstrom=600), ptychodask.Detector(128, 0.47)
    assert detector.pixel_angstrom(scope.wavelength) == pytest.approx(0.019687 / (128 * 0.47e-3), rel=1e-4)
