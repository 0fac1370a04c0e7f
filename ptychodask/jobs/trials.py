"""Trials of a search: asked of optuna in batches of a fixed size, kept in its journal, made as tasks of a cluster.

A batch is asked for whole before any of it is known, each trial with random numbers of its own number: what is tried
depends neither on the number of workers, nor on which trial ends first, nor on kills.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import DivergenceError, InputError
from ..distributed.cluster import Client
from ..distributed.feed import feed
from ..distributed.inline import inline
from ..io.dataset import DatasetInfo
from ..io.result import open_result
from ..model.config import JobConfig
from ..model.search import Choice, Option, Span, value_of, with_values
from .curves import Curves
from .experiment import Experiment
from .launch import start
from .settled import held_still

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
    unfinished : bool
        Did it still gain at its last iteration, so that its loss is that of an unfinished image?
    """

    number: int
    values: dict[str, Any]
    nats: float = math.nan
    validation: float = math.nan
    iterations: int = 0
    seconds: float = 0.0
    remark: str = ""
    unfinished: bool = False


def tried(info: DatasetInfo, job: JobConfig, values: dict[str, Any], scratch: str) -> dict[str, Any]:
    try:
        wanted = held_still(with_values(job, values))
    except InputError as error:  # options that do not go together
        return {"remark": " ".join(str(error).split())}
    return _reconstructed(info, wanted, scratch)


def _reconstructed(info: DatasetInfo, job: JobConfig, scratch: str) -> dict[str, Any]:
    """On a worker: reconstruct, and say what the held-out electrons lose."""
    began = time.perf_counter()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix=f"{Path(scratch).name}-", dir=Path(scratch).parent) as folder:
        result, seen = Path(folder) / "result.zarr", Curves()
        try:
            start(info, job, result, False, inline(), (seen,))
            chosen = open_result(result).iteration
            last = Experiment(info, job).split_iterations[0]
            # the spectral prior has a plan of its own, and always goes to its end
            unfinished = chosen == last and job.object.regularisation != "spectral"
            found = {"validation": seen.validation[chosen], "iterations": chosen, "unfinished": unfinished}
            found["nats"] = seen.validation[chosen] * seen.patterns
        except (DivergenceError, InputError) as error:
            found = {"remark": " ".join(str(error).split())}
    return {**found, "seconds": time.perf_counter() - began}


def journals() -> Callable[[Path], Any]:
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


class Search:
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
                return trial.number, tried, (info, self._job, self._values(trial.params), self._scratch)

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
        if combinations := combinations_of(self._options):
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


def combinations_of(options: Sequence[Option]) -> list[dict[str, Any]]:
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
