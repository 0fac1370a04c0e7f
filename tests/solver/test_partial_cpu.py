"""The compiled CPU path gives the sums of its NumPy reference, to float32 rounding."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import small_problem

from ptychodask._errors import InputError
from ptychodask.solver.partial import partial
from ptychodask.solver.partial_cpu import partial_cpu
from ptychodask.solver.patterns import prepare
from ptychodask.solver.workspace import fft_library, measure_plans, workspace

TOLERANCE = 1e-5
LIBRARIES = ["scipy", pytest.param("fftw", marks=pytest.mark.skipif(fft_library() != "fftw", reason="no pyFFTW"))]


def close(fast: np.ndarray, reference: np.ndarray) -> bool:
    return float(np.abs(fast - reference).max()) <= TOLERANCE * float(np.abs(reference).max())


def both(case, fft, *, patterns=None, **changes):
    """Reference and fast update of every block of a case."""
    problem = dataclasses.replace(case.problem, fft=fft)
    for block, held in zip(case.blocks, patterns or case.patterns, strict=True):
        yield (
            partial(problem, block, held, case.model, **changes),
            partial_cpu(problem, block, held, case.model, **changes),
        )


@pytest.mark.parametrize("fft", LIBRARIES)
@pytest.mark.parametrize("kind", ["phase", "complex"])
@pytest.mark.parametrize("residual", ["poisson", "amplitude"])
@pytest.mark.parametrize(("S", "M", "n"), [(1, 1, 16), (2, 3, 16), (4, 1, 24), (3, 2, 32)])
def test_all_sums_agree(fft, kind, residual, S, M, n):
    case = small_problem(
        S, M, np.float32, kind, residual, mask=True, background=0.05, n=n, train_fraction=0.8, scan=(3, 5), tile=(2, 3)
    )
    for reference, fast in both(case, fft):
        assert close(fast.object.gradient, reference.object.gradient)
        assert fast.object.gradient.dtype == reference.object.gradient.dtype
        assert close(fast.object.illumination, reference.object.illumination)
        assert close(fast.probe.gradient, reference.probe.gradient)
        assert close(fast.probe.illumination, reference.probe.illumination)
        assert fast.object.corner == reference.object.corner
        for field in dataclasses.fields(fast.sums):
            a, b = getattr(fast.sums, field.name), getattr(reference.sums, field.name)
            # the background's numerator is a difference of large sums
            assert a == pytest.approx(b, rel=TOLERANCE, abs=TOLERANCE * fast.sums.electrons), field.name


@pytest.mark.parametrize("kind", ["phase", "complex"])
def test_evaluation_alone_gives_the_same_losses(kind):
    case = small_problem(2, 2, np.float32, kind, train_fraction=0.8)
    for (_, full), (_, only) in zip(both(case, "scipy"), both(case, "scipy", evaluate_only=True), strict=True):
        assert only.object is None and only.probe is None
        assert only.sums == full.sums


def test_the_finish_fits_all_and_measures_the_training_electrons():
    case = small_problem(2, 1, np.float32, train_fraction=0.8, use_all=True)
    patterns = [
        prepare(
            case.counts[b.flat(case.problem.scan_shape)],
            b.flat(case.problem.scan_shape),
            case.problem.weights,
            0.8,
            3,
            True,
        )
        for b in case.blocks
    ]
    assert all(p.train is not None for p in patterns)
    for reference, fast in both(case, "scipy", patterns=patterns):
        assert close(fast.object.gradient, reference.object.gradient)
        assert fast.sums.loss == pytest.approx(reference.sums.loss, rel=TOLERANCE)
        assert fast.sums.electrons == reference.sums.electrons


def test_float_counts_without_noise():
    case = small_problem(2, 1, np.float32, noise=False)
    for reference, fast in both(case, "scipy"):
        assert close(fast.object.gradient, reference.object.gradient)
        # the model is far from the data, so the loss is a sum and not a small difference
        assert fast.sums.loss == pytest.approx(reference.sums.loss, rel=1e-4)


@pytest.mark.parametrize("fft", LIBRARIES)
def test_same_bits_from_every_thread(fft):
    """Buffers belong to a thread, and a plan does not depend on where its buffer lies."""
    case = small_problem(3, 2, np.float32, scan=(4, 4), tile=(2, 2))
    problem = dataclasses.replace(case.problem, fft=fft)

    def run(_: int) -> list[bytes]:
        updates = [partial_cpu(problem, b, p, case.model) for b, p in zip(case.blocks, case.patterns, strict=True)]
        return [u.object.gradient.tobytes() + u.probe.gradient.tobytes() for u in updates]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(run, range(8)))
    assert all(r == results[0] for r in results)


@pytest.mark.skipif(fft_library() != "fftw", reason="no pyFFTW")
def test_measured_plans_travel_as_wisdom():
    """One process measures; others plan from its wisdom, in every thread alike; a shape it lacks is refused."""
    wisdom = measure_plans(2, 32)
    case = small_problem(3, 2, np.float32, n=32)
    problem = dataclasses.replace(case.problem, fft="fftw", wisdom=wisdom)
    update = partial_cpu(problem, case.blocks[0], case.patterns[0], case.model)
    assert close(update.object.gradient, partial(problem, case.blocks[0], case.patterns[0], case.model).object.gradient)
    with ThreadPoolExecutor(3) as pool:
        again = list(pool.map(lambda _: partial_cpu(problem, case.blocks[0], case.patterns[0], case.model), range(6)))
    assert all(np.array_equal(u.object.gradient, update.object.gradient) for u in again)
    with pytest.raises(InputError, match="other bits"):
        workspace(3, 2, 40, "fftw", wisdom)
