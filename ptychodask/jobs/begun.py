"""A run that begins with the object or the probe of another result, not with vacuum and the dataset's aberrations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr
from scipy.ndimage import map_coordinates

from .._errors import InputError
from ..io.checkpoint import RunFolder, save_state
from ..io.result import Result, open_result
from ..model.config import JobConfig
from ..model.scan import Canvas
from .build import build_algorithm, initial_state
from .experiment import Experiment
from .recipe import Recipe
from .run import start_in

SAME = 1e-3
"""Share by which two pixels may differ and still be one."""
LEAST = 0.5
"""Share of the canvas that an object has to cover."""


def with_whole_paths(job: JobConfig) -> JobConfig:
    """The job with the paths of what it begins with as seen from any folder."""
    for name, section in (("object", job.object), ("probe", job.probe)):
        if section.start is not None and not section.start.strip():
            raise InputError(f"{name}.start is empty: give the path of a result, or leave it out")
    sections = {
        name: section.model_copy(update={"start": str(Path(section.start).absolute())})
        for name, section in (("object", job.object), ("probe", job.probe))
        if section.start is not None
    }
    return job.model_copy(update=sections)


def check_start(experiment: Experiment) -> None:
    """Refuse what cannot be begun with.

    Raises
    ------
    InputError
        If it is no result, of other pixels, of another place, or of fewer modes.
    """
    job = experiment.config
    if job.object.start is not None:
        _check_place(job.object.start, _opened("object.start", job.object.start).object, experiment.canvas)
    if job.probe.start is not None:
        _probe_of(job.probe.start, experiment)


def begin(folder: RunFolder, recipe: Recipe) -> Recipe:
    """The recipe that begins with what the job says, which is kept beside the run."""
    job = recipe.job
    if recipe.decided.begun or (job.object.start is None and job.probe.start is None):
        return recipe
    experiment = recipe.experiment
    state = initial_state(recipe, build_algorithm(recipe))
    model = state.model
    if job.object.start is not None:
        found = _opened("object.start", job.object.start).object
        _check_place(job.object.start, found, experiment.canvas)
        maps = on_canvas(found, experiment.canvas, len(model.object), model.object.dtype)
        model, state = replace(model, object=maps), replace(state, anchor=maps)
    if job.probe.start is not None:
        probe = _probe_of(job.probe.start, experiment)
        # the counts say how bright it is
        power = np.sum(np.abs(model.probe) ** 2) / np.sum(np.abs(probe) ** 2)
        model = replace(model, probe=(probe * np.sqrt(power)).astype(model.probe.dtype))
    save_state(start_in(folder), replace(state, model=model))
    recipe = recipe.with_decided(begun=True)
    folder.write_json("decisions.json", recipe.decided.stored())
    return recipe


def on_canvas(object_: xr.DataArray, canvas: Canvas, slices: int, dtype: np.dtype) -> np.ndarray:
    """An object (slice, y, x) on the pixels of a canvas [S, Oy, Ox], vacuum where it does not reach.

    By cubic splines, bit for bit on the same pixels. Into another number of slices the phase is dealt out evenly.
    """
    maps = np.asarray(object_.values)
    maps = maps.astype(dtype) if dtype.kind == "c" else maps.real.astype(dtype)
    if len(maps) != slices:
        maps = np.repeat(maps.sum(axis=0, keepdims=True) / slices, slices, axis=0)
    old = [object_[axis].values for axis in ("y", "x")]
    new = [canvas.coordinates(axis) for axis in (0, 1)]
    if all(
        len(a) == len(b) and np.allclose(a, b, atol=SAME * canvas.pixel, rtol=0) for a, b in zip(old, new, strict=True)
    ):
        return maps
    pixels = [(b - a[0]) / (a[1] - a[0]) for a, b in zip(old, new, strict=True)]
    at = np.meshgrid(*pixels, indexing="ij")
    return np.stack([map_coordinates(plane, at, order=3, mode="constant", cval=0.0) for plane in maps]).astype(dtype)


def _opened(option: str, path: str) -> Result:
    try:
        return open_result(path)
    except InputError as error:
        raise InputError(f"{option}: {error}") from None


def _check_place(path: str, object_: xr.DataArray, canvas: Canvas) -> None:
    covered = 1.0
    for axis, name in enumerate(("y", "x")):
        its, wanted = object_[name].values, canvas.coordinates(axis)
        covered *= float(np.mean((wanted >= its[0]) & (wanted <= its[-1])))
    if covered < LEAST:
        raise InputError(
            f"object.start = {path}: its object covers {100 * covered:.0f} % of what this scan sees, at least"
            f" {100 * LEAST:.0f} % are needed: give a result of the same area, in the same coordinates"
        )


def _probe_of(path: str, experiment: Experiment) -> np.ndarray:
    """Modes [M, N, N] on the pixels of the run."""
    result = _opened("probe.start", path)
    probe, pixels, pixel = result.probe, experiment.info.detector.pixels, experiment.canvas.pixel
    step = float(probe["probe_y"].values[1] - probe["probe_y"].values[0])
    if probe.shape[-1] != pixels or abs(step / pixel - 1) > SAME:
        raise InputError(
            f"probe.start = {path}: its probe has {probe.shape[-1]} x {probe.shape[-1]} pixels of {step:.4g} A, this"
            f" run {pixels} x {pixels} of {pixel:.4g} A: give a result of the same detector, angular step and energy"
        )
    modes = experiment.config.probe.modes
    if len(probe) < modes or experiment.further:
        raise InputError(
            f"probe.start = {path} has {len(probe)} modes, probe.modes = {modes} and {1 + len(experiment.further)}"
            " scans are asked for: the probe of one scan is taken, with at least as many modes"
        )
    return np.asarray(probe.values)[:modes]
