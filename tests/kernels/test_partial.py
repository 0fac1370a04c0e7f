"""The partial update: exact gradients against a plain reference, and no dependence on how the scan is cut."""

from __future__ import annotations

from dataclasses import fields, replace

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

from ptychodask._array import cupy_available
from ptychodask.counts.patterns import Events, Patterns, dense, to_events
from ptychodask.kernels.plain import Plain
from ptychodask.model.blocks import Block, make_blocks
from ptychodask.physics.likelihood import FISHER_STEP
from ptychodask.solver.settings import ProbeRules
from ptychodask.solver.unknowns.object import ObjectSums
from ptychodask.solver.unknowns.probe import ProbeSums
from ptychodask.solver.update import Update


def assert_slope(found, expected, rel=1e-6) -> None:
    assert abs(expected) > 1e-2  # a derivative that vanishes proves nothing
    assert found == pytest.approx(expected, rel=rel)


def check_gradients(case, rel=1e-6, h=1e-3) -> None:
    """Object and probe gradients of the merged update against finite differences of the reference loss."""
    update = case.update()
    gradient, _ = case.object_sums(update)
    model = case.model

    def descent(part, move):
        return -2 / FISHER_STEP * float((part.conj() * move).real.sum())

    def along(**moves):
        def at(t):
            moved = replace(model, **{name: getattr(model, name) + t * d for name, d in moves.items()})
            return reference_loss(case.problem, moved, case.counts)

        return slope(at, h)

    for s in range(len(gradient)):
        move = np.zeros_like(model.object)
        move[s] = random_like(move[s], 20 + s)
        assert_slope(descent(gradient, move), along(object=move), rel)
    for m in range(len(model.probe)):
        move = np.zeros_like(model.probe)
        move[m] = random_like(move[m], 30 + m)
        assert_slope(descent(update[ProbeSums].gradient, move), along(probe=move), rel)


@pytest.mark.parametrize("kind", ["phase", "complex"])
@pytest.mark.parametrize("modes", [1, 2, 3])
@pytest.mark.parametrize("slices", [1, 2, 4])
def test_gradient(slices, modes, kind):
    check_gradients(small_problem(slices, modes, kind=kind, mask=True, background=0.02))


@pytest.mark.parametrize(
    "options",
    [
        {"residual": "amplitude", "electrons": 2e4},
        {"subpixel": False},
        {"mask": False},
        {"epsilon": 1e-3},
        {"scan": (2, 5), "tile": (2, 2), "mask": True},
        {"tile": (1, 2), "batch": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["phase", "complex"])
def test_gradient_of_variants(options, kind):
    # the floor of the amplitude residual is 1e-6 of an electron's amplitude
    # and a small shift bends the loss strongly where it is dark
    case = small_problem(2, 2, kind=kind, **options)
    check_gradients(case, 2e-5 if "residual" in options else 1e-6, 1e-4 if "epsilon" in options else 1e-3)


@pytest.mark.parametrize("residual", ["poisson", "amplitude"])
def test_sums(residual):
    case = small_problem(2, 2, residual=residual, mask=True, background=0.05, kind="complex", tile=(2, 2))
    sums = case.update().sums
    w = case.problem.weights
    expected = reference_intensities(case.problem, case.model)
    assert sums.patterns == 9
    assert sums.electrons == pytest.approx((w * case.counts).sum(), rel=1e-14)
    assert sums.intensity == pytest.approx((w * expected).sum(), rel=1e-12)
    assert sums.loss == pytest.approx(reference_loss(case.problem, case.model, case.counts), rel=1e-11)
    assert case.algorithm.metrics(case.update())["loss"] == pytest.approx(sums.loss / 9, rel=1e-14)


def test_background_sums_are_the_derivative_and_the_fisher_information():
    case = small_problem(2, 1, mask=True, background=0.05)
    sums = case.update().sums
    model = case.model
    expected = slope(
        lambda t: reference_loss(case.problem, replace(model, background=model.background + t), case.counts)
    )
    assert_slope(-sums.background_numerator, expected)
    predicted = reference_intensities(case.problem, model)
    information = (case.problem.weights / (predicted + case.problem.likelihood.epsilon)).sum()
    assert sums.background_denominator == pytest.approx(information, rel=1e-12)


@pytest.mark.parametrize("slices", [1, 3])
def test_illumination(slices):
    """sum |O u|^2 of the object, the curvature in its phase; sum |O_0|^2 of the probe."""
    case = small_problem(slices, 2, kind="complex", tile=(2, 2))
    update = case.update()
    expected = np.zeros_like(case.object_sums(update)[1])
    seen = np.zeros_like(update[ProbeSums].illumination)
    for j in range(9):
        views, cut, waves, _, _ = reference_waves(case.problem, case.model, j)
        seen += np.abs(views[0]) ** 2
        for s, wave in enumerate(waves):
            expected[s, cut[0], cut[1]] += (np.abs(views[s] * wave) ** 2).sum(axis=0)
    np.testing.assert_allclose(case.object_sums(update)[1], expected, rtol=1e-11, atol=1e-9)
    np.testing.assert_allclose(update[ProbeSums].illumination, seen, rtol=1e-12)


def test_gradient_is_the_residual_wave_summed_over_modes_and_positions():
    """For one slice: g = sum V^T conj(i O u) F^-1 rho psi, written out."""
    case = small_problem(1, 2, kind="complex", mask=True)
    n = case.problem.pixels
    expected = np.zeros_like(case.model.object)
    for j in range(9):
        views, cut, waves, psi, predicted = reference_waves(case.problem, case.model, j)
        rho = reference_residual(case.problem, case.counts[j], predicted)
        effect = 1j * views[0] * waves[0]
        expected[0, cut[0], cut[1]] += (effect.conj() * np.fft.ifft2(rho * psi) * n).sum(axis=0)
    found = case.object_sums(case.update())[0]
    np.testing.assert_allclose(found, expected, atol=1e-12 * np.abs(expected).max())


def close(a, b, tolerance) -> None:
    """Two updates are the same up to a relative tolerance on every map."""
    for field in fields(a.sums):
        assert getattr(a.sums, field.name) == pytest.approx(getattr(b.sums, field.name), rel=tolerance)
    for kind in (ObjectSums, ProbeSums):
        for name in ("gradient", "illumination"):
            one, other = getattr(a[kind], name), getattr(b[kind], name)
            assert one.shape == other.shape
            assert np.abs(one - other).max() <= tolerance * np.abs(other).max()


@pytest.mark.parametrize("batch", [1, 3, 5, 8])
def test_batches_and_their_tails(batch):
    case = small_problem(3, 2, mask=True, background=0.02, train_fraction=0.8)
    whole = case.with_settings(batch=9).update()
    close(case.with_settings(batch=batch).update(), whole, 1e-12)


@pytest.mark.parametrize("tile", [(1, 1), (2, 2), (4, 1), (1, 3)])
@pytest.mark.parametrize("kind", ["phase", "complex"])
def test_partition_invariance(tile, kind):
    case = small_problem(2, 2, kind=kind, scan=(4, 3), background=0.02, train_fraction=0.8)
    blocks = make_blocks((4, 3), tile)
    assert len(blocks) > 1
    order = np.random.default_rng(1).permutation(len(blocks))
    parts = case.of(case.problem, tuple(blocks[i] for i in order))
    close(parts.update(), case.update(), 1e-13)


def test_merging_in_groups_is_the_same():
    case = small_problem(2, 1, scan=(4, 3), tile=(1, 2))
    a, b, c, *rest = case.updates()
    close(Update.merged([Update.merged([a, b]), Update.merged([c, *rest])]), Update.merged([a, b, c, *rest]), 1e-13)


def test_fixed_grouping_gives_the_same_bits():
    case = small_problem(2, 2, np.float32, scan=(4, 3), tile=(2, 2))
    one, two = case.update(), case.update()
    np.testing.assert_array_equal(one[ObjectSums].gradient, two[ObjectSums].gradient)
    assert one.sums == two.sums


def test_merge_leaves_its_arguments():
    updates = small_problem(2, 1, tile=(1, 3)).updates()
    before = [(u[ObjectSums].gradient.copy(), u[ProbeSums].gradient.copy()) for u in updates]
    Update.merged(updates)
    for update, (object_, probe) in zip(updates, before, strict=True):
        np.testing.assert_array_equal(update[ObjectSums].gradient, object_)
        np.testing.assert_array_equal(update[ProbeSums].gradient, probe)


def test_events_and_dense_patterns_are_identical():
    case = small_problem(2, 2, electrons=40.0, batch=4)
    block, n = case.blocks[0], case.problem.pixels
    assert isinstance(case.patterns[0].fitted, Events)
    as_events = Patterns(to_events(case.counts), None, None, n)
    as_array = Patterns(case.counts.astype(float), None, None, n)
    one, two = (case.algorithm.partial(block, p, case.model, False) for p in (as_events, as_array))
    assert one.sums == two.sums
    np.testing.assert_array_equal(one[ObjectSums].gradient, two[ObjectSums].gradient)
    np.testing.assert_array_equal(one[ProbeSums].gradient, two[ProbeSums].gradient)


def test_events_hold_the_counts():
    counts = np.random.default_rng(0).poisson(0.2, (5, 16, 16)).astype(np.uint8)
    counts[2] = 0  # a pattern without any event
    events = to_events(counts)
    np.testing.assert_array_equal(dense(events, 0, 5, 16, np, np.float32), counts)
    np.testing.assert_array_equal(dense(events, 1, 4, 16, np, np.float32), counts[1:4])
    assert events.nbytes < 5 * counts[0].nbytes


@pytest.mark.parametrize("use_all", [False, True])
def test_evaluate_only_gives_the_same_losses(use_all):
    case = small_problem(2, 2, mask=True, background=0.02, train_fraction=0.8, use_all=use_all)
    only = case.update(evaluate_only=True)
    assert only.find(ObjectSums) is None and only.find(ProbeSums) is None
    fit = {"tested": 0.0, "tested_loss": 0.0, "expected_loss": 0.0, "expected_variance": 0.0}
    assert replace(only.sums, **fit) == case.update().sums and only.sums.tested == 9
    assert only.sums.loss > 0


def test_losses_of_a_split():
    """Train and held-out losses are those of the thinned counts against shares of one intensity."""
    case = small_problem(2, 2, mask=True, train_fraction=0.8)
    patterns, n, w = case.patterns[0], case.problem.pixels, case.problem.weights
    train = dense(patterns.fitted, 0, 9, n, np, np.float64)
    sums = case.update().sums
    assert sums.loss == pytest.approx(reference_loss(case.problem, case.model, train), rel=1e-11)
    held = dense(patterns.held, 0, 9, n, np, np.float64)
    np.testing.assert_array_equal((train + held) * w, case.counts * w)
    scaled = reference_intensities(case.problem, case.model) * 0.25
    expected = w * (scaled - held + held * np.log(np.where(held > 0, held, 1) / (scaled + 1e-9)))
    assert sums.held_loss == pytest.approx(expected.sum(), rel=1e-9)
    metrics = case.algorithm.metrics(case.update())
    assert metrics["validation"] == pytest.approx(expected.sum() / 9, rel=1e-9)


def test_loss_of_the_finish_is_that_of_the_training_share():
    split = small_problem(2, 1, mask=True, train_fraction=0.8)
    finish = split.with_settings(use_all=True)
    problem = replace(finish.problem, mean_counts=split.problem.mean_counts / 0.8)
    finish = finish.of(problem, finish.blocks)
    model = split.algorithm.full_dose(split.model)
    assert finish.update(model).sums.loss == pytest.approx(split.update().sums.loss, rel=1e-11)
    assert np.isnan(finish.algorithm.metrics(finish.update(model))["validation"])
    assert finish.update(model).sums.electrons == pytest.approx((finish.problem.weights * finish.counts).sum())


@pytest.mark.parametrize(("start", "iteration", "moves"), [(None, 5, False), (3, 2, False), (3, 3, True), (0, 0, True)])
def test_probe_sums_only_where_the_probe_moves(start, iteration, moves):
    case = small_problem()
    rules = replace(case.problem.settings.probe_rules, update_start=start)
    case = case.with_settings(probe_rules=rules)
    update = case.update(replace(case.model, iteration=iteration))
    assert (update.find(ProbeSums) is not None) == moves
    assert update.find(ObjectSums) is not None


@pytest.mark.parametrize("kind", ["phase", "complex"])
def test_single_precision_stays_single(kind):
    case = small_problem(2, 2, np.float32, kind)
    update = case.update()
    real, complex_ = np.float32, np.complex64
    assert update[ObjectSums].gradient.dtype == (real if kind == "phase" else complex_)
    assert update[ObjectSums].illumination.dtype == real
    assert update[ProbeSums].gradient.dtype == complex_
    assert update[ProbeSums].illumination.dtype == real
    double = small_problem(2, 2, np.float64, kind).update()
    scale = np.abs(double[ObjectSums].gradient).max()
    np.testing.assert_allclose(update[ObjectSums].gradient, double[ObjectSums].gradient, atol=1e-4 * scale)


@pytest.mark.parametrize(
    "options",
    [
        {"S": 1, "M": 1},
        {"S": 2, "M": 3, "mask": True, "background": 0.05},
        {"S": 4, "M": 2, "train_fraction": 0.8, "mask": True},
        {"S": 2, "M": 1, "train_fraction": 0.8, "use_all": True},
        {"S": 2, "M": 2, "noise": False},
        {"S": 2, "M": 1, "electrons": 8e4},
        {"S": 2, "M": 2, "residual": "amplitude", "electrons": 2e4, "background": 0.05, "mask": True},
        {"S": 1, "M": 1, "probe_rules": ProbeRules(None, False, None)},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["phase", "complex"])
@pytest.mark.parametrize("backend", ["numpy", "cpu"])
def test_single_precision_agrees_with_double(options, kind, backend):
    """Whatever kernels single precision takes, its maps and sums are those of double precision."""
    one = small_problem(dtype=np.float32, kind=kind, tile=(2, 2), backend=backend, **options).update()
    two = small_problem(dtype=np.float64, kind=kind, tile=(2, 2), **options).update()
    for field in fields(one.sums):
        # the sum over n - I cancels
        tolerance = 1e-4 if field.name == "background_numerator" else 2e-5
        expected = getattr(two.sums, field.name)
        assert getattr(one.sums, field.name) == pytest.approx(expected, rel=tolerance), field.name
    assert (one.find(ProbeSums) is None) == (two.find(ProbeSums) is None)
    for kind_ in (ObjectSums, ProbeSums) if two.find(ProbeSums) is not None else (ObjectSums,):
        for name in ("gradient", "illumination"):
            found, expected = getattr(one[kind_], name), getattr(two[kind_], name)
            assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_window_of_a_block_lies_where_its_positions_are():
    case = small_problem(scan=(4, 4), tile=(2, 2), step=6.0)
    whole, _ = case.object_sums(case.update())
    last = case.updates()[-1]
    assert isinstance(case.blocks[-1], Block)
    assert last[ObjectSums].corner[0] > 4 and last[ObjectSums].corner[1] > 4
    assert last[ObjectSums].gradient.shape[1] < whole.shape[1]


@pytest.mark.gpu
def test_a_device_gives_the_same():
    if not cupy_available():
        pytest.skip("no CUDA device with CuPy")
    options = {"mask": True, "kind": "complex", "train_fraction": 0.8, "background": 0.02}
    case = small_problem(2, 2, **options)
    found = Plain(case.problem, "cupy").partial(case.blocks[0], case.patterns[0], case.model)
    close(found, small_problem(2, 2, **options).update(), 1e-10)
