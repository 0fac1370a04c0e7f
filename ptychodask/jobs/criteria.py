"""What the counts of a dataset show: the survey's view of the experiment."""

from __future__ import annotations

from ..analysis.survey import Lens, Look, lens
from ..analysis.suspicion import Survey
from ..io.selected import mask_of, off_centre, positions_of
from .experiment import Experiment


def lens_of(experiment: Experiment) -> Lens:
    """What a survey looks at more closely."""
    info = experiment.info
    return lens(info.scan_shape, experiment.microscope.semi_angle_mrad / info.detector.angular_step_mrad)


def survey_of(experiment: Experiment, look: Look) -> Survey:
    """A look at all counts, with how they were recorded."""
    info = experiment.info
    return Survey(
        look,
        lens_of(experiment),
        mask_of(info),
        experiment.microscope,
        info.detector.angular_step_mrad,
        positions_of(info),
        info.scan_shape,
        experiment.thickness or 0.0,
        off_centre(info),
    )
