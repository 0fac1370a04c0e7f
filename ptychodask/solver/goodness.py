"""Is the loss what Poisson noise around the model gives? Compared on a subset of the patterns, for a final state.

The model has been fitted to these counts, so it has taken up some of their noise: sound data give a loss somewhat below
its expectation, by half the number of unknowns that are really free, over the patterns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .._array import Array
from ..counts.patterns import Counts, Patterns, dense
from ..counts.subset import subset, taken
from ..model.blocks import Block
from ..model.state import Model
from ..physics import chain, cuda, fused
from ..physics.expected_loss import expected_loss, table
from ..physics.likelihood import loss
from ..physics.multislice import forward, intensity
from ..physics.vectors import compiled
from ..physics.views import gather
from . import detector_gpu, partial_gpu
from .detector_cpu import counted, parts_of
from .partial import batches, localise
from .partial_cpu import see
from .problem import Problem, shifted_probes
from .update import Sums
from .workspace import RUN, workspace
from .workspace_gpu import GpuWorkspace, gpu_workspace

TESTED = 2048
"""Patterns of a scan that are compared, about."""


def goodness(problem: Problem, block: Block, patterns: Patterns, model: Model) -> Sums:
    """Loss of the fitted counts, its expectation and variance, and the number of patterns compared.

    The patterns are one in n of the scan (see :func:`ptychodask.counts.subset.subset`), with n such that about
    :data:`TESTED` are taken.
    """
    stride = max(1, -(-problem.scan_shape[0] * problem.scan_shape[1] // TESTED))
    chosen = subset(block.flat(problem.scan_shape), stride, 0)
    if not len(chosen):
        return Sums()
    compare = {"numpy": compare_plain, "cpu": compare_cpu, "cupy": compare_gpu}[problem.backend]
    found, expected, variance = compare(problem, block, taken(patterns.fitted, chosen), model, chosen)
    return Sums(tested=float(len(chosen)), tested_loss=found, expected_loss=expected, expected_variance=variance)


def compare_plain(problem: Problem, block: Block, counts: Counts, model: Model, chosen: np.ndarray) -> Iterable[float]:
    """Loss, expectation and variance of the patterns at the ``chosen`` places of a block, whose counts are given."""
    local = localise(problem, block, model)
    weights = problem.weights.astype(np.float64)
    found = np.zeros(3)
    for part in batches(len(chosen), problem.settings.batch):
        views = gather(local.transmission, local.corners[chosen[part]], problem.pixels)
        probes, _ = shifted_probes(local.spectra, local.fractions[chosen[part]])
        _, psi = forward(views, probes, local.propagators)
        predicted = intensity(psi) + local.weights.dtype.type(model.background)
        measured = dense(counts, part.start, part.stop, problem.pixels, np, local.weights.dtype)
        mean, spread = expected_loss(problem.likelihood, predicted)
        fit = loss(problem.likelihood, measured, predicted, local.weights)
        found += fit, (weights * mean).sum(), (weights * spread).sum()
    return found.tolist()


def compare_cpu(problem: Problem, block: Block, counts: Counts, model: Model, chosen: np.ndarray) -> Iterable[float]:
    """:func:`compare_plain` with compiled kernels."""
    seen, _, views = see(problem, block, model, chosen)
    n, likelihood = problem.pixels, problem.likelihood
    poisson, epsilon = likelihood.residual == "poisson", np.float32(likelihood.epsilon)
    space, patterns = workspace(problem.slices, len(seen.spectra), n, views is None), Patterns(counts, None, None, n)
    found = np.zeros(3)
    for part in batches(len(chosen), RUN):
        with counted(parts_of(patterns, part.start, part.stop), part.stop - part.start, n, space) as laid:
            _compare(
                space, problem.tiles, seen, part.start, part.stop, laid.fitted, np.float32(1 / n**2),
                np.float32(model.background), table(likelihood), poisson, epsilon, found,
            )  # fmt: skip
    return found.tolist()


@compiled
def _compare(
    space: Any,
    tables: Any,
    seen: Any,
    low: int,
    high: int,
    counts: Any,
    scale: Any,
    background: Any,
    expected: Any,
    poisson: bool,
    epsilon: float,
    sums: Any,
) -> None:
    for b in range(low, high):
        row, column, ramp = seen.rows[b], seen.columns[b], seen.ramps[b]
        chain.forward(
            space.transforms, seen.spectra, ramp[0], ramp[1], seen.objects, row, column, tables.propagators,
            tables.following, space.tiles, space.waves, space.chi, space.psi, space.ahead,
        )  # fmt: skip
        fused.predict(space.psi, scale, background, space.intensity)
        fused.compare(counts[b - low], space.intensity, tables.weights, expected, poisson, epsilon, sums)


def compare_gpu(
    problem: Problem,
    block: Block,
    counts: Counts,
    model: Model,
    chosen: np.ndarray,
    space: GpuWorkspace | None = None,
) -> Iterable[float]:
    """:func:`compare_plain` on a CUDA device."""
    space = space or gpu_workspace(problem, len(model.probe))
    with space.device as device:
        run = partial_gpu.begin(problem, block, model, space, True, chosen)
        sums: Array = device.empty((len(chosen), cuda.CHUNKS, cuda.FIT_TERMS), np.float64)
        expected = device.upload(table(problem.likelihood).view(np.complex64)[:, 0])
        source = detector_gpu.sent(counts, device)
        for part in batches(len(chosen), space.room):
            partial_gpu.forward(run, part, True)
            detector_gpu.compare(problem, source, part, space, model, expected, sums[part])
        (found,) = device.download(sums)
    return found.reshape(-1, cuda.FIT_TERMS).sum(axis=0).tolist()
