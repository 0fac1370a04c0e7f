"""From dataset and configuration to the solver's problem and first state, on the workers, from a small recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._array import backend_module, cupy_available
from .._errors import InputError
from .._processor import processor
from .._tables import counted
from ..analysis.sampling import check_geometry
from ..distributed.machine import cores
from ..io.dataset import DatasetInfo, dataset_info
from ..io.selected import mask_of, positions_of, select
from ..io.source import source_of
from ..model.blocks import Block, Box, boxes_of, joined_tile, make_blocks
from ..model.config import LARGEST_TILE, EngineConfig, JobConfig
from ..model.optics import Microscope
from ..model.scan import Canvas, make_canvas
from ..model.selection import Selection
from ..model.state import Model, State
from ..physics.constraints import blur_reach
from ..physics.modes import hermite_modes
from ..physics.probe import make_probe
from ..physics.propagation import fresnel_propagator
from ..solver.lsqml import LsqMl
from ..solver.problem import Problem
from ..solver.settings import ObjectRules, ProbeRules, Settings
from ..solver.tiled import TiledLsqMl
from ..solver.workspace_gpu import choose_device
from .described import microscope_of, slices_of, thickness_of

TANGENT_ABOVE = 4
"""Free slices above which the tangent step is worth its extra pass."""


@dataclass(frozen=True)
class Recipe:
    """All that a worker needs to build the algorithm: a few kilobytes.

    ``mean_counts`` are the electrons per pattern that are trained on, in the pixels in use, from the survey of the
    data; ``hold_out`` is off while all electrons are used. ``backend``, ``chains`` and ``device_batch`` are what a
    worker chose at the start, so that all workers, and a resumed run, compute the same bits; they do on ``processor``,
    the kind that this worker has. ``damaged`` are the chunks
    that the survey found unreadable and that are left out, where the job wants that; ``excluded`` are positions that
    are left out because the job says so, or because they misfired; ``suspicions`` are warnings. ``container`` and
    ``pattern_bytes`` say how it found counts to be cached: as ``events`` or in a dense type, in how many bytes per
    pattern. ``selection`` is what is used of the dataset, None for all of it; its files lie in the run folder.
    """

    path: str
    config: str
    mean_counts: float = math.nan
    hold_out: bool = True
    backend: str = "numpy"
    processor: str = ""
    chains: bool = False
    device_batch: int = 0
    damaged: tuple[Box, ...] = ()
    excluded: tuple[Box, ...] = ()
    suspicions: tuple[str, ...] = ()
    container: str = ""
    pattern_bytes: float = math.nan
    selection: Selection | None = None

    @classmethod
    def load(cls, values: dict[str, Any]) -> Recipe:
        """From the dictionary that JSON made of it, which keeps every bit of a float but knows no tuples."""
        boxes = {name: tuple(tuple(box) for box in values.get(name, ())) for name in ("damaged", "excluded")}
        chosen = Selection.load(values.get("selection"))
        return cls(**{**values, **boxes, "suspicions": tuple(values.get("suspicions", ())), "selection": chosen})

    @property
    def left_out(self) -> tuple[Box, ...]:
        """What no block holds."""
        return self.damaged + self.excluded

    @property
    def job(self) -> JobConfig:
        """The configuration."""
        return JobConfig.model_validate_json(self.config)

    @property
    def info(self) -> DatasetInfo:
        """What is used of the dataset."""
        return select(dataset_info(self.path, whole=False), self.selection)


def excluded_by(info: DatasetInfo, config: JobConfig) -> tuple[Box, ...]:
    """Positions that the job lists as not to be used, by their numbers in the store; in the scan of a selection."""
    listed = config.data.exclude
    boxes = () if listed is None or listed == "misfired" else boxes_of(listed)
    return boxes if info.selection is None else info.selection.places(boxes)


def blocks_of(info: DatasetInfo, config: JobConfig, left_out: tuple[Box, ...] = ()) -> tuple[Block, ...]:
    """The scan's blocks, the job's or else whole shards of the dataset, without what is left out by the job or besides.

    Of a selection, the job's are counted within it, and the shards in the store: a shard is read by one block.
    """
    left_out = excluded_by(info, config) + left_out
    if config.engine.block is not None:
        return make_blocks(info.scan_shape, config.engine.block, left_out)
    tile = joined_tile(info.scan_shape, info.tile)
    if info.selection is not None:
        tile = info.selection.tile(tile)
    return make_blocks(info.scan_shape, tile, left_out, info.selection)


def searches_line(info: DatasetInfo, config: JobConfig) -> bool:
    """Does every iteration search along its direction (the tangent step) instead of taking the pooled step over S?

    Pooled steps are the more pessimistic the more slices move independently; slices that are tied together move as one,
    and there the pooled step is right. A Gaussian coupling leaves about one free slice to two sigma.
    """
    if config.solver.step_rule != "auto":
        return config.solver.step_rule == "tangent"
    slices, rules = slices_of(info, config), config.object
    free: float = 1 if rules.coupling == "identical" else slices
    if rules.coupling == "gaussian":
        free = min(slices, (thickness_of(info, config) or 0.0) / (2 * rules.coupling_sigma_angstrom))
    return free > TANGENT_ABOVE


def check_job(info: DatasetInfo, config: JobConfig) -> list[str]:
    """Refuse what cannot work, before anything is computed; returns remarks for the user."""
    microscope = microscope_of(info, config)
    slices_of(info, config)
    check_geometry(microscope, info.detector.pixels, info.detector.angular_step_mrad, step_angstrom=info.scan_step)
    geometry(info, microscope)
    _check_excluded(info, config)
    rounds, blocks = config.solver.rounds_per_iteration, len(blocks_of(info, config))
    if rounds > blocks:
        raise InputError(
            f"solver.rounds_per_iteration = {rounds} is more than the scan's {blocks} blocks:"
            f" use at most {blocks}, or smaller blocks (engine.block)"
        )
    side = tile_side(info, config)
    remarks = []
    if config.probe.mode_power * (config.probe.modes - 1) >= 1:
        raise InputError(
            f"probe.modes = {config.probe.modes} at probe.mode_power = {config.probe.mode_power} leave"
            " nothing to the first mode:"
            f" use mode_power < {1 / (config.probe.modes - 1):.3g}"
        )
    if not source_of(info).as_we_write:
        remarks.append("counts are stored in another layout: Zarr decodes them, which takes longer")
    if side is not None:
        remarks.append(f"the object is kept in tiles of at most {side} x {side} pixels")
    if config.object.slices is None:
        remarks.append(f"object.slices is unset: {_slices_told(slices_of(info, config), thickness_of(info, config))}")
    return remarks


def _slices_told(slices: int, thickness: float | None) -> str:
    if thickness is None:
        return "1 slice, because the thickness is not known (object.thickness_angstrom says it)"
    return f"{counted(slices, 'slice')} for {thickness:g} A"


def job_warnings(info: DatasetInfo, config: JobConfig) -> list[str]:
    """What is doubtful about a job that can run."""
    found = []
    if config.solver.validation_fraction is not None and not counts_are_whole(info):
        found.append("counts are not whole electrons: nothing is held out, the run stops on the loss alone")
    listed = config.data.exclude
    if info.selection is not None and listed not in (None, "misfired"):
        beyond = len(set(listed)) - sum((y1 - y0) * (x1 - x0) for y0, y1, x0, x1 in excluded_by(info, config))
        if beyond:
            found.append(
                f"{beyond} of the positions in data.exclude are not in the selection: they are counted in the stored"
                " scan, as the coordinates scan_y and scan_x are"
            )
    return found


def _check_excluded(info: DatasetInfo, config: JobConfig) -> None:
    listed = config.data.exclude
    if listed is None or listed == "misfired":
        return
    rows, columns = info.scan_shape if info.selection is None else dataset_info(info.path, whole=False).scan_shape
    for y, x in listed:
        if y >= rows or x >= columns:
            raise InputError(
                f"data.exclude = ({y}, {x}) is outside the scan of {rows} x {columns} positions: they are"
                f" counted from (0, 0) to ({rows - 1}, {columns - 1})"
            )
    if not blocks_of(info, config):
        count = math.prod(info.scan_shape)
        raise InputError(f"data.exclude leaves none of the {count} positions: exclude fewer")


def kernels(engine: EngineConfig) -> str:
    """Backend that this process would compute with."""
    backend: str = engine.backend
    if backend == "auto":  # who asks for GPUs wants an error where there are none
        backend = "cupy" if engine.gpus is not None or cupy_available() else "cpu"
    backend_module(backend)  # refuses a missing device now
    return backend


def tile_side(info: DatasetInfo, config: JobConfig) -> int | None:
    """Side of the object's tiles in pixels, None where the object stays whole: from the scan and the job alone.

    With a bound on memory, the largest side whose tile with its halo takes a quarter of it, so that a worker can hold
    some tiles besides what is on its way.
    """
    bound = config.engine.object_gib
    if config.engine.tile_pixels is not None or bound is None:
        return config.engine.tile_pixels
    n, slices = info.detector.pixels, slices_of(info, config)
    canvas, _ = geometry(info, microscope_of(info, config))
    # object and anchor of the state that is looked at, of the next and of the best; gradient and direction;
    # illumination and weight, which are real, and as much in a merge; benchmarks/tiles.py measured 49 bytes for phases
    pixel_bytes = slices * (8 * object_dtype(config).itemsize + 4 * 4)
    if canvas.shape[0] * canvas.shape[1] * pixel_bytes <= bound * 2**30:
        return None
    halo = n + 2 * blur_reach(config.object.blur_angstrom / canvas.pixel)
    side = int(math.sqrt(bound * 2**30 / 4 / pixel_bytes)) - halo
    if side < n:
        least = 4 * (n + halo) ** 2 * pixel_bytes / 2**30
        raise InputError(f"engine.object_gib = {bound:g} holds no tile of {n} pixels: use at least {least:.3g}")
    return min(side, LARGEST_TILE)


def choose_kernels(recipe: Recipe) -> Recipe:
    """The recipe with its backend; run on a worker, which may have a device the client lacks."""
    backend = kernels(recipe.job.engine)
    chosen = replace(recipe, backend=backend, processor=processor(backend))
    if backend != "cupy":
        return chosen
    chains, batch = _choose_device(recipe)
    return replace(chosen, chains=chains, device_batch=batch)


def _choose_device(recipe: Recipe) -> tuple[bool, int]:
    """Way through the slices and mini-batch for this worker's device, which local workers and their threads share."""
    info, config = recipe.info, recipe.job
    engine = config.engine
    patterns = max(block.size for block in blocks_of(info, config))
    return choose_device(
        slices_of(info, config), config.probe.modes, info.detector.pixels, patterns, _sharing_device(engine)
    )


def _sharing_device(engine: EngineConfig) -> int:
    """Threads that share a device: too many would mean mini-batches too small to fill it, too few no memory."""
    if engine.gpus is not None:
        return engine.threads or 1  # one worker each, as ``distributed.cluster`` starts them
    return engine.threads * (engine.workers or 1) if engine.threads else cores()


def counts_are_whole(info: DatasetInfo) -> bool:
    """Only whole electrons can be thinned for validation."""
    return np.dtype(info.dtype).kind == "u"


def train_fraction(info: DatasetInfo, config: JobConfig) -> float | None:
    """Share of the electrons to train on, None where nothing is held out."""
    held = config.solver.validation_fraction
    return None if held is None or not counts_are_whole(info) else 1 - held


def geometry(info: DatasetInfo, microscope: Microscope) -> tuple[Canvas, np.ndarray]:
    """The object's canvas and the positions in its pixels."""
    return make_canvas(positions_of(info), info.detector.pixels, info.detector.pixel_angstrom(microscope.wavelength))


def build_algorithm(recipe: Recipe) -> LsqMl:
    """The solver with its problem."""
    config, info = recipe.job, recipe.info
    microscope = microscope_of(info, config)
    canvas, _ = geometry(info, microscope)
    slices = slices_of(info, config)
    n = info.detector.pixels
    propagators = np.empty((slices - 1, n, n), np.complex64)
    if slices > 1:
        distance = float(thickness_of(info, config)) / slices  # type: ignore[arg-type]  # slices_of checked it
        tilt = (config.object.tilt_mrad[0] * 1e-3, config.object.tilt_mrad[1] * 1e-3)
        propagators[:] = fresnel_propagator(n, canvas.pixel, microscope.wavelength, distance, tilt)
    settings = _settings(info, config, canvas.pixel, recipe.hold_out)
    return LsqMl(
        Problem(
            canvas,
            info.scan_shape,
            mask_of(info),
            propagators,
            recipe.mean_counts,
            settings,
            recipe.backend,
            chains=recipe.chains,
            device_batch=recipe.device_batch,
        )
    )


def _aperture(microscope: Microscope, n: int, pixel: float) -> np.ndarray:
    """Frequencies up to the semi-angle and one pixel more, corner-centred."""
    k = np.fft.fftfreq(n, pixel)
    radius = microscope.semi_angle / microscope.wavelength + 1 / (n * pixel)
    return (k[:, None] ** 2 + k[None, :] ** 2 <= radius**2).astype(np.float32)


def _settings(info: DatasetInfo, config: JobConfig, pixel: float, hold_out: bool) -> Settings:
    solver, rules, probe, slices = config.solver, config.object, config.probe, slices_of(info, config)
    aperture = _aperture(microscope_of(info, config), info.detector.pixels, pixel)
    thickness = thickness_of(info, config)
    coupled = rules.coupling == "gaussian" and slices > 1 and thickness is not None
    object_rules = ObjectRules(
        amplitude_max=rules.amplitude_max if rules.kind == "complex" else None,
        blur_pixels=rules.blur_angstrom / pixel,
        positive=rules.positivity,
        identical=rules.coupling == "identical",
        coupling_slices=rules.coupling_sigma_angstrom * slices / thickness if coupled else 0.0,  # type: ignore[operator]
    )
    probe_rules = ProbeRules(probe.update_start, probe.keep_power, aperture if probe.keep_aperture else None)
    return Settings(
        residual=solver.residual,
        epsilon=solver.epsilon,
        object_step=solver.object_step,
        probe_step=solver.probe_step,
        precondition=solver.precondition,
        tangent_stride=solver.tangent_stride if searches_line(info, config) else 0,
        accelerate=solver.acceleration,
        background=solver.background,
        train_fraction=train_fraction(info, config),
        use_all=not hold_out,
        seed=solver.seed,
        batch=solver.batch,
        object_rules=object_rules,
        probe_rules=probe_rules,
        rounds=solver.rounds_per_iteration,
    )


def object_dtype(config: JobConfig) -> np.dtype:
    """Real or complex phases."""
    return np.dtype(np.float32 if config.object.kind == "phase" else np.complex64)


def initial_state(recipe: Recipe, algorithm: LsqMl) -> State:
    """Vacuum, and the probe of the dataset's aberrations with the counts' power."""
    shared = initial_shared(recipe, algorithm)
    problem = algorithm.problem
    object_ = np.zeros((problem.slices, *problem.canvas.shape), object_dtype(recipe.job))
    return replace(shared, model=replace(shared.model, object=object_), anchor=object_)


def initial_shared(recipe: Recipe, algorithm: LsqMl | TiledLsqMl) -> State:
    """The start but for its object, which has no pixels."""
    config, info = recipe.job, recipe.info
    microscope = microscope_of(info, config)
    canvas, centres = geometry(info, microscope)
    n = info.detector.pixels
    object_ = np.zeros((algorithm.problem.slices, 0, 0), object_dtype(config))
    probe = make_probe(microscope, n, canvas.pixel, 1.0)
    # electrons that the mask hides are in the probe but not in the mean counts
    seen = float((np.abs(np.fft.fft2(probe, norm="ortho")) ** 2 * algorithm.problem.weights).sum())
    if seen < 1e-3:
        raise InputError(
            f"the mask leaves {seen:.2g} of the bright-field disk: nothing scales the probe (mask is 1 for"
            " pixels to use)"
        )
    modes = hermite_modes(probe * math.sqrt(recipe.mean_counts / seen), config.probe.modes, config.probe.mode_power)
    momentum = 0 if config.solver.acceleration else -1
    return State(Model(object_, modes.astype(np.complex64), centres), object_, momentum)
