"""The compiled CPU path gives the sums of its NumPy reference, to float32 rounding."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import partial, partial_cpu, small_problem

from ptychodask.counts.events import to_events
from ptychodask.counts.patterns import dense as as_dense
from ptychodask.counts.patterns import prepare, reunited
from ptychodask.kernels.cpu.workspace import RUN, from_panels, map_to_panels, to_panels, workspace
from ptychodask.solver.unknowns.object import ObjectSums
from ptychodask.solver.unknowns.probe import ProbeSums

TOLERANCE = 1e-5


def close(fast: np.ndarray, reference: np.ndarray) -> bool:
    return float(np.abs(fast - reference).max()) <= TOLERANCE * float(np.abs(reference).max())


def both(case, *, patterns=None, **changes):
    """Reference and fast update of every block of a case."""
    for block, held in zip(case.blocks, patterns or case.patterns, strict=True):
        yield (
            partial(case.problem, block, held, case.model, **changes),
            partial_cpu(case.problem, block, held, case.model, **changes),
        )


@pytest.mark.parametrize("kind", ["phase", "complex"])
@pytest.mark.parametrize("residual", ["poisson", "amplitude"])
@pytest.mark.parametrize(
    ("S", "M", "n"), [(1, 1, 16), (2, 3, 16), (4, 1, 24), (3, 2, 32), (2, 2, 20), (2, 1, 64), (1, 2, 30)]
)
def test_all_sums_agree(kind, residual, S, M, n):
    case = small_problem(
        S, M, np.float32, kind, residual, mask=True, background=0.05, n=n, train_fraction=0.8, scan=(3, 5), tile=(2, 3)
    )
    for reference, fast in both(case):
        assert close(fast[ObjectSums].gradient, reference[ObjectSums].gradient)
        assert fast[ObjectSums].gradient.dtype == reference[ObjectSums].gradient.dtype
        assert close(fast[ObjectSums].illumination, reference[ObjectSums].illumination)
        assert close(fast[ProbeSums].gradient, reference[ProbeSums].gradient)
        assert close(fast[ProbeSums].illumination, reference[ProbeSums].illumination)
        assert fast[ObjectSums].corner == reference[ObjectSums].corner
        for field in dataclasses.fields(fast.sums):
            a, b = getattr(fast.sums, field.name), getattr(reference.sums, field.name)
            # the background's numerator is a difference of large sums
            assert a == pytest.approx(b, rel=TOLERANCE, abs=TOLERANCE * fast.sums.electrons), field.name


@pytest.mark.parametrize("kind", ["phase", "complex"])
def test_evaluation_alone_gives_the_same_losses(kind):
    case = small_problem(2, 2, np.float32, kind, train_fraction=0.8)
    for (_, full), (_, only) in zip(both(case), both(case, evaluate_only=True), strict=True):
        assert only.find(ObjectSums) is None and only.find(ProbeSums) is None
        assert only.sums == full.sums


def test_the_finish_fits_all_and_measures_the_training_electrons():
    case = small_problem(2, 1, np.float32, train_fraction=0.8, use_all=True)
    patterns = [
        reunited(
            prepare(
                case.counts[b.flat(case.problem.scan_shape)],
                b.flat(case.problem.scan_shape),
                case.problem.weights,
                0.8,
                3,
            )
        )
        for b in case.blocks
    ]
    assert all(p.train is not None for p in patterns)
    for reference, fast in both(case, patterns=patterns):
        assert close(fast[ObjectSums].gradient, reference[ObjectSums].gradient)
        assert fast.sums.loss == pytest.approx(reference.sums.loss, rel=TOLERANCE)
        assert fast.sums.electrons == reference.sums.electrons


def test_float_counts_without_noise():
    case = small_problem(2, 1, np.float32, noise=False)
    for reference, fast in both(case):
        assert close(fast[ObjectSums].gradient, reference[ObjectSums].gradient)
        # the model is far from the data, so the loss is a sum and not a small difference
        assert fast.sums.loss == pytest.approx(reference.sums.loss, rel=1e-4)


def test_same_bits_from_every_thread():
    """Buffers belong to a thread, and the bits do not depend on where they lie."""
    case = small_problem(3, 2, np.float32, scan=(4, 4), tile=(2, 2))

    def run(_: int) -> list[bytes]:
        pairs = zip(case.blocks, case.patterns, strict=True)
        updates = [partial_cpu(case.problem, b, p, case.model) for b, p in pairs]
        return [u[ObjectSums].gradient.tobytes() + u[ProbeSums].gradient.tobytes() for u in updates]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(run, range(8)))
    assert all(r == results[0] for r in results)


def test_what_a_thread_computed_before_does_not_matter():
    """Buffers are kept: another shape, and patterns with more electrons, leave nothing behind."""
    small = small_problem(2, 1, np.float32, n=20, scan=(4, 4), tile=(2, 2))
    before = partial_cpu(small.problem, small.blocks[0], small.patterns[0], small.model)
    other = small_problem(3, 2, np.float32, n=32)
    partial_cpu(other.problem, other.blocks[0], other.patterns[0], other.model)
    partial_cpu(small.problem, small.blocks[1], small.patterns[1], small.model)
    after = partial_cpu(small.problem, small.blocks[0], small.patterns[0], small.model)
    assert np.array_equal(before[ObjectSums].gradient, after[ObjectSums].gradient) and before.sums == after.sums


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("use_all", [False, True])
def test_a_block_of_several_runs(dense, use_all):
    """Three runs of compiled code and one pattern more; the loss may be measured on other counts than are fitted."""
    case = small_problem(
        2, 2, np.float32, mask=True, background=0.02, train_fraction=0.8, use_all=use_all, scan=(5, 5), tile=(5, 5)
    )
    (block,) = case.blocks
    assert block.size == 3 * RUN + 1
    patterns = prepare(case.block_counts(block), np.arange(25), case.problem.weights, 0.8, 3)
    patterns = reunited(patterns) if use_all else patterns
    if dense:
        n = case.problem.pixels
        whole = {
            name: as_dense(getattr(patterns, name), 0, 25, n, np, np.uint16)
            for name in ("fitted", "train") if getattr(patterns, name) is not None
        }  # fmt: skip
        patterns = dataclasses.replace(patterns, **whole)
    for reference, fast in both(case, patterns=[patterns]):
        assert close(fast[ObjectSums].gradient, reference[ObjectSums].gradient)
        assert close(fast[ProbeSums].gradient, reference[ProbeSums].gradient)
        assert fast.sums.electrons == reference.sums.electrons
        for name in ("intensity", "loss", "held_loss"):
            assert getattr(fast.sums, name) == pytest.approx(getattr(reference.sums, name), rel=TOLERANCE), name


def test_dense_counts_leave_nothing_to_events():
    case = small_problem(2, 1, np.float32, train_fraction=None, scan=(4, 4), tile=(4, 4))
    (block,), (patterns,) = case.blocks, case.patterns
    events = to_events(case.block_counts(block))
    patterns = dataclasses.replace(patterns, fitted=events)
    before = partial_cpu(case.problem, block, patterns, case.model)
    full = dataclasses.replace(patterns, fitted=np.full_like(case.block_counts(block), 7))
    partial_cpu(case.problem, block, full, case.model)
    after = partial_cpu(case.problem, block, patterns, case.model)
    assert np.array_equal(before[ObjectSums].gradient, after[ObjectSums].gradient) and before.sums == after.sums


def test_an_interrupt_leaves_nothing_behind(monkeypatch):
    """The thread's buffers serve the next block, whatever became of this one."""
    case = small_problem(2, 1, np.float32, train_fraction=0.8, scan=(4, 4), tile=(2, 2))
    before = partial_cpu(case.problem, case.blocks[1], case.patterns[1], case.model)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("ptychodask.kernels.cpu.block._run", interrupted)
        partial_cpu(case.problem, case.blocks[0], case.patterns[0], case.model)
    after = partial_cpu(case.problem, case.blocks[1], case.patterns[1], case.model)
    assert np.array_equal(before[ObjectSums].gradient, after[ObjectSums].gradient) and before.sums == after.sums


@pytest.mark.parametrize("n", [8, 20, 33])
def test_panels_hold_the_pattern(n):
    rng = np.random.default_rng(n)
    values = (rng.normal(size=(2, n, n)) + 1j * rng.normal(size=(2, n, n))).astype(np.complex64)
    panels = to_panels(values)
    assert np.array_equal(from_panels(panels, n), values)
    # group of rows y // 8, then column x, then row y % 8
    assert panels[1, (n - 1) // 8, 1, 8 * 3 + (n - 1) % 8] == values[1, n - 1, 3].imag
    assert map_to_panels(np.ones((n, n), np.float32)).sum() == n * n


def test_lanes_beyond_the_pattern_stay_empty():
    case = small_problem(2, 2, np.float32, n=20, background=0.1)
    partial_cpu(case.problem, case.blocks[0], case.patterns[0], case.model)
    space = workspace(2, 2, 20)
    assert not space.waves[:, :, :, 20:].any() and not space.waves[:, :, 2, ..., 4:].any()
    assert space.waves[1, 1, :2, :20].any()


@pytest.mark.parametrize("wrong", [0.0, float("nan"), 1e9])
@pytest.mark.parametrize("run", [partial, partial_cpu])
def test_positions_outside_of_the_object_are_an_error(run, wrong):
    """Never a write beyond it: positions that were read as zeros broke the heap."""
    case = small_problem(1, 1, np.float32)
    bad = dataclasses.replace(case.problem, centres=np.full_like(case.problem.centres, wrong))
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="positions are wrong"):
        run(bad, case.blocks[0], case.patterns[0], case.model)


@pytest.mark.parametrize("change", ["object", "probe"])
def test_a_model_of_another_problem_is_an_error(change):
    """Compiled code would read beyond it."""
    case = small_problem(2, 1, np.float32)
    cut = {"object": case.model.object[:1], "probe": case.model.probe[:, 1:, 1:]}
    with pytest.raises(ValueError, match="is not of this problem, which has 2 and 16 x 16"):
        partial_cpu(
            case.problem, case.blocks[0], case.patterns[0], dataclasses.replace(case.model, **{change: cut[change]})
        )


def test_a_problem_needs_a_position_for_every_pattern():
    problem = small_problem(1, 1).problem
    with pytest.raises(ValueError, match=r"8 positions for a scan of \(3, 3\)"):
        dataclasses.replace(problem, centres=problem.centres[1:])
