"""What a report shows of a result, with the truth of its dataset where that is still there and readable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from .._errors import InputError
from .._text import printable
from ..analysis.halves import agreement_of
from ..analysis.transfer import SPOTS
from ..io.address import is_address
from ..io.content import content_digest
from ..io.dataset import DatasetInfo, dataset_info, read_truth
from ..io.result import Result
from ..model.prior import sharper_from
from ..viz.figures import ReportData
from ..viz.optional import Optional
from .excess import excess_figures, is_misfit
from .kept import transfer_of_result
from .misfit import misfit_of


def report_data(result: Result) -> ReportData:
    """Collect a result for its report.

    Raises
    ------
    InputError
        If the result is damaged.
    """
    said = result.described
    stem, attempt = Path(said.data).stem, Optional()
    dataset, remark = dataset_of(result)
    truth = None if dataset is None or not dataset.has_truth else attempt("truth", read_truth, said.data)
    specimen = stem if dataset is None else dataset.attributes.get("specimen", stem)
    for name in ("dose_per_square_angstrom", "electrons_per_pattern", "semi_angle_mrad", "defocus_angstrom", "slices"):
        if getattr(said, name) is None:
            raise InputError(f"{result.path} lacks the attribute {name!r}: copy it again, or reconstruct again")
    steps = result.history
    best, finish, sharper = stages_of(result)
    probe, positions = result.probe.load(), result.positions.values
    for name, values in (("object", result.object.load()), ("probe", probe), ("positions", positions)):
        if not np.isfinite(np.asarray(values)).all():
            raise InputError(f"{result.path}: {name} holds values that are not finite: reconstruct again")
    transfer = attempt("contrast_kept", transfer_of_result, result)
    return ReportData(
        title=f"{printable(specimen, 60)}, {said.dose_per_square_angstrom:.4g} e/Å²",
        phase=result.phase,
        probe=probe.rename(probe_y="y", probe_x="x"),
        positions=positions,
        history={name: steps[name] for name in ("iteration", "loss", "validation", "seconds")} if len(steps) else {},
        best_iteration=best,
        truth=None if truth is None else truth["phase"],
        summary={
            "dose (e/Å²)": said.dose_per_square_angstrom,
            "electrons per pattern": said.electrons_per_pattern,
            "semi-angle (mrad)": said.semi_angle_mrad,
            "defocus (Å)": said.defocus_angstrom,
            **({"scans": f"{len(said.of_scans)}, with the probe of the first"} if said.of_scans else {}),
            "slices": said.slices,
            "modes": probe.sizes["mode"],
        },
        fit=excess_figures(said.model_dump()),
        remarks={**attempt.remarks, **({"truth": remark} if remark else {})},
        information=result.information,
        halves=attempt("halves", halves_of, result),
        misfit=None if not is_misfit(said.model_dump()) or dataset is None else attempt("misfit", misfit_of, result),
        dose=said.dose_per_square_angstrom,
        path=printable(result.path, 60),
        filtered=bool(result.described.prior),
        kept={} if transfer is None else {s: transfer.kept_of_spot(s) for s in SPOTS},
        geometry=result.geometry,
        finish=finish,
        sharper=sharper,
    )


def halves_of(result: Result) -> xr.Dataset | None:
    """What two halves of the electrons agree on, where they were made."""
    known = result.halves
    return None if known is None else agreement_of(known)


def stages_of(result: Result) -> tuple[int, int | None, int | None]:
    """Iterations of a history: that of the state which was chosen, the first that fits the held-out electrons too, and
    the first with a smaller epsilon; None where there is none."""
    steps = result.history
    fitted = [entry for entry in steps if entry.stage == "fit"]
    chosen = [entry for entry in fitted if entry.updates == result.iteration]
    best = (chosen or list(steps[:1]))[-1:]
    finish = next((int(entry.iteration) for entry in steps if entry.stage == "finish"), None)
    sharper = None
    if result.described.prior:
        sharper = next((int(e.iteration) for e in fitted if e.updates >= sharper_from(len(fitted))), None)
    return (int(best[0].iteration) if best else 0), finish, sharper


def dataset_of(result: Result) -> tuple[DatasetInfo | None, str]:
    """The dataset that a result was made from, where it still stands at its path, else None and why, if there is
    anything to say: what stands there now may be another one."""
    path, known = result.described.data, result.described.data_fingerprint
    if not path or not (is_address(path) or Path(path).exists()):
        return None, ""
    try:
        dataset = dataset_info(path, whole=False)
        # results of earlier versions know a dataset by what it says of itself
        same = known in (content_digest(path), dataset.fingerprint)
    except InputError as error:
        return None, f"the dataset of the result cannot be read: {error}"
    return (dataset, "") if same else (None, f"{path} is another dataset now than the result was made from")
