"""phaser: ``iter*.h5``, the state that a run saves, as 0.3 writes it (version 0.2 of the file).

``object/data`` (z, y, x) is a complex transmission with ``sampling`` and ``corner`` (y, x) in angstrom, ``probe/data``
(mode, y, x) has its centre at N // 2, ``scan/data`` (..., 2) are positions in angstrom. A position is the middle of
the probe's box, (N - 1) / 2, so that the probe's centre stands half a pixel behind it where N is even.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...model.optics import energy_of
from .found import Found, finite, phases_of, shaped, square


def knows(file: Any) -> bool:
    """Is it one?"""
    its = file.get("type")
    return getattr(its, "shape", None) == () and its[()] == b"phaser_state"


def read(file: Any) -> Found:
    """Object and probe."""
    probe = shaped(file["probe/data"][()], "probe", ("mode", "y", "x")) if "probe/data" in file else None
    phases, pixel, centres = None, 0.0, np.empty((0, 2))
    if probe is not None:
        pixel = square(file["probe/sampling"][()])
    if "object/data" in file:
        its = file["object"]
        transmission, pixel = shaped(its["data"][()], "object", ("z", "y", "x")), square(its["sampling"][()])
        middle = 0.0 if probe is None else probe.shape[-1] // 2 - (probe.shape[-1] - 1) / 2
        centres = finite((file["scan/data"][()].reshape(-1, 2) - its["corner"][()]) / its["sampling"][()] + middle)
        phases = phases_of(transmission, centres)
    return Found("phaser", energy_of(float(file["wavelength"][()])), pixel, phases, probe, centres)
