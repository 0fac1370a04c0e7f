"""The detector's part of the GPU path: counts as events to dense mini-batches, and the losses and totals of a block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._array import Array
from ...counts.events import Events
from ...counts.patterns import Patterns
from ...model.state import Model
from ...physics.likelihood import AMPLITUDE_FLOOR
from ...solver.problem import Problem
from ...solver.update import Sums
from ..terms import DETECTOR, FIT
from . import cuda
from .device import Device
from .workspace import THREADS, GpuWorkspace


@dataclass(frozen=True)
class DeviceEvents:
    """Events of a block on the device, in CSR form."""

    start: Array
    pixel: Array
    count: Array


def sent(counts: Events | np.ndarray, device: Device) -> DeviceEvents | np.ndarray:
    """Events go to the device at once; dense counts with the mini-batch that wants them."""
    return _send(counts, device) if isinstance(counts, Events) else counts


def _send(events: Events, device: Device) -> DeviceEvents:
    return DeviceEvents(
        device.upload(events.start.astype(np.int32)),
        device.upload(events.pixel.astype(np.uint32)),
        device.upload(events.count.astype(np.float32)),
    )


def dense(source: DeviceEvents | np.ndarray, part: slice, space: GpuWorkspace, buffer: Array) -> Array:
    """Counts of a mini-batch as float32 [B, N, N] on the device, in the buffer unless they come as such."""
    device, batch = space.device, part.stop - part.start
    if isinstance(source, DeviceEvents):
        device.launch("spread", (batch,), (THREADS,), 0, source.start, source.pixel, source.count, part.start, buffer)
        return buffer
    kernel = {"uint8": "widen_u8", "uint16": "widen_u16"}.get(source.dtype.name)
    if kernel is None:
        return device.upload(source[part].astype(np.float32))
    space.per_pixel(kernel, batch, device.upload(source[part]), buffer)
    return buffer


@dataclass(frozen=True)
class Detector:
    """The counts of a block, the constants of the likelihood, and the sums that the detector makes."""

    problem: Problem
    fitted: DeviceEvents | np.ndarray
    train: DeviceEvents | np.ndarray | None
    held: DeviceEvents | None
    background: float
    share: float
    ratio: float
    scale: bool
    sums: Array

    @classmethod
    def of(cls, problem: Problem, patterns: Patterns, model: Model, device: Device, size: int, scale: bool) -> Detector:
        """Send the block's events; ``scale`` turns psi into the residual."""
        fraction = problem.settings.train_fraction
        held = patterns.held if fraction is not None else None
        share = fraction if fraction is not None and patterns.train is not None else 1.0
        ratio = (1 - fraction) / fraction if fraction is not None and held is not None else 0.0
        sums = device.empty((size, cuda.CHUNKS, len(DETECTOR)), np.float64)
        fitted, train = sent(patterns.fitted, device), patterns.train if fraction is not None else None
        return cls(
            problem, fitted, None if train is None else sent(train, device),
            None if held is None else _send(held, device), float(model.background), share, ratio, scale, sums,
        )  # fmt: skip

    def measure(self, space: GpuWorkspace, modes: int, part: slice) -> None:
        """Sums of a mini-batch, and psi times the residual factor."""
        likelihood = self.problem.likelihood
        poisson = likelihood.residual == "poisson"
        counts = measured = dense(self.fitted, part, space, space.counts)
        if self.train is not None:
            measured = dense(self.train, part, space, space.measured)
        held = self.held or DeviceEvents(None, None, None)  # null pointers, not read where nothing is held out
        space.device.launch(
            "detector", (cuda.CHUNKS, part.stop - part.start), (cuda.DETECTOR_THREADS,), cuda.sums_bytes(len(DETECTOR)),
            space.psi, counts, measured, held.start, held.pixel, held.count, part.start, space.weights, modes, poisson,
            self.scale, self.background, float(likelihood.epsilon) if poisson else AMPLITUDE_FLOOR, self.share,
            self.ratio, self.sums[part],
        )  # fmt: skip

    def total(self, sums: np.ndarray) -> Sums:
        """Sums of the block, added in the order of its patterns."""
        values = dict(zip(DETECTOR, sums.reshape(-1, len(DETECTOR)).sum(axis=0).tolist(), strict=True))
        if not self.problem.settings.background:
            values |= {"background_numerator": 0.0, "background_denominator": 0.0}
        return Sums(patterns=float(len(sums)), **values)


def compare(
    problem: Problem,
    counts: DeviceEvents | np.ndarray,
    part: slice,
    space: GpuWorkspace,
    model: Model,
    expected: Array,
    sums: Array,
) -> None:
    """Of a mini-batch whose waves are on the detector, the sums that say how well the model fits."""
    likelihood = problem.likelihood
    measured = dense(counts, part, space, space.counts)
    space.device.launch(
        "compare", (cuda.CHUNKS, part.stop - part.start), (cuda.DETECTOR_THREADS,), cuda.sums_bytes(len(FIT)),
        space.psi, measured, space.weights, len(model.probe), likelihood.residual == "poisson", float(model.background),
        float(likelihood.epsilon), expected, sums,
    )  # fmt: skip
