"""Sound scans give no warning; every mistake of the first day gives the one that names it."""

from __future__ import annotations

from dataclasses import replace

import first_day
import numpy as np
import pytest
from first_day import N, other_defocus, reordered, sound, with_frame, with_pixel

from ptychodask.analysis.suspicion import misfired, suspicions
from ptychodask.analysis.suspicion.scan import NATS, compare_geometries
from ptychodask.model.optics import Microscope


@pytest.fixture(scope="module")
def scan():
    return sound()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"electrons": 20.0},
        {"electrons": 5e4, "strength": 0.6},
        {"defocus": 0.0, "electrons": 1e3},
        {"defocus": -600.0},
        {"semi_angle": 4.0, "electrons": 60.0},
        {"strength": 1e-9},
        {"scan": (9, 30)},
        {"scan": (1, 40)},
        {"scan": (3, 3)},
        {"seed": 1, "strength": 0.8},
    ],
    ids=str,
)
def test_sound_scans_give_no_warning(options):
    assert suspicions(sound(**options).survey()) == []


def half_of(scan):
    return np.random.default_rng(5).binomial(scan.counts, 0.5).astype(np.uint16)


MISTAKES = {
    "off centre": (
        lambda s: replace(s, counts=np.roll(s.counts, (1, 0), (2, 3))),
        ["off centre by (+1.0", "np.roll(counts, (-1, 0), axis=(2, 3))"],
    ),
    "off centre by half a pixel": (
        lambda s: replace(s, counts=np.stack([half_of(s), np.roll(s.counts - half_of(s), 1, 3)]).sum(0, np.uint16)),
        ["off centre", "calibrate --write"],
    ),
    "corner-centred": (lambda s: replace(s, counts=np.fft.ifftshift(s.counts, axes=(2, 3))), ["np.fft.fftshift"]),
    "one axis corner-centred": (lambda s: replace(s, counts=np.fft.ifftshift(s.counts, axes=3)), ["np.fft.fftshift"]),
    "camera length": (
        lambda s: replace(s, angular_step=0.5),
        ["radius of 13", "= 16.0", "angular_step_mrad = 0.6"],
    ),
    "hot pixel": (lambda s: with_pixel(s, (30, 5), 40), ["1 hot pixel at (ky, kx) = (30, 5)", "mask"]),
    "hot pixel in the disk": (lambda s: with_pixel(s, (22, 25), 9), ["(22, 25)", "mask"]),
    "dead pixel": (lambda s: with_pixel(s, (22, 25), 0), ["1 dead pixel at (ky, kx) = (22, 25)", "mask"]),
    "bright frame": (lambda s: with_frame(s, (4, 7), 30), ["1 of 480 patterns misfired", "(4, 7)", "misfired"]),
    "blank frame": (lambda s: with_frame(s, (19, 23), 0), ["next to none ((19, 23))", 'data.exclude = "misfired"']),
    "transposed": (lambda s: reordered(s, (0, 1, 3, 2)), ["transposed", "swap ky and kx"]),
    "ky reversed": (lambda s: reordered(s, (0, 1, 2, 3), 2), ["with ky reversed", "reverse ky"]),
    "kx reversed": (lambda s: reordered(s, (0, 1, 2, 3), 3), ["with kx reversed", "reverse kx"]),
    "scan reversed": (lambda s: replace(s, counts=s.counts[::-1].copy()), ["with ky reversed", "or scan_y"]),
    "sign of defocus": (lambda s: other_defocus(s, -1), ["a defocus of 400 A", "change its sign"]),
    "size of defocus": (lambda s: other_defocus(s, 3), ["check the defocus and scan_step_angstrom"]),
    "scan step": (lambda s: replace(s, positions=s.positions * 3), ["check the defocus and scan_step_angstrom"]),
    "gain": (lambda s: replace(s, counts=s.counts * 3), ["multiples of 3", "divide"]),
    "gain of one half": (lambda s: replace(s, counts=s.counts.astype(np.float32) / 2), ["multiples of 0.5"]),
    "gain, rounded": (
        lambda s: replace(sound(60.0), counts=np.rint(sound(60.0).counts * 2.6).astype(np.uint16)),
        ["counts vary 2.9 times as much as electrons do"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_gives_the_warning_that_names_it(scan, name):
    plant, words = MISTAKES[name]
    (warning,) = suspicions(plant(scan).survey())
    assert all(word in warning for word in words), warning
    assert "\n" not in warning


def test_a_disk_that_moves_with_the_scan_is_named(scan):
    counts = scan.counts.copy()
    for y, row in enumerate(np.rint(np.linspace(-2, 2, len(counts))).astype(int)):
        counts[y] = np.roll(counts[y], row, 1)
    (warning,) = suspicions(replace(scan, counts=counts).survey())
    assert "disk moves by about" in warning and "calibrate --write" in warning
    assert 3 < float(warning.split("about ")[1].split()[0]) < 5


def test_a_centre_that_is_known_is_no_warning(scan):
    off = np.stack([half_of(scan), np.roll(scan.counts - half_of(scan), 1, 3)]).sum(0, np.uint16)
    survey = replace(scan, counts=off).survey()
    assert len(suspicions(survey)) == 1 and suspicions(replace(survey, centre=(0.0, 0.5))) == []


def test_scan_axes_that_are_swapped_are_named():
    square = sound(scan=(22, 22), step=(1.1, 1.1))
    (warning,) = suspicions(reordered(square, (1, 0, 2, 3)).survey())
    assert "transposed" in warning and "scan_y and scan_x" in warning


def test_with_other_aberrations_the_sign_of_defocus_is_told_from_patterns_that_are_turned():
    turned = reordered(reordered(sound(), (0, 1, 2, 3), 2), (0, 1, 2, 3), 3)
    (warning,) = suspicions(turned.survey())
    assert "change its sign" in warning and "rotate the patterns by 180 degrees" in warning


def test_what_the_mask_hides_is_never_looked_at(scan):
    mask = np.ones((N, N), np.uint8)
    mask[22, 25] = mask[30, 5] = 0
    hidden = replace(with_pixel(scan, (22, 25), 65535), mask=mask)
    clean = replace(with_pixel(with_pixel(scan, (22, 25), 0), (30, 5), 0), mask=mask)
    one, two = hidden.survey(), clean.survey()
    assert suspicions(one) == [] == suspicions(two)
    for name in ("pattern", "totals", "disks"):
        np.testing.assert_array_equal(getattr(one.look, name), getattr(two.look, name))


def test_a_look_holds_all_electrons_whatever_is_held_out(scan):
    whole, split = scan.survey(None).look, scan.survey(0.7, blocks=5).look
    np.testing.assert_array_equal(whole.pattern, np.fft.ifftshift(scan.counts.sum((0, 1), dtype=float)))
    for name in ("pattern", "positions", "totals", "inner", "disks"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(split, name))
    np.testing.assert_array_equal(whole.totals, scan.counts.sum((2, 3)).ravel())
    assert whole.unit == split.unit == 1


def test_misfired_frames_are_found_at_twenty_electrons():
    counts = sound(electrons=20.0)
    odd = with_frame(with_frame(counts, (0, 0), 30), (7, 9), 0)
    assert misfired(odd.survey()) == [(0, 0), (7, 9)] and misfired(counts.survey()) == []


def test_a_frame_of_three_times_the_electrons_is_found_at_a_hundred():
    """Wherever it is, and also beside another one; in a scan with fewer patterns nobody knows how far they go."""
    counts = sound(electrons=100.0, scan=(16, 16))
    for place in ((0, 0), (7, 9), (15, 4), (8, 8)):
        odd = with_frame(with_frame(counts, (7, 8), 3), place, 3)
        assert misfired(odd.survey()) == sorted({(7, 8), place}), place
    (warning,) = suspicions(with_frame(counts, (7, 9), 3).survey())
    assert "1 of 256 patterns misfired" in warning and "(7, 9)" in warning
    assert misfired(with_frame(sound(electrons=100.0, scan=(15, 16)), (7, 9), 3).survey()) == []


@pytest.mark.parametrize("electrons", [20.0, 100.0, 1000.0])
@pytest.mark.parametrize("field", ["all", "disk", "dark"])
def test_no_pattern_of_a_sound_scan_is_a_misfire(electrons, field):
    """Also of strong specimens, and of detectors with a mask, which lose what is scattered out of it."""
    k = np.hypot(*np.meshgrid(*2 * [np.arange(N) - N // 2])) * first_day.ANGULAR_STEP
    mask = {"all": k >= 0, "disk": k < 12.0, "dark": k > 12.6}[field].astype(np.uint8)
    for seed, (defocus, strength) in enumerate([(0.0, 0.5), (0.0, 0.8), (150.0, 0.8), (-600.0, 0.5)]):
        scan = sound(electrons, defocus=defocus, semi_angle=12.0, strength=strength, seed=seed, scan=(16, 24))
        assert misfired(replace(scan, mask=mask).survey()) == []


def test_holes_in_a_thick_film_are_no_misfires(scan):
    counts = np.random.default_rng(0).binomial(scan.counts, 0.2).astype(np.uint16)
    counts[5:7, 8:10] = scan.counts[5:7, 8:10]
    counts[15, 3:6] = scan.counts[15, 3:6]
    assert misfired(replace(scan, counts=counts).survey()) == []


def test_thick_regions_beside_vacuum_are_no_misfires(scan):
    counts = scan.counts.copy()
    counts[5:12, 6:15] = np.random.default_rng(0).binomial(counts[5:12, 6:15], 0.1)
    counts[13:18, 2:9] = 0  # a bar of the grid
    assert misfired(replace(scan, counts=counts).survey()) == []


def test_noise_alone_never_prefers_another_geometry():
    """The margin is beyond what vacuum gives in many seeds."""
    worst = 0.0
    for seed in range(5):
        fits = {f.layout: f.nats for f in compare_geometries(sound(strength=1e-9, seed=seed).survey())}
        worst = max(worst, max(fits.values()) - fits["as recorded"])
    assert worst < 0.9 * NATS


def test_a_disk_too_small_for_an_edge_is_not_judged():
    tiny = replace(sound(), microscope=Microscope(300e3, 1.0, {"C10": -400.0}))
    assert suspicions(tiny.survey()) == []
    assert first_day.N == 48
