"""What a job leaves to the data: its regularisation, where the preset's cannot be had, and whether it refines."""

from __future__ import annotations

from dataclasses import replace

from .._errors import InputError
from ..io.dataset import DatasetInfo
from ..model.config import JobConfig
from .experiment import Experiment
from .geometry import calibrated
from .several_checks import check_scans


def experiment_of(info: DatasetInfo, job: JobConfig, further: tuple[DatasetInfo, ...] = ()) -> Experiment:
    """A dataset, or several of one area, and a job, which has the blur where only its preset wants the spectral prior
    and that cannot be had: for counts that are no whole electrons, and within ``engine.object_gib``, as tiles have a
    wider rim with it. A geometry that a calibration found is refined, where the job leaves that to it and there is one
    scan.

    Raises
    ------
    InputError
        For scans that do not go together, or an option that is for one.
    """
    check_scans(Experiment(info, job, further=further))
    experiment = _regularised(info, job, further)
    if job.geometry.refine != "calibrated":
        return experiment
    if further:
        return replace(experiment, config=_refining(experiment.config, "none"))
    return replace(experiment, config=_refining(experiment.config, "auto" if calibrated(info) else "none"))


def held_still(job: JobConfig) -> JobConfig:
    """The job without a refinement that it does not ask for itself: what is compared has one geometry."""
    return _refining(job, "none") if job.geometry.refine == "calibrated" else job


def _refining(job: JobConfig, refine: str) -> JobConfig:
    return job.model_copy(update={"geometry": job.geometry.model_copy(update={"refine": refine})})


def _regularised(info: DatasetInfo, job: JobConfig, further: tuple[DatasetInfo, ...]) -> Experiment:
    experiment = Experiment(info, job, further=further)
    if job.says_regularisation or job.object.regularisation != "spectral":
        return experiment
    blurred = replace(experiment, config=job.with_blur())
    _ = blurred.tile_side  # what does not work with either is told of the blur
    try:
        _ = experiment.spectral, experiment.tile_side
    except InputError:
        return blurred
    return experiment


def why_blur(experiment: Experiment) -> str:
    """A remark on a job in the low-dose preset that has the blur and could not have the spectral prior; else empty.

    It follows of dataset and job, so that a run that is resumed says the same.
    """
    job = experiment.config
    if job.preset != "low-dose" or job.object.regularisation != "blur":
        return ""
    if not experiment.counts_are_whole:
        return "a blur holds noise back: the spectral prior needs whole electrons"
    rules = {"regularisation": "spectral", "blur_angstrom": 0.0}
    other = job.model_copy(update={"object": job.object.model_copy(update=rules)})
    if told := other.why_not_spectral():
        return f"a blur holds noise back: the spectral prior {told}"
    try:
        _ = replace(experiment, config=other).tile_side
    except InputError:
        return "a blur holds noise back: a tile with the rim of the spectral prior does not fit engine.object_gib"
    return ""
