"""Refinement of the geometry: descents and tangents against finite differences, and what a step does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import partial, partial_cpu, reference_intensities, reference_loss, slope, small_problem
from scipy import fft
from scipy.ndimage import gaussian_filter

from ptychodask.kernels.plain.information import information
from ptychodask.model.geometry import Geometry
from ptychodask.model.optics import Microscope
from ptychodask.model.refining import Refine, Refining
from ptychodask.model.row_drift import NAMES as ROWS
from ptychodask.model.row_drift import ORDERS, RowDrift, across_of, slopes, waves
from ptychodask.model.scan import Affine
from ptychodask.physics.derivative import derivative
from ptychodask.physics.likelihood import fisher_weight
from ptychodask.physics.probe import aberration_phase
from ptychodask.solver.unknowns.geometry import GeometrySums, errors, focused, moved, resampled, step
from ptychodask.solver.unknowns.object import ObjectSums
from ptychodask.solver.update import Update

NAMES = ("defocus", "c12a", "rotation", "asymmetry", "shear", "scale")
DRIFTING = {"names": (*NAMES, *ROWS), "across": (0.03, 0.01), "pixel": 0.7}
"""Rows whose drift is looked for."""


def rules_for(case, names=NAMES, start=None, **options):
    n, pixel = case.problem.pixels, case.problem.canvas.pixel
    wavelength = Microscope(300e3, 12.0).wavelength
    k = np.fft.fftfreq(n, pixel)
    parts = {"defocus": {"C10": -1.0}, "c12a": {"C12": 1.0}, "c12b": {"C12": 1.0, "phi12": np.pi / 4}}
    phases = [aberration_phase(k[:, None], k[None], wavelength, parts[a]) for a in names if a in parts]
    count = len(names)
    start = start or Geometry(0.3, 1.02, 0.03, -0.02)
    known = {
        "units": np.array([20.0 if a in parts else 0.01 for a in names]),
        "prior": np.array([100.0 if a in parts else 0.03 for a in names]),
        "limits": np.full(count, np.inf),
        "centre": (12.3, 11.1),
        "begins": 0,
        "stride": 1,
        "across": (0.0, 0.0),
    }
    return Refine(names, start, np.array(phases).reshape(-1, n, n), **(known | options))


def smoothed(case, sigma=1.6):
    """Objects that are sampled well, and 0 at the rim, so that they can be moved."""
    window = np.outer(*(np.sin(np.pi * (np.arange(s) + 0.5) / s) ** 2 for s in case.problem.canvas.shape))
    rng = np.random.default_rng(5)
    phase = gaussian_filter(rng.standard_normal(case.model.object.shape), (0, sigma, sigma)) * window
    return replace(case, model=replace(case.model, object=(phase / phase.std() * 0.3).astype(case.model.object.dtype)))


def refining(case, **options):
    rules = rules_for(case, **options)
    return case.with_settings(refine=rules, probe_rules=replace(case.problem.settings.probe_rules, update_start=None))


def strained(model, rules, a, b, t):
    """The model with the strain ``x_a += t (x - c)_b``, and its object along with it to first order."""
    matrix = np.eye(2)
    matrix[a, b] += t
    arm = np.arange(model.object.shape[1 + b]) - rules.centre[b]
    arm = arm[:, None] if b == 0 else arm[None, :]
    object_ = model.object - t * derivative(model.object, a - 2) * arm
    return replace(model, moved=Affine(matrix, np.array(rules.centre)), object=object_)


def drifted(model, rules, m, c, t):
    """The model with a drift of its rows along c, and its object along with it to first order."""
    amplitudes = np.zeros((len(ORDERS), 2))
    amplitudes[m, c] = t
    arms = np.stack(np.indices(model.object.shape[1:]), -1) - rules.centre
    object_ = model.object - t * derivative(model.object, c - 2) * waves(rules.rows_at(arms))[..., m]
    drift = RowDrift(amplitudes, np.array(rules.across))
    return replace(model, moved=Affine(np.eye(2), np.array(rules.centre), drift), object=object_)


@pytest.mark.parametrize("slices, modes, kind, residual", [(1, 1, "phase", "poisson"), (3, 2, "complex", "amplitude")])
def test_descent_against_finite_differences(slices, modes, kind, residual):
    case = small_problem(slices, modes, kind=kind, residual=residual, mask=True, tile=(2, 2), electrons=3e3)
    case = refining(case, **DRIFTING)
    rules, model = case.problem.settings.refine, case.model
    update = case.update()
    found = update[GeometrySums].score

    def loss(changed):
        return -reference_loss(case.problem, changed, case.counts)

    changes = np.eye(len(NAMES))
    expected = [slope(lambda t, i=i: loss(replace(model, probe=focused(rules, model, t * changes[i])))) for i in (0, 1)]
    expected += [slope(lambda t, a=a, b=b: loss(strained(model, rules, a, b, t))) for a in (0, 1) for b in (0, 1)]
    orders = range(len(ORDERS))
    expected += [slope(lambda t, m=m, c=c: loss(drifted(model, rules, m, c, t))) for m in orders for c in (0, 1)]
    assert np.abs(expected).min() > 1e-2
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_information_is_that_of_patterns_that_move_with_their_object():
    case = small_problem(2, 1, n=48, scan=(2, 2), defocus=40.0)
    at = tuple(case.problem.centres.mean(axis=0))
    case = smoothed(refining(replace(case, model=replace(case.model, probe=case.truth.probe)), centre=at))
    rules, model = case.problem.settings.refine, case.model
    found = information(case.problem, np, rules, case.blocks[0], model)

    def intensities(changed):
        return reference_intensities(case.problem, changed)

    tangents = [
        slope(lambda t, i=i: intensities(replace(model, probe=focused(rules, model, t * np.eye(len(NAMES))[i]))))
        for i in (0, 1)
    ]
    tangents += [
        slope(lambda t, a=a, b=b: intensities(strained(model, rules, a, b, t))) for a in (0, 1) for b in (0, 1)
    ]
    weight = np.sqrt(fisher_weight(case.problem.likelihood, intensities(model), case.problem.weights))
    flat = np.array([(weight * its).ravel() for its in tangents])
    expected = flat @ flat.T
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    # moving a view by interpolation and moving its probe by a ramp differ by what the views' edges cut
    assert np.abs((found - expected) / scale).max() < 0.03


def test_information_about_a_drift_is_that_of_the_strain_that_a_pattern_sees():
    """The object moves by what its pixels drift more than the one pattern, whose own way is taken out."""
    case = small_problem(2, 1, n=48, scan=(1, 1), defocus=40.0)
    (at,) = case.problem.centres
    drifting = {**DRIFTING, "across": (5e-4, 3e-4)}  # over a view the slope of a cosine is one number
    case = replace(case, model=replace(case.model, probe=case.truth.probe))
    case = smoothed(refining(case, centre=tuple(at - (70.0, 90.0)), **drifting))
    rules, model = case.problem.settings.refine, case.model
    found = information(case.problem, np, rules, case.blocks[0], model)[2:, 2:]
    arms = np.stack(np.indices(model.object.shape[1:]), -1) - rules.centre
    more = waves(rules.rows_at(arms)) - waves(rules.rows_at(at - rules.centre))

    def intensities(c, by, t):
        object_ = model.object - t * derivative(model.object, c - 2) * by
        return reference_intensities(case.problem, replace(model, object=object_))

    strains = np.moveaxis(np.stack(np.indices(model.object.shape[1:]), -1) - at, -1, 0)
    moves = [(a, strains[b]) for a in (0, 1) for b in (0, 1)]
    moves += [(c, more[..., m]) for m in range(len(ORDERS)) for c in (0, 1)]
    tangents = [slope(lambda t, c=c, by=by: intensities(c, by, t)) for c, by in moves]
    still = reference_intensities(case.problem, model)
    weight = np.sqrt(fisher_weight(case.problem.likelihood, still, case.problem.weights))
    flat = np.array([(weight * its).ravel() for its in tangents])
    expected = flat @ flat.T
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((found - expected) / scale).max() < 0.03


@pytest.mark.parametrize("options", [{}, DRIFTING], ids=["still rows", "drifting rows"])
def test_compiled_kernels_make_the_same_sums(options):
    case = refining(small_problem(2, 2, np.float32, mask=True, n=24), stride=2, **options)
    block, patterns = case.blocks[0], case.patterns[0]
    reference = partial(case.problem, block, patterns, case.model)[GeometrySums]
    found = partial_cpu(case.problem, block, patterns, case.model)[GeometrySums]
    np.testing.assert_allclose(found.score, reference.score, rtol=1e-3, atol=1e-4 * np.abs(reference.score).max())
    np.testing.assert_array_equal(found.information, reference.information)
    plain = case.with_settings(refine=None)
    for with_, without in zip(
        (partial_cpu(case.problem, block, patterns, case.model),),
        (partial_cpu(plain.problem, block, patterns, case.model),),
        strict=True,
    ):
        assert without.find(GeometrySums) is None
        np.testing.assert_array_equal(with_[ObjectSums].gradient, without[ObjectSums].gradient)


def test_sums_do_not_depend_on_how_the_scan_is_cut():
    whole = refining(small_problem(scan=(4, 4)), stride=3, **DRIFTING)
    cut = refining(small_problem(scan=(4, 4), tile=(3, 1)), stride=3, **DRIFTING)
    a, b = whole.update()[GeometrySums], Update.merged(cut.updates())[GeometrySums]
    np.testing.assert_allclose(a.score, b.score, rtol=1e-9)
    np.testing.assert_allclose(a.information, b.information, rtol=1e-9)


def test_nothing_is_summed_before_it_moves_or_where_it_is_only_looked_at():
    case = refining(small_problem(), begins=2)
    assert case.update().find(GeometrySums) is None
    later = replace(case.model, iteration=2)
    assert case.update(later).find(GeometrySums) is not None
    assert case.update(later, evaluate_only=True).find(GeometrySums) is None


def test_derivative_is_that_of_the_band():
    n = 96
    k = np.fft.fftfreq(n)
    rng = np.random.default_rng(0)
    coefficients = fft.fft(rng.standard_normal((2, n))) * (np.abs(k) < 0.36)
    values, slopes = fft.ifft(coefficients).real, fft.ifft(2j * np.pi * k * coefficients).real
    inside = slice(12, -12)
    found = derivative(values, -1)
    assert np.abs(found - slopes)[:, inside].max() < 0.02 * slopes.std()
    central = (np.roll(values, -1, 1) - np.roll(values, 1, 1)) / 2
    assert np.abs(central - slopes)[:, inside].max() > 0.5 * slopes.std()


def test_objects_are_carried_along_with_their_positions():
    y, x = np.mgrid[:40, :44]
    centre = np.array([19.0, 21.5])
    peaks = np.array([[12.0, 14.0], [25.0, 30.0], [18.0, 22.0]])
    matrix = Geometry(0.05, 1.01, 0.03, 0.02).matrix

    def image(places):
        return sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / 18) for a, b in places)[None]

    still, there = Affine(np.eye(2), centre), Affine(matrix, centre)
    found = resampled(image(peaks), still, there)
    assert np.abs(found - image(there(peaks))).max() < 0.12  # peaks themselves are sheared
    assert resampled(found, there, there) is found
    tied = np.repeat(image(peaks), 3, axis=0)  # of slices that are the same one is resampled
    np.testing.assert_array_equal(resampled(tied, still, there), np.repeat(found, 3, axis=0))
    apart = np.concatenate([image(peaks), image(peaks + 1)])
    np.testing.assert_array_equal(resampled(apart, still, there), [found[0], resampled(apart[1:], still, there)[0]])
    drifting = replace(there, drift=RowDrift(np.array([[0.8, -0.5], [0.3, 0.4], [0.0, 0.6]]), np.array([0.008, 0.0])))
    assert np.abs(there(peaks) - drifting(peaks)).max() > 0.5
    np.testing.assert_allclose(drifting.back(drifting(peaks)), peaks, atol=0.02)
    after = resampled(found, there, drifting)
    assert np.abs(after - image(drifting(peaks))).max() < 0.12 < np.abs(found - image(drifting(peaks))).max()


def test_cosines_of_the_drift_are_neither_shift_nor_strain():
    t = (np.arange(2000) + 0.5) / 2000
    u = waves(t)
    np.testing.assert_allclose(u.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(((t - 0.5) @ u) / len(t), 0, atol=1e-6)
    np.testing.assert_allclose((u**2).mean(axis=0), 1, atol=0.02)
    np.testing.assert_allclose(slopes(t[1:-1]), (u[2:] - u[:-2]) * 1000, rtol=1e-4, atol=1e-3)
    rows, columns = np.indices((9, 5))
    raster = np.stack([0.8 * rows + 0.1 * columns, columns - 0.2 * rows], -1).reshape(-1, 2)
    over = 0.5 + (raster - raster.mean(axis=0)) @ across_of(raster, (9, 5))
    np.testing.assert_allclose(over.reshape(9, 5), rows / 8, atol=1e-12)


def test_positions_and_probe_follow_the_numbers_and_come_back():
    case = refining(small_problem(), start=Geometry(0.2, 1.0, 0.0, 0.0, transpose=True))
    rules = case.problem.settings.refine
    state = replace(case.start(), geometry=Refining.begin(rules))
    new = rules.first + np.array([30.0, -10.0, 0.03, 0.01, 0.02, 0.01])
    there = moved(rules, state, rules.first, new)
    raster = np.linalg.solve(rules.start.stored_matrix, (case.problem.centres - rules.centre).T)
    expected = rules.centre + (rules.geometry(new).stored_matrix @ raster).T
    np.testing.assert_allclose(case.problem.positions(there.model), expected, rtol=1e-12)
    back = moved(rules, there, new, rules.first)
    np.testing.assert_allclose(case.problem.positions(back.model), case.problem.centres, rtol=1e-12)
    np.testing.assert_allclose(back.model.probe, case.model.probe, atol=1e-12)
    for a in range(2, len(NAMES)):  # the jacobian is the derivative of the map
        along = slope(lambda t, a=a: rules.matrix(rules.first + t * np.eye(len(NAMES))[a]))
        np.testing.assert_allclose(rules.jacobian(rules.first)[2:, a].reshape(2, 2), along, atol=1e-9)


def test_a_step_solves_a_quadratic_and_holds_what_is_not_known():
    case = refining(small_problem(), names=("defocus", "rotation", "shear"))
    rules = case.problem.settings.refine
    turn = rules.jacobian(rules.first)
    information = np.diag([0.01, 2e6, 2e6, 2e6, 2e6])
    target = rules.first + np.array([12.0, 0.01, -0.006])
    at = Refining.begin(rules)
    for _ in range(25):
        score = information @ turn @ (target - at.values)
        at = step(rules, at, GeometrySums(score, information))
    assert (np.abs(at.values - target) < [0.2, 2e-4, 2e-4]).all()
    assert at.free.all() and len(at.trail) == 8
    blind = np.diag([1e-6, 2e6, 2e6, 2e6, 2e6])  # a defocus that is known to 1000 angstrom moves nothing
    held = step(rules, Refining.begin(rules), GeometrySums(np.ones(5), blind))
    assert held.free.tolist() == [False, True, True] and held.values[0] == 0
    assert errors(rules, held)[0] == pytest.approx(100, rel=0.02)
    little = np.diag([0.01, 1e4, 1e4, 1e4, 1e4])  # a shear to a third of its prior, where a quarter may be asked
    its = errors(rules, step(rules, Refining.begin(rules), GeometrySums(np.ones(5), little))) / rules.prior
    assert 0.25 < its[2] < 0.5
    strict = replace(rules, known=np.array([0.7, 0.7, 0.25]))
    for asked, free in ((rules, True), (strict, False), (replace(rules, known=np.inf), True)):
        assert step(asked, Refining.begin(asked), GeometrySums(np.ones(5), little)).free.tolist() == [True, True, free]


def test_numbers_that_are_held_after_all_take_the_others_along():
    case = refining(small_problem(), names=("defocus", "rotation", "shear"), start=Geometry(0.1))
    rules = case.problem.settings.refine
    rng = np.random.default_rng(2)
    root = rng.standard_normal((3, 3)) * 3
    at = replace(
        Refining.begin(rules), values=rules.first + rules.units * np.array([1.0, -2.0, 0.5]), information=root @ root.T
    )
    held = at.with_held(np.array([False, True, False]), rules)
    assert held.values[1] == pytest.approx(rules.first[1]) and held.free.tolist() == [True, False, True]
    known = at.information + np.diag((rules.units / rules.prior) ** 2)

    def loss(values):
        away = (values - at.values) / rules.units
        return away @ known @ away

    for a in (0, 2):  # the least loss with that one held
        for t in (-0.01, 0.01):
            assert loss(held.values + t * rules.units * np.eye(3)[a]) > loss(held.values)
