"""One condition of a study: simulated, reconstructed, compared with its truth."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..analysis.compare import compare_with_truth
from ..distributed.cluster import Client
from ..io.dataset import dataset_info, read_truth
from ..io.result import open_result
from ..model.config import JobConfig
from ..simulation.run import simulate
from .launch import start


def correlation_with_truth(
    material: str,
    conditions: Mapping[str, Any],
    job: JobConfig,
    resolutions_angstrom: Sequence[float],
    client: Client | None = None,
) -> dict[float, float]:
    """Simulate a scan, reconstruct it and compare the phase with the true one.

    Parameters
    ----------
    material : str
    conditions : mapping
        Options of :func:`ptychodask.simulate`.
    job : JobConfig
    resolutions_angstrom : sequence of float
        At which the correlation is given.
    client : distributed.Client, optional
        Where to run; threads of this process by default.

    Returns
    -------
    dict of float
        Correlation by resolution.
    """
    with tempfile.TemporaryDirectory(prefix="ptychodask-trial-") as folder:
        scan = simulate(Path(folder) / "scan.zarr", material, client=client, **conditions)
        target = Path(folder) / "result.zarr"
        start(dataset_info(scan), job, target, False, client, ())
        truth = read_truth(scan)
        assert truth is not None  # every simulation writes one
        result = open_result(target)
        positions = result.positions.values
        return compare_with_truth(result.phase, truth["phase"], positions, tuple(resolutions_angstrom)).correlation
