"""What the spectral prior of a result does to single places: its transfer and its noise."""

from __future__ import annotations

import numpy as np

from ..analysis.defects import Noise
from ..analysis.spectrum import pixel_size
from ..analysis.transfer import Transfer, transfer_of
from ..io.result import Result
from ..solver.spectral import FINEST


def noise_of(result: Result) -> Noise | None:
    """The noise of what a result says of its electrons; None without the spectral prior."""
    information = result.information
    if information is None:
        return None
    return Noise(
        float(result.described.dose_per_square_angstrom or 0), information.frequency.values,
        information.values, result.config.object.residual, FINEST,
    )  # fmt: skip


def transfer_of_result(result: Result) -> Transfer | None:
    """See :mod:`ptychodask.analysis.transfer`; None without the spectral prior, or without a dose."""
    noise, lattice = noise_of(result), result.lattice
    if noise is None or lattice is None or noise.electrons_per_square_angstrom <= 0:
        return None
    positions = result.positions.values
    # the windows of the run: a box, or more by the job's word, or the scan where that is less
    n, pixel = result.probe.sizes["probe_y"], min(pixel_size(lattice))
    field = max(n / 2, float(np.ptp(positions.reshape(-1, 2), axis=0).min()) / pixel)
    side = 4 * max(2, min(round(result.config.object.spectral_window * n / 4), int(field / 4)))
    side = min(side, 4 * (min(lattice.shape) // 4))
    return transfer_of(lattice, positions, noise, side, single=noise.residual == 0)
