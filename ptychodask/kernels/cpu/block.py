"""The partial update on the CPU at full speed: pattern by pattern, so that all waves of a pattern stay in the cache.

The same sums as :func:`ptychodask.kernels.plain.partial`, which is its reference (to float32 rounding). Transforms are
unnormalised; with N the side of the pattern the factors are folded into the tables: 1/N into the probe's spectra, 1/N^2
into the propagators, 1/N^2 into intensity and into the residual factor.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ... import _numba
from ..._array import fft2, ifft2
from ...counts.patterns import Patterns
from ...model.blocks import Block
from ...model.state import Model, is_pure_phase, on_phase, transmission
from ...physics.views import split_positions, window
from ...solver.problem import Problem, probe_spectra
from ...solver.unknowns.geometry import GeometrySums, score_of
from ...solver.unknowns.object import ObjectSums
from ...solver.unknowns.probe import ProbeSums
from ...solver.update import Sums, Update
from ..plain.block import weights_in
from ..plain.information import information
from ..ramps import ramps_in, upright
from ..terms import DETECTOR, LOSS
from . import chain, fused
from .detector import Counted, Rules, counted, measure, own_entropy, parts_of, rules_of
from .vectors import LANES, compiled
from .workspace import RUN, ProblemPanels, Workspace, from_panels, groups_of, planes, to_panels, workspace


class Window(NamedTuple):
    """What the patterns of a block see: the object's window [S, 2, H, W + 8], corners [B] of the views in it, ramps
    [B, 2, 2, 8 L] of their sub-pixel shifts over y and x, the probe's spectra [F, M, L, 2, 64 L] with each of some
    ramps (see ``..ramps``), and which of these each sees [B]."""

    objects: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    ramps: np.ndarray
    spectra: np.ndarray
    which: np.ndarray


class Totals(NamedTuple):
    """Sums over patterns: gradient [S, 1 or 2, H, W + 8] and light [S, H, W + 8] of the object, of the probe (in the
    layout of its spectra, and [N, N]), and those of ``terms.DETECTOR``."""

    gradient: np.ndarray
    light: np.ndarray
    probe_gradient: np.ndarray
    probe_light: np.ndarray
    sums: np.ndarray
    moments: np.ndarray
    """Gradients of the probe [F, 1 + W, M, L, 2, 64 L] while the geometry is refined: plain, and weighted."""
    away: np.ndarray
    """What they are weighted with [B, W]."""
    of_one: np.ndarray
    """Gradient of a pattern [M, L, 2, 64 L]."""


def see(
    problem: Problem, block: Block, model: Model, places: Any = slice(None)
) -> tuple[Window, tuple[int, int], np.ndarray | None]:
    """What a block's patterns see, or those of them at the given places; the window's corner on the canvas; and its
    transmission, of an object that is not of pure phase."""
    problem.check(model)
    n = problem.pixels
    corners, fractions = split_positions(problem.positions(model, block), n)
    view = window(corners, n)
    corner = (int(view[0].start), int(view[1].start))
    rows, columns = np.ascontiguousarray((corners[places] - np.array(corner)).T.astype(np.int64))
    views = transmission(model.object[model.part(view)])
    which, tilts = ramps_in(problem, block)
    probes = model.probe[None] if tilts is None else (model.probe * tilts[:, None]).astype(model.probe.dtype)
    spectra = to_panels(probe_spectra(probes) / np.float32(n))
    objects = planes(views, views.shape[2] + LANES)
    seen = Window(objects, rows, columns, ramps_of(fractions[places], n), spectra, which[places])
    return seen, corner, None if is_pure_phase(model.object) else views


def partial(
    problem: Problem, tables: ProblemPanels, block: Block, patterns: Patterns, model: Model, evaluate_only: bool
) -> Update:
    """Sums of one block; see :func:`ptychodask.kernels.plain.partial`."""
    n, slices = problem.pixels, problem.slices
    seen, corner, views = see(problem, block, model)
    pure = views is None
    height, width = seen.objects.shape[2], seen.objects.shape[3] - LANES
    spectra = seen.spectra
    refines = None if evaluate_only else problem.refines(model.iteration)
    middle, away = weights_in(problem, block, model)
    total = Totals(
        np.zeros((slices, 1 if pure else 2, height, width + LANES), np.float32),
        np.zeros((slices, height, width + LANES), np.float32),
        np.zeros_like(spectra), np.zeros((n, n), np.float32), np.zeros(len(DETECTOR)),
        np.zeros((len(spectra), 1 + away.shape[1] if refines else 0, *spectra.shape[1:]), np.float32),
        away.astype(np.float32),
        np.zeros_like(spectra[0]),
    )  # fmt: skip
    moves = problem.probe_moves(model.iteration) and not evaluate_only
    rules, space = rules_of(problem, patterns), workspace(slices, len(model.probe), n, pure)
    background = np.float32(model.background)
    for low in range(0, block.size, RUN):
        high = min(low + RUN, block.size)
        parts = parts_of(patterns, low, high)
        with counted(parts, high - low, n, space) as counts:
            if rules.poisson:
                total.sums[LOSS] += own_entropy(problem, tables.weights, rules, parts.measured, counts.measured)
            _run(
                space, tables, seen, low, high, rules, counts, background, moves, refines is not None, evaluate_only,
                total,
            )  # fmt: skip
    sums = Sums(patterns=float(block.size), **dict(zip(DETECTOR, total.sums.tolist(), strict=True)))
    if evaluate_only:
        return Update(sums)
    probe = None
    if moves:
        # the residual's spectrum is unnormalised; ifft2 brings 1/N^2
        gradient = np.fft.ifft2(from_panels(total.probe_gradient, n))
        probe = ProbeSums(upright(problem, block, gradient).astype(np.complex64), total.probe_light)
    gradient, light = total.gradient[..., :width], np.ascontiguousarray(total.light[..., :width])
    if views is None:
        on_object = np.ascontiguousarray(gradient[:, 0])
    else:
        on_object, light = on_phase(views, gradient[:, 0] + 1j * gradient[:, 1], light)
    geometry = None
    if refines is not None:
        moments = from_panels(total.moments, n) / np.float32(n)
        moments = moments[0] if problem.off is None else fft2(upright(problem, block, ifft2(moments)))
        score = score_of(refines, problem.likelihood, probe_spectra(model.probe), moments, middle)
        geometry = GeometrySums(score, information(problem, np, refines, block, model))
    return Update(sums, ObjectSums(corner, on_object, light), probe, geometry)


def is_cold() -> bool:
    """Has the code of the patterns, which holds all kernels, to be compiled first?"""
    return _numba.is_cold(_run)


@compiled
def _run(
    space: Workspace,
    tables: ProblemPanels,
    seen: Window,
    low: int,
    high: int,
    rules: Rules,
    counts: Counted,
    background: float,
    moves: bool,
    refines: bool,
    evaluate_only: bool,
    total: Totals,
) -> None:
    """Patterns low to high of a block one by one; ``counts`` are theirs."""
    scale = np.float32(1 / rules.pixels**2)
    for b in range(low, high):
        row, column, ramp, its = seen.rows[b], seen.columns[b], seen.ramps[b], seen.which[b]
        chain.forward(
            space.transforms, seen.spectra[its], ramp[0], ramp[1], seen.objects, row, column, tables.propagators,
            tables.following, space.panels, space.waves, space.chi, space.psi, space.ahead,
        )  # fmt: skip
        fused.predict(space.psi, scale, background, space.intensity)
        measure(rules, counts, b - low, tables.weights, space.intensity, space.rho, total.sums)
        if evaluate_only:
            continue
        chain.backward(
            space.transforms, space.rho, space.psi, seen.objects, row, column, tables.conjugates, tables.following,
            space.panels, space.waves, space.chi, total.gradient, total.light, moves or refines,
            space.ahead,
        )  # fmt: skip
        if moves:
            for m in range(seen.spectra.shape[1]):
                chain.leave(
                    space.transforms, space.chi[m], ramp[0], ramp[1], space.panels, total.probe_gradient[its, m]
                )
            fused.add_intensity(seen.objects[0], row, column, total.probe_light)
        if refines:
            total.of_one[:] = 0
            for m in range(seen.spectra.shape[1]):
                chain.leave(space.transforms, space.chi[m], ramp[0], ramp[1], space.panels, total.of_one[m])
            fused.add_moments(total.of_one.ravel(), total.away[b], total.moments[its])


def ramps_of(fractions: np.ndarray, n: int) -> np.ndarray:
    """Fourier ramps over y and x of every shift, as planes [B, 2, 2, 8 L]."""
    ramps = np.zeros((len(fractions), 2, 2, LANES * groups_of(n)), np.float32)
    angles = -2 * np.pi * fractions[:, :, None] * np.fft.fftfreq(n)
    ramps[:, :, 0, :n], ramps[:, :, 1, :n] = np.cos(angles), np.sin(angles)
    return ramps
