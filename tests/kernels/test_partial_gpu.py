"""The GPU path gives the sums of its NumPy reference: its kernels on the host, and on a device where there is one."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
from cuda_host import COMPILER, HostDevice
from helpers import partial, small_problem

from ptychodask._array import cupy_available
from ptychodask._errors import InputError
from ptychodask.counts.patterns import Events
from ptychodask.kernels import gpu
from ptychodask.kernels.gpu import cuda
from ptychodask.kernels.gpu import workspace as workspace_gpu
from ptychodask.kernels.gpu.device import CupyDevice, device_trouble
from ptychodask.kernels.gpu.workspace import (
    bytes_per_pattern,
    choose_device,
    gpu_workspace,
    make_workspace,
    mini_batch,
)
from ptychodask.model.geometry import Geometry
from ptychodask.model.refining import Refine
from ptychodask.model.row_drift import NAMES as ROWS
from ptychodask.solver.settings import ProbeRules
from ptychodask.solver.unknowns.geometry import GeometrySums
from ptychodask.solver.unknowns.object import ObjectSums
from ptychodask.solver.unknowns.probe import ProbeSums

TOLERANCE = 1e-5
no_device = pytest.mark.skipif(not cupy_available(), reason="no CUDA device with CuPy")
HOST = pytest.param("host", marks=pytest.mark.skipif(COMPILER is None, reason="no g++"))
DEVICES = [HOST, pytest.param("cupy", marks=[pytest.mark.gpu, no_device])]


@pytest.fixture(params=DEVICES)
def device(request):
    """Factory of devices for the side N of a pattern and its way through the slices."""

    def make(n: int, way: str) -> HostDevice | CupyDevice:
        return HostDevice(n) if request.param == "host" else CupyDevice(n, way == "chain")

    return make


def small(S=1, M=1, kind="phase", residual="poisson", **options):
    """15 patterns in blocks of 6, 3, 4 and 2, in mini-batches of 4: with tails everywhere."""
    return small_problem(S, M, np.float32, kind, residual, scan=(3, 5), tile=(2, 3), **options)


def partial_gpu(problem, block, patterns, model, *, space, evaluate_only=False):
    return gpu.block.partial(problem, space, block, patterns, model, evaluate_only)


def workspace_of(case, way, device, batch=4):
    n, chains = case.problem.pixels, way == "chain"
    return make_workspace(case.problem, len(case.model.probe), device(n, way), chains, batch)


def updates(case, way, device, *, batch=4, **changes):
    """Reference and GPU update of every block."""
    problem = case.problem
    space = workspace_of(case, way, device, batch)
    for block, patterns in zip(case.blocks, case.patterns, strict=True):
        yield (
            partial(problem, block, patterns, case.model, **changes),
            partial_gpu(problem, block, patterns, case.model, space=space, **changes),
        )


def assert_close(found: np.ndarray, reference: np.ndarray) -> None:
    assert found.shape == reference.shape and found.dtype == reference.dtype
    assert np.abs(reference).max() > 0
    assert float(np.abs(found - reference).max()) <= TOLERANCE * float(np.abs(reference).max())


def assert_same_sums(found, reference) -> None:
    for field in dataclasses.fields(found.sums):
        a, b = getattr(found.sums, field.name), getattr(reference.sums, field.name)
        # the background's numerator is a difference of large sums
        assert a == pytest.approx(b, rel=TOLERANCE, abs=TOLERANCE * found.sums.electrons), field.name


def assert_same(found, reference) -> None:
    assert_same_sums(found, reference)
    assert found[ObjectSums].corner == reference[ObjectSums].corner
    parts = [(found[ObjectSums], reference[ObjectSums])]
    assert (found.find(ProbeSums) is None) == (reference.find(ProbeSums) is None)
    if reference.find(ProbeSums) is not None:
        parts.append((found[ProbeSums], reference[ProbeSums]))
    for a, b in parts:
        assert_close(a.gradient, b.gradient)
        assert_close(a.illumination, b.illumination)


@pytest.mark.parametrize("kind", ["phase", "complex"])
@pytest.mark.parametrize("residual", ["poisson", "amplitude"])
@pytest.mark.parametrize(
    ("S", "M", "n", "way"),
    [
        (1, 1, 16, "cufft"),
        (2, 3, 16, "cufft"),
        (4, 2, 16, "cufft"),
        (1, 6, 16, "cufft"),
        (1, 1, 64, "chain"),
        (2, 2, 64, "chain"),
        (4, 3, 64, "chain"),
        (2, 6, 64, "chain"),
    ],
)
def test_all_sums_agree(device, kind, residual, S, M, n, way):
    case = small(S, M, kind, residual, n=n, mask=True, background=0.05, train_fraction=0.8)
    for reference, found in updates(case, way, device):
        assert_same(found, reference)


@pytest.mark.parametrize("kind", ["phase", "complex"])
def test_the_largest_tile(device, kind):
    case = small_problem(3, 2, np.float32, kind, n=128, scan=(1, 3), mask=True, background=0.05, electrons=3000)
    for reference, found in updates(case, "chain", device, batch=2):
        assert_same(found, reference)


@pytest.mark.parametrize(("n", "way"), [(16, "cufft"), (64, "chain")])
def test_evaluation_alone_gives_the_same_losses(device, n, way):
    case = small(2, 2, n=n, train_fraction=0.8, background=0.02)
    only = [u for _, u in updates(case, way, device, evaluate_only=True)]
    for (_, full), update in zip(updates(case, way, device), only, strict=True):
        assert update.find(ObjectSums) is None and update.find(ProbeSums) is None
        assert update.sums == full.sums and update.sums.loss > 0


@pytest.mark.parametrize(("n", "way"), [(16, "cufft"), (64, "chain")])
def test_a_held_probe(device, n, way):
    case = small(2, 2, n=n, probe_rules=ProbeRules(None, False, None))
    for reference, found in updates(case, way, device):
        assert found.find(ProbeSums) is None
        assert_same(found, reference)


@pytest.mark.parametrize("moves", [True, False])
@pytest.mark.parametrize(("n", "way"), [(16, "cufft"), (64, "chain")])
def test_sums_of_the_geometry(device, n, way, moves):
    """Its score and its information, with the probe free and held; of the other sums not a bit is changed."""
    rng, known = np.random.default_rng(4), {"units": np.ones(8), "prior": np.ones(8), "limits": np.full(8, np.inf)}
    phases = rng.standard_normal((1, n, n)).astype(np.float32)
    names = ("defocus", "rotation", *ROWS)
    rules = Refine(names, Geometry(0.1), phases, centre=(3.0, 4.0), begins=0, stride=2, across=(0.1, 0.02), **known)
    case = small(2, 2, n=n, mask=True, **({} if moves else {"probe_rules": ProbeRules(None, False, None)}))
    refining = dataclasses.replace(case.problem, settings=dataclasses.replace(case.problem.settings, refine=rules))
    informed = 0
    with_geometry = updates(dataclasses.replace(case, problem=refining), way, device)
    for (reference, found), (_, without) in zip(with_geometry, updates(case, way, device), strict=True):
        assert_same(found, reference)
        assert without.find(GeometrySums) is None
        np.testing.assert_array_equal(found[ObjectSums].gradient, without[ObjectSums].gradient)
        assert_close(found[GeometrySums].score, reference[GeometrySums].score)
        size = np.abs(reference[GeometrySums].information).max()
        informed += size > 0
        assert np.abs(found[GeometrySums].information - reference[GeometrySums].information).max() <= 1e-5 * size
    assert informed > 1


@pytest.mark.parametrize("residual", ["poisson", "amplitude"])
def test_the_finish_fits_all_and_measures_the_training_electrons(device, residual):
    case = small(2, 2, residual=residual, n=16, train_fraction=0.8, use_all=True, mask=True, background=0.02)
    assert all(p.train is not None for p in case.patterns)
    for reference, found in updates(case, "cufft", device):
        assert_same(found, reference)


@pytest.mark.parametrize(
    ("dtype", "electrons"), [(np.uint8, 5e3), (np.uint16, 5e4), (np.int32, 5e4), (np.float32, 300)]
)
def test_dense_counts_of_any_type(device, dtype, electrons):
    case = small(1, 1, n=16, noise=dtype != np.float32, electrons=electrons, defocus=600.0)
    counts = case.counts.astype(dtype)
    patterns = [
        dataclasses.replace(p, fitted=counts[b.flat((3, 5))]) for b, p in zip(case.blocks, case.patterns, strict=True)
    ]
    case = dataclasses.replace(case, patterns=patterns)
    for reference, found in updates(case, "cufft", device):
        assert_same(found, reference)


def test_events_after_dense_counts(device):
    """Buffers are kept between blocks; what one block left in them does not reach the next."""
    case = small(1, 1, n=16, electrons=30.0)
    problem = case.problem
    space = workspace_of(case, "cufft", device)
    block, events = case.blocks[0], case.patterns[0]
    assert isinstance(events.fitted, Events)
    full = dataclasses.replace(events, fitted=np.full((block.size, 16, 16), 9, np.uint8))
    before = partial_gpu(problem, block, events, case.model, space=space)
    assert partial_gpu(problem, block, full, case.model, space=space).sums.electrons == 9 * 256 * block.size
    after = partial_gpu(problem, block, events, case.model, space=space)
    assert bits(before) == bits(after)
    assert_same(after, partial(problem, block, events, case.model))


def bits(update) -> list[bytes]:
    maps = [
        update[ObjectSums].gradient,
        update[ObjectSums].illumination,
        update[ProbeSums].gradient,
        update[ProbeSums].illumination,
    ]
    return [m.tobytes() for m in maps] + [np.array(dataclasses.astuple(update.sums)).tobytes()]


@pytest.mark.parametrize("kind", ["phase", "complex"])
@pytest.mark.parametrize(("n", "way"), [(16, "cufft"), (64, "chain")])
def test_same_bits_again_and_in_another_workspace(device, n, way, kind):
    case = small(2, 3, kind, n=n, mask=True, background=0.02, train_fraction=0.8)
    runs = [[bits(u) for _, u in updates(case, way, device)] for _ in range(2)]
    assert runs[0] == runs[1]


def test_chains_give_the_same_bits_in_mini_batches_of_any_size(device):
    """All sums are added in the order of the patterns, one by one, and no FFT knows how many run beside it."""
    case = small(2, 2, n=64, mask=True, background=0.02, train_fraction=0.8)
    runs = [[bits(u) for _, u in updates(case, "chain", device, batch=batch)] for batch in (1, 4, 6)]
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize(("n", "way"), [(16, "cufft"), (64, "chain")])
@pytest.mark.skipif(COMPILER is None, reason="no g++")
def test_same_bits_in_any_order_of_threads(n, way):
    """What a missing barrier would let through depends on who comes first."""
    case = small(2, 2, "complex", n=n, mask=True, background=0.02, train_fraction=0.8)
    runs = [
        [bits(u) for _, u in updates(case, way, lambda n, _, r=reverse: HostDevice(n, reverse=r))]
        for reverse in (False, True)
    ]
    assert runs[0] == runs[1]


@pytest.mark.skipif(COMPILER is None, reason="no g++")
def test_the_host_waits_once_per_block():
    case = small(2, 2, n=64, train_fraction=0.8)
    device = HostDevice(64)
    count = len(list(updates(case, "chain", lambda *_: device)))
    assert device.downloads == count == len(case.blocks)
    assert set(cuda.CHAINS) < set(device.launches) and "transmit" not in device.launches


def test_mini_batches_are_equal_parts_that_fit():
    need = bytes_per_pattern(20, 6, 128)
    assert need > 20 * 6 * 128 * 128 * 8  # at least the waves that are kept
    assert mini_batch(20, 6, 128, 256, 100 * need) == 86  # three parts of 86, 85 and 85
    assert mini_batch(20, 6, 128, 256, 10**12) == 128  # 171 would fill the device; two parts of 128
    assert mini_batch(1, 1, 64, 100, 10**12) == 100
    with pytest.raises(InputError, match=r"20 slices and 6 modes needs .* MiB on the device, and a thread may take"):
        mini_batch(20, 6, 128, 256, need - 1)


@pytest.mark.parametrize(
    ("shared", "pixels", "chains"),
    [(163 * 1024, 128, True), (99 * 1024, 128, False), (99 * 1024, 64, True), (227 * 1024, 256, False)],
    ids=["A100", "small device", "small tile", "large tile"],
)
def test_a_wave_stays_in_shared_memory_where_it_fits(monkeypatch, shared, pixels, chains):
    monkeypatch.setattr(workspace_gpu, "shared_memory", lambda: shared)
    monkeypatch.setattr(workspace_gpu, "free_memory", lambda: 16 * 2**30)
    assert choose_device(4, 2, pixels, 16, 1) == (chains, 16)
    # two threads have half each of half of what is free
    budget = 2 * 2 * 5 * bytes_per_pattern(4, 2, pixels)
    monkeypatch.setattr(workspace_gpu, "free_memory", lambda: budget)
    assert choose_device(4, 2, pixels, 10, 2) == (chains, 5)


@pytest.mark.gpu
@no_device
def test_the_device_here_computes():
    assert device_trouble() == ""


@pytest.mark.gpu
@no_device
def test_the_present_device_is_chosen_for_and_used():
    chains, batch = choose_device(2, 2, 64, 15, 1)
    assert chains and batch == 15
    case = small(2, 2, n=64, train_fraction=0.8, backend="cupy")
    case = dataclasses.replace(case, chains=chains, batch=batch)
    kept = gpu_workspace(case.problem, 2, chains, batch)
    found = case.updates()
    assert gpu_workspace(case.problem, 2, chains, batch) is kept
    for block, patterns, update in zip(case.blocks, case.patterns, found, strict=True):
        assert_same(update, partial(case.problem, block, patterns, case.model))


@pytest.mark.gpu
@no_device
@pytest.mark.parametrize("kind", ["phase", "complex"])
@pytest.mark.parametrize("batch", [1, 8, 64])
def test_the_line_search_on_a_device(kind, batch):
    """In mini-batches of one and of several patterns: the same, and that of the processor to the rounding of a
    difference."""
    case = small(3, 2, kind, n=16, mask=True, tangent_stride=1)
    move = case.algorithm.direction(case.start(), case.update())
    on_device, on_cpu = (dataclasses.replace(case, backend=b, batch=batch).algorithm for b in ("cupy", "cpu"))
    for block, patterns in zip(case.blocks, case.patterns, strict=True):
        found, reference = (a.line_search(block, patterns, case.model, move).sums for a in (on_device, on_cpu))
        assert found.line_denominator == pytest.approx(reference.line_denominator, rel=1e-3)
        assert found.line_numerator == pytest.approx(reference.line_numerator, rel=1e-3)


@pytest.mark.gpu
@no_device
def test_threads_have_their_own_streams_and_the_same_bits():
    case = small(2, 2, n=64, train_fraction=0.8, backend="cupy")
    case = dataclasses.replace(case, chains=True, batch=4)
    results: list[list[list[bytes]]] = []
    threads = [threading.Thread(target=lambda: results.append([bits(u) for u in case.updates()])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and all(r == results[0] for r in results)
