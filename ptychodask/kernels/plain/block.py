"""The partial update by array code."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np

from ..._array import Array, fft2, ifft2, to_host, total
from ...counts.patterns import Patterns, dense
from ...model.blocks import Block
from ...model.state import Model, is_pure_phase, on_phase
from ...physics.likelihood import fisher_weight, held_out_loss, loss, residual_factor
from ...physics.multislice import backward, forward, intensity
from ...physics.views import gather, scatter_add
from ...solver.problem import Problem, shifted_probes
from ...solver.unknowns.geometry import GeometrySums, score_of, weights_of
from ...solver.unknowns.object import ObjectSums
from ...solver.unknowns.probe import ProbeSums
from ...solver.update import Sums, Update
from .information import information
from .local import batches, localise


def partial(
    problem: Problem, xp: ModuleType, block: Block, patterns: Patterns, model: Model, evaluate_only: bool
) -> Update:
    """Sums of one block for the model it is given.

    Parameters
    ----------
    problem : Problem
    xp : module
        NumPy or CuPy.
    block : Block
    patterns : Patterns
        The block's counts.
    model : Model
        On the host.
    evaluate_only : bool
        Only losses, no gradients: for the state after the last update.
    """
    local = localise(problem, xp, block, model)
    likelihood = problem.likelihood
    dtype = local.weights.dtype
    n = problem.pixels
    refines = None if evaluate_only else problem.refines(model.iteration)
    middle, away = weights_in(problem, block, model)
    moments = None
    if refines is not None:
        moments = xp.zeros((1 + away.shape[1], *local.spectra.shape), dtype=local.spectra.dtype)
    move_probe = problem.probe_moves(model.iteration)
    gradient = xp.zeros(local.transmission.shape, dtype=local.transmission.dtype)
    illumination = xp.zeros(local.transmission.shape, dtype=dtype)
    probe_gradient = xp.zeros_like(local.spectra)
    probe_illumination = xp.zeros((n, n), dtype=dtype)
    sums = Sums()
    for part in batches(block.size, problem.settings.batch):
        corners = local.corners[part]
        counts = dense(patterns.fitted, part.start, part.stop, n, xp, dtype)
        probes, ramps = shifted_probes(local.spectra, local.fractions[part])
        views = gather(local.transmission, corners, n)
        waves, psi = forward(views, probes, local.propagators)
        predicted = intensity(psi) + dtype.type(model.background)
        sums += _measure(problem, xp, patterns, part, counts, predicted, local.weights)
        if evaluate_only:
            continue
        psi *= residual_factor(likelihood, counts, predicted, local.weights)[:, None]
        slice_index = problem.slices - 1
        for slice_gradient, light, entering in backward(waves, views, local.propagators, psi):
            scatter_add(gradient[slice_index], corners, slice_gradient)
            scatter_add(illumination[slice_index], corners, light)
            if slice_index == 0 and move_probe:
                probe_gradient += (fft2(entering) * ramps.conj()[:, None]).sum(axis=0)
                probe_illumination += (views[0].real ** 2 + views[0].imag ** 2).sum(axis=0)
            if slice_index == 0 and moments is not None:
                found = fft2(entering) * ramps.conj()[:, None]
                arms = xp.asarray(away[part].astype(dtype))
                moments[0] += found.sum(axis=0)
                for b in range(away.shape[1]):
                    moments[1 + b] += (found * arms[:, b, None, None, None]).sum(axis=0)
            slice_index -= 1
    if evaluate_only:
        return Update(sums)
    geometry = None
    if refines is not None:
        score = score_of(refines, likelihood, to_host(local.spectra), to_host(moments), middle)
        geometry = GeometrySums(score, information(problem, xp, refines, block, model))
    if is_pure_phase(model.object):
        gradient = (local.transmission.conj() * gradient).imag  # the real part of what follows; |O| = 1
    else:
        gradient, illumination = on_phase(local.transmission, gradient, illumination)
    object_sums = ObjectSums(local.corner, to_host(gradient), to_host(illumination))
    probe_sums = ProbeSums(to_host(ifft2(probe_gradient)), to_host(probe_illumination)) if move_probe else None
    return Update(sums, object_sums, probe_sums, geometry)


def weights_in(problem: Problem, block: Block, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """See :func:`ptychodask.solver.unknowns.geometry.weights_of`; none where the geometry stays."""
    rules = problem.refines(model.iteration)
    if rules is None:
        return np.zeros(2), np.empty((block.size, 0))
    return weights_of(rules, problem.centres[block.flat(problem.scan_shape)], problem.positions(model, block))


def _measure(
    problem: Problem, xp: ModuleType, patterns: Patterns, part: slice, counts: Array, predicted: Array, weights: Array
) -> Sums:
    """Losses and totals of one mini-batch."""
    settings, likelihood = problem.settings, problem.likelihood
    expected = total(weights * predicted)
    measured, share, held = counts, 1.0, 0.0
    if patterns.train is not None and settings.train_fraction is not None:
        # the finish fits all electrons, but its loss stays comparable: that of the training electrons
        share = settings.train_fraction
        measured = dense(patterns.train, part.start, part.stop, problem.pixels, xp, weights.dtype)
    if patterns.held is not None and settings.train_fraction is not None:
        ratio = (1 - settings.train_fraction) / settings.train_fraction
        row, pixel, count = patterns.held.rows(part.start, part.stop)
        count = xp.asarray(count.astype(np.float64))
        held = held_out_loss(xp.asarray(pixel), count, xp.asarray(row), predicted * ratio, expected * ratio)
    numerator = denominator = 0.0
    if settings.background:
        fisher = fisher_weight(likelihood, predicted, weights)
        numerator, denominator = total(fisher * (counts - predicted)), total(fisher)
    return Sums(
        patterns=float(part.stop - part.start),
        electrons=total(weights * counts),
        intensity=expected,
        loss=loss(replace(likelihood, epsilon=likelihood.epsilon * share), measured, predicted * share, weights),
        held_loss=held,
        background_numerator=numerator,
        background_denominator=denominator,
    )
