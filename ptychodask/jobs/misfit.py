"""Where data and model do not fit each other: on the detector, and over the scan."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import xarray as xr

from .._errors import InputError
from ..counts.patterns import dense, reunited
from ..io.dataset import dataset_info
from ..io.result import Result
from ..io.source import source_of
from ..kernels.plain.local import batches, localise
from ..kernels.ramps import ramps_in
from ..model.state import Model
from ..physics.expected_loss import expected_loss
from ..physics.likelihood import Likelihood, loss
from ..physics.multislice import forward, intensity
from ..physics.views import gather
from ..solver.problem import shifted_probes
from .build import build_algorithm
from .experiment import Experiment
from .recipe import Decisions, Recipe

COMPARED, MOST = 600, 20_000
"""Patterns that are compared, about, and positions of a scan that is small enough to be read for it."""


def misfit_of(result: Result) -> xr.Dataset:
    """Maps of how far the counts are from the model, in standard deviations of Poisson noise around it.

    Every so many rows and columns of the scan are compared, such that it is some hundred patterns. Of several scans it
    is the first.

    Returns
    -------
    xarray.Dataset
        ``detector (ky, kx)``: ``sum (n - I) / sqrt(sum I)`` over the patterns, zero angle in the centre; nan where no
        electron is expected, or the mask uses no pixel. ``scan (scan_y, scan_x)``: the loss of each pattern less that
        of Poisson noise around the model, over its standard deviation. ``fourier_error``, the root of the mean of ``4
        (sqrt n - sqrt I)^2``, and what Poisson noise gives of it, which is 1 above some five electrons per pixel and
        less below (Odstrcil et al. 2018). Sound data give values of about 1 in the first two, but
        for what the model has taken up of the noise.

    Raises
    ------
    InputError
        The dataset is not there, a part of it was used, or the scan is large.
    """
    said = result.described
    if said.selection:
        raise InputError("a part of the dataset was used: where it does not fit is not looked at")
    info = dataset_info(said.data, whole=False)
    if math.prod(info.scan_shape) > MOST:
        raise InputError(
            f"the scan has {math.prod(info.scan_shape)} positions: where up to {MOST} do not fit is looked at"
        )
    # the probe is the fitted one: of the recipe, only slices, mask and likelihood matter
    decided = Decisions(mean_counts=float((np.abs(result.probe.values) ** 2).sum()), backend="numpy")
    recipe = Recipe(info.path, result.config.model_dump_json(), decided, begins_finish=0)
    experiment = Experiment(info, result.config)
    algorithm = build_algorithm(recipe)
    pixel, source = algorithm.problem.canvas.pixel, source_of(info)
    origin = np.array([float(result.object[a][0]) for a in ("y", "x")])
    positions = (result.positions.values.reshape(-1, 2) - origin) / pixel
    problem = replace(algorithm.problem, centres=positions)
    model = Model(np.asarray(result.object.values), np.asarray(result.probe.values))
    step = max(1, math.ceil(math.sqrt(math.prod(info.scan_shape) / COMPARED)))
    height, width = info.scan_shape
    scan, error, usual = np.full((3, -(-height // step), -(-width // step)), np.nan)
    used, amplitude = problem.weights > 0, Likelihood("amplitude", problem.likelihood.epsilon)
    more, whole = np.zeros((2, problem.pixels, problem.pixels))
    for block in experiment.blocks:
        flat = block.flat(info.scan_shape)
        y, x = np.divmod(flat, width)
        chosen = np.flatnonzero((y % step == 0) & (x % step == 0))
        if not chosen.size:
            continue
        counts = dense(reunited(algorithm.prepare(block, source.read(block))).fitted, 0, block.size, problem.pixels, np,
                       np.float32)[chosen]  # fmt: skip
        local, (which, tilts) = localise(problem, np, block, model), ramps_in(problem, block)
        for part in batches(len(chosen), problem.settings.batch):
            its = chosen[part]
            probes, _ = shifted_probes(local.spectra, local.fractions[its])
            if tilts is not None:
                probes = probes * tilts[which[its]][:, None]
            _, psi = forward(gather(local.transmission, local.corners[its], problem.pixels), probes, local.propagators)
            predicted = intensity(psi)
            more += (counts[part] - predicted).sum(axis=0)
            whole += predicted.sum(axis=0)
            for b, j in enumerate(its):
                expected, variance = expected_loss(problem.likelihood, predicted[b])
                found = loss(problem.likelihood, counts[part][b : b + 1], predicted[b : b + 1], problem.weights)
                spread = math.sqrt(max(float(variance[used].sum()), 1e-300))
                at = y[j] // step, x[j] // step
                scan[at] = (found - float(expected[used].sum())) / spread
                # that loss is 2 (sqrt n - sqrt I)^2, and the Fourier error is in units of the variance 1/4 of sqrt n
                error[at] = math.sqrt(2 * np.mean(2 * (np.sqrt(counts[part][b]) - np.sqrt(predicted[b]))[used] ** 2))
                usual[at] = math.sqrt(2 * np.mean(expected_loss(amplitude, predicted[b])[0][used]))
    with np.errstate(invalid="ignore", divide="ignore"):
        detector = np.where((problem.weights > 0) & (whole > 0.5), more / np.sqrt(whole), np.nan)
    angle = (np.arange(problem.pixels) - problem.pixels // 2) * experiment.detector.angular_step_mrad
    sigma = {"units": "standard deviations"}
    return xr.Dataset(
        {
            "detector": (("ky", "kx"), np.fft.fftshift(detector), sigma),
            "scan": (("scan_y", "scan_x"), scan, sigma),
            "fourier_error": (("scan_y", "scan_x"), error, {"units": "1"}),
            "fourier_error_expected": (("scan_y", "scan_x"), usual, {"units": "1"}),
        },
        {
            "ky": ("ky", angle, {"units": "mrad"}),
            "kx": ("kx", angle, {"units": "mrad"}),
            "scan_y": np.arange(scan.shape[0]) * step,
            "scan_x": np.arange(scan.shape[1]) * step,
        },
    )
