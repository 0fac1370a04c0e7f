"""The spectral prior: windows, the information that is measured, the filter's algebra, tiles."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from helpers import small_problem
from scipy import fft

from ptychodask._array import cupy_available
from ptychodask.counts.events import Events
from ptychodask.counts.patterns import dense, doubled_half, prepare
from ptychodask.model.prior import Information, Spectral
from ptychodask.model.tiles import Rect, make_tiles
from ptychodask.physics.views import split_positions
from ptychodask.solver import spectral
from ptychodask.solver.information import information, information_sums
from ptychodask.solver.problem import probe_spectra, shifted_probes
from ptychodask.solver.unknowns.object import ObjectSums, place
from ptychodask.solver.windows import TOGETHER, Windows, at_home, known_core

CANVAS = (70, 61)


def windows_of(core=None, side=16):
    core = core or Rect(0, CANVAS[0], 0, CANVAS[1])
    return Windows(core, core.grown(side, CANVAS), CANVAS, side)


CORES = [
    None,
    Rect(0, 20, 0, 20),
    Rect(23, 41, 30, 61),
    Rect(69, 70, 60, 61),
    Rect(0, 70, 3, 4),
]


@pytest.mark.parametrize("core", CORES, ids=str)
def test_windows_put_together_are_the_map(core):
    windows, image = windows_of(core), np.random.default_rng(0).normal(size=CANVAS).astype(np.float32)
    rows, columns = windows.work.inside((0, 0))
    padded = windows.padded(image[rows, columns])
    total = np.zeros_like(padded)
    for group in windows.groups:
        total[group.rows, group.columns] += windows.back(windows.spectra(padded, group))
    rows, columns = windows.core.inside((0, 0))
    np.testing.assert_allclose(windows.cut(total), image[rows, columns], atol=2e-6)


def owned(windows):
    return sum(g.own.stop - (g.own.start or 0) for g in windows.groups)


def test_every_window_has_one_owner_among_tiles():
    tiles = make_tiles(CANVAS, 24, [], 16)
    assert len(tiles) == 9
    own = [owned(Windows(t.core, t.work, CANVAS, 16)) for t in tiles]
    assert min(own) > 0 and sum(own) == owned(windows_of()) == sum(g.count for g in windows_of().groups)


def test_a_tile_sees_the_same_windows_as_the_whole():
    image = np.random.default_rng(1).normal(size=CANVAS).astype(np.float32)

    def powers(core):
        windows = windows_of(core)
        rows, columns = windows.work.inside((0, 0))
        padded = windows.padded(image[rows, columns])
        return [f for g in windows.groups for f in windows.spectra(padded, g, g.own)]

    parts = [p for t in make_tiles(CANVAS, 24, [], 16) for p in powers(t.core)]
    whole = powers(None)
    assert sorted(p.tobytes() for p in parts) == sorted(p.tobytes() for p in whole)


@pytest.mark.parametrize("tile", make_tiles(CANVAS, 40, [], 3), ids=lambda t: str(t.index))
def test_without_a_rim_of_windows_a_tile_sees_fewer_of_the_same(tile):
    core = known_core(tile.core, tile.work, CANVAS, 16)
    assert core is not None and core.area < tile.core.area and tile.core.common(core) == core
    image = np.random.default_rng(1).normal(size=CANVAS).astype(np.float32)

    def powers(core, work):
        windows = Windows(core, work, CANVAS, 16)
        padded = windows.padded(image[work.inside((0, 0))])
        return {f.tobytes() for g in windows.groups for f in windows.spectra(padded, g, g.own)}

    seen = powers(core, tile.work)
    assert seen and seen <= powers(Rect(0, CANVAS[0], 0, CANVAS[1]), Rect(0, CANVAS[0], 0, CANVAS[1]))


def test_a_tile_too_small_for_a_window_sees_none():
    assert known_core(Rect(20, 30, 20, 30), Rect(17, 33, 17, 33), CANVAS, 16) is None


# -- electrons in halves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [0.02, 3.0, 200.0])
def test_a_doubled_half_has_the_counts_mean_and_their_noise_once_more(mean):
    counts = np.random.default_rng(2).poisson(mean, (64, 32, 32)).astype(np.uint8 if mean < 100 else np.uint16)
    patterns = prepare(counts, np.arange(64), np.ones((32, 32), np.float32), None, 0)
    assert isinstance(patterns.fitted, Events) == (mean < 1)
    other = dense(doubled_half(patterns, np.arange(64), 7).fitted, 0, 64, 32, np, float)
    noise = other - counts
    assert (other % 2 == 0).all() and (abs(noise) <= counts).all()
    assert abs(noise.mean()) < 5 * math.sqrt(mean / counts.size)
    assert (noise**2).mean() == pytest.approx(mean, rel=0.1)


# -- information -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vacuum():
    """A finely scanned vacuum: sums of its first update, noise included, and the probe."""
    case = small_problem(1, 1, np.float32, n=32, scan=(24, 24), step=1.5, electrons=400.0, subpixel=False)
    rule = Information(side=32, pixel=case.problem.canvas.pixel, cutoff=0.3, at=(0, 5))
    settings = replace(case.problem.settings, information=rule, epsilon=0.02)
    problem = replace(case.problem, settings=settings)
    algorithm = replace(case.algorithm, problem=problem, kernels=replace(case.algorithm.kernels, problem=problem))
    model = replace(case.model, object=np.zeros_like(case.model.object))
    _, fractions = split_positions(problem.centres, problem.pixels)
    probes, _ = shifted_probes(probe_spectra(model.probe), fractions[:1])
    intensity = np.abs(np.fft.fft2(probes[0, 0], norm="ortho")) ** 2
    rng, parts = np.random.default_rng(3), []
    for block in case.blocks:
        counts = rng.poisson(intensity, (block.size, 32, 32)).astype(np.uint16)
        parts.append(algorithm.partial(block, algorithm.prepare(block, counts), model, False))
    return algorithm, model, algorithm.merge(parts), intensity


def weak_phase(probe, intensity, epsilon, pixel):
    """t of the weak-phase formula on every frequency of the box, and |q|: sum_k |P*(k) P(k-q) - P(k) P*(k+q)|^2 I /
    (I + epsilon)^2 over 4 sum I."""
    p = np.fft.fft2(probe, norm="ortho")
    weight = intensity / (intensity + epsilon) ** 2
    n = len(p)
    t = np.zeros((n, n))
    for y in range(n):
        for x in range(n):
            back, ahead = np.roll(p, (y, x), (0, 1)), np.roll(p, (-y, -x), (0, 1))
            t[y, x] = (abs(p.conj() * back - p * ahead.conj()) ** 2 * weight).sum() / (4 * intensity.sum())
    f = np.fft.fftfreq(n, pixel)
    return t, np.hypot(f[:, None], f[None])


def test_information_is_that_of_the_weak_phase_formula(vacuum):
    algorithm, model, update, intensity = vacuum
    assert update[ObjectSums].noise is not None
    rule, canvas = algorithm.problem.settings.information, algorithm.problem.canvas
    full = Rect(0, canvas.shape[0], 0, canvas.shape[1])
    windows = Windows(full, full, canvas.shape, rule.side)
    sums = place([update[ObjectSums]], (0, 0), canvas.shape)
    light = sums.illumination.mean(axis=0)
    t = information(rule, information_sums(windows, sums.noise.mean(axis=0), light, float(light.max())))
    epsilon = algorithm.problem.likelihood.epsilon
    expected, q = weak_phase(model.probe[0], intensity, epsilon, rule.pixel)
    ratios = []
    for ring in range(5, 25):
        near = abs(q / spectral.RING - ring) < 1
        if near.sum() >= 8:
            ratios.append(t[ring] / expected[near].mean())
    # rings are averages, and the weight is the local W: some blur of t, and none of its level
    assert len(ratios) > 12 and min(ratios) > 0.7 and max(ratios) < 1.3, ratios
    assert np.mean(ratios) == pytest.approx(1, abs=0.12), ratios


def test_only_updates_that_measure_it_have_the_noise(vacuum):
    algorithm, model, *_ = vacuum
    block = next(iter(small_problem(1, 1, np.float32, n=32, scan=(24, 24), step=1.5).blocks))
    patterns = algorithm.prepare(block, np.ones((block.size, 32, 32), np.uint8))
    for iteration in range(7):
        update = algorithm.partial(block, patterns, replace(model, iteration=iteration), False)
        assert (update[ObjectSums].noise is not None) == (iteration in (0, 5))
    assert algorithm.partial(block, patterns, model, True).find(ObjectSums) is None


# -- the filter ------------------------------------------------------------------------------------------------------


def some_maps(seed, shape, lattice=0.0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    phase = lattice * (np.cos(2 * np.pi * x / 4) + np.cos(2 * np.pi * y / 4))
    light = np.full(shape, 40.0) + 5 * np.sin(x / 9)
    gradient = rng.normal(size=shape) * np.sqrt(0.5 * light / 4)
    return spectral.Maps(*(a.astype(np.float32) for a in (phase, gradient, light)), float(light.max()))


RULE = Spectral(side=16, pixel=0.5, floor=0.0, sharpen_at=5, residual=0.01, residual_at=9)
T = np.full(80, 0.5)


def test_the_spectrum_follows_of_sums_that_know_no_t():
    windows, maps, eta = windows_of(), some_maps(4, CANVAS, 0.3), 0.9
    sums = spectral.spectrum_sums(windows, maps, 0.1)
    t = np.linspace(0.1, 0.9, 80)
    its = spectral.make_filter(RULE, sums, t, eta)
    damping = maps.damping(0.1)
    padded = [windows.padded(m) for m in (maps.phase, maps.gradient / damping, damping, 0.25 / damping)]
    at_k = np.interp(RULE.frequencies, np.arange(80) * spectral.RING, t)
    total, weights, level = 0.0, 0.0, 0.0
    for y, x in product(*(range(0, size - 15, 4) for size in padded[0].shape)):  # one by one
        phase, step, dark, inverse = (m[y : y + 16, x : x + 16] for m in padded)
        light, nu = (float((m * windows.taper**2).mean() / 0.25) for m in (dark, inverse))
        light = light**2
        c = np.fft.rfft2(windows.taper * phase, norm="ortho")
        c = c + eta / at_k * np.fft.rfft2(windows.taper * step, norm="ortho")
        noise = eta * 0.25 * nu / at_k
        total, weights, level = total + light * abs(c) ** 2 / noise, weights + light, level + light * nu
    expected = np.maximum(total / weights - 1, 0) * level / weights
    np.testing.assert_allclose(its.prior, expected, rtol=2e-3, atol=1e-5 * expected.max())


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_no_bit(threads):
    windows, maps = windows_of(side=8), some_maps(4, CANVAS, 0.3)
    rule = replace(RULE, side=8)

    def found():
        sums = spectral.spectrum_sums(windows, maps, 0.1)
        move = spectral.move_of(windows, maps, 0.1, spectral.make_filter(rule, sums, T, 0.9))
        told = information_sums(windows, maps.gradient, maps.light, maps.brightest)
        return [np.asarray(a).tobytes() for a in (sums.light, sums.level, sums.own, sums.cross, move, told.noise)]

    alone = found()
    assert max(group.count for group in windows.groups) == TOGETHER < len(windows.groups)
    with fft.set_workers(threads):
        assert found() == alone


@pytest.mark.gpu
@pytest.mark.skipif(not cupy_available(), reason="no CUDA device with CuPy")
def test_on_a_device_the_sums_are_the_same():
    import cupy

    windows, maps = windows_of(side=8), some_maps(4, CANVAS, 0.3)
    rule = replace(RULE, side=8)
    here, there = (spectral.spectrum_sums(windows, maps, 0.1, lend) for lend in (at_home, cupy.asarray))
    for name in ("light", "level", "own", "cross", "step"):
        wanted = np.asarray(getattr(here, name))
        np.testing.assert_allclose(getattr(there, name), wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
    for its in (spectral.make_filter(rule, here, T, 0.9), spectral.residual_filter(rule, T)):
        wanted, found = (spectral.move_of(windows, maps, 0.1, its, lend) for lend in (at_home, cupy.asarray))
        np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
    told, found = (information_sums(windows, maps.gradient, maps.light, 45.0, lend) for lend in (at_home, cupy.asarray))
    np.testing.assert_allclose(found.noise, told.noise, rtol=1e-4)
    assert found.lit == pytest.approx(told.lit)


def test_noise_alone_is_removed_and_a_lattice_is_kept():
    windows = windows_of()
    for lattice, kept in ((0.0, 0.0), (0.3, 1.0)):
        maps = some_maps(5, CANVAS, lattice)
        sums = spectral.spectrum_sums(windows, maps, 0.1)
        after = maps.phase + spectral.move_of(windows, maps, 0.1, spectral.make_filter(RULE, sums, T, 0.9))
        noise = maps.gradient / maps.light / 0.5 * 0.9
        left = after - kept * maps.phase
        assert left.std() < 0.45 * noise.std()
        if kept:
            assert np.corrcoef(after.ravel(), maps.phase.ravel())[0, 1] > 0.97


def test_a_residual_is_the_wiener_estimate_of_white_specimens():
    """Of an object that is drawn from the prior and seen with the noise of t, nothing linear is better."""
    side, rng = 64, np.random.default_rng(6)
    rule = replace(RULE, side=32)
    full = Rect(0, side, 0, side)
    windows = Windows(full, full, (side, side), 32)
    light, t = 40.0, 0.5
    k = np.hypot(np.fft.fftfreq(side, rule.pixel)[:, None], np.fft.fftfreq(side, rule.pixel)[None])
    grain = np.exp(-2 * (np.pi * spectral.FINEST * k) ** 2)
    power = rule.residual * grain**2 / grain.mean()
    truth = np.fft.ifft2(np.fft.fft2(rng.normal(size=(side, side))) * np.sqrt(power)).real
    noise = rng.normal(size=(side, side)) * math.sqrt(t * light / 4)
    gradient = (light * t * truth + noise).astype(np.float32)
    flat = np.full((side, side), light, np.float32)
    maps = spectral.Maps(np.zeros_like(flat), gradient, flat, light)
    found = spectral.move_of(windows, maps, 1e-6, spectral.residual_filter(rule, np.full(80, t)))
    wiener = power / (power + 1 / (4 * light * t))
    best = np.fft.ifft2(np.fft.fft2(gradient / (light * t)) * wiener).real
    inner = (slice(8, -8),) * 2
    assert (found - truth)[inner].std() < 1.05 * (best - truth)[inner].std()
    assert np.corrcoef(found[inner].ravel(), best[inner].ravel())[0, 1] > 0.99
