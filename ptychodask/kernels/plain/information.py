"""What patterns carry of the geometry, by array code; the compiled kernels use it too."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from ..._array import ifft2, to_host
from ...counts.subset import subset
from ...model.blocks import Block
from ...model.refining import Refine
from ...model.state import Model
from ...physics.likelihood import fisher_weight
from ...physics.multislice import forward, intensity, tangent
from ...physics.views import gather
from ...solver.problem import Problem, shifted_probes
from ...solver.unknowns.geometry import drift_factors, slopes
from .local import batches, localise

TOGETHER = 64
"""Patterns of which a device measures the information at a time."""


def information(problem: Problem, xp: ModuleType, rules: Refine, block: Block, model: Model) -> np.ndarray:
    """Fisher information of the geometry's elementary directions on a subset of a block's patterns, float64 [D, D].

    ``stride sum w dI_a dI_b / (I + eps)``. The tangent of a strain ab, with the object carried along and the pattern's
    own shift taken out, is that of the object about the probe: ``dphi(rho) = -(d_a phi)(x_j + rho) rho_b``; that of a
    drift, of which a pattern sees a strain, is made of these.
    """
    n = problem.pixels
    chosen = subset(block.flat(problem.scan_shape), rules.stride, model.iteration)
    size, q = rules.directions, len(rules.phases)
    total_ = np.zeros((size, size))
    if not len(chosen):
        return total_
    local, likelihood = localise(problem, xp, block, model), problem.likelihood
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
