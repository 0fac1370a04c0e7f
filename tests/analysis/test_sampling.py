"""The sampling report: probe sizes, box, dose and redundancy, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ptychodask._errors import InputError
from ptychodask.analysis.sampling import check_geometry, frame_power, probe_diameter, sampling_report
from ptychodask.model.optics import Microscope
from ptychodask.model.scan import raster
from ptychodask.physics.probe import make_probe

ENERGY = 300e3
# alpha mrad, defocus A -> D50, D90, D99 for a hard aperture on a box of 128 A
TABLE = {
    (10, 0): (1.1, 3.6, 39),
    (10, 200): (2.5, 6.1, 39),
    (10, 400): (4.9, 9.5, 41),
    (15, 0): (0.7, 2.5, 26),
    (15, 200): (3.6, 7.0, 28),
    (15, 400): (7.9, 12.2, 31),
    (21, 0): (0.5, 1.8, 19),
    (21, 200): (5.5, 8.5, 22),
    (21, 400): (11.7, 16.1, 29),
}


def microscope(semi_angle: float = 10.0, defocus: float = 450.0) -> Microscope:
    return Microscope(ENERGY, semi_angle, {"C10": -defocus})


def report(scope: Microscope | None = None, **changes):
    """About the published experiment: 128 px, disk a third of the detector, step 1.05 A, 100 e/A^2."""
    arguments = {
        "n_detector": 128,
        "angular_step_mrad": 0.47,
        "step_angstrom": (1.05, 1.05),
        "scan_shape": (64, 64),
        "electrons_per_pattern": 110.25,
    }
    return sampling_report(scope or microscope(), **(arguments | changes))


@pytest.mark.parametrize(("angle", "defocus"), TABLE)
def test_probe_diameter_of_a_hard_aperture(angle, defocus):
    n, dx = 512, 0.25
    k = np.fft.fftfreq(n, dx)
    k2 = k[:, None] ** 2 + k**2
    lam = microscope().wavelength
    wave = (np.sqrt(k2) <= angle * 1e-3 / lam) * np.exp(1j * np.pi * lam * defocus * k2)
    sizes = probe_diameter(abs(np.fft.fftshift(np.fft.ifft2(wave))) ** 2, dx, (0.5, 0.9, 0.99))
    d50, d90, d99 = TABLE[angle, defocus]
    assert sizes[:2] == pytest.approx((d50, d90), abs=0.13)  # half a digit of the table, and dx / 3
    assert sizes[2] == pytest.approx(d99, abs=0.6)


def test_probe_diameter_of_a_gaussian_off_centre():
    """2-D Gaussian: the disc of diameter D holds 1 - exp(-D^2 / (8 s^2))."""
    y, x = np.indices((80, 80)) * 0.3
    sigma = 1.7
    image = np.exp(-((y - 10.1) ** 2 + (x - 13.37) ** 2) / (2 * sigma**2))
    for fraction in (0.5, 0.9, 0.99):
        expected = sigma * math.sqrt(-8 * math.log(1 - fraction))
        assert probe_diameter(image, 0.3, fraction) == pytest.approx(expected, abs=0.03)
    modes = np.stack([0.7 * image, 0.3 * image])
    assert probe_diameter(modes, 0.3, 0.9) == pytest.approx(probe_diameter(image, 0.3, 0.9))
    with pytest.raises(InputError, match="finite and above 0"):
        probe_diameter(np.zeros((4, 4)), 0.3, 0.5)


@pytest.mark.parametrize(
    ("angle", "defocus", "step", "d99"),
    [(10, 0, 0.47, 39.9), (10, 600, 0.47, 43.2), (12, 100, 1.538, 33.5), (4, 0, 1, 100)],
)
def test_d99_does_not_know_the_box(angle, defocus, step, d99):
    """A focused probe holds 1 - lambda / (pi^2 alpha R) within a radius R; the box is 41.9, 12.8 and 19.7 A wide."""
    r = report(microscope(angle, defocus), angular_step_mrad=step, n_detector=32 if step > 1 else 128)
    assert r.d99 == pytest.approx(d99, rel=0.03)
    assert r.box_holds_d99 == (r.box >= d99)


@pytest.mark.parametrize(("step", "fulfilled"), [(0.43, True), (0.47, None), (0.8, False)])
def test_the_row_of_the_box_has_three_answers(step, fulfilled):
    """Where the disc of D99 sticks out a little of a square that holds 99 %, nothing is wrong."""
    r = report(microscope(10.0, 600.0), angular_step_mrad=step)
    assert next(ok for label, _, _, ok in r.rows() if label == "box N dx") is fulfilled
    assert any("99 % of the probe" in text for text in r.warnings) == (fulfilled is False)
    assert f"{r.power_outside_box:.1%}" in "".join(row[2] for row in r.rows())


def test_nothing_is_said_of_the_demo():
    assert report(microscope(10.0, 600.0), thickness_angstrom=50.0, slices=1).warnings == ()


def test_a_step_of_many_probes_is_named():
    r = report(step_angstrom=(200.0, 200.0))
    assert any("do not overlap" in text and "19.2 probe diameters" in text for text in r.warnings), r.warnings


def test_texts_are_short():
    r = report(microscope(10.0, 600.0), step_angstrom=(200.0, 200.0))
    assert "\n" not in repr(r) and len(repr(r)) < 150
    assert "box N dx" in str(r) and "warning: " in str(r)


def test_positions_are_looked_at():
    nominal = raster((64, 64), (1.05, 1.05))
    assert report(positions=nominal).warnings == ()
    assert any("100 times" in text for text in report(positions=100 * nominal).warnings)


def test_geometry_numbers():
    r = report(thickness_angstrom=120.0, slices=3)
    lam = 0.0196875
    assert r.box == pytest.approx(lam / 0.47e-3, rel=1e-4)
    assert r.pixel == pytest.approx(r.box / 128)
    assert r.max_angle_mrad == pytest.approx(30.08)
    assert r.bright_field_px == pytest.approx(10 / 0.47)
    assert r.depth_of_field == pytest.approx(196.9, abs=0.1)
    assert r.slice_thickness == pytest.approx(40.0)
    assert r.linear_overlap == pytest.approx(1 - 1.05 / r.d90)
    assert r.areal_oversampling == pytest.approx(math.pi * r.d90**2 / (4 * 1.05**2))
    assert r.box_to_step == pytest.approx((r.box / 1.05) ** 2)
    assert r.nyquist_mrad == pytest.approx(1e3 * lam / (2 * r.d99), rel=1e-4)
    assert TABLE[10, 400][0] < r.d50 < 6 and TABLE[10, 400][1] < r.d90 < 11
    assert r.warnings == ()
    assert all(ok is not False for *_, ok in r.rows())


def test_dose_numbers():
    r = report()
    assert r.dose == pytest.approx(100.0)
    assert r.phase_bound == pytest.approx(0.025)
    assert r.electrons_per_bright_field_px == pytest.approx(110.25 / (math.pi * (10 / 0.47) ** 2))
    anisotropic = report(step_angstrom=(1.0, 2.0))
    assert anisotropic.dose == pytest.approx(110.25 / 2)
    assert anisotropic.linear_overlap == pytest.approx(1 - 2 / anisotropic.d90)


def test_redundancy_counts_slices_modes_and_the_canvas():
    r = report(canvas_shape=(300, 200), used_pixels=1000, slices=2, modes=3)
    assert r.redundancy == pytest.approx(64 * 64 * 1000 / (2 * 300 * 200 * 2 + 2 * 3 * 128**2))
    side = math.ceil(63 * 1.05 / r.pixel) + 128
    disk = math.pi * (10 / 0.47) ** 2
    assert report().redundancy == pytest.approx(64 * 64 * disk / (2 * side**2 + 2 * 128**2))


def test_exit_frame_is_free_propagation():
    """The frame's power at depth z equals that of the propagated wave, whose focus here lies inside."""
    scope, n, dx, depth = microscope(20.0, 100.0), 64, 0.3, 700.0
    k = np.fft.fftfreq(2 * n, dx)
    kernel = np.exp(-1j * np.pi * scope.wavelength * depth * (k[:, None] ** 2 + k**2))
    wave = np.fft.ifft2(np.fft.fft2(make_probe(scope, 2 * n, dx)) * kernel)
    far = abs(np.arange(2 * n) - n) > 0.4 * n
    expected = (abs(wave) ** 2)[far[:, None] | far[None, :]].sum()
    assert expected > 0.4
    assert frame_power(scope, n, dx, depth) == pytest.approx(expected, rel=0.01)  # most of it is no far tail
    assert frame_power(scope, n, dx) < 0.03


@pytest.mark.parametrize(
    ("changes", "scope", "words"),
    [
        ({"step_angstrom": (1.05, 6.0)}, None, ("linear overlap", "0.6", "more defocus")),
        ({"thickness_angstrom": 500.0}, None, ("depth of field of 196.9", "at least 3 slices")),
        ({"scan_shape": (2, 2)}, None, ("redundancy", "below 1")),
        ({"angular_step_mrad": 1.0}, microscope(10.0, 700.0), ("99 % of the probe", "at most")),
        ({"angular_step_mrad": 1.0}, microscope(10.0, 700.0), ("80 %", "entrance", "less defocus")),
        (
            {"angular_step_mrad": 1.0, "thickness_angstrom": 900.0, "slices": 9},
            microscope(20.0, 0.0),
            ("80 %", "exit", "8%"),
        ),
        ({}, microscope(40.0, 0.0), ("semi_angle_mrad = 40 exceeds the detector's 30.1 mrad",)),
    ],
)
def test_warnings_name_value_bound_and_remedy(changes, scope, words):
    r = report(scope, **changes)
    assert any(all(word in text for word in words) for text in r.warnings), r.warnings
    assert any(ok is False for *_, ok in r.rows())
    # and without the fault, no such warning
    assert not any(all(word in text for word in words) for text in report().warnings)


def test_each_failed_row_has_a_warning():
    r = report(
        microscope(40.0, 2000.0),
        step_angstrom=(150.0, 150.0),
        scan_shape=(2, 2),
        thickness_angstrom=100.0,
        used_pixels=10,
    )
    assert sum(ok is False for *_, ok in r.rows()) == len(r.warnings) == 7


def test_rows_are_text():
    labels = [row[0] for row in report().rows()]
    assert len(labels) == len(set(labels)) == 17
    assert len(report(thickness_angstrom=50.0).rows()) == 19  # the exit and the slices
    assert all(isinstance(text, str) for row in report().rows() for text in row[:3])


def test_check_geometry():
    check_geometry(microscope(), 128, 0.47, step_angstrom=(1.05, 1.05), thickness_angstrom=100.0)  # must not raise
    with pytest.raises(InputError, match=r"semi_angle_mrad = 40 exceeds the detector's 30\.1 mrad: "):
        check_geometry(microscope(40.0, 0.0), 128, 0.47)
    with pytest.raises(InputError, match="at the entrance"):
        check_geometry(microscope(20.0, 1000.0), 128, 1.0)
    # a focus in the middle of the specimen fits; one at its entrance does not at the exit
    check_geometry(microscope(20.0, 300.0), 128, 1.0, thickness_angstrom=600.0)
    with pytest.raises(InputError, match="at the exit"):
        check_geometry(microscope(20.0, 0.0), 128, 1.0, thickness_angstrom=900.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"angular_step_mrad": math.nan},
        {"angular_step_mrad": 0.0},
        {"step_angstrom": (1.0, math.inf)},
        {"step_angstrom": (-1.0, 1.0)},
        {"n_detector": 0},
        {"thickness_angstrom": math.nan},
    ],
    ids=str,
)
def test_calibration_must_be_finite_and_positive(changes):
    name = next(iter(changes)).split("_")[0]
    with pytest.raises(InputError, match=f"{name}.* above 0"):
        report(**changes)
    arguments = {"n_detector": 128, "angular_step_mrad": 0.47} | changes
    with pytest.raises(InputError, match=f"{name}.* above 0"):
        check_geometry(microscope(), **arguments)


def test_electrons_must_be_finite_and_positive():
    with pytest.raises(InputError, match="electrons_per_pattern = 0"):
        report(electrons_per_pattern=0.0)
