"""CUDA C++ kernels of the partial update, as source text: compiled where they run, for the side N of the pattern.

They do what the plain code in ``views``, ``multislice`` and ``likelihood`` does, which stays their reference. The
sources read in the order of ``FILES``; README.md in this folder counts their bytes.
"""

from __future__ import annotations

from importlib.resources import files

from ....physics.expected_loss import ENTRIES, FAINTEST, TOP
from ....physics.likelihood import FISHER_STEP, LOG_FLOOR
from ...terms import enumerations

CHUNKS = 8
"""Thread blocks that share a pattern on the detector."""
DETECTOR_THREADS = 256
TILES = (64, 128)
"""Sides N of patterns whose whole multislice chain runs in one kernel, with the wave in shared memory."""
KERNELS = (
    "expand_phase", "make_ramps", "spread", "widen_u8", "widen_u16", "shift", "transmit", "propagate", "adjoint",
    "detector", "compare", "predict", "line", "add_light", "add_gradient", "add_phase_terms", "add_probe",
    "add_probe_light", "add_moments",
)  # fmt: skip
CHAINS = ("chain_forward", "chain_backward")

FILES = ("wave.cuh", "tables.cu", "events.cu", "waves.cu", "detector.cu", "window.cu", "probe.cu")
TILE_FILES = ("fft.cuh", "chain.cu")


def kernels(pixels: int) -> tuple[str, ...]:
    """Names of the kernels for patterns of N = ``pixels``."""
    return KERNELS + (CHAINS if pixels in TILES else ())


def source(pixels: int) -> str:
    """One translation unit with all kernels: a change of any file changes what a compiler's cache is keyed by."""
    names = FILES + (TILE_FILES if pixels in TILES else ())
    return enumerations() + "\n".join(
        f'#line 1 "{name}"\n{(files(__name__) / name).read_text(encoding="utf-8")}' for name in names
    )


def options(pixels: int) -> tuple[str, ...]:
    """Options of the compiler (NVRTC)."""
    return (
        "--std=c++17",
        f"-DPIXELS={pixels}",
        f"-DCHUNKS={CHUNKS}",
        f"-DDETECTOR_THREADS={DETECTOR_THREADS}",
        f"-DLOG_FLOOR={LOG_FLOOR!r}",
        f"-DFISHER_STEP={FISHER_STEP!r}f",
        f"-DEXPECTED_ENTRIES={ENTRIES}",
        f"-DEXPECTED_FAINTEST={FAINTEST!r}f",
        f"-DEXPECTED_TOP={TOP!r}f",
    )


def sums_bytes(terms: int) -> int:
    """Dynamic shared memory of a kernel that makes so many sums on the detector."""
    return 8 * terms * DETECTOR_THREADS


def chain_threads(pixels: int) -> int:
    """Threads per block of the chains."""
    return 4 * pixels


def chain_bytes(pixels: int) -> int:
    """Dynamic shared memory of the chains: the tile with its pitch, and the twiddles."""
    return 8 * (pixels * (pixels + 1) + pixels)
