"""What a report shows of a result, with the truth of its dataset where that is still there and readable."""

from __future__ import annotations

from pathlib import Path

from ..io.dataset import dataset_info, read_truth
from ..io.result import Result
from ..viz.figures import ReportData
from ..viz.optional import Optional


def report_data(result: Result) -> ReportData:
    """Collect a result for its report."""
    attributes = result.attributes
    source = Path(attributes["data"])
    attempt = Optional()
    truth = attempt("truth", read_truth, source) if source.exists() else None
    about = attempt("dataset", lambda: dataset_info(source, whole=False).attributes) if source.exists() else None
    specimen = (about or {}).get("specimen", source.stem)
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
        summary={
            "dose (e/Å²)": attributes["dose_per_square_angstrom"],
            "electrons per pattern": attributes["electrons_per_pattern"],
            "semi-angle (mrad)": attributes["semi_angle_mrad"],
            "defocus (Å)": attributes["defocus_angstrom"],
            "slices": attributes["slices"],
            "modes": result.probe.sizes["mode"],
        },
        loss_excess=attributes.get("loss_excess"),
        loss_excess_error=attributes.get("loss_excess_error"),
        remarks=attempt.remarks,
    )
