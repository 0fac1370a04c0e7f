"""The partial update on the CPU at full speed: pattern by pattern, so that all waves of a pattern stay in the cache.

The same sums as :func:`ptychodask.solver.partial.partial`, which is its reference (to float32 rounding). FFTs are
unnormalised; with N the side of the pattern the factors are folded into the tables: 1/N into the probe's spectra, 1/N^2
into the propagators, 1/N^2 into intensity and into the residual factor.
"""

from __future__ import annotations

import numpy as np

from ..model.blocks import Block
from ..model.state import Model, is_pure_phase, transmission
from ..physics import fused
from ..physics.likelihood import AMPLITUDE_FLOOR, FISHER_STEP, LOG_FLOOR
from ..physics.views import split_positions, window
from .patterns import Events, Patterns
from .problem import Problem, probe_spectra
from .update import ObjectSums, ProbeSums, Sums, Update
from .workspace import Workspace, aligned, floats, workspace


def partial_cpu(
    problem: Problem, block: Block, patterns: Patterns, model: Model, *, evaluate_only: bool = False
) -> Update:
    """Sums of one block; see :func:`ptychodask.solver.partial.partial`."""
    n, slices = problem.pixels, problem.slices
    positions = np.asarray(model.positions)[block.flat(problem.scan_shape)]
    corners, fractions = split_positions(positions, n)
    view = window(corners, n)
    corner = (int(view[0].start), int(view[1].start))
    corners = corners - np.array(corner)
    pure = is_pure_phase(model.object)
    objects = np.ascontiguousarray(transmission(model.object[:, view[0], view[1]]).astype(np.complex64, copy=False))
    spectra = np.ascontiguousarray(probe_spectra(model.probe) / np.float32(n)).astype(np.complex64, copy=False)
    tables = problem.propagators / np.float32(n * n)
    conjugates = floats(np.ascontiguousarray(tables.conj()))
    tables = floats(np.ascontiguousarray(tables))
    q = np.fft.fftfreq(n)
    ramps = floats(np.exp(-2j * np.pi * fractions[:, :, None] * q).astype(np.complex64))
    moves = problem.probe_moves(model.iteration) and not evaluate_only
    gradient = np.zeros(objects.shape, dtype=np.float32 if pure else np.complex64)
    light = np.zeros(objects.shape, dtype=np.float32)
    probe_gradient = aligned(spectra.shape, np.complex64)
    probe_light = np.zeros((n, n), dtype=np.float32)
    space = workspace(slices, len(spectra), n, problem.fft, problem.wisdom)
    adjoint = fused.adjoint_phase if pure else fused.adjoint_complex
    object_floats, gradient_floats = floats(objects), gradient if pure else floats(gradient)
    waves = [floats(t.buffer) for t in space.waves]
    detector = floats(space.detector.buffer)
    sums = np.zeros(6)
    for b in range(block.size):
        row, column = int(corners[b, 0]), int(corners[b, 1])
        fused.shift_spectra(floats(spectra), ramps[b, 0], ramps[b, 1], waves[0])
        space.waves[0].inverse()
        for s in range(slices - 1):
            fused.transmit(waves[s], object_floats[s], row, column, waves[s + 1])
            space.waves[s + 1].forward()
            fused.multiply(waves[s + 1], tables[s])
            space.waves[s + 1].inverse()
        fused.transmit(waves[-1], object_floats[-1], row, column, detector)
        space.detector.forward()
        fused.predict(detector, np.float32(1 / n**2), np.float32(model.background), space.intensity)
        _measure(problem, patterns, b, space, sums, evaluate_only)
        if evaluate_only:
            continue
        fused.scale_by(detector, space.rho)
        space.detector.inverse()
        for s in range(slices - 1, -1, -1):
            adjoint(waves[s], detector, object_floats[s], row, column, gradient_floats[s], light[s])
            if s > 0:
                space.detector.forward()
                fused.multiply(detector, conjugates[s - 1])
                space.detector.inverse()
        if moves:
            space.detector.forward()
            fused.unshift_add(detector, ramps[b, 0], ramps[b, 1], floats(probe_gradient))
            views = objects[0, row : row + n, column : column + n]
            probe_light += views.real**2 + views.imag**2
    total = Sums(float(block.size), *sums.tolist())
    if evaluate_only:
        return Update(total)
    probe = None
    if moves:
        # fft (unnormalised) and ifft (1/N^2) of the mean of residuals
        probe = ProbeSums(np.fft.ifft2(probe_gradient).astype(np.complex64), probe_light)
    return Update(total, ObjectSums(corner, gradient, light), probe)


def _fill(counts: Events | np.ndarray, b: int, buffer: np.ndarray) -> np.ndarray:
    """The counts of pattern b as float32 [N, N], in the buffer where they are events."""
    if isinstance(counts, np.ndarray):
        buffer[...] = counts[b]
        return buffer
    low, high = counts.start[b], counts.start[b + 1]
    fused.spread(counts.pixel[low:high], counts.count[low:high], buffer)
    return buffer


def _poisson_loss(
    source: Events | np.ndarray,
    b: int,
    counts: np.ndarray,
    space: Workspace,
    problem: Problem,
    share: float,
) -> float:
    """Shifted Poisson loss of a pattern against ``share`` of the intensity, see ``likelihood.loss``."""
    weights, e = problem.weights, problem.likelihood.epsilon * share
    small = np.float32(e)
    electrons, expected = fused.totals(counts, space.intensity, weights)
    # rho is not set yet: its buffer serves as scratch
    fused.logarithm(space.intensity, np.float32(share), small, space.rho, space.rho.view(np.int32), space.logs)
    value = share * expected - electrons - fused.cross_entropy(counts, space.logs, weights, small)
    if isinstance(source, Events):
        low, high = source.start[b], source.start[b + 1]
        pixels, count = source.pixel[low:high], source.count[low:high]
        return value + fused.self_entropy(pixels, count, weights, e, problem.used_pixels)
    fused.logarithm(counts, np.float32(1), small, space.rho, space.rho.view(np.int32), space.logs)
    return value + fused.cross_entropy(counts, space.logs, weights, small)


def _empty(counts: Events | np.ndarray, b: int, buffer: np.ndarray) -> None:
    if isinstance(counts, Events):
        fused.clear(counts.pixel[counts.start[b] : counts.start[b + 1]], buffer)


def _measure(
    problem: Problem, patterns: Patterns, b: int, space: Workspace, sums: np.ndarray, evaluate_only: bool
) -> None:
    """Add a pattern's losses and totals to ``sums`` (in the order of :class:`Sums`) and set its residual factor."""
    settings, weights, intensity = problem.settings, problem.weights, space.intensity
    epsilon = problem.likelihood.epsilon
    poisson = settings.residual == "poisson"
    counts = _fill(patterns.fitted, b, space.counts)
    electrons, expected = fused.totals(counts, intensity, weights)
    share, measured = 1.0, counts
    if patterns.train is not None and settings.train_fraction is not None:
        share, measured = settings.train_fraction, _fill(patterns.train, b, space.measured)
    if poisson:
        source = patterns.fitted if patterns.train is None else patterns.train
        loss = _poisson_loss(source, b, measured, space, problem, share)
    else:
        loss = fused.loss_amplitude(measured, intensity, weights, share)
    held = 0.0
    if patterns.held is not None and settings.train_fraction is not None:
        low, high = patterns.held.start[b], patterns.held.start[b + 1]
        ratio = (1 - settings.train_fraction) / settings.train_fraction
        pixels, count = patterns.held.pixel[low:high], patterns.held.count[low:high]
        held = fused.loss_held(pixels, count, intensity, ratio, expected, LOG_FLOOR)
    sums[:4] += (electrons, expected, loss, held)
    if settings.background:
        sums[4:] += fused.background_sums(counts, intensity, weights, epsilon if poisson else AMPLITUDE_FLOOR)
    if not evaluate_only:
        factor = np.float32(FISHER_STEP if poisson else 1.0) / np.float32(intensity.size)
        force = fused.force_poisson if poisson else fused.force_amplitude
        force(counts, intensity, weights, np.float32(epsilon if poisson else AMPLITUDE_FLOOR), factor, space.rho)
    _empty(patterns.fitted, b, space.counts)
    if measured is space.measured:
        _empty(patterns.train, b, space.measured)  # type: ignore[arg-type]
