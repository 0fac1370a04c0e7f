"""Ranking of optics by a specimen's own spectrum."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from ptychodask import InputError, Microscope
from ptychodask.analysis.advice import (
    AS_GOOD,
    Spectrum,
    Task,
    best_pair,
    expected,
    information,
    rank,
    recommended,
    recordable,
    spectrum,
)

TASK = Task(dose=100.0, resolution_angstrom=2.0, detector_pixels=128, thickness_angstrom=20.0, frames_per_second=1000.0)
PIXEL = 0.5


def grating(period, strength=0.05, side=256):
    x = np.arange(side) * PIXEL
    return strength * (np.cos(2 * np.pi * x / period)[None, :] + np.cos(2 * np.pi * x / period)[:, None])


def test_a_grating_is_seen_by_the_optics_that_carry_its_frequency():
    """At 600 angstrom there is a zero near 3.5 angstrom and a maximum near 5.3."""
    optics = Microscope.of(300e3, 10, 600)
    weak = 2e-3
    seen, missed = (expected(information(optics, TASK), spectrum(grating(p, weak), PIXEL), TASK)[0] for p in (5.3, 3.5))
    assert seen > missed + 0.1


def test_a_pair_pays_where_one_carries_what_the_other_loses():
    """Two strong reflections, of which each of two defoci sees one: with half of the dose each both are seen."""
    lens = [Microscope.of(300e3, 10, defocus) for defocus in (600, 1400)]
    held, refused = recordable(lens, TASK)
    q, apart = np.linspace(0, 1, len(held[0].told)), held[0].told - held[1].told
    inside = q < 0.45
    ends = [q[inside][np.argmax(apart[inside])], q[inside][np.argmin(apart[inside])]]
    specimen = Spectrum(np.array(ends), np.full(2, 10.0), area=1000.0)
    alone = [one.correlation for one in rank(held, specimen, TASK)]
    pair = best_pair(held, specimen, TASK)
    assert not refused and pair is not None and set(pair.defoci_angstrom) == {600.0, 1400.0}
    assert pair.semi_angle_mrad == 10 and pair.correlation > max(alone) + AS_GOOD
    # where both see the same, they see no more together
    flat = spectrum(np.random.default_rng(0).normal(0, 0.05, (256, 256)), PIXEL)
    twice, _ = recordable([lens[0], Microscope.of(300e3, 10, 600.001)], TASK)
    same = best_pair(twice, flat, TASK)
    assert same is not None and same.correlation == pytest.approx(rank(held[:1], flat, TASK)[0].correlation, abs=1e-4)
    assert best_pair(recordable([lens[0], Microscope.of(300e3, 12, 600)], TASK)[0], flat, TASK) is None


def test_more_dose_more_correlation_and_resolution():
    noise = np.random.default_rng(0).normal(0, 0.05, (256, 256))
    found = [
        expected(
            information(Microscope.of(300e3, 10, 600), TASK), spectrum(noise, PIXEL), Task(dose, 2.0, 128, 20.0, 1e3)
        )
        for dose in (1.0, 100.0, 1e6)
    ]
    correlations = [correlation for correlation, *_ in found]
    assert correlations == sorted(correlations) and correlations[0] < 0.3 and correlations[2] > 0.99
    assert found[0][1] is None and found[2][1] is not None and found[2][1] < 2.0
    assert found[0][2] == pytest.approx(1.0) and found[2][2] < 0.01


def test_the_expected_correlation_is_that_of_a_filtered_noisy_image():
    """Noise of the quantum limit, filtered by the true spectrum, as in the formula with t = 1."""
    window, rng = round(64 / PIXEL), np.random.default_rng(1)
    phase = ndimage.gaussian_filter(rng.normal(0, 0.2, (window, window)), 2)
    specimen = spectrum(phase, PIXEL)
    edge = np.hanning(window + 1)[:-1]
    taper = edge[:, None] * edge[None, :]
    dose = 100.0
    piece = (phase - np.sum(phase * taper) / taper.sum()) * taper
    signal = np.fft.fft2(piece)
    noise = np.fft.fft2(rng.normal(0, 1 / np.sqrt(4 * dose * PIXEL**2), piece.shape) * taper)
    level = np.sum(taper**2) / (4 * dose * PIXEL**2)
    kept = np.abs(signal) ** 2 / (np.abs(signal) ** 2 + level)
    k = np.fft.fftfreq(window, PIXEL)
    q = np.hypot(k[:, None], k[None, :])
    used = (q > 1.5 / 64) & (q <= 0.5)
    estimate, truth = (kept * (signal + noise))[used], signal[used]
    measured = np.vdot(estimate, truth).real / np.linalg.norm(estimate) / np.linalg.norm(truth)
    snr = 4 * dose * specimen.power / specimen.area
    inside = specimen.frequency <= 0.5
    formula = np.sqrt(np.sum((specimen.power * snr / (1 + snr))[inside]) / specimen.power[inside].sum())
    assert formula == pytest.approx(measured, abs=0.03)


def test_probes_that_no_box_holds_are_left_out_by_name():
    candidates = [Microscope.of(300e3, angle, defocus) for angle, defocus in ((10, 600), (25, 5000), (10, 1400))]
    held, refused = recordable(candidates, TASK)
    found = rank(held, spectrum(grating(6.0), PIXEL), TASK)
    assert len(found) == 2 and len(refused) == 1
    assert refused[0].startswith("25 mrad at 5000 angstrom: the probe does not fit 128 pixels")
    assert found[0].correlation >= found[1].correlation
    for optics in found:
        box = 1e3 * candidates[0].wavelength / optics.angular_step_mrad
        assert optics.probe_diameter_angstrom < box
        assert optics.electrons_per_pattern == pytest.approx(100 * optics.scan_step_angstrom**2)
        assert optics.current_pa == pytest.approx(optics.electrons_per_pattern * 1e3 * 1.602e-7, rel=1e-3)
    assert recommended(found) in found


def test_the_smallest_probe_is_recommended_among_equals():
    bright = spectrum(grating(6.0, 5.0), PIXEL)  # everything is seen by all
    held, _ = recordable([Microscope.of(300e3, 10, d) for d in (400, 800, 1200)], TASK)
    found = rank(held, bright, TASK)
    assert recommended(found).defocus_angstrom == 400


def test_nothing_and_too_little_are_refused():
    with pytest.raises(InputError, match="constant"):
        spectrum(np.ones((256, 256)), PIXEL)
    with pytest.raises(InputError, match="smaller than a window of 128"):
        spectrum(np.ones((100, 256)), PIXEL)
