"""From the merged update to the next state: steps, line search, constraints, and convergence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import (
    random_like,
    reference_intensities,
    reference_loss,
    reference_residual,
    reference_waves,
    slope,
    small_problem,
)

from ptychodask.counts.subset import subset
from ptychodask.model.state import Model, State, transmission
from ptychodask.physics import constraints as c
from ptychodask.solver.apply import LINE_CLIP, advance
from ptychodask.solver.settings import ProbeRules
from ptychodask.solver.unknowns.object import constrain
from ptychodask.solver.unknowns.probe import ProbeSums
from ptychodask.solver.update import Sums, Update

FIXED = ProbeRules(None, False, None)


def d_transmission(model: Model, move: np.ndarray) -> np.ndarray:
    """Direction of the transmission from one of the object."""
    return 1j * np.exp(1j * model.object) * move


@pytest.mark.parametrize("kind", ["phase", "complex"])
@pytest.mark.parametrize("slices", [1, 3])
def test_pooled_step_is_the_explicit_second_pass(slices, kind):
    """a_s = sum Re conj(dO u) chi / sum |dO u|^2, over all positions and modes."""
    case = small_problem(slices, 2, kind=kind, mask=True, tile=(2, 2))
    n, model = case.problem.pixels, case.model
    move = case.algorithm.direction(case.start(), case.update())
    d_object = d_transmission(model, move.object)
    numerator, denominator = np.zeros(slices), np.zeros(slices)
    for j in range(9):
        views, cut, waves, psi, predicted = reference_waves(case.problem, model, j)
        chi = np.fft.ifft2(reference_residual(case.problem, case.counts[j], predicted) * psi) * n
        for s in reversed(range(slices)):
            effect = d_object[s, cut[0], cut[1]] * waves[s]
            numerator[s] += (effect.conj() * chi).real.sum()
            denominator[s] += (np.abs(effect) ** 2).sum()
            if s > 0:
                back = np.fft.fft2(views[s].conj() * chi) * case.problem.propagators[s - 1].conj()
                chi = np.fft.ifft2(back)
    np.testing.assert_allclose(move.object_step, numerator / denominator, rtol=1e-11)
    assert (move.object_step >= 1).all()


def test_direction_is_preconditioned():
    case = small_problem(2, 1, precondition=0.3)
    update = case.update()
    gradient, light = case.object_sums(update)
    move = case.algorithm.direction(case.start(), update)
    for s in (0, 1):
        expected = gradient[s] / np.sqrt(light[s] ** 2 + (0.3 * light[s].max()) ** 2)
        np.testing.assert_allclose(move.object[s], expected, rtol=1e-12)
    probe = update[ProbeSums]
    expected = probe.gradient / np.sqrt(probe.illumination**2 + (0.3 * probe.illumination.max()) ** 2)
    np.testing.assert_allclose(move.probe, expected, rtol=1e-12)


def test_step_goes_to_one_without_preconditioner():
    case = small_problem(1, 1, precondition=1e-6)
    assert case.algorithm.direction(case.start(), case.update()).object_step == pytest.approx(1, abs=1e-3)


def test_pooled_probe_step_minimises_the_quadratic():
    """a_P along dP is the least-squares fit of d(exit wave) to chi: exact where nothing is shifted."""
    case = small_problem(1, 2, kind="complex", subpixel=False)
    move = case.algorithm.direction(case.start(), case.update())
    numerator = denominator = 0.0
    for j in range(9):
        views, _, _, psi, predicted = reference_waves(case.problem, case.model, j)
        rho = reference_residual(case.problem, case.counts[j], predicted)
        chi = np.fft.ifft2(rho * psi) * case.problem.pixels
        effect = move.probe * views[0]
        numerator += (effect.conj() * chi).real.sum()
        denominator += (np.abs(effect) ** 2).sum()
    assert move.probe_step == pytest.approx(numerator / denominator, rel=1e-11)


@pytest.mark.parametrize(("stride", "iteration"), [(1, 0), (2, 0), (2, 3), (4, 6)])
@pytest.mark.parametrize("kind", ["phase", "complex"])
@pytest.mark.parametrize("probe_moves", [True, False])
def test_line_search_is_a_fisher_gauss_newton_step(stride, iteration, kind, probe_moves):
    """Against finite differences of the intensities along the same direction, on the same subset."""
    rules = ProbeRules(0, False, None) if probe_moves else FIXED
    case = small_problem(3, 2, kind=kind, mask=True, tangent_stride=stride, probe_rules=rules, tile=(2, 3))
    model = replace(case.model, iteration=iteration)
    move = case.algorithm.direction(case.start(model), case.update(model))
    assert (move.probe is not None) == probe_moves
    pairs = zip(case.blocks, case.patterns, strict=True)
    found = case.algorithm.merge([case.algorithm.line_search(b, p, model, move) for b, p in pairs]).sums
    moved = {"object": move.object} | ({"probe": move.probe} if probe_moves else {})

    def along(t: float) -> Model:
        return replace(model, **{name: getattr(model, name) + t * d for name, d in moved.items()})

    scanned = np.concatenate([b.flat(case.problem.scan_shape) for b in case.blocks])
    used = scanned[subset(scanned, stride, iteration)]
    assert abs(len(used) - 9 / stride) < 1
    predicted = reference_intensities(case.problem, model)[used]
    change = slope(lambda t: reference_intensities(case.problem, along(t)))[used]
    fisher = case.problem.weights / (predicted + case.problem.likelihood.epsilon)
    numerator = (fisher * (case.counts[used] - predicted) * change).sum()
    assert found.line_numerator == pytest.approx(numerator, rel=1e-6)
    assert found.line_denominator == pytest.approx((fisher * change**2).sum(), rel=1e-6)
    if stride == 1:
        # for the Poisson likelihood the numerator is the slope of the loss itself
        expected = -slope(lambda t: reference_loss(case.problem, along(t), case.counts))
        assert found.line_numerator == pytest.approx(expected, rel=1e-6)


def line(numerator: float, denominator: float) -> Update:
    return Update(Sums(line_numerator=numerator, line_denominator=denominator))


@pytest.mark.parametrize(("ratio", "used"), [(0.7, 0.7), (9.0, LINE_CLIP), (-1.0, 0.05), (0.01, 0.05)])
def test_line_step_is_clipped_and_serves_object_and_probe(ratio, used):
    case = small_problem(2, 1)
    state, move = case.start(), case.algorithm.direction(case.start(), case.update())
    after = advance(case.problem, state, move, line(3 * ratio, 3.0)).model
    np.testing.assert_allclose(after.object - case.model.object, used * move.object, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(after.probe - case.model.probe, used * move.probe, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("slices", [1, 3])
@pytest.mark.parametrize("probe_moves", [True, False])
def test_pooled_step_is_shared_between_slices_and_with_the_probe(slices, probe_moves):
    rules = ProbeRules(0, False, None) if probe_moves else FIXED
    case = small_problem(slices, 1, probe_rules=rules, object_step=0.8, probe_step=0.6)
    state, move = case.start(), case.algorithm.direction(case.start(), case.update())
    after = advance(case.problem, state, move).model
    share = 0.5 if probe_moves else 1.0
    expected = 0.8 * share / slices * move.object_step[:, None, None] * move.object
    np.testing.assert_allclose(after.object - case.model.object, expected, rtol=1e-9, atol=1e-12)
    assert after.iteration == 1
    if probe_moves:
        expected = 0.6 * share * move.probe_step * move.probe
        np.testing.assert_allclose(after.probe - case.model.probe, expected, rtol=1e-6, atol=1e-9)
    else:
        assert after.probe is case.model.probe


def error(case, state: State) -> float:
    """NRMSE of the transmission where it is well lit, less the global phase."""
    _, light = case.object_sums(case.update(case.truth))
    lit = light > 0.2 * light.max()
    found, true = transmission(state.anchor)[lit], transmission(case.truth.object)[lit]
    found = found * np.exp(1j * np.angle(np.vdot(found, true)))
    return float(np.linalg.norm(found - true) / np.linalg.norm(true))


def vacuum(case) -> Model:
    return replace(case.truth, object=np.zeros_like(case.truth.object), background=0.0)


@pytest.mark.parametrize("kind", ["phase", "complex"])
def test_noise_free_single_slice_converges(kind):
    case = small_problem(
        1, 1, kind=kind, n=32, scan=(6, 6), step=3.0, noise=False, electrons=1e4, accelerate=True,
        epsilon=0.01, probe_rules=FIXED, defocus=250.0, batch=12,
    )  # fmt: skip
    state = case.start(vacuum(case))
    start = error(case, state)
    for _ in range(60):
        state, _ = case.step(state)
    assert start > 0.3
    assert error(case, state) < 0.01


def losses(case, state: State, iterations: int) -> np.ndarray:
    out = []
    for _ in range(iterations):
        state, update = case.step(state)
        out.append(update.sums.loss)
    return np.array(out)


@pytest.mark.parametrize("stride", [0, 1])
@pytest.mark.parametrize("slices", [2, 4])
@pytest.mark.parametrize("probe_moves", [True, False])
def test_loss_falls_monotonically_without_acceleration(slices, stride, probe_moves):
    rules = ProbeRules(0, True, None) if probe_moves else FIXED
    case = small_problem(slices, 2, scan=(4, 4), tangent_stride=stride, probe_rules=rules)
    found = losses(case, case.start(), 12)
    assert (np.diff(found) < 0).all()
    assert found[-1] < 0.8 * found[0]


def test_acceleration_is_faster():
    plain = small_problem(1, 1, n=32, scan=(5, 5), noise=False, electrons=1e4, probe_rules=FIXED)
    fast = plain.with_settings(accelerate=True)
    model = vacuum(plain)
    assert losses(fast, fast.start(model), 25)[-1] < 0.85 * losses(plain, plain.start(model), 25)[-1]


def test_extrapolation():
    """y = x + (t + 1)/(t + 3) w (x - x_before), and a restart where it turns against the gradient."""
    case = small_problem(1, 1, accelerate=True, probe_rules=FIXED)
    state, _ = case.step(case.start())
    assert state.momentum == 1
    move = case.algorithm.direction(state, case.update(state.model))
    gradient, light = case.object_sums(case.update(state.model))
    momentum = state.model.object - state.anchor
    assert move.ascent == pytest.approx(float((gradient * momentum).sum()), rel=1e-10)
    lit = light**2 / (light**2 + 0.1 * light.max() ** 2)
    forwards = advance(case.problem, state, replace(move, ascent=1.0))
    expected = forwards.anchor + 0.5 * lit * (forwards.anchor - state.anchor)
    np.testing.assert_allclose(forwards.model.object, expected, rtol=1e-5, atol=1e-8)
    assert forwards.momentum == 2
    backwards = advance(case.problem, state, replace(move, ascent=-1.0))
    np.testing.assert_array_equal(backwards.model.object, backwards.anchor)
    np.testing.assert_array_equal(backwards.anchor, forwards.anchor)
    assert backwards.momentum == 1


@pytest.mark.parametrize("accelerate", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pure_phase_stays_pure(accelerate, dtype):
    rules = (c.PositivePhase(), c.LateralBlur(0.6), c.IdenticalSlices())
    case = small_problem(3, 1, dtype, accelerate=accelerate, constraints=rules)
    state = case.start()
    for _ in range(4):
        state, _ = case.step(state)
    for object_ in (state.model.object, state.anchor):
        assert object_.dtype == dtype
        np.testing.assert_allclose(np.abs(transmission(object_)), 1, rtol=1e-6)
        assert object_.min() >= 0
        assert object_.max() > 0.05
    for s in (1, 2):
        np.testing.assert_array_equal(state.anchor[s], state.anchor[0])


@pytest.mark.parametrize("accelerate", [True, False])
def test_complex_object_keeps_its_bounds(accelerate):
    case = small_problem(2, 1, np.float32, "complex", accelerate=accelerate, constraints=(c.AmplitudeBound(1.05),))
    state = case.start()
    for _ in range(4):
        state, _ = case.step(state)
    assert state.model.object.dtype == np.complex64
    assert np.abs(transmission(state.model.object)).max() == pytest.approx(1.05, rel=1e-5)
    assert np.abs(transmission(state.anchor)).max() <= 1.05 * (1 + 1e-6)


def test_constraints_are_applied_in_their_order():
    object_ = random_like(np.zeros((3, 12, 12), complex))
    first = (c.AmplitudeBound(1.2), c.PositivePhase(), c.LateralBlur(0.8))
    expected = c.lateral_blur(c.positive_phase(c.amplitude_bound(object_, 1.2)), 0.8)
    coupled = constrain(object_, (*first, c.CoupledSlices(0.7)))
    np.testing.assert_allclose(coupled, c.coupled_slices(expected, 0.7), atol=1e-13)
    identical = constrain(object_, (*first, c.IdenticalSlices()))
    np.testing.assert_allclose(identical, c.identical_slices(expected), atol=1e-13)
    assert constrain(object_, ()) is object_


def test_recover_halves_the_steps():
    case = small_problem(2, 1, accelerate=True)
    state, _ = case.step(case.start())
    state, _ = case.step(state)
    assert (state.model.object != state.anchor).any()
    back = case.algorithm.recover(state)
    assert back.damping == state.damping / 2
    assert back.momentum == -1
    np.testing.assert_array_equal(back.model.object, state.anchor)

    update = case.update(back.model)
    move = case.algorithm.direction(back, update)
    half, full = (advance(case.problem, replace(back, damping=d), move) for d in (0.5, 1.0))
    expected = 0.5 * (full.anchor - back.anchor)
    np.testing.assert_allclose(half.anchor - back.anchor, expected, rtol=1e-9, atol=1e-12)
    expected = 0.5 * (full.model.probe - back.model.probe)
    np.testing.assert_allclose(half.model.probe - back.model.probe, expected, rtol=1e-5, atol=1e-8)
    assert half.damping == 0.5
    assert case.algorithm.recover(back).damping == back.damping / 2


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("held", [None, 0.8])
def test_power_of_the_probe_is_held(mask, held):
    rules = ProbeRules(0, True, None)
    case = small_problem(2, 3, mask=mask, probe_rules=rules, scan=(4, 4), train_fraction=held)
    state = case.start(replace(case.model, probe=1.15 * case.model.probe))
    for _ in range(6):
        state, update = case.step(state)
    final = case.update(state.model).sums
    assert final.intensity == pytest.approx(final.electrons, rel=1e-3)
    if not mask:
        # a pure phase object neither adds nor removes electrons
        power = float((np.abs(state.model.probe) ** 2).sum())
        assert power == pytest.approx(update.sums.electrons / update.sums.patterns, rel=1e-6)


def test_power_is_free_where_it_is_not_held():
    case = small_problem(2, 1, scan=(4, 4))
    state, update = case.step(case.start(replace(case.model, probe=1.15 * case.model.probe)))
    power = float((np.abs(state.model.probe) ** 2).sum())
    assert abs(power / (update.sums.electrons / update.sums.patterns) - 1) > 0.01


def test_moved_modes_are_orthogonal_and_inside_the_aperture():
    k = np.fft.fftfreq(16)
    allowed = (k[:, None] ** 2 + k**2 <= 0.3**2).astype(np.float32)
    case = small_problem(1, 3, probe_rules=ProbeRules(0, True, allowed))
    state, _ = case.step(case.start())
    flat = state.model.probe.reshape(3, -1)
    gram = flat.conj() @ flat.T
    power = np.diag(gram).real
    assert np.abs(gram - np.diag(power)).max() < 1e-10 * power[0]
    assert (np.diff(power) < 0).all()
    single = small_problem(1, 1, probe_rules=ProbeRules(0, True, allowed))
    state, _ = single.step(single.start())
    assert np.abs(np.fft.fft2(state.model.probe[0])[allowed == 0]).max() < 1e-9


def test_probe_update_recovers_the_probe():
    case = small_problem(1, 1, scan=(5, 5), noise=False, electrons=1e4, object_step=1e-12, epsilon=0.01)
    state = case.start(replace(case.model, object=case.truth.object))
    first = losses(case, state, 1)[0]
    assert losses(case, state, 60)[-1] < 0.01 * first


@pytest.mark.parametrize("start", [0.0, 0.2])
def test_background_converges_to_the_true_one(start):
    case = small_problem(
        2, 1, background=0.06, noise=False, scan=(4, 4), object_step=1e-12, probe_rules=FIXED, mask=True
    )
    state = case.start(replace(case.truth, background=start))
    for _ in range(4):
        state, _ = case.step(state)
    assert state.model.background == pytest.approx(0.06, rel=1e-6)


def test_background_is_found_within_its_error_from_noisy_counts():
    case = small_problem(1, 1, background=0.1, scan=(6, 6), object_step=1e-12, probe_rules=FIXED)
    state = case.start(replace(case.truth, background=0.0))
    for _ in range(6):
        state, update = case.step(state)
    # the Fisher information of the background is the inverse of its variance
    sigma = update.sums.background_denominator**-0.5
    assert 0 < sigma < 0.01
    assert state.model.background == pytest.approx(0.1, abs=4 * sigma)
    assert abs(case.update(state.model).sums.background_numerator) < 1e-2 / sigma


def test_a_moving_object_leaves_the_background_positive():
    case = small_problem(1, 1, background=0.5, scan=(6, 6), electrons=2000.0, noise=False, probe_rules=FIXED)
    state = case.start(replace(case.truth, object=0.8 * case.truth.object, background=0.0))
    for _ in range(20):
        state, _ = case.step(state)
    assert state.model.background == pytest.approx(0.5, rel=0.02)


def test_background_does_not_go_below_zero_and_is_off_by_default():
    case = small_problem(background=0.05)
    state, move = case.start(), case.algorithm.direction(case.start(), case.update())
    down = replace(move, totals=move.totals.put(replace(move.totals.sums, background_numerator=-1e9)))
    assert advance(case.problem, state, down).model.background == 0
    off = case.with_settings(background=False)
    assert advance(off.problem, state, down).model.background == case.model.background


def test_full_dose_scales_probe_and_background():
    case = small_problem(1, 2, train_fraction=0.8, background=0.05, mask=True)
    full = case.algorithm.full_dose(case.model)
    expected = reference_intensities(case.problem, case.model) / 0.8
    np.testing.assert_allclose(reference_intensities(case.problem, full), expected, rtol=1e-12)
    state = replace(case.start(), momentum=7)
    finish = case.algorithm.finish_from(state)
    np.testing.assert_array_equal(finish.model.probe, full.probe)
    assert finish.momentum == 7  # the optimum hardly moves: the finish goes on at full speed
    assert case.algorithm.finish_from(replace(state, momentum=-1)).momentum == -1
    whole = case.with_settings(use_all=True)
    assert whole.algorithm.full_dose(case.model) is case.model


def test_nothing_of_the_state_is_changed_in_place():
    rules = (c.PositivePhase(), c.LateralBlur(0.5), c.IdenticalSlices())
    case = small_problem(2, 2, accelerate=True, constraints=rules, probe_rules=ProbeRules(0, True, None))
    state, _ = case.step(case.start())
    before = [a.copy() for a in (state.model.object, state.model.probe, state.anchor)]
    case.step(state)
    for old, new in zip(before, (state.model.object, state.model.probe, state.anchor), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("positive", [True, False])
def test_extrapolation_does_not_leave_positivity(positive):
    """Momentum that points far below zero is clipped where the rule asks for it."""
    case = small_problem(1, 1, accelerate=True, constraints=(c.PositivePhase(),) if positive else (), probe_rules=FIXED)
    state = replace(case.start(), anchor=case.model.object + 5.0)
    move = replace(case.algorithm.direction(state, case.update(state.model)), ascent=1.0)
    ahead = advance(case.problem, state, move).model.object
    assert (ahead.min() >= 0) == positive
    assert (ahead < 1e-12).any()
