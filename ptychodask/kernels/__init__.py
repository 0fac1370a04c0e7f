"""What computes: ``plain`` is the reference, ``cpu`` is compiled by numba, ``gpu`` are CUDA kernels.

One is chosen for a run, made for its problem, and given to the solver.
"""

from __future__ import annotations

from ..solver.door import Kernels
from ..solver.problem import Problem
from .ramped import ramped


def kernels_for(problem: Problem, backend: str, chains: bool = False, batch: int = 0) -> Kernels:
    """The kernels of a backend: 'cpu', 'numpy', or 'cupy' with ``chains`` and ``batch`` of
    :class:`ptychodask.kernels.gpu.Gpu`."""
    # each brings a compiler or a library that the others do without
    if backend == "cupy":
        from .gpu import Gpu

        return ramped(problem, Gpu(problem, chains, batch or problem.settings.batch))
    if backend == "cpu":
        from .cpu import Cpu

        return Cpu(problem)
    from .plain import Plain

    return ramped(problem, Plain(problem))
