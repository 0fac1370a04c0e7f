"""What the counts of a dataset show: the survey's view of the experiment."""

from __future__ import annotations

from ..analysis.survey import Lens, Look, lens
from ..analysis.suspicion import Survey
from ..io.dataset import DatasetInfo
from ..io.selected import mask_of, positions_of
from ..model.config import JobConfig
from .described import microscope_of, thickness_of


def lens_of(info: DatasetInfo, config: JobConfig) -> Lens:
    """What a survey looks at more closely."""
    return lens(info.scan_shape, microscope_of(info, config).semi_angle_mrad / info.detector.angular_step_mrad)


def survey_of(info: DatasetInfo, config: JobConfig, look: Look) -> Survey:
    """A look at all counts, with how they were recorded."""
    return Survey(
        look,
        lens_of(info, config),
        mask_of(info),
        microscope_of(info, config),
        info.detector.angular_step_mrad,
        positions_of(info),
        info.scan_shape,
        thickness_of(info, config) or 0.0,
    )
