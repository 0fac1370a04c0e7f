"""Search options of a job by held-out electrons: trials are tasks of a cluster, asked for in batches of a fixed size.

A batch is asked for whole before any of it is known, each trial with random numbers of its own number: what is tried
depends neither on the number of workers, nor on which trial ends first, nor on kills.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import DivergenceError, InputError, StoppedError
from .._warnings import warn
from ..analysis.held_out import above_best, columns, verdict
from ..distributed.cluster import Client, cluster_trouble, connect
from ..distributed.feed import feed
from ..distributed.inline import inline
from ..io.atomic import check_output, remove, writing
from ..io.content import identified
from ..io.dataset import DatasetInfo
from ..io.kinds import JOB
from ..io.lock import locked
from ..io.result import open_result
from ..model.config import JobConfig
from ..model.search import Choice, Option, Span, value_of, with_values
from .curves import Curves
from .experiment import Experiment
from .launch import start

if TYPE_CHECKING:
    import optuna

Steps = Callable[[str, int, int], None]
SCRATCH = ".tuning-"


@dataclass(frozen=True)
class Trial:
    """A job that was tried.

    Parameters
    ----------
    number : int
    values : dict
        Of the options that are searched over, by their names.
    nats : float
        Loss of all held-out electrons; NaN where the trial failed.
    validation : float
        The same per pattern.
    iterations : int
    seconds : float
    remark : str
        Why it failed.
    """

    number: int
    values: dict[str, Any]
    nats: float = math.nan
    validation: float = math.nan
    iterations: int = 0
    seconds: float = 0.0
    remark: str = ""


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
        """What the data say of each option, and where they cannot tell."""
        above = above_best([trial.nats for trial in self.trials])
        alone = len(self.options) == 1
        return tuple(verdict(o, [t.values[o.name] for t in self.trials], above, alone) for o in self.options)

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
    storage_of = _optuna_storage()
    for option in options:
        for value in option.ends:
            with_values(job, {option.name: int(value) if isinstance(option, Span) and option.whole else value})
    if Experiment(info, job).train_fraction is None:
        why = "solver.validation_fraction is unset" if job.solver.validation_fraction is None else "they are not whole"
        raise InputError(f"nothing is held out of the counts of {info.path} ({why}): trials cannot be compared")
    if combinations := _combinations(options):
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
            search = _Search(storage, name, options, job, batch, seed, journal)
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
        raise InputError(f"all {len(found)} trials failed, the first: {found[0].remark}")
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


def run_trial(info: DatasetInfo, job: JobConfig, scratch: str) -> dict[str, Any]:
    """On a worker: reconstruct, and say what the held-out electrons lose."""
    began = time.perf_counter()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix=f"{Path(scratch).name}-", dir=Path(scratch).parent) as folder:
        result, seen = Path(folder) / "result.zarr", Curves()
        try:
            start(info, job, result, False, inline(), (seen,))
            chosen = open_result(result).iteration
            found = {"validation": seen.validation[chosen], "iterations": chosen}
            found["nats"] = seen.validation[chosen] * seen.patterns
        except (DivergenceError, InputError) as error:
            found = {"remark": " ".join(str(error).split())}
    return {**found, "seconds": time.perf_counter() - began}


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


def _optuna_storage() -> Callable[[Path], Any]:
    """Opens a file of trials."""
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise InputError(f"tune needs optuna ({error}): pip install 'ptychodask[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    @contextmanager
    def storage_of(path: Path) -> Iterator[Any]:
        try:
            storage = JournalStorage(JournalFileBackend(str(path)))
        except Exception as error:  # whatever a damaged file makes of optuna
            raise InputError(f"{path} cannot be read ({error}): it is no journal of trials, or damaged") from None
        yield storage

    return storage_of


class _Search:
    """Asks optuna for trials, and tells it what came of them."""

    def __init__(
        self, storage: Any, name: str, options: tuple[Option, ...], job: JobConfig, batch: int, seed: int, journal: Path
    ) -> None:
        import optuna

        self._study = optuna.create_study(storage=storage, study_name=name, direction="minimize", load_if_exists=True)
        self._options, self._job, self._batch, self._seed = options, job, batch, seed
        self._scratch = str(journal.with_name(f"{SCRATCH}{journal.name}"))
        self._space = {option.name: _distribution(option) for option in options}

    def run(self, client: Client, info: DatasetInfo, count: int, report: Steps) -> None:
        """Until so many trials have ended."""
        from optuna.trial import TrialState

        label = f"trials, {self._batch} asked for at a time"
        while True:
            stored = self._study.get_trials(deepcopy=False)
            done = sum(trial.state.is_finished() for trial in stored[:count])
            report(label, done, count)
            if done == count:
                return
            # a batch is asked for to its end, whatever of it is wanted now, and also where a kill has cut it
            if done == len(stored) or len(stored) % self._batch:
                for number in range(len(stored), len(stored) // self._batch * self._batch + self._batch):
                    self._ask(number)
                stored = self._study.get_trials(deepcopy=False)
            todo = iter([trial for trial in stored[:count] if not trial.state.is_finished()])

            def next_call(todo: Iterator[Any] = todo) -> Any:
                trial = next(todo, None)
                if trial is None:
                    return None
                return trial.number, _tried, (info, self._job, self._values(trial.params), self._scratch)

            for number, found in feed(client, next_call):
                nats = found.pop("nats", math.nan)
                self._study.set_user_attr(str(number), found)
                ended = TrialState.COMPLETE if math.isfinite(nats) else TrialState.FAIL
                self._study.tell(number, nats if math.isfinite(nats) else None, state=ended)
                done += 1
                report(label, done, count)

    def trials(self, count: int) -> tuple[Trial, ...]:
        """The first ``count``, in their order."""
        found, said = [], self._study.user_attrs
        for trial in self._study.get_trials(deepcopy=False)[:count]:
            nats = math.nan if trial.value is None else trial.value
            found.append(Trial(trial.number, self._values(trial.params), nats, **said.get(str(trial.number), {})))
        return tuple(found)

    def _ask(self, number: int) -> None:
        """Add the trial of a number, in one step that no kill can cut."""
        import optuna

        made = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING, params=self._params(number), distributions=self._space
        )
        self._study.add_trial(made)

    def _params(self, number: int) -> dict[str, Any]:
        """Of choices alone, one combination after the other. Else the job's own values, then equal distances along a
        lone range, then what the Parzen estimator proposes from the batches before."""
        import optuna

        own = {o.name: value_of(self._job, o.name) for o in self._options}
        inside = all(_holds(o, own[o.name]) for o in self._options)
        if combinations := _combinations(self._options):
            return combinations[number % len(combinations)]
        if number == 0 and inside:
            return own
        if number < self._batch and len(self._options) == 1 and isinstance(span := self._options[0], Span):
            spread = span.spread(self._batch - inside)
            if number - inside < len(spread):
                return {span.name: spread[number - inside]}
        key = hashlib.blake2b(f"{self._seed} {number}".encode(), digest_size=4).digest()
        sampler = optuna.samplers.TPESampler(seed=int.from_bytes(key, "little"), n_startup_trials=self._batch)
        before = optuna.create_study(direction="minimize", sampler=sampler)
        before.add_trials(self._study.get_trials(deepcopy=False)[: number // self._batch * self._batch])
        return dict(before.ask(self._space).params)

    def _values(self, params: dict[str, Any]) -> dict[str, Any]:
        return {option.name: params[option.name] for option in self._options}


def _tried(info: DatasetInfo, job: JobConfig, values: dict[str, Any], scratch: str) -> dict[str, Any]:
    try:
        wanted = with_values(job, values)
    except InputError as error:  # options that do not go together
        return {"remark": " ".join(str(error).split())}
    return run_trial(info, wanted, scratch)


def _combinations(options: Sequence[Option]) -> list[dict[str, Any]]:
    """All that there are of choices; none where there is a range."""
    values = [option.values for option in options if isinstance(option, Choice)]
    if len(values) < len(options):
        return []
    return [dict(zip([o.name for o in options], each, strict=True)) for each in itertools.product(*values)]


def _holds(option: Option, value: Any) -> bool:
    if isinstance(option, Span):
        return value is not None and option.low <= value <= option.high
    return value in option.values


def _distribution(option: Option) -> optuna.distributions.BaseDistribution:
    import optuna

    if not isinstance(option, Span):
        return optuna.distributions.CategoricalDistribution(option.values)
    if option.whole:
        return optuna.distributions.IntDistribution(int(option.low), int(option.high), log=option.log)
    return optuna.distributions.FloatDistribution(option.low, option.high, log=option.log)
