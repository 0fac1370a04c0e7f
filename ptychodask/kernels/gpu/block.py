"""The partial update on a CUDA device: mini-batches queued one after the other, one wait at the end of the block.

The same sums as :func:`ptychodask.kernels.plain.partial`, which is its reference (to float32 rounding). The kernels
are in ``cuda``, with what they leave to the tables: 1/N of an inverse FFT. With ``space.chains`` a wave stays
in shared memory through all slices; otherwise it passes through device memory, and cuFFT, at every step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._array import Array, backend_module
from ...counts.patterns import Patterns
from ...model.blocks import Block
from ...model.state import Model, is_pure_phase, on_phase, transmission
from ...physics.views import split_positions, window
from ...solver.problem import Problem, probe_spectra
from ...solver.unknowns.geometry import GeometrySums, score_of
from ...solver.unknowns.object import ObjectSums
from ...solver.unknowns.probe import ProbeSums
from ...solver.update import Update
from ..plain.block import weights_in
from ..plain.information import information
from . import cuda
from .detector import Detector
from .workspace import THREADS, GpuWorkspace


@dataclass(frozen=True)
class _Pass:
    """One block on the device: what its mini-batches read, and the sums that they add to."""

    space: GpuWorkspace
    pure: bool
    moves: bool
    corner: tuple[int, int]
    corners: Array
    ramps: Array
    views: np.ndarray | None
    """The window's transmission on the host; of a pure phase object it is only on the device."""
    object: Array
    spectra: Array
    gradient: Array
    light: Array
    probe_gradient: Array
    probe_light: Array
    away: Array
    """1, and what gradients are weighted with for the geometry [B, 1 + W]; nothing where that stays."""
    middle: np.ndarray
    """Of the patterns' positions [2], on the host."""
    moments: Array
    """Gradients of the probe's spectra [1 + W, M, N, N] with these weights; nothing where the geometry stays."""

    @property
    def modes(self) -> int:
        return len(self.spectra)

    @property
    def refines(self) -> bool:
        return len(self.moments) > 0


def partial(
    problem: Problem, space: GpuWorkspace, block: Block, patterns: Patterns, model: Model, evaluate_only: bool
) -> Update:
    """Sums of one block; see :func:`ptychodask.kernels.plain.partial`.

    Parameters
    ----------
    space : GpuWorkspace
        Device and buffers.
    """
    with space.device as device:
        run = begin(problem, block, model, space, evaluate_only)
        detector = Detector.of(problem, patterns, model, device, block.size, not evaluate_only)
        for low in range(0, block.size, space.room):
            part = slice(low, min(low + space.room, block.size))
            forward(run, part, evaluate_only)
            detector.measure(space, len(model.probe), part)
            if not evaluate_only:
                _backward(run, part)
        update = _finish(run, detector, evaluate_only)
        return update if evaluate_only else update.put(*_geometry(problem, run, block, model))


def begin(
    problem: Problem, block: Block, model: Model, space: GpuWorkspace, evaluate_only: bool, places: Any = slice(None)
) -> _Pass:
    """Cut the block's window out of the object and send it with the probe and the positions, or those at ``places``."""
    problem.check(model)
    n, device = problem.pixels, space.device
    corners, fractions = split_positions(problem.positions(model, block), n)
    view = window(corners, n)
    corner = (int(view[0].start), int(view[1].start))
    corners, fractions = corners[places], fractions[places]
    pure = is_pure_phase(model.object)
    objects = model.object[model.part(view)]
    maps = (0, 0, 0) if evaluate_only else objects.shape
    moves = problem.probe_moves(model.iteration) and not evaluate_only
    views = None if pure else transmission(objects).astype(np.complex64, copy=False)
    if views is None:
        sent = space.per_value("expand_phase", objects.astype(np.float32), objects.shape)
    else:
        sent = device.upload(views)
    modes = len(model.probe) if moves else 0
    middle, away = np.zeros(2), np.empty((0, 0))
    if not evaluate_only and problem.refines(model.iteration) is not None:
        middle, away = weights_in(problem, block, model)
        away = np.concatenate([np.ones((len(away), 1)), away], axis=1)
    return _Pass(
        space=space,
        pure=pure,
        moves=moves,
        corner=corner,
        corners=device.upload((corners - np.array(corner)).astype(np.int32)),
        ramps=space.per_value("make_ramps", fractions, (*fractions.shape, n)),
        views=views,
        object=sent,
        spectra=device.upload((probe_spectra(model.probe) / n).astype(np.complex64)),
        gradient=device.zeros(maps, np.float32 if pure else np.complex64),
        light=device.zeros(maps, np.float32),
        probe_gradient=device.zeros((modes, n, n), np.complex64),
        probe_light=device.zeros((n, n), np.float32),
        middle=middle,
        away=device.upload(away.astype(np.float32)),
        moments=device.zeros((away.shape[1], len(model.probe), n, n), np.complex64),
    )


def forward(run: _Pass, part: slice, evaluate_only: bool) -> None:
    """Waves through the object to the detector: ``space.waves`` and ``space.psi``."""
    space, device, modes = run.space, run.space.device, run.modes
    corners, ramps = run.corners[part], run.ramps[part]
    slices, height, width = run.object.shape
    items = (part.stop - part.start) * modes
    if run.space.chains:
        device.launch(
            "chain_forward", (items,), (cuda.chain_threads(space.pixels),), cuda.chain_bytes(space.pixels), run.spectra,
            ramps, corners, run.object, height, width, space.propagators, space.roots, slices, space.room, modes,
            not evaluate_only, space.waves, space.psi,
        )  # fmt: skip
        return
    used = space.rows(part.stop - part.start)
    space.per_pixel("shift", items, run.spectra, ramps, modes, space.waves[0])
    device.transform(space.waves[0][:used], inverse=True)
    for s in range(slices - 1):
        leaving = space.waves[s + 1]
        space.per_pixel("transmit", items, space.waves[s], run.object[s], corners, width, modes, leaving)
        device.transform(leaving[:used], inverse=False)
        space.per_pixel("propagate", items, leaving, space.propagators[s], False)
        device.transform(leaving[:used], inverse=True)
    space.per_pixel(
        "transmit", items, space.waves[slices - 1], run.object[slices - 1], corners, width, modes, space.psi
    )
    device.transform(space.psi[:used], inverse=False)


def _backward(run: _Pass, part: slice) -> None:
    """The residual on the detector back to the entrance, and the sums of the mini-batch onto the block's."""
    space, modes = run.space, run.modes
    corners, ramps, batch = run.corners[part], run.ramps[part], part.stop - part.start
    _, height, width = run.object.shape
    views = (corners, batch, space.room, modes, height, width)
    if run.pure:
        _back_propagate(run, corners, batch)
        _per_window_pixel(run, "add_phase_terms", space.waves, *views, run.gradient, run.light)
    else:
        # conj(u) chi takes the place of u, so the light is added while u is there
        _per_window_pixel(run, "add_light", space.waves, *views, run.light)
        _back_propagate(run, corners, batch)
        _per_window_pixel(run, "add_gradient", space.waves, *views, run.gradient)
    if run.moves:
        space.per_pixel("add_probe", modes, space.psi, ramps, batch, modes, run.probe_gradient)
        space.per_pixel("add_probe_light", 1, run.object, corners, batch, width, run.probe_light)
    if run.refines:
        count = len(run.moments)
        space.per_pixel(
            "add_moments", count * modes, space.psi, ramps, run.away[part], count, batch, modes, run.moments
        )


def _per_window_pixel(run: _Pass, kernel: str, *arguments: Any) -> None:
    slices, height, width = run.object.shape
    run.space.device.launch(kernel, (-(-width // THREADS), height, slices), (THREADS,), 0, *arguments)


def _back_propagate(run: _Pass, corners: Array, batch: int) -> None:
    space, device, modes = run.space, run.space.device, run.modes
    slices, height, width = run.object.shape
    items = batch * modes
    if run.space.chains:
        device.launch(
            "chain_backward", (items,), (cuda.chain_threads(space.pixels),), cuda.chain_bytes(space.pixels), space.psi,
            space.waves, corners, run.object, height, width, space.propagators, space.roots, slices, space.room, modes,
            run.pure, run.moves or run.refines,
        )  # fmt: skip
        return
    chi = space.psi[: space.rows(batch)]
    device.transform(chi, inverse=True)
    for s in range(slices - 1, -1, -1):
        space.per_pixel("adjoint", items, space.waves[s], chi, run.object[s], corners, width, modes, run.pure)
        if s > 0:
            device.transform(chi, inverse=False)
            space.per_pixel("propagate", items, chi, space.propagators[s - 1], True)
            device.transform(chi, inverse=True)
    if run.moves or run.refines:
        device.transform(chi, inverse=False)


def _finish(run: _Pass, detector: Detector, evaluate_only: bool) -> Update:
    """Fetch the sums of the block: the only wait for the device."""
    device = run.space.device
    if evaluate_only:
        return Update(detector.total(*device.download(detector.sums)))
    arrays = [detector.sums, run.gradient, run.light, *((run.probe_gradient, run.probe_light) if run.moves else ())]
    sums, gradient, light, *probe = device.download(*arrays)
    if run.views is not None:
        gradient, light = on_phase(run.views, gradient, light)
    probe_sums = None
    if run.moves:
        # fft (unnormalised) and ifft (1/N^2) of the sum of residuals
        probe_sums = ProbeSums(np.fft.ifft2(probe[0]).astype(np.complex64), probe[1])
    return Update(detector.total(sums), ObjectSums(run.corner, gradient, light), probe_sums)


def _geometry(problem: Problem, run: _Pass, block: Block, model: Model) -> list[GeometrySums]:
    """What the block says of the geometry, where that is asked: its score, and the information of some patterns by
    array code on the device."""
    rules, n = problem.refines(model.iteration), problem.pixels
    if rules is None:
        return []
    (moments,) = run.space.device.download(run.moments)
    score = score_of(rules, problem.likelihood, probe_spectra(model.probe), moments / np.float32(n), run.middle)
    return [GeometrySums(score, information(problem, backend_module(run.space.device.backend), rules, block, model))]
