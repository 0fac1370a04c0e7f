"""Line searches by array code: that of the tangent step, and those of patterns along their own places."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from ..._array import to_host, total
from ...counts.patterns import Counts, Patterns, dense
from ...counts.subset import subset, taken
from ...model.blocks import Block
from ...model.state import Model
from ...physics.likelihood import fisher_weight
from ...physics.multislice import forward, intensity, tangent
from ...physics.views import gather
from ...solver.problem import Problem, probe_spectra, shifted_probes
from ...solver.update import Sums, Update
from .local import batches, localise


def line_search(
    problem: Problem,
    xp: ModuleType,
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
    chosen = subset(block.flat(problem.scan_shape), problem.settings.tangent_stride, model.iteration)
    if not len(chosen):
        return Update(Sums())
    local = localise(problem, xp, block, model)
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


def nudge(
    problem: Problem, xp: ModuleType, block: Block, counts: Counts, model: Model, chosen: np.ndarray
) -> np.ndarray:
    """What the patterns at the ``chosen`` places of a block, whose counts are given, say of their own places.

    With ``dI`` the tangent of a place along y or x, object and probe as they are: the descent ``sum w (n - I) dI / (I +
    e)`` and the information ``sum w dI^2 / (I + e)``, float64 [B, 2 (y, x), 2], of canvas pixels.
    """
    local = localise(problem, xp, block, model)
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
