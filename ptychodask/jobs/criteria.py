"""What a dataset promises, and what its counts show: criteria of sampling, and the survey's view of the experiment."""

from __future__ import annotations

from ..analysis.sampling import SamplingReport, sampling_report
from ..analysis.survey import Lens, Look, lens
from ..analysis.suspicion import Survey
from ..io.dataset import DatasetInfo, read_mask, read_positions
from ..model.config import JobConfig
from .setup import microscope_of, slices_of, thickness_of


def sampling_of(info: DatasetInfo, config: JobConfig) -> SamplingReport:
    """Sampling, dose and probe of a job; reads no counts."""
    return sampling_report(
        microscope_of(info, config),
        info.detector.pixels,
        info.detector.angular_step_mrad,
        info.scan_step,
        info.scan_shape,
        float(info.attributes["electrons_per_pattern"]),
        slices=slices_of(info, config),
        modes=config.probe.modes,
        thickness_angstrom=thickness_of(info, config),
    )


def lens_of(info: DatasetInfo, config: JobConfig) -> Lens:
    """What a survey looks at more closely."""
    return lens(info.scan_shape, microscope_of(info, config).semi_angle_mrad / info.detector.angular_step_mrad)


def survey_of(info: DatasetInfo, config: JobConfig, look: Look) -> Survey:
    """A look at all counts, with how they were recorded."""
    return Survey(
        look,
        lens_of(info, config),
        read_mask(info.path),
        microscope_of(info, config),
        info.detector.angular_step_mrad,
        read_positions(info.path),
        info.scan_shape,
        thickness_of(info, config) or 0.0,
    )
