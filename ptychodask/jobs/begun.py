"""A run that begins with the object or the probe of another result, not with vacuum and the dataset's aberrations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr
from scipy.ndimage import map_coordinates

from .._errors import InputError
from ..io.address import as_given, is_address, local_path
from ..io.checkpoint import RunFolder, save_state
from ..model.config import JobConfig
from ..model.scan import Canvas
from .begins_with import object_of, probe_of
from .build import build_algorithm, initial_state
from .experiment import Experiment
from .recipe import Recipe
from .run import start_in

SAME = 1e-3
"""Share of a pixel by which coordinates may differ and still be the same."""


def with_whole_paths(job: JobConfig) -> JobConfig:
    """The job with the paths of what it begins with as seen from any folder; addresses stay as they are."""
    for name, section in (("object", job.object), ("probe", job.probe)):
        if section.start is not None and not section.start.strip():
            raise InputError(f"{name}.start is empty: give the path of a result, or leave it out")
    sections = {
        name: section.model_copy(update={"start": _whole(section.start)})
        for name, section in (("object", job.object), ("probe", job.probe))
        if section.start is not None
    }
    return job.model_copy(update=sections)


def _whole(path: str) -> str:
    return as_given(path) if is_address(path) else str(local_path(path).absolute())


def check_start(experiment: Experiment) -> tuple[str, ...]:
    """Refuse what cannot be begun with; returns what to say of the rest.

    Raises
    ------
    InputError
        If it is no result, of other pixels, of another place, or of fewer modes.
    """
    job = experiment.config
    told: tuple[str, ...] = ()
    if job.object.start is not None:
        told = object_of(job.object.start, experiment).told
    if job.probe.start is not None:
        told += probe_of(job.probe.start, experiment)[1]
    return told


def begin(folder: RunFolder, recipe: Recipe) -> Recipe:
    """The recipe that begins with what the job says, which is kept beside the run."""
    job = recipe.job
    if recipe.decided.begun or (job.object.start is None and job.probe.start is None):
        return recipe
    experiment = recipe.experiment
    state = initial_state(recipe, build_algorithm(recipe))
    model = state.model
    if job.object.start is not None:
        taken = object_of(job.object.start, experiment)
        maps = on_canvas(taken.object, experiment.canvas, len(model.object), model.object.dtype)
        if not taken.ours:  # the first update would, and a loss that rises by that looks like divergence
            for constraint in experiment.constraints:
                maps = np.asarray(constraint(maps))
        model, state = replace(model, object=maps), replace(state, anchor=maps)
    if job.probe.start is not None:
        probe, _ = probe_of(job.probe.start, experiment)
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
