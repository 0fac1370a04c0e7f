"""From which any worker builds the same problem: a few kilobytes, which also lie in the run folder."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from .._array import backend_module, cupy_available
from .._processor import processor
from ..distributed.machine import cores
from ..io.dataset import dataset_info
from ..io.selected import select
from ..kernels.gpu.workspace import choose_device
from ..model.blocks import Block, Box
from ..model.config import EngineConfig, JobConfig
from ..model.refining import Refined
from ..model.selection import Selection
from .experiment import Experiment


@dataclass(frozen=True)
class Decisions:
    """What was found out once, before the first iteration; other workers and a resumed run take it as it is.

    ``mean_counts`` are the electrons per pattern that are trained on, in the pixels in use, from the survey of the
    data. ``backend``, ``chains`` and ``device_batch`` are what a worker chose at the start, so that all workers compute
    the same bits; they do on ``processor``, the kind that this worker has. ``damaged`` are the chunks that the survey
    found unreadable and that are left out, where the job wants that; ``excluded`` are positions that are left out
    because the job says so, or because they misfired; ``suspicions`` are warnings. ``container`` and ``pattern_bytes``
    say how the survey found counts to be cached: as ``events`` or in a dense type, in how many bytes per pattern.
    ``geometry`` is what was found of it, where it was refined. ``begun`` says that the first state is the checkpoint
    ``start`` in the run folder instead of vacuum, ``told`` are remarks about what it was made of. Of several scans,
    ``further`` is what was found out about the others, and ``offsets`` where they lie, with the ``offset_errors`` of
    those that were found.
    """

    mean_counts: float = math.nan
    backend: str = "numpy"
    processor: str = ""
    chains: bool = False
    device_batch: int = 0
    damaged: tuple[Box, ...] = ()
    excluded: tuple[Box, ...] = ()
    suspicions: tuple[str, ...] = ()
    container: str = ""
    pattern_bytes: float = math.nan
    geometry: Refined | None = None
    begun: bool = False
    told: tuple[str, ...] = ()
    further: tuple[Decisions, ...] = ()
    offsets: tuple[tuple[float, float], ...] = ()
    offset_errors: tuple[tuple[float, float], ...] = ()

    @classmethod
    def load(cls, values: dict[str, Any]) -> Decisions:
        """From the dictionary that JSON made of it, which keeps every bit of a float but knows no tuples."""
        boxes = {name: tuple(tuple(box) for box in values[name]) for name in ("damaged", "excluded")}
        texts = {name: tuple(values.get(name, ())) for name in ("suspicions", "told")}
        pairs = {name: tuple(map(tuple, values.get(name, ()))) for name in ("offsets", "offset_errors")}
        further = tuple(map(cls.load, values.get("further", ())))
        refined = Refined.load(values["geometry"])
        return cls(**{**values, **boxes, **pairs, **texts, "geometry": refined, "further": further})

    def stored(self) -> dict[str, Any]:
        """As JSON keeps it; what is of several scans, or told, only where there is some."""
        several = ("further", "offsets", "offset_errors")
        left = several if self.told else (*several, "told")
        alone = {name: value for name, value in asdict(self).items() if name not in left}
        if not self.further:
            return alone
        further = [its.stored() for its in self.further]
        return {**alone, "further": further, "offsets": self.offsets, "offset_errors": self.offset_errors}

    @property
    def left_out(self) -> tuple[Box, ...]:
        """What no block holds."""
        return self.damaged + self.excluded

    def at_full_dose(self, share: float) -> Decisions:
        """With the mean counts of all electrons, from those of a share that is trained on."""
        further = tuple(its.at_full_dose(share) for its in self.further)
        return replace(self, mean_counts=self.mean_counts / share, further=further)


@dataclass(frozen=True)
class Recipe:
    """All that a worker needs to build the algorithm: dataset and job, what was decided about them, and the stage.

    ``selection`` is what is used of the dataset, None for all of it; its files lie in the run folder. ``begins_finish``
    is the iteration from which on all electrons are used, in that stage; ``refines`` is on while the geometry moves,
    with patterns padded to ``pixels`` if not 0. ``further`` are the datasets of further scans of the same area.
    """

    path: str
    config: str
    decided: Decisions = Decisions()
    selection: Selection | None = None
    begins_finish: int | None = None
    refines: bool = False
    pixels: int = 0
    further: tuple[str, ...] = ()

    def with_decided(self, **decisions: Any) -> Recipe:
        """The recipe with further decisions."""
        return replace(self, decided=replace(self.decided, **decisions))

    @property
    def hold_out(self) -> bool:
        """Are some electrons held out?"""
        return self.begins_finish is None

    @property
    def job(self) -> JobConfig:
        """The configuration."""
        return JobConfig.model_validate_json(self.config)

    @property
    def experiment(self) -> Experiment:
        """What is used of the dataset, and the job on it; read anew every time."""
        info, its = select(dataset_info(self.path, whole=False), self.selection), self.decided
        further = tuple(dataset_info(path, whole=False) for path in self.further)
        return Experiment(info, self.job, its.geometry, self.refines, self.pixels, further, its.offsets)

    def counts_of(self, scan: int) -> float:
        """Mean electrons per pattern of a scan that are trained on."""
        return (self.decided, *self.decided.further)[scan].mean_counts

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks that its kernels compute."""
        return blocks_of(self.experiment, self.decided)


def blocks_of(experiment: Experiment, decided: Decisions) -> tuple[Block, ...]:
    """The blocks of an experiment without what was decided to leave out."""
    others = tuple(its.left_out for its in decided.further)
    return experiment.blocks_without(decided.left_out, decided.backend == "cupy", others)


def kernels(engine: EngineConfig) -> str:
    """Backend that this process would compute with."""
    backend: str = engine.backend
    if backend == "auto":  # who asks for GPUs wants an error where there are none
        backend = "cupy" if engine.gpus is not None or cupy_available() else "cpu"
    backend_module(backend)  # refuses a missing device now
    return backend


def choose_kernels(recipe: Recipe) -> Recipe:
    """The recipe with its backend; run on a worker, which may have a device the client lacks."""
    backend = kernels(recipe.job.engine)
    chosen = recipe.with_decided(backend=backend, processor=processor(backend))
    if backend != "cupy":
        return chosen
    chains, batch = _choose_device(chosen)
    return chosen.with_decided(chains=chains, device_batch=batch)


def _choose_device(recipe: Recipe) -> tuple[bool, int]:
    """Way through the slices and mini-batch for this worker's device, which local workers and their threads share."""
    experiment = recipe.experiment
    patterns = max(block.size for block in recipe.blocks)
    shape = (experiment.slices, experiment.config.probe.modes, experiment.detector.pixels)
    # too many threads would mean mini-batches too small to fill a device, too few no memory
    return choose_device(*shape, patterns, experiment.config.engine.place.threads_per_device(cores()))
