"""The FFT in shared memory: as exact as a float32 FFT can be, and free of bank conflicts, by its own addresses."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
import scipy.fft
from cuda_host import COMPILER, HostDevice, library

from ptychodask.kernels.gpu import cuda

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no g++")

RECORDER = r"""
// A line that writes down which address each thread touches, in the order in which it does.
static std::vector<int> touched[THREADS];
struct Recorder {
    int base;
    struct Value {
        operator float2() const { return {0.0f, 0.0f}; }
        void operator=(float2) const {}
    };
    Value operator[](int i) const { touched[threadIdx.x].push_back(base + i); return {}; }
};
static void record(int columns, const float2* twiddles) {
    for (int line = own_line(); line < N; line += LINES)
        fft_line<FORWARD>(Recorder{columns ? line : line * PITCH}, columns ? PITCH : 1, threadIdx.x & 7, twiddles);
}
// Accesses of all half warps, and the most that fell on one of 16 banks of float2 at a time.
extern "C" void bank_conflicts(int columns, int* accesses, int* worst) {
    for (auto& list : touched) list.clear();
    std::vector<float2> twiddles(N, float2{1.0f, 0.0f});
    gridDim = {1, 1, 1};
    blockDim = {THREADS, 1, 1};
    host::run_block([&] { record(columns, twiddles.data()); });
    *accesses = *worst = 0;
    for (int half = 0; half < THREADS; half += 16)
        for (size_t k = 0; k < touched[half].size(); k++, ++*accesses) {
            int banks[16] = {0};
            for (int t = half; t < half + 16; t++) *worst = std::max(*worst, ++banks[touched[t].at(k) % 16]);
        }
}
extern "C" int every_second_waits() {
    return host::run_block([&] { if (threadIdx.x & 1) __syncthreads(); });
}
extern "C" int half_a_warp_waits_for_the_warp() {
    return host::run_block([&] { if (threadIdx.x & 16) __syncwarp(); else __syncthreads(); });
}
extern "C" int one_warp_waits_longer() {
    return host::run_block([&] { __syncthreads(); if (threadIdx.x < 32) __syncwarp(); __syncthreads(); });
}
"""


@pytest.mark.parametrize("columns", [0, 1])
@pytest.mark.parametrize("n", cuda.TILES)
def test_no_bank_conflicts(n, columns):
    accesses, worst = ctypes.c_int(), ctypes.c_int()
    library(n, RECORDER).bank_conflicts(columns, ctypes.byref(accesses), ctypes.byref(worst))
    assert accesses.value == 4 * n * n // 16  # two reads and two writes of every point
    assert worst.value == 1


def test_the_recorder_sees_conflicts():
    text = RECORDER.replace("columns ? PITCH : 1, ", "columns ? PITCH - 1 : 1, ")
    accesses, worst = ctypes.c_int(), ctypes.c_int()
    library(64, text).bank_conflicts(1, ctypes.byref(accesses), ctypes.byref(worst))
    assert worst.value > 1


def test_the_host_notices_threads_that_miss_a_barrier():
    host = library(64, RECORDER)
    assert not host.every_second_waits()
    assert not host.half_a_warp_waits_for_the_warp()
    assert host.one_warp_waits_longer()  # which is allowed


def chain(n: int, spectrum: np.ndarray, reverse: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Inverse FFT of a spectrum, and the FFT of that, by the forward chain through one slice of vacuum."""
    device = HostDevice(n, reverse=reverse)
    roots = np.exp(-2j * np.pi * np.arange(n) / n).astype(np.complex64)
    wave, psi = np.empty((2, 1, 1, 1, n, n), np.complex64)
    ramps, vacuum, corners = np.ones((1, 2, n), np.complex64), np.ones((1, n, n), np.complex64), np.zeros(2, np.int32)
    device.launch(
        "chain_forward", (1,), (cuda.chain_threads(n),), cuda.chain_bytes(n), spectrum.astype(np.complex64), ramps,
        corners, vacuum, n, n, roots, roots, 1, 1, 1, 1, wave, psi,
    )  # fmt: skip
    return wave[0, 0, 0], psi[0, 0, 0]


@pytest.mark.parametrize("n", cuda.TILES)
def test_accuracy_is_that_of_a_float32_fft(n):
    rng = np.random.default_rng(3)
    spectrum = (rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n))).astype(np.complex64)
    wave, back = chain(n, spectrum)
    exact = np.fft.ifft2(spectrum.astype(complex), norm="forward")

    def error(found: np.ndarray, right: np.ndarray) -> float:
        return float(np.linalg.norm(found - right) / np.linalg.norm(right))

    library_error = error(scipy.fft.ifft2(spectrum, norm="forward"), exact)
    assert library_error < 1e-6
    assert error(wave, exact) < 2 * library_error
    assert error(back, spectrum.astype(complex) * n * n) < 4 * library_error


@pytest.mark.parametrize("n", cuda.TILES)
@pytest.mark.parametrize("point", [(0, 0), (1, 0), (0, 1), (5, 13), (63, 62)])
def test_a_single_frequency_is_a_plane_wave(n, point):
    spectrum = np.zeros((n, n))
    spectrum[point] = 1
    y, x = np.mgrid[:n, :n]
    expected = np.exp(2j * np.pi * (point[0] * y + point[1] * x) / n)
    np.testing.assert_allclose(chain(n, spectrum)[0], expected, atol=5e-7)


def test_no_thread_reads_what_another_has_yet_to_write():
    """Threads in the opposite order between barriers give the same bits."""
    rng = np.random.default_rng(4)
    spectrum = rng.standard_normal((64, 64))
    one, other = chain(64, spectrum), chain(64, spectrum, reverse=True)
    assert one[0].tobytes() == other[0].tobytes() and one[1].tobytes() == other[1].tobytes()


def test_the_host_refuses_what_cuda_would_not_notice():
    device = HostDevice(64)
    arrays = [np.zeros((64, 64), np.complex64) for _ in range(2)]
    with pytest.raises(RuntimeError, match="number of arguments"):
        device.launch("propagate", (16, 1), (256,), 0, *arrays)
    with pytest.raises(RuntimeError, match="argument 2 is complex64, and the kernel declares int32"):
        device.launch("propagate", (16, 1), (256,), 0, *arrays, arrays[0])
    with pytest.raises(RuntimeError, match="argument 0 is complex128"):  # of the size of any pointer
        device.launch("propagate", (16, 1), (256,), 0, arrays[0].astype(complex), arrays[1], 1)
    roots = np.ones(64, np.complex64)
    arguments = (arrays[0], np.ones((1, 2, 64), np.complex64), np.zeros(2, np.int32), arrays[1], 64, 64, roots, roots)
    with pytest.raises(RuntimeError, match="beyond the shared memory"):
        device.launch(
            "chain_forward", (1,), (256,), cuda.chain_bytes(64) - 64, *arguments, 1, 1, 1, 0, arrays[0], arrays[0]
        )
