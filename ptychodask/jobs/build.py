"""The solver's problem and first state, made on the workers from a recipe."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from .._errors import InputError
from ..counts.padding import padded
from ..io.dataset import DatasetInfo
from ..io.selected import mask_of, off_centre, ramped_off
from ..kernels import kernels_for
from ..kernels.ramps import ramp_of
from ..model.config.probe import ProbeConfig
from ..model.optics import Microscope
from ..model.refining import Refining
from ..model.state import Model, State
from ..physics.coherence import Point, coherent_modes, points
from ..physics.modes import hermite_modes
from ..physics.probe import make_probe
from ..physics.propagation import fresnel_propagator
from ..solver.door import Kernels
from ..solver.lsqml import LsqMl
from ..solver.problem import Problem
from ..solver.settings import ProbeRules, Settings
from ..solver.tiled import TiledLsqMl
from .experiment import Experiment
from .recipe import Recipe

SHARPER = 0.3
"""Epsilon of the second stage over that of the first, with the spectral prior."""
APART = 1 << 22
"""Added to the seed for every further scan: their lots are their own."""


def build_algorithm(recipe: Recipe) -> LsqMl:
    """The solver with its problem; of several scans, with that of each."""
    experiment = recipe.experiment
    settings, propagators = _settings(experiment, recipe), _propagators(experiment)
    if not experiment.further:
        return _algorithm(experiment, recipe, settings, propagators, recipe.decided.mean_counts)
    parts = []
    for number, scan in enumerate(experiment.scans):
        own = replace(settings, probe_rules=_probe_rules(scan), seed=settings.seed + number * APART)
        parts.append(_algorithm(scan, recipe, own, propagators, recipe.counts_of(number)))
    first, rules = parts[0].problem, tuple(part.problem.settings.probe_rules for part in parts)
    return LsqMl(replace(first, probes=rules), parts[0].kernels, scans=tuple(parts))


def _algorithm(
    experiment: Experiment, recipe: Recipe, settings: Settings, propagators: np.ndarray, mean_counts: float
) -> LsqMl:
    """The solver of one scan."""
    weights, n = mask_of(experiment.info), experiment.detector.pixels
    stored = 0 if len(weights) == n else len(weights)
    if stored:
        weights = np.asarray(padded(weights[None], stored, n))[0]
    problem = Problem(
        experiment.canvas,
        experiment.info.scan_shape,
        experiment.centres,
        weights,
        propagators,
        mean_counts,
        settings,
        stored,
        ramped_off(experiment.info),
    )
    rules = problem.settings.refine
    if rules is not None and rules.crossed:
        still = replace(problem, settings=replace(problem.settings, refine=None))
        return LsqMl(problem, _kernels(still, recipe), scorer=_kernels(problem, recipe))
    solver = LsqMl(problem, _kernels(problem, recipe))
    if settings.spectral is None or rules is not None:  # epsilon stays while the geometry moves
        return solver
    sharper = replace(problem, settings=replace(settings, epsilon=SHARPER * settings.epsilon))
    return replace(solver, sharper=LsqMl(sharper, _kernels(sharper, recipe)))


def _kernels(problem: Problem, recipe: Recipe) -> Kernels:
    decided = recipe.decided
    return kernels_for(problem, decided.backend, decided.chains, decided.device_batch)


def _propagators(experiment: Experiment) -> np.ndarray:
    """Between slices [S - 1, N, N], all of one thickness."""
    n, slices, tilt = experiment.detector.pixels, experiment.slices, experiment.config.object.tilt_mrad
    propagators = np.empty((slices - 1, n, n), np.complex64)
    if slices > 1:
        assert experiment.thickness is not None, "several slices have one"
        distance, wavelength = float(experiment.thickness) / slices, experiment.microscope.wavelength
        tilted = (tilt[0] * 1e-3, tilt[1] * 1e-3)
        propagators[:] = fresnel_propagator(n, experiment.canvas.pixel, wavelength, distance, tilted)
    return propagators


def _aperture(microscope: Microscope, n: int, pixel: float) -> np.ndarray:
    """Frequencies up to the semi-angle and one pixel more, corner-centred."""
    k = np.fft.fftfreq(n, pixel)
    radius = microscope.semi_angle / microscope.wavelength + 1 / (n * pixel)
    return (k[:, None] ** 2 + k[None, :] ** 2 <= radius**2).astype(np.float32)


def _probe_rules(experiment: Experiment) -> ProbeRules:
    probe, n, pixel = experiment.config.probe, experiment.detector.pixels, experiment.canvas.pixel
    aperture = _aperture(experiment.microscope, n, pixel) if probe.keep_aperture else None
    return ProbeRules(probe.update_start, probe.keep_power, aperture)


def _settings(experiment: Experiment, recipe: Recipe) -> Settings:
    config = experiment.config
    solver = config.solver
    return Settings(
        residual=solver.residual,
        epsilon=solver.epsilon,
        object_step=solver.object_step,
        probe_step=solver.probe_step,
        precondition=solver.precondition,
        tangent_stride=solver.tangent_stride if experiment.searches_line else 0,
        accelerate=solver.acceleration,
        background=solver.background,
        train_fraction=experiment.train_fraction,
        use_all=not recipe.hold_out,
        seed=solver.seed,
        batch=solver.batch,
        constraints=experiment.constraints,
        probe_rules=_probe_rules(experiment),
        rounds=solver.rounds_per_iteration,
        spectral=experiment.spectral,
        half=config.data.half,
        information=experiment.information(recipe.begins_finish),
        refine=experiment.refine,
        places=experiment.places,
    )


def _off_centre(info: DatasetInfo, n: int) -> np.ndarray | float:
    """What moves the disk of a probe [n, n] by the fraction of a pixel that is left where patterns moved by whole ones,
    if it is that of all patterns."""
    y, x = off_centre(info)
    if y == x == 0 or ramped_off(info) is not None:
        return 1.0
    return ramp_of((y, x), n)


def initial_state(recipe: Recipe, algorithm: LsqMl) -> State:
    """Vacuum, and the probe of the dataset's aberrations with the counts' power."""
    shared = initial_shared(recipe, algorithm)
    problem = algorithm.problem
    object_ = np.zeros((problem.slices, *problem.canvas.shape), shared.anchor.dtype)
    return replace(shared, model=replace(shared.model, object=object_), anchor=object_)


def initial_shared(recipe: Recipe, algorithm: LsqMl | TiledLsqMl) -> State:
    """The start but for its object, which has no pixels."""
    experiment, solver = recipe.experiment, algorithm if isinstance(algorithm, LsqMl) else algorithm.solver
    object_ = np.zeros((algorithm.problem.slices, 0, 0), experiment.object_dtype)
    scans = zip(experiment.scans, solver.scans or (solver,), strict=True)
    modes = [_first_modes(scan, part.problem.weights, recipe.counts_of(s)) for s, (scan, part) in enumerate(scans)]
    momentum = 0 if experiment.config.solver.acceleration else -1
    model = Model(object_, np.concatenate(modes).astype(np.complex64))
    refining = None if experiment.refine is None else Refining.begin(experiment.refine)
    return State(model, object_, momentum, geometry=refining)


def coherence(probe: ProbeConfig, microscope: Microscope) -> tuple[Point, ...]:
    """Points of source and focus that a job says; one where all is coherent."""
    return points(microscope, probe.source_size_angstrom, probe.focal_spread_angstrom)


def _first_modes(experiment: Experiment, weights: np.ndarray, mean_counts: float) -> np.ndarray:
    """The probe of a scan [M, N, N] from the dataset's aberrations, with the counts' power."""
    n, config = len(weights), experiment.config
    off, partly = _off_centre(experiment.info, n), coherence(config.probe, experiment.microscope)
    if len(partly) > 1:
        modes = coherent_modes(experiment.microscope, n, experiment.canvas.pixel, partly, config.probe.modes) * off
        probe = modes / math.sqrt(float((np.abs(modes) ** 2).sum()))
    else:
        probe = make_probe(experiment.microscope, n, experiment.canvas.pixel, 1.0)[None] * off
    # electrons that the mask hides are in the probe but not in the mean counts
    seen = float((np.abs(np.fft.fft2(probe, norm="ortho")) ** 2 * weights).sum())
    if seen < 1e-3:
        raise InputError(
            f"the mask leaves {seen:.2g} of the bright-field disk: nothing scales the probe (mask is 1 for"
            " pixels to use)"
        )
    probe = probe * math.sqrt(mean_counts / seen)
    return probe if len(partly) > 1 else hermite_modes(probe[0], config.probe.modes, config.probe.mode_power)
