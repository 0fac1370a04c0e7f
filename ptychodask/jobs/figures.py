"""What a report shows of a result, with the truth of its dataset where that is still there."""

from __future__ import annotations

from pathlib import Path

from .._errors import InputError
from ..io.content import content_digest
from ..io.dataset import DatasetInfo, dataset_info, read_truth
from ..io.result import Result
from ..viz.report import ReportData


def report_data(result: Result) -> ReportData:
    """Collect a result for its report."""
    attributes = result.attributes
    source = Path(attributes["data"])
    dataset, remark = dataset_of(result)
    truth = None if dataset is None or not dataset.has_truth else read_truth(source)
    specimen = source.stem if dataset is None else dataset.attributes.get("specimen", source.stem)
    steps = result.history
    best = max((i for i, e in enumerate(steps) if e.stage == "fit" and e.updates == result.iteration), default=0)
    return ReportData(
        title=f"{specimen}, {attributes['dose_per_square_angstrom']:.4g} e/Å²",
        phase=result.phase,
        probe=result.probe.rename(probe_y="y", probe_x="x"),
        positions=result.positions.values,
        history={name: steps[name] for name in ("iteration", "loss", "validation", "seconds")},
        best_iteration=int(steps[best].iteration) if len(steps) else 0,
        truth=None if truth is None else truth["phase"],
        remark=remark,
        summary={
            "dose (e/Å²)": attributes["dose_per_square_angstrom"],
            "electrons per pattern": attributes["electrons_per_pattern"],
            "semi-angle (mrad)": attributes["semi_angle_mrad"],
            "defocus (Å)": attributes["defocus_angstrom"],
            "slices": attributes["slices"],
            "modes": result.probe.sizes["mode"],
        },
    )


def dataset_of(result: Result) -> tuple[DatasetInfo | None, str]:
    """The dataset that a result was made from, where it still stands at its path, else None and why, if there is
    anything to say: what stands there now may be another one."""
    path, known = Path(result.attributes["data"]), result.attributes["data_fingerprint"]
    if not path.exists():
        return None, ""
    try:
        dataset = dataset_info(path, whole=False)
        # results of earlier versions know a dataset by what it says of itself
        same = known in (content_digest(path), dataset.fingerprint)
    except InputError as error:
        return None, f"the dataset of the result cannot be read: {error}"
    return (dataset, "") if same else (None, f"{path} is another dataset now than the result was made from")
