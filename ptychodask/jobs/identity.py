"""An interrupted run is taken up on the same data, with what was decided, perhaps in another place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._errors import InputError
from .._tables import counted
from ..io.address import is_address
from ..io.checkpoint import RunFolder
from ..io.content import identified, lost_shards
from ..io.dataset import DatasetInfo, dataset_info
from ..io.described.run import DecisionsFile, JobFile, ScanOf
from ..io.result import open_result
from ..model.config import EngineConfig, JobConfig
from ..model.selection import Selection
from .experiment import Experiment
from .recipe import Decisions, Recipe

PLACES = {"workers", "gpus", "scheduler"}
"""Options of the engine of which a job says one at most."""


def made_by(result: Path) -> str | None:
    """The run that wrote a result; None if it is no result of ours, or one of an early version."""
    try:
        return open_result(result).attributes.get("run")
    except InputError:
        return None


def same_data(identity: JobFile | ScanOf, moved_to: str | None, job: JobConfig) -> DatasetInfo:
    """The dataset of an interrupted run, where it is now."""
    path = identity.data if moved_to is None else moved_to
    if moved_to is None and not is_address(path) and not Path(path).exists():
        raise InputError(f"the run's dataset {path} does not exist: if it was moved, say where to with --data (data=)")
    dataset = identified(dataset_info(path, whole=job.data.on_damage == "stop"), identity.lost)
    if dataset.fingerprint == identity.fingerprint:
        return dataset
    if moved_to is not None:
        raise InputError(
            f"{path} is not the dataset of the run, which was {identity.data}: their"
            " counts, positions, masks or calibrations differ"
        )
    raise InputError(f"{path} has changed since the run was started: reconstruct it anew with --overwrite")


def chosen(folder: RunFolder, identity: JobFile, dataset: DatasetInfo) -> Selection | None:
    """What the run uses of the dataset."""
    if identity.selection is None:
        return None
    its = Selection.load(identity.selection.model_dump())
    assert its is not None
    (rows, columns), file = dataset.scan_shape, folder.path / "job.json"
    if max(its.rows) >= rows or max(its.columns) >= columns:
        raise InputError(f"{file} selects positions beyond the scan of {rows} x {columns}: start the run anew")
    return its.in_folder(folder.path)


def further_identities(further: tuple[DatasetInfo, ...], job: JobConfig) -> dict[str, Any]:
    """What the job's file says of further scans; nothing where there are none."""
    if not further:
        return {}
    lost = {its.path: lost_shards(its.path) if job.data.on_damage == "mask" else [] for its in further}
    return {"further": [{"data": i.path, "fingerprint": i.fingerprint, "lost": lost[i.path]} for i in further]}


def same_further(identity: JobFile, job: JobConfig) -> tuple[DatasetInfo, ...]:
    """The further scans of an interrupted run."""
    return tuple(same_data(scan, None, job) for scan in identity.further)


def stored_recipe(folder: RunFolder, experiment: Experiment) -> Recipe:
    """What the survey found when the run was started."""
    stored, path = folder.read("decisions.json", DecisionsFile), folder.path / "decisions.json"
    found = {len(stored.further), len(stored.offsets)}
    if found != {len(experiment.further)}:
        raise InputError(f"{path} is of {counted(1 + min(found), 'scan')}, the run of another number: start it anew")
    for info, its in zip(experiment.infos, (stored, *stored.further), strict=True):
        rows, columns = info.scan_shape
        if any(y1 > rows or x1 > columns for _, y1, _, x1 in (*its.damaged, *its.excluded)):
            raise InputError(f"{path} leaves out positions beyond the scan of {rows} x {columns}: start the run anew")
    dataset, others = experiment.info, tuple(info.path for info in experiment.further)
    decided = Decisions.load(stored.content())
    return Recipe(dataset.path, experiment.config.model_dump_json(), decided, dataset.selection, further=others)


def elsewhere(job: JobConfig, engine: dict[str, Any]) -> JobConfig:
    """The job with other options of the engine, of which none may change the bits."""
    if fixed := EngineConfig.changing_bits() & set(engine):
        raise InputError(f"engine.{min(fixed)} cannot change in a resumed run: it would change the bits")
    here = job.engine.model_dump()
    if PLACES & set(engine):  # another place to run replaces the old one
        here |= dict.fromkeys(PLACES) | {"host": EngineConfig().host, "protocol": None}
    return JobConfig.parse({**job.model_dump(), "engine": {**here, **engine}})
