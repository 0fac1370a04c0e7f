"""How long does one pattern take, and how far is that from the FFTs alone?

Microseconds per pattern of one partial update on one thread, against slices S, modes M, pattern side N and backend, for
a block of 16 x 16 positions, which is the default (8 x 8 for the plain NumPy kernels and for the error). Two limits are
measured in the same process: the same number of transforms (4 S M less the M of a held probe) on tiles in the
first-level cache, and a copy of as many bytes as must pass, from a wave to a wave. FLOP are counted as 5 N^2 log2 N^2
per transform and 60 per pixel, slice and mode. Bytes: a wave passes in or out 3 times in a transmission and in
an adjoint, 2 times in a propagation, and 2 + 2 + 2 times at probe, detector and source of the residual; the object is
read twice per slice, gradient and light are read and written, once for all modes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from record import arguments, save

from ptychodask.kernels import kernels_for
from ptychodask.kernels.cpu.chain import NOTHING
from ptychodask.kernels.cpu.fft import fft
from ptychodask.kernels.cpu.vectors import compiled
from ptychodask.kernels.cpu.workspace import groups_of, workspace
from ptychodask.kernels.plain import Plain
from ptychodask.model.blocks import Block
from ptychodask.model.optics import Microscope
from ptychodask.model.scan import make_canvas, raster
from ptychodask.model.state import Model
from ptychodask.physics.constraints import PositivePhase
from ptychodask.physics.modes import hermite_modes
from ptychodask.physics.probe import make_probe
from ptychodask.physics.propagation import fresnel_propagator
from ptychodask.solver.lsqml import LsqMl
from ptychodask.solver.problem import Problem
from ptychodask.solver.settings import ProbeRules, Settings
from ptychodask.solver.unknowns.object import ObjectSums

QUESTION = "microseconds per pattern of a partial update on one thread, and the share of it that the FFTs take"
PIXEL, WAVELENGTH, SIDE, REPEATS = 0.3273, 0.019687, 16, 5


def case(slices: int, modes: int, n: int, backend: str, side: int = SIDE) -> tuple[LsqMl, Block, Any, Model]:
    """A block of side^2 patterns at 100 electrons each and a random pure phase object."""
    rng = np.random.default_rng(1)
    positions = raster((side, side), (1.05, 1.05)).reshape(-1, 2)
    canvas, centres = make_canvas(positions, n, PIXEL)
    microscope = Microscope(300e3, 10.0, {"C10": -600.0 * n / 128})
    probe = hermite_modes(make_probe(microscope, n, PIXEL, 90.0), modes, 0.02).astype(np.complex64)
    mean = np.abs(np.fft.fft2(probe[0], norm="ortho")) ** 2
    counts = rng.poisson(mean, (side * side, n, n)).astype(np.uint8)
    propagators = np.empty((slices - 1, n, n), np.complex64)
    propagators[:] = fresnel_propagator(n, PIXEL, WAVELENGTH, 10.0)
    settings = Settings(
        "poisson", 0.1, 1.0, 1.0, 0.1, 0, True, False, 0.9, False, 0, 8,
        (PositivePhase(),), ProbeRules(None, True, None),
    )  # fmt: skip
    weights = np.ones((n, n), np.float32)
    problem = Problem(canvas, (side, side), centres, weights, propagators, 90.0, settings)
    solver, block = LsqMl(problem, kernels_for(problem, backend)), Block(0, 0, side, 0, side)
    object_ = (0.1 * rng.random((slices, *canvas.shape))).astype(np.float32)
    return solver, block, solver.prepare(block, counts), Model(object_, probe)


def microseconds(function: Callable[[], Any], patterns: int) -> float:
    """Median time per pattern."""
    function()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return median(times) / patterns * 1e6


@compiled
def repeat(t: Any, tiles: Any, count: int) -> None:
    """``count`` transforms of eight columns on the tiles of one thread."""
    start, step = np.intp(tiles.ctypes.data), 4 * tiles.shape[1]
    pair, other = (start, start + step), (start + 2 * step, start + 3 * step)
    to = pair if t.in_place else other
    for _ in range(count):
        fft(t, t.rows, pair, other[0], pair[0], step, to, NOTHING)


def transforms(count: int, n: int) -> Callable[[], None]:
    """So many two-dimensional transforms and nothing else, on data in the first-level cache."""
    space = workspace(1, 1, n)
    space.panels.fill(0)  # unnormalised transforms of transforms would overflow
    return lambda: repeat(space.transforms, space.panels, 2 * groups_of(n) * count)


def copies(n: int) -> Callable[[], None]:
    """A hundred copies of a wave."""
    a, b = np.zeros((n, n), np.complex64), np.ones((n, n), np.complex64)

    def run() -> None:
        for _ in range(100):
            np.copyto(a, b)

    return run


def row(slices: int, modes: int, n: int, backend: str) -> dict[str, Any]:
    side = SIDE if backend == "cpu" else SIDE // 2
    solver, block, patterns, model = case(slices, modes, n, backend, side)
    whole = microseconds(lambda: solver.partial(block, patterns, model, False), block.size)
    result: dict[str, Any] = {"S": slices, "M": modes, "N": n, "backend": backend, "microseconds": whole}
    count = 4 * slices * modes - modes  # a held probe needs no transform back to the entrance
    result["fft_count"] = count
    wave, between = 8 * n * n, 4 * (slices - 1)
    result["bytes"] = wave * (modes * (6 * slices + between + 6) + 4 * slices)
    result["gflop"] = (count * 10 * n * n * np.log2(n) + 60 * slices * modes * n * n) / 1e9
    if backend == "cpu":
        fft = microseconds(transforms(count, n), 1)
        copy = microseconds(copies(n), 1) * result["bytes"] / (100 * 2 * wave)
        result.update(copy_microseconds=copy, copy_share=copy / whole)
        result.update(fft_microseconds=fft, fft_share=fft / whole, gflop_per_second=result["gflop"] / whole * 1e6)
        solver, block, patterns, model = case(slices, modes, n, backend, SIDE // 2)
        reference = Plain(solver.problem).partial(block, patterns, model, False)
        fast = solver.partial(block, patterns, model, False)
        error = np.abs(fast[ObjectSums].gradient - reference[ObjectSums].gradient).max()
        result["gradient_error"] = float(error / np.abs(reference[ObjectSums].gradient).max())
    return result


if __name__ == "__main__":
    options = arguments(QUESTION)
    sizes = [
        (4, 2, 128),
        (1, 1, 128),
        (2, 1, 128),
        (4, 1, 128),
        (8, 1, 128),
        (4, 4, 128),
        (12, 6, 128),
        (4, 2, 64),
        (4, 2, 256),
    ]
    if options.tiny:
        sizes = [(2, 1, 32)]
    rows = [row(*size, backend) for size in sizes for backend in ("cpu", "numpy")]
    save("per_pattern", QUESTION, {"rows": rows}, options)
