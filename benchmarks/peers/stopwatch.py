"""What the runners share, in any environment with NumPy: the clock, when to stop, the phase after every iteration."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np


class Stopwatch:
    """Wall time of every iteration; with ``images`` in the parameters also the phase after it.

    A timing stops after ``iterations`` and one before them, which may hold compilation. An image stops when the
    iterations after the first have taken ``seconds``.
    """

    def __init__(self, p: dict[str, Any]) -> None:
        self.p = p
        self.seconds: list[float] = []
        self.phases: list[np.ndarray] = []
        self.last = time.perf_counter()

    def start(self) -> None:
        """The clock starts now."""
        self.last = time.perf_counter()

    def iteration(self, phase: Callable[[], np.ndarray]) -> bool:
        """One iteration is done; ``phase`` gives [y, x] in rad, summed over slices. True if it was the last one."""
        self.seconds.append(time.perf_counter() - self.last)
        if "images" in self.p:
            self.phases.append(np.array(phase(), np.float32))
            enough = sum(self.seconds[1:]) >= self.p["seconds"]
        else:
            enough = len(self.seconds) > self.p["iterations"]
        self.last = time.perf_counter()  # copying the phase does not count
        return enough

    def answer(self, first_position: np.ndarray | list[float], pixel: float, **more: Any) -> dict[str, Any]:
        """What a runner prints. ``first_position``: pixel (y, x) of the first position; ``pixel`` in angstrom."""
        if "images" in self.p:
            np.save(self.p["images"], np.stack(self.phases))
        return {
            **more,
            "threads": self.p["threads"],
            "iterations": len(self.seconds) - 1,
            "seconds_per_iteration": median(self.seconds[1:]),
            "seconds": self.seconds,
            "pixel_angstrom": float(pixel),
            "origin_angstrom": [-float(c) * float(pixel) for c in first_position],
        }
