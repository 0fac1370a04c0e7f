"""How counts are held: as events or dense, whichever is smaller, packed run by run, and never another count."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from helpers import partial, partial_cpu, small_problem

from ptychodask.counts.events import Events, events_below, gather_events, join_events, pick
from ptychodask.counts.patterns import Patterns, dense, prepare, reunited, to_events
from ptychodask.solver.unknowns.object import ObjectSums

N = 16
ONES = np.ones((N, N), np.float32)


def poisson(mean: float, dtype=np.uint8, patterns: int = 12) -> np.ndarray:
    return np.random.default_rng(4).poisson(mean, (patterns, N, N)).astype(dtype)


def whole(part) -> np.ndarray:
    length = len(part) if isinstance(part, np.ndarray) else len(part.start) - 1
    return dense(part, 0, length, N, np, np.float64)


def runs(counts, *cuts):
    return iter(np.split(counts, cuts))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(("mean", "container"), [(0.01, "events"), (30.0, "dense")])
def test_the_smaller_container_is_taken_and_named(dtype, mean, container):
    counts = poisson(mean, dtype)
    made = prepare(counts, np.arange(12), ONES, None, 0)
    assert made.container == ("events" if container == "events" else dtype)
    assert made.nbytes <= counts.nbytes
    np.testing.assert_array_equal(whole(made.fitted), counts)
    if container == "dense":
        assert made.fitted.dtype == dtype  # as stored, not as floats


def test_it_is_chosen_by_bytes_exactly():
    """16-bit counts up to 255: four bytes per event would be two too many, an event is two for the pixel and one."""
    counts = poisson(0.5, np.uint16)
    events = to_events(counts)
    assert events.count.dtype == np.uint8 and events.pixel.dtype == np.uint16
    assert events.nbytes == 8 * 13 + 3 * np.count_nonzero(counts)
    assert events_below(counts, events.nbytes) is None
    assert events_below(counts, events.nbytes + 1) is not None


def test_large_counts_and_many_pixels_get_wider_types():
    counts = np.zeros((2, 300, 300), np.uint16)
    counts[1, 299, 299], counts[0, 0, 1] = 40_000, 1
    events = to_events(counts)
    assert (events.pixel.dtype, events.count.dtype) == (np.uint32, np.uint16)
    assert events.pixel.tolist() == [1, 300 * 300 - 1] and events.count.tolist() == [1, 40_000]
    assert events.start.tolist() == [0, 1, 2]


@pytest.mark.parametrize("side", [15, 16])  # 15 x 15 is no whole number of 8-byte words
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_events_of_any_pattern(side, dtype):
    counts = np.random.default_rng(0).poisson(0.3, (5, side, side)).astype(dtype)
    counts[3] = 0
    events = to_events(counts)
    pattern, y, x = np.nonzero(counts)
    np.testing.assert_array_equal(events.pixel, y * side + x)
    np.testing.assert_array_equal(events.count, counts[pattern, y, x])
    np.testing.assert_array_equal(np.diff(events.start), [np.count_nonzero(c) for c in counts])


@pytest.mark.parametrize("fraction", [None, 0.8])
@pytest.mark.parametrize("use_all", [False, True])
@pytest.mark.parametrize("mean", [0.02, 0.4, 20.0])
def test_runs_of_patterns_give_what_the_whole_gives(fraction, use_all, mean):
    counts = poisson(mean)
    counts[4:8] = np.random.default_rng(1).poisson(3.0, (4, N, N))  # one run wants another container than the rest
    options = (np.arange(30, 42), ONES, fraction, 7)
    one, two = prepare(counts, *options), prepare(runs(counts, 4, 8, 9), *options)
    if use_all:
        one, two = reunited(one), reunited(two)
    for name in ("fitted", "train", "held"):
        a, b = getattr(one, name), getattr(two, name)
        assert type(a) is type(b), name
        if a is not None:
            np.testing.assert_array_equal(whole(a), whole(b))
    assert one.nbytes == two.nbytes


def test_joined_events_are_those_of_the_whole():
    counts = poisson(0.1)
    counts[:4] = 0
    joined, direct = join_events([to_events(c) for c in runs(counts, 4, 9)]), to_events(counts)
    for name in ("start", "pixel", "count"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(direct, name))


def test_picked_events_are_those_that_are_not_empty():
    events = to_events(poisson(0.1))
    count = np.random.default_rng(0).binomial(events.count, 0.5).astype(np.uint8)
    found, keep = pick(events, count), count > 0
    np.testing.assert_array_equal(found.start, np.concatenate([[0], np.cumsum(keep)])[events.start])
    np.testing.assert_array_equal(found.pixel, events.pixel[keep])
    np.testing.assert_array_equal(found.count, count[keep])
    assert 0 < len(found.count) < len(events.count)


def test_gathered_events_are_the_pieces_in_order():
    first, end = np.array([7, 0, 3, 3]), np.array([9, 2, 3, 7])
    pixel, count = np.arange(10, 20, dtype=np.uint16), np.arange(250, 260, dtype=np.uint16)
    found = gather_events(first, end, pixel, count, 10**9)
    order = np.concatenate([np.arange(a, b) for a, b in zip(first, end, strict=True)])
    assert found.start.tolist() == [0, 2, 4, 4, 8]
    np.testing.assert_array_equal(found.pixel, pixel[order])
    np.testing.assert_array_equal(found.count, count[order])
    assert found.count.dtype == np.uint16 and gather_events(first, end, pixel, count - 100, 10**9).count.dtype == "u1"
    assert gather_events(first, end, pixel, count, found.nbytes) is None
    assert gather_events(first, end, pixel, count, found.nbytes + 1) is not None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_dense_counts_are_split_like_events(dtype):
    """The same electrons are held out, however the counts are held."""
    counts = poisson(6.0, dtype)
    mask = ONES.copy()
    mask[:, :5] = 0
    made = prepare(counts, np.arange(12), mask, 0.8, 3)
    assert isinstance(made.fitted, np.ndarray) and made.fitted.dtype == dtype
    assert isinstance(made.held, Events)
    seen = counts * mask.astype(dtype)
    np.testing.assert_array_equal(whole(made.held), seen - made.fitted)
    assert made.fitted.sum() / seen.sum() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("use_all", [False, True])
@pytest.mark.parametrize(
    "kernel",
    [
        partial,
        partial_cpu,
    ],
)
def test_kernels_take_both_containers(kernel, use_all):
    """Dense counts in the stored type and events give the same update, in training and in the finish."""
    case = small_problem(2, 1, np.float32, train_fraction=0.8, use_all=use_all, electrons=2e5)
    block = case.blocks[0]
    made = prepare(case.counts, block.flat(case.problem.scan_shape), case.problem.weights, 0.8, 3)
    made = reunited(made) if use_all else made
    assert isinstance(made.fitted, np.ndarray)
    train = None if made.train is None else to_events(made.train)
    other = Patterns(to_events(made.fitted), train, made.held, made.pixels)
    one, two = (kernel(case.problem, block, p, case.model) for p in (made, other))
    np.testing.assert_array_equal(one[ObjectSums].gradient, two[ObjectSums].gradient)
    assert one.sums.loss == pytest.approx(two.sums.loss, rel=1e-5)
    assert (one.sums.electrons, one.sums.held_loss) == (two.sums.electrons, two.sums.held_loss)


@pytest.mark.parametrize("fraction", [None, 0.9])
def test_a_block_is_never_there_as_dense_pixels(fraction):
    """64 patterns of 128 x 128 take 1 MiB as uint8; packing 64 such runs needs a few of them at a time."""
    runs_of, patterns, n = 64, 64, 128
    rng = np.random.default_rng(0)
    weights = np.ones((n, n), np.float32)

    def parts():
        for _ in range(runs_of):
            part = np.zeros((patterns, n * n), np.uint8)
            part[np.arange(patterns)[:, None], rng.integers(0, n * n, (patterns, 100))] = 1
            yield part.reshape(patterns, n, n)

    prepare(next(parts()), np.arange(patterns), weights, fraction, 0)  # compiles
    tracemalloc.start()
    made = prepare(parts(), np.arange(runs_of * patterns), weights, fraction, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(made.fitted.start) == runs_of * patterns + 1
    assert peak < 2.5 * made.nbytes + 4 * patterns * n * n < 0.2 * runs_of * patterns * n * n


@pytest.mark.parametrize("mean", [0.02, 0.4, 20.0, 250.0])
@pytest.mark.parametrize("masked", [False, True])
def test_reunited_patterns_are_the_counts(mean, masked):
    """Of events or dense, with sums that need more bytes than either part; under the mask nobody looks."""
    counts, used = poisson(mean), ONES.copy()
    used[3:5, 2:7] = 0 if masked else 1
    split = prepare(counts, np.arange(12), used, 0.6, 7)
    both = reunited(split)
    np.testing.assert_array_equal(whole(both.fitted) * used, counts * used)
    np.testing.assert_array_equal(whole(both.train), whole(split.fitted))
    assert both.held is None and reunited(both) is both
    if isinstance(both.fitted, Events) and not masked:
        direct = to_events(counts)
        for name in ("start", "pixel", "count"):
            np.testing.assert_array_equal(getattr(both.fitted, name), getattr(direct, name))
        assert both.fitted.count.dtype == direct.count.dtype
