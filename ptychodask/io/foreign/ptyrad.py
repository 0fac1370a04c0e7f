"""PtyRAD: ``model*.hdf5``, as 1.0 writes it.

``optimizable_tensors``: ``objp`` and ``obja`` (object mode, slice, y, x) are phase in rad and modulus, ``probe``
(mode, y, x) has its centre at N // 2. ``model_attributes/crop_pos`` (position, 2) is the first pixel (y, x) of every
window, from which ``probe_pos_shifts`` moves the probe, in pixels.
"""

from __future__ import annotations

from typing import Any

from ..._errors import InputError
from ...model.optics import energy_of
from .found import Found, finite, log_of, shaped, square

AXES = ("mode", "slice", "y", "x")


def knows(file: Any) -> bool:
    """Is it one?"""
    return "optimizable_tensors" in file and "model_attributes" in file


def read(file: Any) -> Found:
    """Object and probe."""
    tensors, about = file["optimizable_tensors"], file["model_attributes"]
    probe, phases = shaped(tensors["probe"][()], "probe", ("mode", "y", "x")), None
    if "objp" in tensors:
        phases = shaped(tensors["objp"][()], "objp", AXES)
        if len(phases) != 1:
            raise InputError(f"its object has {len(phases)} modes, one is taken: give another file")
        phases = phases[0]
        if "obja" in tensors:
            phases = phases - 1j * log_of(shaped(tensors["obja"][()], "obja", AXES)[0])
    version = file["ptyrad_version"][()].decode() if "ptyrad_version" in file else ""
    return Found(
        f"PtyRAD {version}".strip(),
        energy_of(float(about["lambd"][()])),
        square(about["dx"][()]),
        phases,
        probe,
        finite(about["crop_pos"][()] + tensors["probe_pos_shifts"][()] + probe.shape[-1] // 2),
    )
