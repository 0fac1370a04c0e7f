"""What a report shows of a result, with the truth of its dataset where that is still there."""

from __future__ import annotations

from pathlib import Path

from ..io.dataset import dataset_info, read_truth
from ..io.result import Result
from ..viz.report import ReportData


def report_data(result: Result) -> ReportData:
    """Collect a result for its report."""
    attributes = result.attributes
    source = Path(attributes["data"])
    truth = read_truth(source) if source.exists() else None
    specimen = (
        dataset_info(source, whole=False).attributes.get("specimen", source.stem) if source.exists() else source.stem
    )
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
    )
