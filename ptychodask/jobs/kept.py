"""What the spectral prior of a result does to single places: its transfer and its noise."""

from __future__ import annotations

import numpy as np

from ..analysis.defects import Noise
from ..analysis.spectrum import pixel_size
from ..analysis.transfer import Transfer, transfer_of
from ..io.result import Result
from ..model.prior import window_side
from ..solver.spectral import FINEST


def noise_of(result: Result) -> Noise | None:
    """The noise of what a result says of its electrons; None where that was not measured."""
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
    field = float(np.ptp(positions.reshape(-1, 2), axis=0).min()) / min(pixel_size(lattice))
    shape = (lattice.sizes["y"], lattice.sizes["x"])
    side = window_side(result.probe.sizes["probe_y"], result.config.object.spectral_window, field, shape)
    return transfer_of(lattice, positions, noise, side, single=noise.residual == 0)
