"""The plain kernels, which read like the equations of LSQ-ML and are the reference of all others.

The partial update of one block: forward model, residual, back-propagation, sums. Mini-batches of fixed size run through
in the order of the block, so the bits depend on the block alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from .._array import Array, backend_module, fft2, ifft2, to_host, total
from ..counts.patterns import Counts, Patterns, dense
from ..counts.subset import subset, taken
from ..model.blocks import Block
from ..model.refining import Refine
from ..model.state import Model, is_pure_phase, on_phase, transmission
from ..physics.expected_loss import expected_loss
from ..physics.likelihood import fisher_weight, held_out_loss, loss, residual_factor
from ..physics.multislice import backward, forward, intensity, tangent
from ..physics.views import gather, scatter_add, split_positions, window
from ..solver.problem import Problem, probe_spectra, shifted_probes
from ..solver.unknowns.geometry import GeometrySums, drift_factors, score_of, slopes, weights_of
from ..solver.unknowns.object import ObjectSums
from ..solver.unknowns.probe import ProbeSums
from ..solver.update import Sums, Update

TOGETHER = 64
"""Patterns of which a device measures the information at a time."""


@dataclass(frozen=True)
class Plain:
    """Array code for a problem, on NumPy arrays or on those of CuPy (``library``)."""

    problem: Problem
    library: str = "numpy"

    def partial(self, block: Block, patterns: Patterns, model: Model, evaluate_only: bool = False) -> Update:
        """See :func:`partial`."""
        return partial(self, block, patterns, model, evaluate_only)

    def line_search(
        self,
        block: Block,
        patterns: Patterns,
        model: Model,
        object_direction: np.ndarray,
        probe_direction: np.ndarray | None,
    ) -> Update:
        """See :func:`line_search`."""
        return line_search(self, block, patterns, model, object_direction, probe_direction)

    def compare(self, block: Block, counts: Counts, model: Model, chosen: np.ndarray) -> tuple[float, float, float]:
        """See :func:`compare`."""
        return compare(self, block, counts, model, chosen)

    def nudge(self, block: Block, counts: Counts, model: Model, chosen: np.ndarray) -> np.ndarray:
        """See :func:`nudge`."""
        return nudge(self, block, counts, model, chosen)

    def lend(self, values: np.ndarray) -> Array:
        """See :class:`ptychodask.solver.door.Kernels`."""
        return self.xp.asarray(values)

    @property
    def xp(self) -> ModuleType:
        """The array library."""
        return backend_module(self.library)


@dataclass(frozen=True)
class _Local:
    """What a block needs of the model, on the device: its window of the object and the probe's spectra."""

    corner: tuple[int, int]
    views_of: tuple[slice, slice]
    corners: np.ndarray
    fractions: np.ndarray
    transmission: Array
    spectra: Array
    propagators: Array
    weights: Array


def localise(kernels: Plain, block: Block, model: Model) -> _Local:
    problem, xp = kernels.problem, kernels.xp
    positions = problem.positions(model, block)
    corners, fractions = split_positions(positions, problem.pixels)
    view = window(corners, problem.pixels)
    corner = (view[0].start, view[1].start)
    return _Local(
        corner,
        view,
        corners - np.array(corner),
        fractions,
        transmission(xp.asarray(model.object[model.part(view)])),
        probe_spectra(xp.asarray(model.probe)),
        xp.asarray(problem.propagators),
        xp.asarray(problem.weights),
    )


def batches(size: int, batch: int) -> Iterator[slice]:
    return (slice(low, min(low + batch, size)) for low in range(0, size, batch))


def partial(kernels: Plain, block: Block, patterns: Patterns, model: Model, evaluate_only: bool) -> Update:
    """Sums of one block for the model it is given.

    Parameters
    ----------
    kernels : Plain
    block : Block
    patterns : Patterns
        The block's counts.
    model : Model
        On the host.
    evaluate_only : bool
        Only losses, no gradients: for the state after the last update.
    """
    problem, xp = kernels.problem, kernels.xp
    local = localise(kernels, block, model)
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
        sums += _measure(kernels, patterns, part, counts, predicted, local.weights)
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
        geometry = GeometrySums(score, information(kernels, refines, block, model))
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


def information(kernels: Plain, rules: Refine, block: Block, model: Model) -> np.ndarray:
    """Fisher information of the geometry's elementary directions on a subset of a block's patterns, float64 [D, D].

    ``stride sum w dI_a dI_b / (I + eps)``. The tangent of a strain ab, with the object carried along and the pattern's
    own shift taken out, is that of the object about the probe: ``dphi(rho) = -(d_a phi)(x_j + rho) rho_b``; that of a
    drift, of which a pattern sees a strain, is made of these.
    """
    problem, xp, n = kernels.problem, kernels.xp, kernels.problem.pixels
    chosen = subset(block.flat(problem.scan_shape), rules.stride, model.iteration)
    size, q = rules.directions, len(rules.phases)
    total_ = np.zeros((size, size))
    if not len(chosen):
        return total_
    local, likelihood = localise(kernels, block, model), problem.likelihood
    wave_phases = -1j * xp.asarray(rules.phases)
    # all directions at once: a device wants much to do, a processor what stays in its cache
    together = max(1, problem.settings.batch // size) if xp is np else TOGETHER
    along = [1j * local.transmission * xp.asarray(its) for its in slopes(model, local.views_of)]
    for part in batches(len(chosen), together):
        corners, fractions = local.corners[chosen[part]], local.fractions[chosen[part]]
        views = gather(local.transmission, corners, n)
        probes, ramps = shifted_probes(local.spectra, fractions)
        waves, psi = forward(views, probes, local.propagators)
        weight = fisher_weight(likelihood, intensity(psi) + local.weights.dtype.type(model.background), local.weights)
        lens = ifft2((local.spectra * wave_phases[:, None])[:, None] * ramps[:, None])
        arms = [xp.asarray((np.arange(n) - n // 2 - its[:, None]).astype(local.weights.dtype)) for its in fractions.T]
        moved = [gather(slope, corners, n) * arm for slope in along for arm in (arms[0][:, :, None], arms[1][:, None])]
        directions = [(None, lens)] if q else []
        directions.append((-xp.stack(moved, axis=1), None))
        psis = (tangent(waves, views, local.propagators, *direction) for direction in directions)
        found = [2 * (psi.conj() * d_psi).real.sum(axis=-3) * xp.sqrt(weight) for d_psi in psis]
        if rules.drifts:
            which = block.flat(problem.scan_shape)[chosen[part]]
            factors = xp.asarray(drift_factors(rules, model, problem.centres[which]).astype(local.weights.dtype))
            strains = found[-1].reshape(2, 2, *found[-1].shape[1:])  # of y and x, along y and x
            for m in range(rules.drifts // 2):
                found.append(sum(factors[:, m, b, None, None] * strains[:, b] for b in (0, 1)))
        tangents = xp.concatenate(found).reshape(size, -1).astype(np.float64)
        total_ += to_host(tangents @ tangents.T)
    return rules.stride * total_


def _measure(kernels: Plain, patterns: Patterns, part: slice, counts: Array, predicted: Array, weights: Array) -> Sums:
    """Losses and totals of one mini-batch."""
    problem, xp = kernels.problem, kernels.xp
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


def line_search(
    kernels: Plain,
    block: Block,
    patterns: Patterns,
    model: Model,
    object_direction: np.ndarray,
    probe_direction: np.ndarray | None,
) -> Update:
    """Sums of the tangent step: Fisher line search along one direction on a fixed subset of a block's patterns.

    ``a = sum w (n - I) dI / (I + e) / sum w dI^2 / (I + e)``, ``dI = 2 Re sum_m conj(psi) dpsi``. The subset is one
    pattern of ``tangent_stride``, another one in every iteration; of a small block it may be none.
    """
    problem, xp = kernels.problem, kernels.xp
    chosen = subset(block.flat(problem.scan_shape), problem.settings.tangent_stride, model.iteration)
    if not len(chosen):
        return Update(Sums())
    local = localise(kernels, block, model)
    likelihood = problem.likelihood
    d_transmission = 1j * local.transmission * xp.asarray(object_direction[model.part(local.views_of)])
    d_spectra = None if probe_direction is None else probe_spectra(xp.asarray(probe_direction))
    numerator = denominator = 0.0
    fitted = taken(patterns.fitted, chosen)
    for part in batches(len(chosen), problem.settings.batch):
        corners, fractions = local.corners[chosen[part]], local.fractions[chosen[part]]
        counts = dense(fitted, part.start, part.stop, problem.pixels, xp, local.weights.dtype)
        views = gather(local.transmission, corners, problem.pixels)
        waves, psi = forward(views, shifted_probes(local.spectra, fractions)[0], local.propagators)
        d_probes = None if d_spectra is None else shifted_probes(d_spectra, fractions)[0]
        d_views = gather(d_transmission, corners, problem.pixels)
        d_psi = tangent(waves, views, local.propagators, d_views, d_probes)
        predicted = intensity(psi) + local.weights.dtype.type(model.background)
        d_intensity = 2 * (psi.conj() * d_psi).real.sum(axis=1)
        fisher = fisher_weight(likelihood, predicted, local.weights)
        numerator += total(fisher * (counts - predicted) * d_intensity)
        denominator += total(fisher * d_intensity**2)
    return Update(Sums(line_numerator=numerator, line_denominator=denominator))


def compare(
    kernels: Plain, block: Block, counts: Counts, model: Model, chosen: np.ndarray
) -> tuple[float, float, float]:
    """Loss of the patterns at the ``chosen`` places of a block, whose counts are given, and what Poisson noise around
    the model gives: its mean and its variance."""
    problem, local = kernels.problem, localise(kernels, block, model)
    weights = problem.weights.astype(np.float64)
    found = expected = variance = 0.0
    for part in batches(len(chosen), problem.settings.batch):
        views = gather(local.transmission, local.corners[chosen[part]], problem.pixels)
        probes, _ = shifted_probes(local.spectra, local.fractions[chosen[part]])
        _, psi = forward(views, probes, local.propagators)
        predicted = intensity(psi) + local.weights.dtype.type(model.background)
        measured = dense(counts, part.start, part.stop, problem.pixels, kernels.xp, local.weights.dtype)
        mean, spread = expected_loss(problem.likelihood, to_host(predicted))
        found += loss(problem.likelihood, measured, predicted, local.weights)
        expected += float((weights * mean).sum())
        variance += float((weights * spread).sum())
    return found, expected, variance


def nudge(kernels: Plain, block: Block, counts: Counts, model: Model, chosen: np.ndarray) -> np.ndarray:
    """What the patterns at the ``chosen`` places of a block, whose counts are given, say of their own places.

    With ``dI`` the tangent of a place along y or x, object and probe as they are: the descent ``sum w (n - I) dI / (I +
    e)`` and the information ``sum w dI^2 / (I + e)``, float64 [B, 2 (y, x), 2], of canvas pixels.
    """
    problem, xp, local = kernels.problem, kernels.xp, localise(kernels, block, model)
    n, likelihood, dtype = problem.pixels, problem.likelihood, local.weights.dtype
    q = -2j * np.pi * np.fft.fftfreq(n)
    slopes_ = [local.spectra * xp.asarray(its.astype(local.spectra.dtype)) for its in (q[:, None], q[None, :])]
    found = np.zeros((len(chosen), 2, 2))
    for part in batches(len(chosen), problem.settings.batch):
        corners, fractions = local.corners[chosen[part]], local.fractions[chosen[part]]
        measured = dense(counts, part.start, part.stop, n, xp, dtype)
        views = gather(local.transmission, corners, n)
        waves, psi = forward(views, shifted_probes(local.spectra, fractions)[0], local.propagators)
        predicted = intensity(psi) + dtype.type(model.background)
        fisher = fisher_weight(likelihood, predicted, local.weights)
        for axis, its in enumerate(slopes_):
            d_probes = shifted_probes(its, fractions)[0]
            d_psi = tangent(waves, views, local.propagators, None, d_probes)
            d_intensity = 2 * (psi.conj() * d_psi).real.sum(axis=1)
            for i, values in enumerate((fisher * (measured - predicted) * d_intensity, fisher * d_intensity**2)):
                found[part, axis, i] = to_host(values.sum(axis=(1, 2), dtype=np.float64))
    return found
