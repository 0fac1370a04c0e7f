"""The GPU path through CuPy's door, with a stand-in for CuPy that has its signatures and refusals."""

from __future__ import annotations

import threading
import weakref
from dataclasses import replace

import fake_cupy
import numpy as np
import pytest
from cuda_host import COMPILER, HostDevice
from helpers import small_problem
from test_partial_gpu import bits, partial_gpu

from ptychodask._errors import InputError
from ptychodask.kernels.gpu import device, staging
from ptychodask.kernels.gpu import workspace as workspace_gpu
from ptychodask.kernels.gpu.device import CupyDevice
from ptychodask.kernels.gpu.fit import compare as compare_gpu
from ptychodask.kernels.gpu.workspace import choose_device, gpu_workspace, make_workspace
from ptychodask.solver.unknowns.object import ObjectSums
from ptychodask.solver.update import Sums

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no g++")


@pytest.fixture(autouse=True)
def cupy(monkeypatch):
    fake_cupy.install(monkeypatch)
    device._module.cache_clear()
    yield
    device._module.cache_clear()
    workspace_gpu._kept.clear()


def case_of(n, kind="phase", **changes):
    options = {"mask": True, "background": 0.02, "train_fraction": 0.8, "backend": "cupy", **changes}
    case = small_problem(2, 2, np.float32, kind, scan=(3, 5), tile=(2, 3), n=n, **options)
    chains, batch = choose_device(2, 2, n, 6, 64)
    assert chains == (n == 64)
    return replace(case, chains=chains, batch=min(batch, 4))


def on_the_host(case, **options):
    """What the same kernels give without CuPy's ways."""
    space = make_workspace(case.problem, 2, HostDevice(case.problem.pixels), case.chains, case.batch)
    pairs = zip(case.blocks, case.patterns, strict=True)
    return [partial_gpu(case.problem, b, p, case.model, space=space, **options) for b, p in pairs]


def fits_on_the_host(case):
    """How well it fits: of so few patterns all are compared."""
    space = make_workspace(case.problem, 2, HostDevice(case.problem.pixels), case.chains, case.batch)
    for block, patterns in zip(case.blocks, case.patterns, strict=True):
        every = np.arange(block.size)
        fit = compare_gpu(case.problem, space, block, patterns.fitted, case.model, every)
        names = ("tested", "tested_loss", "expected_loss", "expected_variance")
        yield Sums(**dict(zip(names, (float(block.size), *fit), strict=True)))


@pytest.mark.parametrize("changes", [{"kind": "phase"}, {"kind": "complex", "train_fraction": None}])
@pytest.mark.parametrize("n", [16, 64])
def test_nothing_is_lost_on_the_way(n, changes):
    case = case_of(n, **changes)
    assert list(map(bits, case.updates())) == list(map(bits, on_the_host(case)))
    losses = [u.sums for u in case.updates(evaluate_only=True)]
    looks = [u.sums for u in on_the_host(case, evaluate_only=True)]
    assert losses == [look + fit for look, fit in zip(looks, fits_on_the_host(case), strict=True)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_dense_counts_pass(dtype):
    case = case_of(16, train_fraction=None)
    pairs = zip(case.blocks, case.patterns, strict=True)
    patterns = [replace(p, fitted=case.block_counts(b).astype(dtype)) for b, p in pairs]
    case = replace(case, patterns=patterns)
    assert list(map(bits, case.updates())) == list(map(bits, on_the_host(case)))


def test_one_slice_and_no_electrons_send_empty_arrays():
    case = small_problem(1, 1, np.float32, n=16, backend="cupy", electrons=1e-6)
    (update,) = replace(case, batch=4).updates()
    assert update.sums.electrons == 0 and np.isfinite(update[ObjectSums].gradient).all()


def test_threads_have_their_own_queues():
    case = case_of(64)
    found = []
    threads = [threading.Thread(target=lambda: found.append([bits(u) for u in case.updates()])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [list(map(bits, on_the_host(case)))] * 3


def test_the_workspace_before_is_gone_when_the_next_is_made(monkeypatch):
    case = case_of(16)
    found = []
    pool = device.backend_module("cupy").get_default_memory_pool()
    shape = (2, case.chains, case.batch)
    before = weakref.ref(gpu_workspace(case.problem, *shape))
    monkeypatch.setattr(pool, "free_all_blocks", lambda: found.append(before() is None))
    assert gpu_workspace(case.problem, *shape) is before() and not found
    assert gpu_workspace(replace(case.problem), *shape) is before() and not found  # of the same tables
    gpu_workspace(replace(case.problem, weights=case.problem.weights.copy()), *shape)
    assert found == [True]


def test_a_device_with_less_shared_memory_than_the_first(monkeypatch):
    monkeypatch.setattr(device, "shared_memory", lambda: 32 * 1024)
    with pytest.raises(InputError, match=r"offers 32768 bytes .* need 33792"):
        CupyDevice(64, True)
    CupyDevice(64, False)


@pytest.mark.parametrize("ask", [lambda d: d.empty((300,), np.uint8), lambda d: d.upload(np.zeros(300, np.uint8))])
def test_a_full_device_is_one_line(monkeypatch, ask):
    monkeypatch.setattr(fake_cupy, "LARGEST", 256)
    with CupyDevice(16, False) as full, pytest.raises(InputError, match="GiB do not fit on the device") as error:
        ask(full)
    assert "\n" not in str(error.value)


def test_a_device_is_tried_out(monkeypatch):
    assert device.device_trouble() == ""
    kernel = fake_cupy.HostDevice.launch
    with monkeypatch.context() as patch:
        patch.setattr(fake_cupy.HostDevice, "launch", lambda *a: (kernel(*a), a[-2].fill(0)))
        assert device.device_trouble() == "a transform of ones gives wrong numbers"

    def absent(self, name):
        raise ImportError("libnvrtc.so.12: cannot open\nmore")

    monkeypatch.setattr(fake_cupy.RawModule, "get_function", absent)
    assert device.device_trouble() == "ImportError: libnvrtc.so.12: cannot open"


@pytest.mark.parametrize("largest", [staging.LARGEST, 4096], ids=["roomy", "tight"])
def test_many_arrays_pass_at_once(monkeypatch, largest):
    """Those under way keep their place while the buffer grows, and a full one is waited for."""
    monkeypatch.setattr(staging, "SMALLEST", 1024)
    monkeypatch.setattr(staging, "LARGEST", largest)
    rng = np.random.default_rng(0)
    sizes = [1, 130, 0, 700, 3000, 5, 300, 1000, 129]
    with CupyDevice(16, False) as queue:
        for _ in range(3):
            arrays = [rng.normal(size=n).astype(np.float32) for n in sizes]
            sent = []
            for array in arrays:
                changed = array.copy()
                sent.append(queue.upload(changed))
                changed[:] = 7.0  # the caller may
            for found, array in zip(queue.download(*sent), arrays, strict=True):
                np.testing.assert_array_equal(found, array)
        once = len(queue._staging._buffer)
        queue.download(*[queue.upload(array) for array in arrays])
        assert len(queue._staging._buffer) == once


def test_arrays_that_are_not_contiguous_pass():
    values = np.arange(24, dtype=np.int32).reshape(4, 6)
    with CupyDevice(16, False) as queue:
        (found,) = queue.download(queue.upload(values.T[1:]))
    np.testing.assert_array_equal(found, values.T[1:])
