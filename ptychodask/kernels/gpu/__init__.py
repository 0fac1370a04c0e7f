"""Kernels of a CUDA device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._array import Array, backend_module
from ...counts.patterns import Counts, Patterns
from ...model.blocks import Block
from ...model.state import Model
from ...solver.problem import Problem
from ...solver.update import Update
from .block import partial
from .fit import compare
from .line import line_search, nudge
from .workspace import GpuWorkspace, gpu_workspace


@dataclass(frozen=True)
class Gpu:
    """The kernels for a problem.

    Parameters
    ----------
    problem : Problem
    chains : bool
        A wave passes all slices in shared memory, with transforms of our own, and not cuFFT's.
    batch : int
        Patterns computed together.
    """

    problem: Problem
    chains: bool
    batch: int

    def partial(self, block: Block, patterns: Patterns, model: Model, evaluate_only: bool = False) -> Update:
        """See :func:`ptychodask.kernels.plain.partial`."""
        return partial(self.problem, self._space(model), block, patterns, model, evaluate_only)

    def line_search(
        self,
        block: Block,
        patterns: Patterns,
        model: Model,
        object_direction: np.ndarray,
        probe_direction: np.ndarray | None,
    ) -> Update:
        """See :func:`ptychodask.kernels.plain.line_search`."""
        space = self._space(model)
        return line_search(self.problem, space, block, patterns, model, object_direction, probe_direction)

    def compare(self, block: Block, counts: Counts, model: Model, chosen: np.ndarray) -> tuple[float, float, float]:
        """See :func:`ptychodask.kernels.plain.compare`."""
        return compare(self.problem, self._space(model), block, counts, model, chosen)

    def nudge(self, block: Block, counts: Counts, model: Model, chosen: np.ndarray) -> np.ndarray:
        """See :func:`ptychodask.kernels.plain.nudge`."""
        return nudge(self.problem, self._space(model), block, counts, model, chosen)

    def lend(self, values: np.ndarray) -> Array:
        """See :class:`ptychodask.solver.door.Kernels`."""
        return backend_module("cupy").asarray(values)

    def _space(self, model: Model) -> GpuWorkspace:
        """This thread's."""
        return gpu_workspace(self.problem, len(model.probe), self.chains, self.batch)
