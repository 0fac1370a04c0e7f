"""What dataset and job say together of microscope and specimen. Loads no solver."""

from __future__ import annotations

import math
from dataclasses import replace

from .._errors import InputError
from ..analysis.sampling import SamplingReport, sampling_report
from ..io.dataset import DatasetInfo, dataset_facts
from ..io.selected import positions_of
from ..model.config import JobConfig
from ..model.optics import Microscope, defocus_of

THINNEST = 0.5
"""Angstrom. The potential of an atom is about 1 angstrom deep: thinner slices divide atoms, and are work and unknowns
for nothing."""


def microscope_of(info: DatasetInfo, config: JobConfig) -> Microscope:
    """The dataset's microscope with what the job replaces."""
    if config.probe.defocus_angstrom is None:
        return info.microscope
    defocus = defocus_of(config.probe.defocus_angstrom, "probe.defocus_angstrom")
    return replace(info.microscope, aberrations={**info.microscope.aberrations, "C10": 0.0 - defocus})


def thickness_of(info: DatasetInfo, config: JobConfig) -> float | None:
    """Thickness in angstrom from the job, else from the dataset, else None."""
    return config.object.thickness_angstrom or info.attributes.get("thickness_angstrom")


def slices_of(info: DatasetInfo, config: JobConfig) -> int:
    """Number of slices: the job's, else one per half depth of field of the thickness."""
    thickness = thickness_of(info, config)
    if config.object.slices is None:
        return 1 if thickness is None else max(1, math.ceil(thickness / (0.5 * info.microscope.depth_of_field)))
    if config.object.slices > 1 and thickness is None:
        raise InputError(
            f"object.slices = {config.object.slices} needs the thickness, which the dataset does not say:"
            " set object.thickness_angstrom, or object.slices = 1"
        )
    if thickness is not None and config.object.slices > 1 and thickness / config.object.slices < THINNEST:
        raise InputError(
            f"object.slices = {config.object.slices} for {thickness:g} A are slices of"
            f" {thickness / config.object.slices:.2g} A, at least {THINNEST:g} A are allowed: set object.slices to at"
            f" most {max(1, math.floor(thickness / THINNEST))}, or leave it unset"
        )
    return config.object.slices


def sampling_of(info: DatasetInfo, config: JobConfig) -> SamplingReport:
    """Sampling, dose, probe and positions of a job; reads no counts.

    Stored positions are compared with the scan where all of it is used: a selection may turn it round, or leave gaps.
    """
    compared = info.selection is None or bool(info.selection.positions)
    report = sampling_report(
        microscope_of(info, config),
        info.detector.pixels,
        info.detector.angular_step_mrad,
        info.scan_step,
        info.scan_shape,
        float(info.attributes["electrons_per_pattern"]),
        slices=slices_of(info, config),
        modes=config.probe.modes,
        thickness_angstrom=thickness_of(info, config),
        positions=positions_of(info).reshape(*info.scan_shape, 2) if compared else None,
    )
    return replace(report, facts=dataset_facts(info))
