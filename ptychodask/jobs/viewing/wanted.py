"""What is to be seen of a dataset: small, so that it travels, and every process makes the same of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...analysis.aligned import Parallax, parallax_of
from ...analysis.grid import Grid, grid_of
from ...analysis.virtual import Virtual, angles, detectors
from ...io.dataset import DatasetInfo
from ...io.selected import mask_of, positions_of
from ...io.source import ZarrBlocks, source_of
from ...model.blocks import Block
from ...model.config import JobConfig
from ...model.optics import Microscope
from ..experiment import Experiment

RUNS = 256
"""Tasks at most: what each of them saw is held until all are there."""
RUNS_BYTES = 2**26
"""Bytes of sums of patterns that are held so."""


@dataclass(frozen=True)
class Wanted:
    """Images that are asked for.

    Parameters
    ----------
    info : DatasetInfo
    annuli : tuple of (float, float)
        Inner and outer angle in mrad, beside bright and dark field.
    masks : mapping of array [N, N]
        Weights, zero angle in the centre.
    defocus : float, optional
        Angstrom, instead of the dataset's.
    finer : int, optional
        Pixels of the parallax image along a scan step.
    mask_damage : bool
        Leave positions out whose chunks are damaged.
    """

    info: DatasetInfo
    annuli: tuple[Any, ...] = ()
    masks: Mapping[str, Any] | None = None
    defocus: float | None = None
    finer: int | None = None
    mask_damage: bool = False

    @cached_property
    def experiment(self) -> Experiment:
        """The dataset with what replaces its defocus."""
        return Experiment(self.info, JobConfig.parse({"probe": {"defocus_angstrom": self.defocus}}))

    @cached_property
    def middle(self) -> Microscope:
        """The microscope with its defocus at the middle of the specimen, where the dataset says how thick that is."""
        scope = self.experiment.microscope
        depth = (self.experiment.thickness or 0.0) / 2
        return replace(scope, aberrations={**scope.aberrations, "C10": scope.aberrations.get("C10", 0.0) + depth})

    @cached_property
    def used(self) -> np.ndarray:
        """Pixels [N, N] that count, corner-centred."""
        return mask_of(self.info) > 0

    @cached_property
    def grid(self) -> Grid:
        """Pixels of the images."""
        return grid_of(positions_of(self.info).reshape(*self.info.scan_shape, 2), self.info.scan_step)

    @cached_property
    def detectors(self) -> list[Virtual]:
        """In the order of their images."""
        return detectors(self.info.microscope, self.info.detector, self.annuli, self.masks or {}, self.used)

    @cached_property
    def weights(self) -> np.ndarray:
        """What every pattern is summed with, [N^2, M]: 1, the angles (y, x) in mrad, and the detectors."""
        n = self.info.detector.pixels
        columns = [np.ones((n, n)), *(np.broadcast_to(a, (n, n)) for a in angles(self.info.detector))]
        return np.stack([c.ravel() for c in (*columns, *(each.weights for each in self.detectors))], axis=1)

    @cached_property
    def parallax(self) -> Parallax | str:
        """How electrons are laid back, or why they are not."""
        return parallax_of(self.grid, self.middle, self.info.detector, self.finer)

    @property
    def source(self) -> ZarrBlocks:
        """The counts."""
        return source_of(self.info)

    @cached_property
    def runs(self) -> tuple[tuple[Block, ...], ...]:
        """The scan's blocks in runs, one for a task: by the dataset alone, since sums are merged run by run."""
        blocks = self.experiment.blocks
        most = max(16, min(RUNS, RUNS_BYTES // (8 * self.info.detector.pixels**2)))
        each = math.ceil(len(blocks) / most)
        return tuple(blocks[i : i + each] for i in range(0, len(blocks), each))

    def __getstate__(self) -> dict[str, Any]:
        # what is made of it stays behind
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
