"""Where does the time of a pattern go? The compiled steps one by one, N = 128, on one thread.

Microseconds of every step of ``kernels.cpu.chain`` and of the measurement, the shortest of several repetitions on
buffers that stay as warm as a pattern leaves them, and their sum for S slices and M modes with the probe held.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from per_pattern import case, transforms
from record import arguments, save

from ptychodask.kernels.cpu import chain, fused
from ptychodask.kernels.cpu.detector import counted, measure, parts_of, rules_of
from ptychodask.kernels.cpu.vectors import compiled, compiled_loops
from ptychodask.kernels.cpu.workspace import aligned, groups_of, workspace

QUESTION = "microseconds of every step of a pattern on one thread, and their shares"


def microseconds(function: Callable[[], Any], repeats: int) -> float:
    """Shortest mean time of a few rounds, without the first call, which compiles."""
    function()
    rounds = []
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(repeats):
            function()
        rounds.append((time.perf_counter() - start) / repeats)
    return min(rounds) * 1e6


def steps(slices: int, modes: int, n: int) -> list[tuple[str, int, Callable[[], Any]]]:
    """Name, calls per pattern and call of every step."""
    solver, block, patterns, model = case(slices, modes, n, "cpu", 4)
    solver.partial(block, patterns, model, False)  # leaves the waves of a real pattern in the buffers
    space, groups, side = workspace(slices, modes, n), groups_of(n), n + 80
    length, panels, waves, chi = space.transforms, space.panels, space.waves, space.chi
    window, gradient, light = aligned((2, side, side)), aligned((1, side, side)), aligned((side, side))
    table, ramp = aligned((groups, 2, 64 * groups)), aligned((2, 8 * groups))
    rules, weights = rules_of(solver.problem, patterns), solver.kernels.tables.weights
    counts = counted(parts_of(patterns, 0, 1), 1, n, space).__enter__()  # they stay in the buffers
    sums = np.zeros(6)
    between = 2 * (slices - 1) * modes
    enter, transmit, propagate, detect, emit, adjoint = (
        compiled(its.py_func)  # with a door for Python
        for its in (chain.enter, chain.transmit, chain.propagate, chain.detect, chain.emit, chain.adjoint)
    )
    predict = compiled_loops(fused.predict.py_func)
    return [
        ("probe", modes, lambda: enter(length, table, ramp, ramp, panels, waves[0, 0])),
        ("transmit, all modes", slices, lambda: transmit(length, waves[0], window, 3, 5, panels, waves[-1])),
        ("propagate", between, lambda: propagate(length, waves[-1, 0], table, panels)),
        ("detect", modes, lambda: detect(length, chi[0], panels, space.psi[0])),
        ("intensity", 1, lambda: predict(space.psi, np.float32(1), np.float32(0), space.intensity)),
        ("measure", 1, lambda: measure(rules, counts, 0, weights, space.intensity, space.rho, sums)),
        ("emit", modes, lambda: emit(length, space.psi[0], space.rho, panels, chi[0])),
        (
            "adjoint, all modes", slices,
            lambda: adjoint(length, waves[0], chi, window, 3, 5, gradient, light, panels, True),
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    options = arguments(QUESTION)
    slices, modes, n = (2, 1, 32) if options.tiny else (4, 2, 128)
    repeats = 2 if options.tiny else 200
    rows = [
        {"step": name, "calls": calls, "microseconds": microseconds(call, repeats)}
        for name, calls, call in steps(slices, modes, n)
    ]
    total = sum(row["calls"] * row["microseconds"] for row in rows)
    for row in rows:
        row["share"] = row["calls"] * row["microseconds"] / total
    result = {
        "S": slices,
        "M": modes,
        "N": n,
        "steps": rows,
        "microseconds_per_pattern": total,
        "one_transform_microseconds": microseconds(transforms(1, n), repeats),
    }
    save("kernels", QUESTION, result, options)
