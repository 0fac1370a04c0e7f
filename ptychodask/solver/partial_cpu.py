"""The partial update on the CPU at full speed: pattern by pattern, so that all waves of a pattern stay in the cache.

The same sums as :func:`ptychodask.solver.partial.partial`, which is its reference (to float32 rounding). Transforms are
unnormalised; with N the side of the pattern the factors are folded into the tables: 1/N into the probe's spectra, 1/N^2
into the propagators, 1/N^2 into intensity and into the residual factor.
"""

from __future__ import annotations

import numpy as np

from ..model.blocks import Block
from ..model.state import Model, is_pure_phase, transmission
from ..physics import chain, fused
from ..physics.vectors import LANES
from ..physics.views import split_positions, window
from .detector_cpu import measure
from .patterns import Patterns
from .problem import Problem, probe_spectra
from .update import ObjectSums, ProbeSums, Sums, Update
from .workspace import from_tiles, groups_of, planes, to_tiles, workspace


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
    views = transmission(model.object[model.part(view)])
    height, width = views.shape[1:]
    objects = planes(views, width + LANES)
    spectra = to_tiles(probe_spectra(model.probe) / np.float32(n))
    space = workspace(slices, len(spectra), n)
    tables, conjugates, propagator_of = problem.tiles.propagators
    ramps = _ramps(fractions, n)
    moves = problem.probe_moves(model.iteration) and not evaluate_only
    gradient = np.zeros((slices, 1 if pure else 2, height, width + LANES), np.float32)
    light = np.zeros((slices, height, width + LANES), np.float32)
    probe_gradient, probe_light = np.zeros_like(spectra), np.zeros((n, n), np.float32)
    sums = np.zeros(6)
    for b in range(block.size):
        (ramp_y, ramp_x), row, column = ramps[b], int(corners[b, 0]), int(corners[b, 1])
        chain.forward(
            space.transforms, spectra, ramp_y, ramp_x, objects, row, column, tables, propagator_of,
            space.tiles, space.waves, space.chi, space.psi,
        )  # fmt: skip
        fused.predict(space.psi, np.float32(1 / n**2), np.float32(model.background), space.intensity)
        measure(problem, patterns, b, space, sums)
        if evaluate_only:
            continue
        chain.backward(
            space.transforms, space.rho, space.psi, objects, row, column, conjugates, propagator_of,
            space.tiles, space.waves, space.chi, gradient, light, moves,
        )  # fmt: skip
        if moves:
            for chi, total in zip(space.chi, probe_gradient, strict=True):
                chain.leave(space.transforms, chi, ramp_y, ramp_x, space.tiles, total)
            fused.add_intensity(objects[0], row, column, probe_light)
    total = Sums(float(block.size), *sums.tolist())
    if evaluate_only:
        return Update(total)
    probe = None
    if moves:
        # the residual's spectrum is unnormalised; ifft2 brings 1/N^2
        probe = ProbeSums(np.fft.ifft2(from_tiles(probe_gradient, n)).astype(np.complex64), probe_light)
    gradient, light = gradient[..., :width], np.ascontiguousarray(light[..., :width])
    on_object = np.ascontiguousarray(gradient[:, 0]) if pure else gradient[:, 0] + 1j * gradient[:, 1]
    return Update(total, ObjectSums(corner, on_object, light), probe)


def _ramps(fractions: np.ndarray, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Fourier ramps over y and x of every shift, as planes [2, 8 L]."""
    ramps = np.zeros((len(fractions), 2, 2, LANES * groups_of(n)), np.float32)
    angles = -2 * np.pi * fractions[:, :, None] * np.fft.fftfreq(n)
    ramps[:, :, 0, :n], ramps[:, :, 1, :n] = np.cos(angles), np.sin(angles)
    return [(ramp[0], ramp[1]) for ramp in ramps]
