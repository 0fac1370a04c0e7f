"""Search options of a job by held-out electrons: what is written, what goes on, and what came of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from .._errors import InputError, StoppedError
from .._tables import counted
from .._warnings import warn
from ..analysis.held_out import above_best, columns, verdict
from ..distributed.cluster import Client, cluster_trouble, connect
from ..io.atomic import check_output, remove, writing
from ..io.content import identified
from ..io.dataset import DatasetInfo
from ..io.kinds import JOB
from ..io.lock import locked
from ..model.config import JobConfig
from ..model.search import Option, Span, with_values
from .experiment import Experiment
from .trials import SCRATCH, Search, Steps, Trial, combinations_of, journals


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Parameters
    ----------
    options : tuple
        What was searched over.
    trials : tuple of Trial
        In their order.
    job : JobConfig
        That all trials have in common.
    """

    options: tuple[Option, ...]
    trials: tuple[Trial, ...]
    job: JobConfig

    @property
    def best(self) -> Trial:
        """The trial of the smallest held-out loss; the earliest of equal ones."""
        return min((t for t in self.trials if math.isfinite(t.nats)), key=lambda t: t.nats)

    @property
    def config(self) -> JobConfig:
        """The job of the best trial, which :func:`ptychodask.reconstruct` takes."""
        return with_values(self.job, self.best.values)

    @property
    def verdicts(self) -> tuple[str, ...]:
        """What the data say of each option, and where they cannot tell; and whether trials ended too early."""
        above = above_best([trial.nats for trial in self.trials])
        alone = len(self.options) == 1
        found = [verdict(o, [t.values[o.name] for t in self.trials], above, alone) for o in self.options]
        if unfinished := sum(trial.unfinished for trial in self.trials):
            found.append(
                f"{unfinished} of {len(self.trials)} trials still gained at their last iteration: these losses compare"
                " unfinished images, raise solver.iterations"
            )
        return tuple(found)

    def columns(self) -> list[tuple[str, list[str]]]:
        """Title and texts of every column of a table, best first."""
        return columns(self.options, [asdict(trial) for trial in self.trials])

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        trials = [{k: None if v != v else v for k, v in asdict(trial).items()} for trial in self.trials]
        return {"best": self.best.number, "values": self.best.values, "verdicts": self.verdicts, "trials": trials}

    def __str__(self) -> str:
        return "\n".join([f"trial {self.best.number}: {self.best.values}", *self.verdicts])


def tune(
    info: DatasetInfo,
    options: tuple[Option, ...],
    job: JobConfig,
    journal: Path,
    *,
    target: Path | None,
    trials: int,
    batch: int,
    seed: int,
    client: Client | None,
    overwrite: bool,
    progress: Steps | None,
) -> Tuned:
    """See :func:`ptychodask.tune`; ``journal`` is where trials are kept, ``target`` where the best job is written."""
    storage_of = journals()
    for option in options:
        for value in option.ends:
            with_values(job, {option.name: int(value) if isinstance(option, Span) and option.whole else value})
    if Experiment(info, job).train_fraction is None:
        why = "solver.validation_fraction is unset" if job.solver.validation_fraction is None else "they are not whole"
        raise InputError(f"nothing is held out of the counts of {info.path} ({why}): trials cannot be compared")
    if combinations := combinations_of(options):
        trials = min(trials, len(combinations))
    name, report = _name_of(info, options, job, batch, seed), progress or (lambda label, done, of: None)
    with locked(journal.with_name(journal.name + ".held"), str(journal)) as note:
        if note:
            warn(note)
        remove(journal.with_name(journal.name + ".lock"))  # optuna's, of a killed process: nobody else writes now
        for left in journal.parent.glob(f"{SCRATCH}{journal.name}-*"):
            remove(left)
        if not _is_of(journal, name, target, overwrite):
            remove(journal)
        with storage_of(journal) as storage:
            search = Search(storage, name, options, job, batch, seed, journal)
            with connect(client, place=job.engine.place) as dask_client:
                try:
                    search.run(dask_client, info, trials, report)
                except Exception as error:
                    trouble = cluster_trouble(error)
                    if trouble is None:
                        raise
                    raise StoppedError(f"{trouble}; finished trials are in {journal}: start it again") from error
            found = search.trials(trials)
    if not any(math.isfinite(trial.nats) for trial in found):
        raise InputError(f"{counted(len(found), 'trial')}, and none came to an end, the first: {found[0].remark}")
    tuned = Tuned(options, found, job)
    if target is not None:
        with writing(target, JOB, True) as part:
            told = "".join(f"# {line}\n" for line in (str(info.path), *tuned.verdicts))
            part.write_text(f"# ptychodask tune: trial {tuned.best.number} of {len(found)}\n{told}"
                            f"{tuned.config.to_toml()}", encoding="utf-8")  # fmt: skip
    return tuned


def _is_of(journal: Path, name: str, target: Path | None, overwrite: bool) -> bool:
    """Does what stands there belong to this search? What belongs to another is refused, or to be replaced.

    Raises
    ------
    InputError
        If it may not be replaced, or is no journal of ours.
    """
    if not journal.exists():
        if target is not None:
            check_output(target, JOB, overwrite)
        return True
    with journal.open("rb") as file:
        head = file.readline(100_000)
    if head and not (head.startswith(b'{"op_code":') and b'"study_name":"ptychodask-' in head):
        raise InputError(f"{journal} is in the way of the trials (it is another file): move it away")
    if f'"study_name":"{name}"'.encode() in head or not head:
        return True
    if not overwrite:
        raise InputError(
            f"{journal} has trials of another search (other data, job, options, batch or seed): give another output, or"
            " replace it with overwrite=True (--overwrite)"
        )
    return False


def _name_of(info: DatasetInfo, options: Sequence[Option], job: JobConfig, batch: int, seed: int) -> str:
    """Stands for all that trials depend on."""
    selected = None if info.selection is None else asdict(info.selection)
    if selected is not None:
        for part in ("mask", "positions"):
            file = Path(selected[part])
            selected[part] = hashlib.blake2b(file.read_bytes()).hexdigest() if selected[part] else ""
    said = job.model_dump(mode="json")
    said["engine"] = {n: v for n, v in said["engine"].items() if n in type(job.engine).changing_bits()}
    content = [
        metadata.version("ptychodask"), identified(info).fingerprint, selected, said,
        [asdict(option) for option in options], batch, seed,
    ]  # fmt: skip
    return f"ptychodask-{hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()}"
